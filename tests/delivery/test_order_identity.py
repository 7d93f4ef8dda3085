"""Whatever landed and ran: each order row is counted once, and `delivered` is never another's."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.outcomes import QUARANTINED_ORDERS, STAGES
from capi_assets.coverage.waterfall import unbalanced_rows, waterfall
from capi_assets.delivery.hours_to_send import plan_hours, results_of
from capi_assets.delivery.ledger.ledger import Intent, Ledger
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.plan import SENDABLE, plan
from capi_assets.delivery.policy import Policy
from capi_assets.lake import Lake
from capi_assets.order_identity import same_conversion
from tests.helpers.delivery_harness import NOW, event, table

SCHEMA = arrow_schema(MatchedEvents)
HOURS = [NOW - timedelta(hours=back) for back in (5, 4, 3)]
POLICY = Policy()


def landings(pixel: st.SearchStrategy[bool], more: list[float]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.just("land"),
        st.sampled_from(HOURS),
        st.sampled_from("ab"),  # the order id
        st.sampled_from([1, 2]),  # the person
        st.sampled_from(more),  # a correction of the value
        st.sampled_from(["ready", "ready", "withheld", "gone"]),
        pixel,  # with the Pixel's event_id
    )


RUNS = st.tuples(
    st.just("run"),
    st.sets(st.sampled_from(HOURS), min_size=1),
    st.sampled_from(["delivered", "refused", "unknown", "accepted unknown", "rejected"]),
    st.sampled_from([1, 1000]),  # rows per batch of the plan
)
# Under another event_id and with another value it would be another order: not both in one history.
HISTORIES = st.sampled_from(
    [landings(st.booleans(), [0.0]), landings(st.just(False), [0.0, 5.0])]
).flatmap(lambda landing: st.lists(st.one_of(landing, RUNS), min_size=2, max_size=9))


class Shop:
    """Matched events in a lake, and a Meta that accepts what it is sent."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.lake, self.ledger = Lake(root), ledger
        self.rows: dict[tuple[datetime, str], dict[str, Any]] = {}
        self.accepted: dict[str, tuple[str, str]] = {}  # by event_id; Meta counts each once

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

    def run(self, hours: set[datetime], outcome: str, batch_rows: int) -> None:
        pending = plan_hours(self.lake, self.ledger, sorted(hours), NOW, POLICY, batch_rows)
        for events in pending.tables(self.lake):
            lease = timedelta(minutes=1)
            claimed = self.ledger.claim(events, "me", NOW, lease)
            planned = plan(events, claimed, NOW, POLICY, holder="me")
            sent = pc.and_(claimed["won"], pc.is_in(planned["action"], pa.array(SENDABLE)))
            mine, state = events.filter(sent), claimed.filter(sent)
            if mine.num_rows:
                attempt = self.ledger.mark_in_flight(mine, state, Intent("me", "r", 1, lease), NOW)
                assert attempt is not None
                final: Any = outcome.removeprefix("accepted ")
                if final == "rejected" and set(mine["event_id"].to_pylist()) & set(self.accepted):
                    final = "refused"  # Meta does not reject what it has accepted
                self.ledger.record(attempt, Outcome(final), "me", NOW, keep_claim=False)
                if outcome in ("delivered", "accepted unknown"):
                    for row in mine.to_pylist():
                        self.accepted.setdefault(row["event_id"], (row["order_id"], row["person"]))
            self.ledger.release("me")

    def results(self, hours: list[datetime]) -> pa.Table:
        return pa.concat_tables(
            [t for _, t in results_of(self.lake, self.ledger, hours, NOW, POLICY)]
        )


@pytest.fixture(scope="module")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger(f"sqlite:///{path}").close()
    return path


