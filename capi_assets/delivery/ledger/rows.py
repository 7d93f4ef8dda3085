"""Converts between Arrow tables and the ledger's rows: lookups by identity, new and changed rows.

Statements only, over whole sets; ledger.py runs them in its transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Row, Select, bindparam, select, tuple_, update

from capi_assets.delivery.identity import IDENTITY, ORDER, identity_of, repeats, storable
from capi_assets.delivery.ledger.attempt_ranges import holds_event
from capi_assets.delivery.ledger.schema import (
    ATTEMPT,
    ATTEMPT_RANGES,
    ATTEMPTS,
    CHUNK,
    DELIVERED,
    EVENTS,
    MAYBE_AT_META,
    PENDING,
    STATE,
    UNKNOWN,
)
from capi_assets.delivery.ledger.sets import as_json, insert_numbered, keys, numbers

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_FETCH_ROWS = 10_000  # at a time, so that a long history does not fill memory

_KEYS = keys("dataset", "name", last="ids")
_IS_EVENT = tuple_(*(EVENTS.c[name] for name in IDENTITY)).in_(_KEYS)
_IS_ORDER = tuple_(*(EVENTS.c[name] for name in ORDER)).in_(_KEYS)
_FIND = select(EVENTS).where(_IS_EVENT).order_by(EVENTS.c.ref)
# Locked in one order, so that two runs after the same events wait instead of deadlocking.
_FIND_LOCKED = _FIND.with_for_update()
_FIND_ORDERS = select(EVENTS).where(_IS_ORDER, EVENTS.c.ref.not_in(numbers("known")))
_ATTEMPTS_OF = (
    select(EVENTS.c.event_name, EVENTS.c.event_id, *ATTEMPTS.c)
    .join(ATTEMPT_RANGES, holds_event)
    .join(ATTEMPTS, ATTEMPTS.c.attempt == ATTEMPT_RANGES.c.attempt)
    .where(_IS_EVENT)
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


def find(connection: Connection, events: pa.Table, *, lock: bool = False) -> pa.Table:
    """The ledger's rows of these events (a chunk) as `STATE`, in no particular order."""
    statement = _FIND_LOCKED if lock else _FIND
    found = [_states(connection, statement, named) for named in _named(events, "event_id")]
    return pa.concat_tables([STATE.empty_table(), *found])


def find_with_former(connection: Connection, events: pa.Table) -> pa.Table:
    """The ledger's rows of these events (a chunk), then those of the orders that have no event at
    Meta under their present event_id, under any other."""
    known = find(connection, events)
    sent = known["event_id"].filter(pc.is_in(known["state"], value_set=pa.array(MAYBE_AT_META)))
    is_sent = pc.is_in(events["event_id"], value_set=sent.combine_chunks())
    others = find_orders(connection, events.filter(pc.invert(is_sent)), but=known)
    return pa.concat_tables([known, others])


def find_orders(connection: Connection, events: pa.Table, but: pa.Table) -> pa.Table:
    """The ledger's rows of these orders (a chunk) under any event_id, without the rows `but`."""
    known = as_json(but["ref"].drop_null())  # with a null in it, NOT IN finds nothing
    found = [
        _states(connection, _FIND_ORDERS, {**named, "known": known})
        for named in _named(events, "order_id")
    ]
    return pa.concat_tables([STATE.empty_table(), *found])


