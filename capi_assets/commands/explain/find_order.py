"""Finds an order in the lake, among the stored orders and the quarantined rows.

Searches all hours of the lake unless given one; the history of the order is in facts.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.coverage.formatting import count, join_names
from capi_assets.engine import DuckDBEngine
from capi_assets.hours import floor_hour, hour_key
from capi_assets.lake import Lake

_SIMILAR = 5


class UnknownOrderError(LookupError):
    """No row of the lake has this order id; the message says what was searched and what to do."""


@dataclass(frozen=True)
class Found:
    """Rows with one order id, the newest first: of the tables Orders and Quarantine."""

    orders: list[dict[str, Any]]
    quarantined: list[dict[str, Any]]


def find(
    lake: Lake,
    order_id: str,
    connection: duckdb.DuckDBPyConnection,
    *,
    hour: datetime | None = None,
    event_name: str | None = None,
) -> Found:
    """All rows of the order; only those of `hour` and `event_name`, if given.

    A quarantined row whose event name is unusable counts for every event name.

    Raises:
        UnknownOrderError: there is none.
        LakeError: the lake cannot be read.
    """
    hours = None if hour is None else [hour]
    orders = _rows(lake, "orders", Orders, hours, connection, "order_id = $1", [order_id])
    quarantined = _rows(
        lake, "quarantined_orders", Quarantine, hours, connection, "row_id = $1", [order_id]
    )
    if event_name is not None:
        orders = [row for row in orders if row["event_name"] == event_name]
        quarantined = [row for row in quarantined if row["event_name"] in (event_name, None)]
    if not orders and not quarantined:
        raise UnknownOrderError(_unknown(lake, order_id, connection, hour, event_name))
    return Found(
        sorted(orders, key=lambda row: row["occurred_at"], reverse=True),
        sorted(quarantined, key=lambda row: row["hour"], reverse=True),
    )


def _rows(
    lake: Lake,
    table: str,
    contract: type[Contract],
    hours: Sequence[datetime] | None,
    connection: duckdb.DuckDBPyConnection,
    condition: str,
    values: list[Any],
    limit: int = 1_000,
) -> list[dict[str, Any]]:
    files = lake.paths(table, lake.hours(table) if hours is None else hours)
    engine = DuckDBEngine(connection)
    engine.register(table, files, arrow_schema(contract))
    result = connection.sql(
        f"SELECT * FROM {table} WHERE {condition} LIMIT {limit}", params=values
    ).to_arrow_table()
    rows: list[dict[str, Any]] = result.cast(arrow_schema(contract)).to_pylist()
    return rows


def _unknown(
    lake: Lake,
    order_id: str,
    connection: duckdb.DuckDBPyConnection,
    hour: datetime | None,
    event_name: str | None,
) -> str:
    known = lake.hours("orders")
    if not known:
        return (
            f"The lake {lake.root} has no orders. Check that CAPI_LAKE names the right one"
            " (`capi-assets doctor`), then materialize the order's hour."
        )
    where = f"the {count(len(known), 'hour')} from {hour_key(known[0])} to {hour_key(known[-1])}"
    if hour is not None:
        where = f"the hour {hour_key(hour)}"
    name = f" with the event name {event_name}" if event_name is not None else ""
    similar = _similar(lake, order_id, connection)
    hint = f" Similar: {join_names(similar)}." if similar else ""
    narrowed = "Leave out --hour and --event-name to search everywhere. " if hour or name else ""
    return (
        f"No order {order_id!r}{name} among the orders and quarantined rows of {where}.{hint}"
        f" {narrowed}If it was placed in another hour, materialize that hour; if in one of these,"
        " it was not ingested: check the landing files or the SQL model."
        f"{_unreadable(lake, None if hour is None else [hour], connection)}"
    )


def _unreadable(
    lake: Lake, hours: Sequence[datetime] | None, connection: duckdb.DuckDBPyConnection
) -> str:
    """Quarantined rows without an id: the order may be among them."""
    rows = _rows(
        lake,
        "quarantined_orders",
        Quarantine,
        hours,
        connection,
        "row_id IS NULL",
        [],
        _SIMILAR + 1,
    )
    places = [
        row["source"] if row["line"] is None else f"{row['source']} line {row['line']}"
        for row in rows[:_SIMILAR]
    ]
    more = ["and more"] if len(rows) > _SIMILAR else []
    if not places:
        return ""
    return f" It may be among rows that could not be read: {', '.join([*places, *more])}."


def _similar(lake: Lake, order_id: str, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Ids that differ in case, blanks or a prefix, or orders whose event id was given."""
    condition = (
        "lower(trim(order_id)) = lower(trim($1)) OR event_id = $1"
        " OR ends_with(order_id, ltrim(trim($1), '#')) AND length($1) >= 4"
    )
    rows = _rows(lake, "orders", Orders, None, connection, condition, [order_id], _SIMILAR)
    return [f"{row['order_id']} of {hour_key(row['occurred_at'])}" for row in rows]


def hour_of(row: dict[str, Any]) -> datetime:
    """The hour of a row of either table."""
    return floor_hour((row.get("occurred_at") or row["hour"]).astimezone(UTC))
