"""The facts of `capi-assets explain`: the full history of one order, from lake and ledger.

Applies the rules of matching, eligibility and delivery to this one order and changes nothing.
page.py prints it, as_json.py is for programs, next_step.py says what to do.

    history = explain(read_settings(), "10042")
    history.verdict, history.attempts, history.to_do
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from capi_assets.commands.explain.find_order import Row, Search, find, hour_of
from capi_assets.commands.explain.next_step import next_step
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.other_hours import in_other_hours
from capi_assets.delivery.plan import plan
from capi_assets.eligibility import withheld_reason
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.matching import candidates
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS
from capi_assets.policies import delivery_policy, open_ledger
from capi_assets.settings import Settings

MAX_CANDIDATES = 10

_IDENTITY = ("order_id", "event_name", "dataset_id")


@dataclass(frozen=True)
class Candidate:
    """A visit that the order could be matched with: the keys they share, the strongest first."""

    visit_id: str
    visited_at: datetime
    keys: tuple[str, ...]


@dataclass(frozen=True)
class OrderHistory:
    """The history of an order. Rows are of the tables they are named after.

    Attributes:
        order: the stored order; None where it was quarantined.
        quarantined: quarantined rows with its id.
        others: further rows with its id that this history is not about, the newest first.
        event: its row of matched_events; None where its hour was not matched since it landed.
        verdict: ready, withheld or invalid; of an unmatched order what is known already.
        candidates: the best stored visits it could be matched with; `all_candidates` counts all.
        planned: its row of the plan as of `now`; None without an event.
        known: its row of the ledger, which may be of another order with the same event id.
        attempts, decisions: the ledger's, the oldest first.
        digests: per hashed match key those of the event, or of the order where none was built.
    """

    order_id: str
    hour: datetime
    now: datetime
    verdict: str
    reason: str | None
    to_do: str
    quarantined: list[Row]
    others: list[Row]
    order: Row | None = None
    event: Row | None = None
    candidates: list[Candidate] = field(default_factory=list)
    all_candidates: int = 0
    planned: Row | None = None
    known: Row | None = None
    attempts: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    digests: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @property
    def payload(self) -> dict[str, Any] | None:
        """The event as it is sent; for display use `masking.payload`."""
        text = self.event and self.event["payload"]
        return orjson.loads(text) if text else None


def explain(
    settings: Settings,
    order_id: str,
    *,
    hour: datetime | None = None,
    event_name: str | None = None,
) -> OrderHistory:
    """The history of the newest order with this id; of `hour` (UTC) and `event_name`, if given.

    Raises:
        UnknownOrderError: neither an order nor a quarantined row has the id.
        LakeError: the lake cannot be read.
        LedgerError: the ledger cannot be read.
    """
    lake, now = Lake(settings.lake), settings.now or datetime.now(UTC)
    with open_duckdb() as connection:
        orders, quarantined = find(Search(lake, connection, hour), order_id, event_name)
        if not orders:
            return _of_quarantined(order_id, quarantined, now)
        order, *others = orders
        own_hour = hour_of(order)
        condition = " AND ".join(f"{name} = ${n}" for n, name in enumerate(_IDENTITY, 1))
        identity = [order[name] for name in _IDENTITY]
        events = Search(lake, connection, own_hour).rows("matched_events", condition, identity)
        visits = _candidates(lake, order, settings.lookback, connection)
    event = events[0] if events else None
    delivery = _delivery(lake, settings, own_hour, event, now) if event else {}
    planned, known = delivery.get("planned"), delivery.get("known")
    verdict, reason = _verdict(order, event, settings.consent_required)
    return OrderHistory(
        order_id=order_id,
        hour=own_hour,
        now=now,
        verdict=verdict,
        reason=reason,
        to_do=next_step(own_hour, now, event=event, planned=planned, known=known),
        quarantined=quarantined,
        others=others,
        order=order,
        event=event,
        candidates=visits[:MAX_CANDIDATES],
        all_candidates=len(visits),
        digests=_digests(order, event),
        **delivery,
    )


def _of_quarantined(order_id: str, rows: list[Row], now: datetime) -> OrderHistory:
    first, *others = rows
    hour = hour_of(first)
    return OrderHistory(
        order_id=order_id,
        hour=hour,
        now=now,
        verdict="quarantined",
        reason=first["reasons"],
        to_do=next_step(hour, now, refused=first),
        quarantined=[first, *(row for row in others if hour_of(row) == hour)],
        others=[row for row in others if hour_of(row) != hour],
    )


def _candidates(
    lake: Lake, order: Row, lookback: timedelta, connection: duckdb.DuckDBPyConnection
) -> list[Candidate]:
    table = pa.Table.from_pylist([order], schema=arrow_schema(Orders))
    hours = hours_between(
        floor_hour(order["occurred_at"] - lookback), floor_hour(order["occurred_at"]) + HOUR
    )
    shared = candidates(table, lake.paths("visits", hours), lookback, DuckDBEngine(connection))
    keys: dict[tuple[str, datetime], list[str]] = {}
    for row in shared.to_pylist():
        keys.setdefault((row["visit_id"], row["visited_at"]), []).append(row["matched_by"])
    return [Candidate(visit, at, tuple(by)) for (visit, at), by in keys.items()]


def _delivery(
    lake: Lake, settings: Settings, hour: datetime, event: Row, now: datetime
) -> dict[str, Any]:
    """The fields of plan and ledger; planned with its whole hour, as events with one id compete."""
    schema = arrow_schema(MatchedEvents)
    columns = [name for name in schema.names if name != "payload"]
    events = lake.read("matched_events", [hour], schema, columns)
    alone = pa.Table.from_pylist([{name: event[name] for name in columns}], schema=events.schema)
    with open_ledger(settings) as ledger:
        events = withhold_withdrawn(events, ledger, lake, now)
        states = ledger.state_of(events)
        others = in_other_hours(lake, ledger, events, states, now)
        policy = delivery_policy(settings)
        planned = plan(events, states, now, policy, other_hour=others).to_pylist()
        own = [row for row in planned if all(row[name] == event[name] for name in _IDENTITY)]
        return {
            "planned": next(iter(own), None),
            "known": next(iter(ledger.state_of(alone).to_pylist()), None),
            "attempts": ledger.attempts_for(alone).to_pylist(),
            "decisions": ledger.decisions_for(alone).to_pylist(),
        }


def _verdict(order: Row, event: Row | None, consent_required: bool) -> tuple[str, str | None]:
    if event is not None:
        return event["verdict"], event["reason"]
    alone = pa.Table.from_pylist([order], schema=arrow_schema(Orders))
    (reason,) = withheld_reason(alone, consent_required).to_pylist()
    return ("withheld", reason) if reason else ("not matched yet", None)


def _digests(order: Row, event: Row | None) -> dict[str, list[str]]:
    if event and event["payload"]:
        person: dict[str, Any] = orjson.loads(event["payload"]).get("user_data", {})
        values = {key: person[key] for key in HASHED_KEYS if key in person}
        return {k: list(map(str, v if isinstance(v, list) else [v])) for k, v in values.items()}
    return {key: str(order[key]).split() for key in HASHED_KEYS if order[key]}
