"""Converts between Arrow tables and the ledger's rows: lookups by identity, new and changed rows.

Statements only; ledger.py runs them in its transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Row, Select, bindparam, select, update

from capi_assets.delivery.identity import IDENTITY, storable
from capi_assets.delivery.ledger.schema import (
    ATTEMPT,
    ATTEMPT_EVENTS,
    ATTEMPTS,
    CHUNK,
    DELIVERED,
    EVENTS,
    MAYBE_AT_META,
    PENDING,
    STATE,
)

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_FETCH_ROWS = 10_000  # at a time, so that a long history does not fill memory

_IS_ONE_OF = (
    EVENTS.c.dataset_id == bindparam("dataset"),
    EVENTS.c.event_name == bindparam("name"),
    EVENTS.c.event_id.in_(bindparam("ids", expanding=True)),
)
_FIND = select(EVENTS).where(*_IS_ONE_OF).order_by(EVENTS.c.ref)
# Locked in one order, so that two runs after the same events wait instead of deadlocking.
_FIND_LOCKED = _FIND.with_for_update()
_FIND_ORDERS = select(EVENTS).where(
    EVENTS.c.dataset_id == bindparam("dataset"),
    EVENTS.c.event_name == bindparam("name"),
    EVENTS.c.order_id.in_(bindparam("ids", expanding=True)),
)
_ATTEMPTS_OF = (
    select(EVENTS.c.event_name, EVENTS.c.event_id, *ATTEMPTS.c)
    .join(ATTEMPT_EVENTS, ATTEMPT_EVENTS.c.ref == EVENTS.c.ref)
    .join(ATTEMPTS, ATTEMPTS.c.attempt == ATTEMPT_EVENTS.c.attempt)
    .where(*_IS_ONE_OF)
    .order_by(ATTEMPTS.c.attempt)
)

# What a corrected order changes in an event that is in the ledger already.
_CHANGEABLE = (
    "order_id",
    "hour",
    "event_time",
    "value",
    "currency",
    "person",
    "deliver_until",
    "payload_sha256",
)
_CHANGE = (
    update(EVENTS)
    .where(EVENTS.c.ref == bindparam("this"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGEABLE})
)


def micros(moment: datetime) -> int:
    """Whole microseconds since the epoch of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def chunks(events: pa.Table, size: int) -> Iterator[pa.Table]:
    """The table in pieces of at most `size` rows, without events that no ledger can store."""
    events = events.filter(storable(events))
    for start in range(0, events.num_rows, size):
        yield events.slice(start, size)


def pieces(refs: list[int]) -> Iterator[list[int]]:
    """The refs in pieces of at most `CHUNK`."""
    return (refs[start : start + CHUNK] for start in range(0, len(refs), CHUNK))


def find(connection: Connection, events: pa.Table, *, lock: bool = False) -> list[Row[Any]]:
    """The ledger's rows of these events (a chunk), in no particular order."""
    statement = _FIND_LOCKED if lock else _FIND
    return [row for named in _named(events) for row in connection.execute(statement, named).all()]


def find_with_former(connection: Connection, events: pa.Table) -> list[Row[Any]]:
    """The ledger's rows of these events (a chunk), then those of the orders that have no event at
    Meta under their present event_id, under any other."""
    known = find(connection, events)
    sent = pa.array([row.event_id for row in known if row.state in MAYBE_AT_META], pa.string())
    rest = events.filter(pc.invert(pc.is_in(events["event_id"], value_set=sent)))
    return known + find_orders(connection, rest, {row.ref for row in known})


def find_orders(connection: Connection, events: pa.Table, but: set[int]) -> list[Row[Any]]:
    """The ledger's rows of these orders (a chunk) under any event_id, but for the refs `but`."""
    return [
        row
        for named in _named(events, "order_id")
        for row in connection.execute(_FIND_ORDERS, named).all()
        if row.ref not in but
    ]


