"""`capi-assets explain`: one order's whole life, read from the lake and the ledger.

Gathers what the rules of other rooms say of this one order and changes nothing. How it reads is
in `explain_page.py`; the sentence at its end comes from `next_step.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from capi_assets.commands.explain.find_order import find, sighted_hour
from capi_assets.commands.explain.next_step import next_step
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.eligibility import withheld_reason
from capi_assets.engine import DuckDBEngine
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.matching import candidates
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS

MOST_CANDIDATES = 10
_IDENTITY = ("order_id", "event_name", "dataset_id")


@dataclass(frozen=True)
class MatchingRules:
    """What the explanation has to know of the settings."""

    lookback: timedelta
    consent_required: bool
    delivery: Policy


@dataclass(frozen=True)
class Candidate:
    """A visit that the order could take: the keys they share, the strongest first."""

    visit_id: str
    visited_at: datetime
    keys: tuple[str, ...]


@dataclass(frozen=True)
class OrderHistory:
    """An order's life. Rows are of the tables they are named after.

    Attributes:
        order: the stored order; None where it was refused or is not stored.
        refused: quarantined rows with its id.
        others: further rows with its id that this story is not about, the newest first.
        event: its row of matched_events; None where its hour was not matched since it came.
        verdict: ready, withheld or invalid, and why; of an unmatched order what is known already.
        candidates: the best visits it could take, as they are stored now; `all_candidates` counts.
        planned: its row of the plan as of `now`; None without an event.
        known: its row of the ledger, which may be of another order with the same event id.
        attempts, decisions: the ledger's, the oldest first.
        digests: per hashed match key what the event carries, or the order where none was built.
    """

    order_id: str
    hour: datetime
    now: datetime
    order: dict[str, Any] | None
    refused: list[dict[str, Any]]
    others: list[dict[str, Any]]
    event: dict[str, Any] | None
    verdict: str
    reason: str | None
    candidates: list[Candidate]
    all_candidates: int
    planned: dict[str, Any] | None
    known: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    to_do: str
    digests: dict[str, list[str]] = field(repr=False)

    @property
    def payload(self) -> dict[str, Any] | None:
        """The event as it is sent; not for display, see `masks.payload`."""
        text = self.event and self.event["payload"]
        return orjson.loads(text) if text else None


def explain(
    lake: Lake,
    ledger: Ledger,
    order_id: str,
    now: datetime,
    rules: MatchingRules,
    *,
    hour: datetime | None = None,
    event_name: str | None = None,
) -> OrderHistory:
    """The story of the newest order with this id; of `hour` and `event_name`, where given.

    Raises:
        UnknownOrderError: neither an order nor a refused row has the id.
        LakeError: the lake cannot be read.
        LedgerError: the ledger cannot be read.
    """
    with duckdb.connect(":memory:") as connection:
        found = find(lake, order_id, connection, hour=hour, event_name=event_name)
        if not found.orders:
            return _of_refused(order_id, found.refused, now)
        order, *others = found.orders
        of_hour = sighted_hour(order)
        event = _event(lake, of_hour, order, connection)
        seen = _candidates(lake, order, rules.lookback, connection)
    booked = _booked(lake, ledger, of_hour, event, now, rules.delivery) if event else _NOTHING
    verdict, reason = _verdict(order, event, rules.consent_required)
    return OrderHistory(
        order_id=order_id,
        hour=of_hour,
        now=now,
        order=order,
        refused=found.refused,
        others=others,
        event=event,
        verdict=verdict,
        reason=reason,
        candidates=seen[:MOST_CANDIDATES],
        all_candidates=len(seen),
        planned=booked.planned,
        known=booked.known,
        attempts=booked.attempts,
        decisions=booked.decisions,
        to_do=next_step(of_hour, now, event=event, planned=booked.planned, known=booked.known),
        digests=_digests(order, event),
    )


def _of_refused(order_id: str, refused: list[dict[str, Any]], now: datetime) -> OrderHistory:
    first, *others = refused
    hour = sighted_hour(first)
    same = [row for row in others if sighted_hour(row) == hour]
    return OrderHistory(
        order_id=order_id,
        hour=hour,
        now=now,
        order=None,
        refused=[first, *same],
        others=[row for row in others if row not in same],
        event=None,
        verdict="quarantined",
        reason=first["reasons"],
        candidates=[],
        all_candidates=0,
        planned=None,
        known=None,
        attempts=[],
        decisions=[],
        to_do=next_step(hour, now, refused=first),
        digests={},
    )


def _event(
    lake: Lake, hour: datetime, order: Mapping[str, Any], connection: duckdb.DuckDBPyConnection
) -> dict[str, Any] | None:
    schema = arrow_schema(MatchedEvents)
    DuckDBEngine(connection).register(
        "matched_events", lake.paths("matched_events", [hour]), schema
    )
    where = " AND ".join(f"{name} = ${place}" for place, name in enumerate(_IDENTITY, start=1))
    found = connection.sql(
        f"SELECT * FROM matched_events WHERE {where}", params=[order[name] for name in _IDENTITY]
    )
    rows: list[dict[str, Any]] = found.to_arrow_table().cast(schema).to_pylist()
    return rows[0] if rows else None


def _candidates(
    lake: Lake,
    order: Mapping[str, Any],
    lookback: timedelta,
    connection: duckdb.DuckDBPyConnection,
) -> list[Candidate]:
    table = pa.Table.from_pylist([dict(order)], schema=arrow_schema(Orders))
    hours = hours_between(
        floor_hour(order["occurred_at"] - lookback), floor_hour(order["occurred_at"]) + HOUR
    )
    shared = candidates(table, lake.paths("visits", hours), lookback, DuckDBEngine(connection))
    keys: dict[tuple[str, datetime], list[str]] = {}
    for row in shared.to_pylist():
        keys.setdefault((row["visit_id"], row["visited_at"]), []).append(row["matched_by"])
    return [Candidate(visit, at, tuple(by)) for (visit, at), by in keys.items()]


@dataclass(frozen=True)
class _Booked:
    planned: dict[str, Any] | None = None
    known: dict[str, Any] | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)


_NOTHING = _Booked()


def _booked(
    lake: Lake,
    ledger: Ledger,
    hour: datetime,
    event: Mapping[str, Any],
    now: datetime,
    policy: Policy,
) -> _Booked:
    """What plan and ledger say; planned with its whole hour, since events with one id compete."""
    schema = arrow_schema(MatchedEvents)
    columns = [name for name in schema.names if name != "payload"]
    events = lake.read("matched_events", [hour], schema, columns)
    planned = plan(events, ledger.state_of(events), now, policy).to_pylist()
    own = [row for row in planned if all(row[name] == event[name] for name in _IDENTITY)]
    alone = pa.Table.from_pylist([{name: event[name] for name in columns}], schema=events.schema)
    states = ledger.state_of(alone).to_pylist()
    return _Booked(
        own[0] if own else None,
        states[0] if states else None,
        ledger.attempts_for(alone).to_pylist(),
        ledger.decisions_for(alone).to_pylist(),
    )


def _verdict(
    order: Mapping[str, Any], event: Mapping[str, Any] | None, consent_required: bool
) -> tuple[str, str | None]:
    if event is not None:
        return event["verdict"], event["reason"]
    alone = pa.Table.from_pylist([dict(order)], schema=arrow_schema(Orders))
    (reason,) = withheld_reason(alone, consent_required).to_pylist()
    return ("withheld", reason) if reason else ("not matched yet", None)


def _digests(order: Mapping[str, Any], event: Mapping[str, Any] | None) -> dict[str, list[str]]:
    if event and event["payload"]:
        person: dict[str, Any] = orjson.loads(event["payload"]).get("user_data", {})
        return {key: _listed(person[key]) for key in HASHED_KEYS if key in person}
    return {key: str(order[key]).split() for key in HASHED_KEYS if order[key]}


def _listed(value: Any) -> list[str]:
    return [str(each) for each in (value if isinstance(value, list) else [value])]
