"""The statements that remove people from the ledger: of an erasure, and of retention.

Each function runs in one transaction of ledger.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    String,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from capi_assets.delivery.ledger import attempt_ranges as attempt_ranges
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger.schema import (
    ATTEMPTS,
    CHUNK,
    DECISION_EVENTS,
    DECISIONS,
    EVENTS,
    TOMBSTONES,
    WITHDRAWALS,
)
from capi_assets.delivery.ledger.sets import as_json, numbers

_E, _T = EVENTS.c, TOMBSTONES.c
_ORDER = (_E.dataset_id, _E.event_name, _E.order_id)
# SQLite's limit of the depth of an expression is 1,000.
_MARKS_AT_ONCE = 200


LedgerEvent = tuple[int, str, str, str, str, str, str | None]
"""Ref, dataset, event name, order id, event id, state and person of an event."""


@dataclass(frozen=True)
class LedgerTraces:
    """A person's events, and the marks of their withdrawals."""

    events: list[LedgerEvent] = field(default_factory=list)
    withdrawals: list[str] = field(default_factory=list)


def add_tombstones(connection: Connection, marks: Sequence[str], now: datetime) -> None:
    moment = rows.micros(now)
    stored = set(connection.scalars(select(_T.mark)))
    new = [mark for mark in marks if mark not in stored]
    if new:
        connection.execute(insert(TOMBSTONES), [{"mark": m, "erased_at": moment} for m in new])
    later = update(TOMBSTONES).where(_T.mark == bindparam("this")).values(erased_at=moment)
    if known := sorted(stored.intersection(marks)):
        connection.execute(later, [{"this": mark} for mark in known])


def traces(connection: Connection, order_ids: Sequence[str], marks: Sequence[str]) -> LedgerTraces:
    columns = select(_E.ref, *_ORDER, _E.event_id, _E.state, _E.person)
    found = {
        row.ref: tuple(row)
        for start in range(0, len(order_ids), _MARKS_AT_ONCE)
        for row in connection.execute(
            columns.where(_E.order_id.in_(order_ids[start : start + _MARKS_AT_ONCE]))
        )
    }
    withdrawals: list[str] = []
    for start in range(0, len(marks), _MARKS_AT_ONCE):
        part = marks[start : start + _MARKS_AT_ONCE]
        person = func.lower(" " + _E.person + " ")
        named = or_(*(person.contains(f" {mark} ") for mark in part))
        found |= {row.ref: tuple(row) for row in connection.execute(columns.where(named))}
        is_theirs = WITHDRAWALS.c.mark.in_(part)
        withdrawals += connection.scalars(select(WITHDRAWALS.c.mark).where(is_theirs))
    return LedgerTraces(sorted(found.values()), sorted(withdrawals))


def erase(connection: Connection, traces: LedgerTraces, redact: Callable[[str], str]) -> None:
    refs = [event[0] for event in traces.events]
    attempt_ranges.remove(connection, refs)
    for table in (DECISION_EVENTS, EVENTS):
        connection.execute(
            delete(table).where(table.c.ref.in_(numbers("refs"))), {"refs": as_json(refs)}
        )
    for start in range(0, len(traces.withdrawals), CHUNK):
        part = traces.withdrawals[start : start + CHUNK]
        connection.execute(delete(WITHDRAWALS).where(WITHDRAWALS.c.mark.in_(part)))
    for column in (ATTEMPTS.c.message, DECISIONS.c.why, DECISIONS.c.who):
        _redact(connection, column, redact)


def _redact(connection: Connection, column: Column[Any], redact: Callable[[str], str]) -> None:
    texts = connection.scalars(select(column).where(column.is_not(None)).distinct()).all()
    for text in texts:
        if (changed := redact(text)) != text:
            change = update(column.table).where(column == text).values({column: changed})
            connection.execute(change)


def count_with_ids(connection: Connection, hour: datetime) -> int:
    return connection.scalar(select(func.count()).where(*_with_ids(hour))) or 0


def remove_ids(connection: Connection, hour: datetime) -> int:
    refs = connection.scalars(select(_E.ref).where(*_with_ids(hour)).limit(CHUNK)).all()
    without = {"order_id": "", "event_id": literal("ref:") + cast(_E.ref, String), "person": None}
    without |= {"payload_sha256": None, "fbtrace_id": None, "message": None}
    connection.execute(update(EVENTS).where(_E.ref.in_(refs)).values(**without))
    return len(refs)


def _with_ids(hour: datetime) -> tuple[Any, ...]:
    return _E.hour < rows.micros(hour), _E.order_id != ""
