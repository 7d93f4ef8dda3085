"""Finds an order in the lake, among the stored orders and the quarantined rows.

Searches all hours of the lake unless given one; the history of the order is in facts.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.coverage.formatting import count, join_names
from capi_assets.engine import DuckDBEngine
from capi_assets.hours import floor_hour, hour_key
from capi_assets.ingest.pii_scan import stored_id
from capi_assets.lake import Lake

_CONTRACTS = {"orders": Orders, "quarantined_orders": Quarantine, "matched_events": MatchedEvents}
_SIMILAR = 5
Row = dict[str, Any]


class UnknownOrderError(LookupError):
    """No row of the lake has this order id; the message says what was searched and what to do."""


@dataclass(frozen=True)
class Search:
    """Reads rows of the lake; only those of `hour`, if given."""

    lake: Lake
    connection: duckdb.DuckDBPyConnection
    hour: datetime | None = None

    def rows(
        self, table: str, condition: str, values: Iterable[Any] = (), limit: int = 1_000
    ) -> list[Row]:
        """Rows of a table that meet an SQL condition, whose `$1` is the first of `values`."""
        schema = arrow_schema(_CONTRACTS[table])
        hours = self.lake.hours(table) if self.hour is None else [self.hour]
        DuckDBEngine(self.connection).register(table, self.lake.paths(table, hours), schema)
        found = self.connection.sql(
            f"SELECT * FROM {table} WHERE {condition} LIMIT {limit}", params=list(values)
        )
        rows: list[Row] = found.to_arrow_table().cast(schema).to_pylist()
        return rows


def find(search: Search, order_id: str, event_name: str | None) -> tuple[list[Row], list[Row]]:
    """All rows of the order, of the tables Orders and Quarantine, the newest first.

    An id with contact data is stored as its digest, and found by either.
    Only those of `event_name`, if given; a quarantined row whose event name is unusable counts for
    every event name.

    Raises:
        UnknownOrderError: there is none.
        LakeError: the lake cannot be read.
    """
    orders = search.rows("orders", "order_id IN ($1, $2)", [order_id, stored_id(order_id)])
    quarantined = search.rows("quarantined_orders", "row_id = $1", [order_id])
    if event_name is not None:
        orders = [row for row in orders if row["event_name"] == event_name]
        quarantined = [row for row in quarantined if row["event_name"] in (event_name, None)]
    if not orders and not quarantined:
        raise UnknownOrderError(_unknown(search, order_id, event_name))
    return (
        sorted(orders, key=lambda row: row["occurred_at"], reverse=True),
        sorted(quarantined, key=lambda row: row["hour"], reverse=True),
    )


def _unknown(search: Search, order_id: str, event_name: str | None) -> str:
    known, hour = search.lake.hours("orders"), search.hour
    if not known:
        return (
            f"The lake {search.lake.root} has no orders. Check that CAPI_LAKE names the right one"
            " (`capi-assets doctor`), then materialize the order's hour."
        )
    where = f"the {count(len(known), 'hour')} from {hour_key(known[0])} to {hour_key(known[-1])}"
    if hour is not None:
        where = f"the hour {hour_key(hour)}"
    name = f" with the event name {event_name}" if event_name is not None else ""
    similar = _similar(search, order_id)
    hint = f" Similar: {join_names(similar)}." if similar else ""
    narrowed = "Leave out --hour and --event-name to search everywhere. " if hour or name else ""
    return (
        f"No order {order_id!r}{name} among the orders and quarantined rows of {where}.{hint}"
        f" {narrowed}If it was placed in another hour, materialize that hour; if in one of these,"
        " it was not ingested: check the landing files or the SQL model."
        f"{_unreadable(search)}"
    )


def _unreadable(search: Search) -> str:
    """Quarantined rows without an id: the order may be among them."""
    rows = search.rows("quarantined_orders", "row_id IS NULL", limit=_SIMILAR + 1)
    if not rows:
        return ""
    places = [
        row["source"] if row["line"] is None else f"{row['source']} line {row['line']}"
        for row in rows[:_SIMILAR]
    ]
    places += ["and more"] if len(rows) > _SIMILAR else []
    return f" It may be among rows that could not be read: {', '.join(places)}."


def _similar(search: Search, order_id: str) -> list[str]:
    """Ids that differ in case, blanks or a prefix, or orders whose event id was given."""
    condition = (
        "lower(trim(order_id)) = lower(trim($1)) OR event_id = $1"
        " OR ends_with(order_id, ltrim(trim($1), '#')) AND length($1) >= 4"
    )
    everywhere = Search(search.lake, search.connection)
    rows = everywhere.rows("orders", condition, [order_id], _SIMILAR)
    return [f"{row['order_id']} of {hour_key(row['occurred_at'])}" for row in rows]


def hour_of(row: Row) -> datetime:
    """The hour of a row of either table."""
    return floor_hour((row.get("occurred_at") or row["hour"]).astimezone(UTC))