def attempts(connection: Connection, events: Iterator[pa.Table]) -> pa.Table:
    """The attempts to send any of these events."""
    found = [
        row
        for part in events
        for named in _named(part, "event_id")
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


def unknown_since(connection: Connection, moment: datetime) -> pa.Table:
    """The ledger's rows of events whose outcome is unknown since `moment` or later."""
    since = (moment - _EPOCH) // timedelta(microseconds=1)
    late = select(EVENTS).where(EVENTS.c.state == UNKNOWN, EVENTS.c.unknown_since >= since)
    return fetch(connection, late, STATE)


def fetch(connection: Connection, statement: Select[Any], schema: pa.Schema) -> pa.Table:
    """A query's rows as a table, fetched in pieces."""
    result = connection.execution_options(yield_per=_FETCH_ROWS).execute(statement)
    return pa.concat_tables(
        [schema.empty_table()] + [_table(piece, schema) for piece in result.partitions()]
    )


def new_rows(events: pa.Table, known: pa.Table) -> pa.Table:
    """What to insert for the events that are not among `known`, ordered by identity, as `STATE`;
    null where the database gives the number.

    All processes insert in this order: two that insert the same events in different orders would
    deadlock.
    """
    identity = identity_of(events)
    is_new = pc.invert(pc.is_in(identity, value_set=identity_of(known).combine_chunks()))
    is_new = pc.and_(is_new, pc.invert(repeats(events, among=is_new)))
    places = pc.sort_indices(pc.if_else(is_new, identity, pa.scalar(None, pa.string())))
    new = _values(events.take(places.slice(0, pc.sum(is_new).as_py() or 0)))
    given = {
        **{name: new[name] for name in new.column_names},
        "state": pa.repeat(PENDING, new.num_rows),
        "attempts": pa.repeat(0, new.num_rows),
    }
    columns = [
        given[f.name].cast(f.type) if f.name in given else pa.nulls(new.num_rows, f.type)
        for f in STATE
    ]
    return pa.table(columns, schema=STATE)


def insert(connection: Connection, new: pa.Table, **columns: pa.Array) -> pa.Table:
    """Inserts rows as `new_rows` returns them, with `columns` in place of theirs; returns `new`
    with the numbers of the rows."""
    if not new.num_rows:
        return new
    given = {name: columns.get(name, new[name]) for name in STATE.names if name != "ref"}
    stored = {name: c for name, c in given.items() if c.null_count < new.num_rows}
    numbers = insert_numbered(connection, EVENTS, as_integers(pa.table(stored)))
    return new.set_column(0, STATE.field("ref"), pa.array(numbers, pa.int64()))


def write_changes(connection: Connection, events: pa.Table, claimed: pa.Table) -> None:
    """Updates rows to what is about to be sent; `claimed` is their state, in the same order."""
    new = _values(events)
    stored = as_integers(claimed.select(_CHANGEABLE))
    if new.select(_CHANGEABLE).equals(stored):
        return
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


def _named(events: pa.Table, key: str) -> list[dict[str, Any]]:
    """Parameters of a lookup for each distinct dataset and event name of the table."""
    pairs = [pc.unique(events[name]).to_pylist() for name in ("dataset_id", "event_name")]
    if all(len(values) == 1 for values in pairs):
        return [{"dataset": pairs[0][0], "name": pairs[1][0], "ids": as_json(events[key])}]
    grouped = events.group_by(["dataset_id", "event_name"], use_threads=False)
    return [
        {
            "dataset": row["dataset_id"],
            "name": row["event_name"],
            "ids": as_json(row[f"{key}_list"]),
        }
        for row in grouped.aggregate([(key, "list")]).to_pylist()
    ]


def _states(connection: Connection, statement: Select[Any], parameters: dict[str, Any]) -> pa.Table:
    return _table(connection.execute(statement, parameters).all(), STATE)


def _values(events: pa.Table) -> pa.Table:
    """The columns the ledger keeps of an event, times as whole microseconds."""
    hour = pc.floor_temporal(events["occurred_at"], unit="hour")
    columns = [*IDENTITY, *(name for name in _CHANGEABLE if name != "hour")]
    return as_integers(events.select(columns).append_column("hour", hour))


def as_integers(table: pa.Table) -> pa.Table:
    """The table with times as whole microseconds."""
    return pa.table(
        {
            field.name: column.cast(pa.int64()) if pa.types.is_timestamp(field.type) else column
            for field, column in zip(table.schema, table.columns, strict=True)
        }
    )


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
