"""Whatever landed and ran: each order row is counted once, and `delivered` is never another's."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.outcomes import QUARANTINED_ORDERS
from capi_assets.coverage.waterfall import unbalanced_rows, waterfall
from capi_assets.delivery.hours_to_send import plan_hours, results_of
from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.lake import Lake
from tests.helpers.delivery_harness import NOW, event

SCHEMA = arrow_schema(MatchedEvents)
HOURS = [NOW - timedelta(hours=back) for back in (5, 4, 3)]
POLICY = Policy()

LANDINGS = st.tuples(
    st.just("land"),
    st.sampled_from(HOURS),
    st.sampled_from("ab"),  # the order id
    st.sampled_from([1, 2]),  # the person
    st.sampled_from([0.0, 5.0]),  # a correction of the value
    st.sampled_from(["ready", "withheld", "gone"]),
    st.booleans(),  # with the Pixel's event_id
)
RUNS = st.tuples(
    st.just("run"),
    st.sets(st.sampled_from(HOURS), min_size=1),
    st.sampled_from(["delivered", "refused", "unknown", "rejected"]),
)


class Shop:
    """Matched events in a lake, and a Meta that accepts what it is sent."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.lake, self.ledger = Lake(root), ledger
        self.rows: dict[tuple[datetime, str], dict[str, Any]] = {}
        self.accepted: list[tuple[str, str]] = []

    def land(
        self, hour: datetime, order: str, person: int, more: float, verdict: str, pixel: bool
    ) -> None:
        row = event(
            order,
            occurred_at=hour + timedelta(minutes=person),
            value=person * 10.0 + more,
            person=f"e{person:010d}",
            event_id=f"pixel-{order}-{person}" if pixel else f"Purchase:{order}",
        )
        if verdict != "ready":
            row |= {"verdict": verdict, "reason": "not_confirmed", "payload": None}
            row["payload_sha256"] = None
        self.rows[hour, order] = row
        if verdict == "gone":
            del self.rows[hour, order]
        rows = [r for (at, _), r in sorted(self.rows.items()) if at == hour]
        blank = dict.fromkeys(SCHEMA.names)
        self.lake.write(
            "matched_events", hour, pa.Table.from_pylist([blank | r for r in rows], SCHEMA)
        )

    def run(self, hours: set[datetime], outcome: Any) -> None:
        pending = plan_hours(self.lake, self.ledger, sorted(hours), NOW, POLICY)
        for events in pending.tables(self.lake):
            lease = timedelta(minutes=1)
            claimed = self.ledger.claim(events, "me", NOW, lease)
            mine, state = events.filter(claimed["won"]), claimed.filter(claimed["won"])
            if mine.num_rows:
                attempt = self.ledger.mark_in_flight(mine, state, Intent("me", "r", 1, lease), NOW)
                assert attempt is not None
                self.ledger.record(attempt, Outcome(outcome), "me", NOW, keep_claim=False)
                if outcome == "delivered":
                    pairs = zip(mine["order_id"], mine["person"], strict=True)
                    self.accepted += [(o.as_py(), p.as_py()) for o, p in pairs]

    def results(self, hours: list[datetime]) -> pa.Table:
        return pa.concat_tables(
            [t for _, t in results_of(self.lake, self.ledger, hours, NOW, POLICY)]
        )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(LANDINGS, RUNS), min_size=2, max_size=8))
def test_every_row_is_counted_once_and_delivered_means_this_order(history: list[Any]) -> None:
    with (
        tempfile.TemporaryDirectory() as root,
        Ledger(f"sqlite:///{root}/ledger.db") as ledger,
    ):
        shop = Shop(Path(root) / "lake", ledger)
        for kind, *step in history:
            shop.land(*step) if kind == "land" else shop.run(*step)
        shop.run(set(HOURS), "delivered")
        results = shop.results(HOURS)
        events = shop.lake.read("matched_events", HOURS, SCHEMA)
        assert results.num_rows == events.num_rows

        repeated = results.filter(pc.equal(results["status"], "repeated")).num_rows
        no_visits = pa.table(
            {
                "hour": pa.array([], SCHEMA.field("occurred_at").type),
                "visits": pa.array([], pa.int64()),
            }
        )
        health = waterfall(HOURS, events, results, QUARANTINED_ORDERS.empty_table(), no_visits)
        assert pc.sum(health["orders"]).as_py() == events.num_rows - repeated
        assert not unbalanced_rows(health).num_rows

        persons = events["person"].to_pylist()
        standing: dict[tuple[str, str], int] = {}
        for row, person in zip(results.to_pylist(), persons, strict=True):
            order = (row["order_id"], person)
            standing.setdefault(order, 0)
            if row["status"] == "delivered":
                assert order in shop.accepted
            standing[order] += row["status"] != "repeated"
        assert all(standing.values()), "an order that is counted nowhere"
        counted = pc.sum(health["delivered"]).as_py()
        assert counted == results.filter(pc.equal(results["status"], "delivered")).num_rows
