"""Where an order stands in the lake: among the stored orders, or among the refused rows.

Looks through all hours that the lake holds unless told which; what became of the order is
`explain.py`'s business.
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
    """No row of the lake has this order id; the message says where was looked and what to do."""


@dataclass(frozen=True)
class Found:
    """Rows with one order id. `orders` have the columns of Orders and `refused` of Quarantine,
    both the newest first."""

    orders: list[dict[str, Any]]
    refused: list[dict[str, Any]]


def find(
    lake: Lake,
    order_id: str,
    connection: duckdb.DuckDBPyConnection,
    *,
    hour: datetime | None = None,
    event_name: str | None = None,
) -> Found:
    """All rows of the order; only those of `hour` and `event_name`, where given.

    A refused row whose event name was unusable counts for every event name.

    Raises:
        UnknownOrderError: there is none.
        LakeError: the lake cannot be read.
    """
    hours = None if hour is None else [hour]
    orders = _rows(lake, "orders", Orders, hours, connection, "order_id = $1", [order_id])
    refused = _rows(
        lake, "quarantined_orders", Quarantine, hours, connection, "row_id = $1", [order_id]
    )
    if event_name is not None:
        orders = [row for row in orders if row["event_name"] == event_name]
        refused = [row for row in refused if row["event_name"] in (event_name, None)]
    if not orders and not refused:
        raise UnknownOrderError(_unknown(lake, order_id, connection, hour, event_name))
    return Found(
        sorted(orders, key=lambda row: row["occurred_at"], reverse=True),
        sorted(refused, key=lambda row: row["hour"], reverse=True),
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
    found = connection.sql(
        f"SELECT * FROM {table} WHERE {condition} LIMIT {limit}", params=values
    ).to_arrow_table()
    rows: list[dict[str, Any]] = found.cast(arrow_schema(contract)).to_pylist()
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
            f"The lake {lake.root} holds no orders at all. See that CAPI_LAKE names the right one"
            " (`capi-assets doctor`), then materialize the order's hour."
        )
    where = f"the {count(len(known), 'hour')} from {hour_key(known[0])} to {hour_key(known[-1])}"
    if hour is not None:
        where = f"the hour {hour_key(hour)}"
    name = f" with the event name {event_name}" if event_name is not None else ""
    similar = _similar(lake, order_id, connection)
    hint = f" Similar: {join_names(similar)}." if similar else ""
    narrowed = "Leave out --hour and --event-name to look everywhere. " if hour or name else ""
    return (
        f"No order {order_id!r}{name} among the orders and refused rows of {where}.{hint}"
        f" {narrowed}If it was sold in another hour, materialize that hour; if in one of these, it"
        " did not land: look for it in the landing files or the SQL model."
        f"{_unreadable(lake, None if hour is None else [hour], connection)}"
    )


def _unreadable(
    lake: Lake, hours: Sequence[datetime] | None, connection: duckdb.DuckDBPyConnection
) -> str:
    """Where rows without an id were refused: the order may be among them."""
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
    return f" It may be in what could not be read: {', '.join([*places, *more])}."


def _similar(lake: Lake, order_id: str, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Ids that differ in case, blanks or a prefix, or orders whose event id was typed."""
    condition = (
        "lower(trim(order_id)) = lower(trim($1)) OR event_id = $1"
        " OR ends_with(order_id, ltrim(trim($1), '#')) AND length($1) >= 4"
    )
    rows = _rows(lake, "orders", Orders, None, connection, condition, [order_id], _SIMILAR)
    return [f"{row['order_id']} of {hour_key(row['occurred_at'])}" for row in rows]


def sighted_hour(row: dict[str, Any]) -> datetime:
    """The hour of a row of either table."""
    return floor_hour((row.get("occurred_at") or row["hour"]).astimezone(UTC))
