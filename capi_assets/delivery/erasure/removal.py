"""Removes one person's rows from the lake, and leaves their tombstones in the ledger.

The tombstones come first: from then on no run reads, restores or sends the person anew. The tables
by which all other rows are found come last (`ANCHORS`), so that an erasure that was killed is
finished by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.delivery.erasure.person import Person
from capi_assets.delivery.identity import order_of
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.engine import DuckDBEngine
from capi_assets.hours import floor_hour
from capi_assets.ingest.tombstones import Tombstones, create_key, read_key
from capi_assets.lake import Lake

ANCHORS = ("matched_events", "orders")
"""The tables by which a person's other rows are found, in the order in which they are removed."""

TABLES: dict[str, tuple[type[Contract], str, str]] = {
    "quarantined_visits": (Quarantine, "row_id", "hour"),
    "quarantined_orders": (Quarantine, "row_id", "hour"),
    "visits": (Visits, "visit_id", "occurred_at"),
    "delivery_results": (DeliveryResults, "order_id", "occurred_at"),
    "matched_events": (MatchedEvents, "order_id", "occurred_at"),
    "orders": (Orders, "order_id", "occurred_at"),
}
"""Tables with rows of people: contract, the column with the id of the row, and its time."""

# No write takes that long: a temporary file this old is a killed writer's.
_ABANDONED_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class LakeTraces:
    """How many rows of the person an hour of a table has."""

    table: str
    hour: datetime
    rows: int


def lake_traces(lake: Lake, person: Person) -> list[LakeTraces]:
    """Where the lake has rows of the person.

    Raises:
        LakeError, duckdb.Error: a table cannot be read.
    """
    with duckdb.connect(":memory:") as connection:
        engine = DuckDBEngine(connection)
        return [
            LakeTraces(table, floor_hour(hour), rows)
            for table in TABLES
            for hour, rows in _hours(engine, lake, table, person)
        ]


def _hours(
    engine: DuckDBEngine, lake: Lake, table: str, person: Person
) -> Iterator[tuple[datetime, int]]:
    contract, column, time_column = TABLES[table]
    schema = arrow_schema(contract)
    engine.register(table, lake.paths(table, lake.hours(table)), schema)
    names = [name for name in schema.names if name in _READ or name == time_column]
    ids = tuple(person.visits if table.endswith("visits") else person.order_ids)
    wanted = f"SELECT {', '.join(names)} FROM {table} WHERE {column} IN $1"
    rows: pa.Table = engine.connection.sql(wanted, params=[ids]).to_arrow_table()
    rows = rows.cast(pa.schema([schema.field(name) for name in names]))
    hour = pc.floor_temporal(rows.filter(_is_theirs(rows, person))[time_column], unit="hour")
    for entry in pc.value_counts(hour).to_pylist():
        yield entry["values"], entry["counts"]


_READ = frozenset({"dataset_id", "event_name", "order_id", "visit_id", "row_id"})


def _is_theirs(rows: pa.Table, person: Person) -> pa.ChunkedArray:
    """Which rows of one of `TABLES` are the person's."""
    names = rows.column_names
    if "row_id" in names:
        ids = pa.array(sorted(person.order_ids | person.visits), pa.string())
        return pc.is_in(rows["row_id"], value_set=ids)
    if "order_id" not in names:
        visits = pa.array(sorted(person.visits), pa.string())
        return pc.is_in(rows["visit_id"], value_set=visits)
    keys = pa.table(
        dict(zip(("dataset_id", "event_name", "order_id"), _columns(person), strict=True))
    )
    return pc.is_in(order_of(rows), value_set=order_of(keys).combine_chunks())


def _columns(person: Person) -> list[pa.Array]:
    orders = sorted(person.orders)
    return [pa.array([order[n] for order in orders], pa.string()) for n in range(3)]


def leave_tombstones(ledger: Ledger, person: Person, key_file: str, now: datetime) -> None:
    """Stops every row of the person from before `now`; the first erasure creates the key.

    With PostgreSQL several machines may run, and each needs the same key: there the file must be
    made beforehand.

    Raises:
        TombstoneError: there is no key, or another than that of earlier tombstones.
        LedgerError: the ledger cannot be written.
    """
    ledger.tombstones()
    if ledger.engine.dialect.name == "sqlite":
        create_key(key_file)
    tombstones = Tombstones(read_key(key_file))
    marks = tombstones.marks(person.tombstone_ids)
    ledger.add_tombstones([tombstones.check_mark(), *marks], now)


def remove_from_lake(lake: Lake, person: Person, traces: list[LakeTraces]) -> None:
    """Replaces each hour by its other rows, and deletes the files of killed writers.

    Raises:
        LakeError: an hour cannot be read or written.
    """
    for found in traces:
        schema = arrow_schema(TABLES[found.table][0])
        lake.edit(
            found.table,
            found.hour,
            schema,
            lambda rows: rows.filter(pc.invert(_is_theirs(rows, person))),
        )
    if lake.is_local:
        before = time.time() - _ABANDONED_AFTER.total_seconds()
        for temporary in Path(lake.root.path).rglob(".*.tmp"):
            with suppress(OSError):
                if temporary.stat().st_mtime < before:
                    temporary.unlink()