def attempts(connection: Connection, events: Iterator[pa.Table]) -> pa.Table:
    """The attempts to send any of these events."""
    found = [
        row
        for part in events
        for named in _named(part)
        for row in connection.execute(_ATTEMPTS_OF, named).all()
    ]
    return _table(found, ATTEMPT)


def last_accepted_at(connection: Connection, dataset_id: str) -> datetime | None:
    """The start of the latest attempt of the dataset that Meta accepted."""
    of_dataset = select(ATTEMPTS.c.started_at).where(
        ATTEMPTS.c.dataset_id == dataset_id, ATTEMPTS.c.outcome == DELIVERED
    )
    started = connection.scalar(of_dataset.order_by(ATTEMPTS.c.attempt.desc()).limit(1))
    return None if started is None else _EPOCH + timedelta(microseconds=started)


def fetch(connection: Connection, statement: Select[Any], schema: pa.Schema) -> pa.Table:
    """A query's rows as a table, fetched in pieces."""
    result = connection.execution_options(yield_per=_FETCH_ROWS).execute(statement)
    return pa.concat_tables(
        [schema.empty_table()] + [_table(piece, schema) for piece in result.partitions()]
    )


def state(found: Sequence[Row[Any]]) -> pa.Table:
    """Rows of the events table as `STATE`."""
    return _table(found, STATE)


def new_rows(events: pa.Table, known: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    """What to insert for the events that are not among `known`, ordered by identity.

    All processes insert in this order: two that insert the same events in different orders would
    deadlock.
    """
    stored = {(row.dataset_id, row.event_name, row.event_id) for row in known}
    new = {
        identity: row
        for row in _values(events).to_pylist()
        if (identity := tuple(row[name] for name in IDENTITY)) not in stored
    }
    return [{**row, "state": PENDING, "attempts": 0} for _, row in sorted(new.items())]


def write_changes(connection: Connection, events: pa.Table, claimed: pa.Table) -> None:
    """Updates rows to what is about to be sent; `claimed` is their state, in the same order."""
    new = _values(events)
    stored = _as_integers(claimed)
    differs = [_differ(new[name], stored[name]) for name in _CHANGEABLE]
    changed = differs[0]
    for other in differs[1:]:
        changed = pc.or_(changed, other)
    if not pc.any(changed).as_py():
        return
    rows = new.append_column("this", claimed["ref"]).filter(changed)
    connection.execute(
        _CHANGE,
        [
            {"this": row["this"], **{f"new_{name}": row[name] for name in _CHANGEABLE}}
            for row in rows.to_pylist()
        ],
    )


def _named(events: pa.Table, key: str = "event_id") -> list[dict[str, Any]]:
    """Parameters of a lookup for each distinct dataset and event name of the table."""
    grouped = events.group_by(["dataset_id", "event_name"]).aggregate([(key, "list")])
    return [
        {"dataset": row["dataset_id"], "name": row["event_name"], "ids": row[f"{key}_list"]}
        for row in grouped.to_pylist()
    ]


def _values(events: pa.Table) -> pa.Table:
    """The columns the ledger keeps of an event, times as whole microseconds."""
    hour = pc.floor_temporal(events["occurred_at"], unit="hour")
    columns = [*IDENTITY, *(name for name in _CHANGEABLE if name != "hour")]
    return _as_integers(events.select(columns).append_column("hour", hour))


def _as_integers(table: pa.Table) -> pa.Table:
    schema = pa.schema(
        [
            (field.name, pa.int64() if pa.types.is_timestamp(field.type) else field.type)
            for field in table.schema
        ]
    )
    return table.cast(schema)


def _differ(new: pa.ChunkedArray, old: pa.ChunkedArray) -> pa.ChunkedArray:
    unequal = pc.fill_null(pc.not_equal(new, old), False)
    return pc.or_(unequal, pc.xor(pc.is_null(new), pc.is_null(old)))


def _table(rows: Sequence[Row[Any]], schema: pa.Schema) -> pa.Table:
    if not rows:
        return schema.empty_table()
    columns = zip(*rows, strict=True)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
