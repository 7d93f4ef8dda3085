"""Copies a ledger into another database, whole: to move from SQLite to PostgreSQL, or back.

Numbers of events, attempts and decisions stay as they are, since the rows refer to each other by
them. `Ledger.copy_into` calls it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Table, func, insert, select

from capi_assets.delivery.ledger.rows import micros
from capi_assets.delivery.ledger.schema import EVENTS, METADATA, WATCHES

_ROWS = 5_000  # a statement and what is in memory of it: a few megabytes


# What a daemon writes as soon as it runs says nothing of what was sent.
_COPIED = [table for table in METADATA.sorted_tables if table is not WATCHES]


def filled_tables(connection: Connection) -> list[str]:
    """The tables that have rows."""
    return [
        table.name
        for table in _COPIED
        if connection.execute(select(*table.primary_key).limit(1)).first() is not None
    ]


def claimed_events(connection: Connection, now: datetime) -> int:
    """The events that a run has claimed until after `now`."""
    claimed = select(func.count()).where(EVENTS.c.claimed_until > micros(now))
    return int(connection.execute(claimed).scalar_one())


def copy_rows(old: Connection, new: Connection) -> dict[str, int]:
    """Copies all rows into the empty tables of `new`; returns how many per table."""
    return {table.name: _copy(old, new, table) for table in _COPIED}


def _copy(old: Connection, new: Connection, table: Table) -> int:
    copied = 0
    read = old.execute(select(table), execution_options={"yield_per": _ROWS})
    for rows in read.mappings().partitions():
        new.execute(insert(table), [dict(row) for row in rows])
        copied += len(rows)
    numbered = table.autoincrement_column
    if copied and numbered is not None and new.dialect.name == "postgresql":
        # Other databases number new rows after the largest by themselves.
        sequence = func.pg_get_serial_sequence(table.name, numbered.name)
        new.execute(select(func.setval(sequence, select(func.max(numbered)).scalar_subquery())))
    return copied