@settings(max_examples=12, deadline=None)
@given(history=HISTORIES)
def test_every_order_is_counted_once_sent_once_and_delivered_means_this_order(
    history: list[Any], empty_ledger: Path
) -> None:
    with tempfile.TemporaryDirectory() as root:
        shutil.copy(empty_ledger, root)
        with Ledger(f"sqlite:///{root}/ledger.db") as ledger:
            shop = Shop(Path(root) / "lake", ledger)
            for kind, *step in history:
                shop.land(*step) if kind == "land" else shop.run(*step)
            shop.run(set(HOURS), "delivered", 1)
            check(shop, shop.results(HOURS))
            together = shop.results(HOURS)
            assert together.equals(pa.concat_tables([shop.results([hour]) for hour in HOURS]))


def check(shop: Shop, results: pa.Table) -> None:
    events = shop.lake.read("matched_events", HOURS, SCHEMA)
    persons = events["person"].to_pylist()
    orders = [(row["order_id"], who) for row, who in zip(results.to_pylist(), persons, strict=True)]
    standing = [
        (order, row)
        for order, row in zip(orders, results.to_pylist(), strict=True)
        if row["status"] != "repeated"
    ]
    assert sorted(order for order, _ in standing) == sorted(set(orders)), "counted once each"
    for order, row in standing:
        if row["status"] == "delivered":
            assert shop.accepted[row["sent_event_id"] or row["event_id"]] == order
    accepted = list(shop.accepted.values())
    assert len(accepted) == len(set(accepted)), "an order that Meta counts twice"

    no_visits = pa.table(
        {
            "hour": pa.array([], SCHEMA.field("occurred_at").type),
            "visits": pa.array([], pa.int64()),
            "with_click_id": pa.array([], pa.int64()),
        }
    )
    health = waterfall(HOURS, events, results, QUARANTINED_ORDERS.empty_table(), no_visits)
    assert not unbalanced_rows(health).num_rows
    assert (pc.sum(health["orders"]).as_py() or 0) == len(standing)
    statuses = Counter((row["occurred_at"].replace(minute=0), row["status"]) for _, row in standing)
    for row in health.to_pylist():
        for stage in STAGES:
            assert row[stage] == statuses[row["hour"], stage]


@pytest.mark.parametrize("together", [True, False])
def test_one_order_under_two_event_ids_is_claimed_once(
    together: bool, empty_ledger: Path, tmp_path: Path
) -> None:
    rows = [event("a", person="e1"), event("a", person="e1", event_id="pixel-a")]
    shutil.copy(empty_ledger, tmp_path)
    requests = [table(rows)] if together else [table([row]) for row in rows]
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        holders = [f"run {number}" for number in range(len(requests))]
        lease = timedelta(minutes=1)
        claims = [ledger.claim(r, h, NOW, lease) for r, h in zip(requests, holders, strict=True)]
        assert [won for claim in claims for won in claim["won"].to_pylist()] == [True, False]
        # Where the first run has died before it sent anything, the second takes over.
        later = NOW + 2 * lease
        assert ledger.claim(requests[-1].slice(int(together)), "next", later, lease)["won"][
            0
        ].as_py()


def test_persons_are_compared_by_the_contacts_that_both_have() -> None:
    base = event("a", person=None)
    people = [
        ("e1 p2", "p2", True),
        ("e1", "e2 p1", False),
        ("e1", "p1", False),  # nothing to compare, and time and money differ
        ("e1 B7", "e2 B7", False),  # a browser tells no orders apart
        (None, "e1", False),
        ("x1 e1", "x2 e1", True),
    ]
    one = table([base | {"person": person, "value": 5.0} for person, _, _ in people])
    other = table([base | {"person": p, "value": 9.0, "event_time": 0} for _, p, _ in people])
    assert same_conversion(one, other).to_pylist() == [same for _, _, same in people]


def test_without_a_person_equal_money_is_one_order_only_within_48_hours() -> None:
    base = event("a", person=None)
    hours = [1, 47, 49]
    other = [base | {"event_time": base["event_time"] + hour * 3600} for hour in hours]
    assert same_conversion(table([base] * 3), table(other)).to_pylist() == [True, True, False]
