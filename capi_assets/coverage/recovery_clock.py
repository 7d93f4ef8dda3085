"""Until when, and how much: what can still be saved, by the hour in which Meta stops taking it.

Exact to the event, from delivery results; the flags know only the earliest deadline of an hour.
The deadline itself is `meta.limits.deliver_until` (page "Using the API").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from capi_assets.coverage.outcomes import MONEY_UNITS, money_units
from capi_assets.coverage.sql import over, query

RECOVERY_CLOCK = pa.schema(
    [
        ("deadline_hour", pa.timestamp("us", tz="UTC")),
        ("currency", pa.string()),
        ("orders", pa.int64()),
        ("value", pa.float64()),
        ("orders_left", pa.int64()),
        ("value_left", pa.float64()),
    ]
)

_WAITING = "status IN ('pending', 'unknown', 'not_yet') AND deliver_until > $at"

_CLOCK = f"""
WITH per_hour AS (
    SELECT date_trunc('hour', deliver_until) AS deadline_hour, currency, count(*) AS orders,
        sum({money_units("value")}) AS units
    FROM delivery_results
    WHERE {_WAITING}
    GROUP BY ALL
)
SELECT deadline_hour, currency, orders, units::DOUBLE / {MONEY_UNITS} AS value,
    sum(orders) OVER left_then AS orders_left,
    (sum(units) OVER left_then)::DOUBLE / {MONEY_UNITS} AS value_left
FROM per_hour
WINDOW left_then AS (
    PARTITION BY currency ORDER BY deadline_hour DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
ORDER BY deadline_hour, currency NULLS FIRST
"""

_SAVABLE = f"""
SELECT coalesce(currency, '') AS currency, count(*) AS orders,
    sum({money_units("value")})::DOUBLE / {MONEY_UNITS} AS value,
    min(deliver_until) AS first_deadline
FROM delivery_results
WHERE {_WAITING}
GROUP BY 1
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Savable:
    """What can still be saved; money per currency, `""` where an order has none."""

    orders: int
    money: Mapping[str, float]
    first_deadline: datetime | None

    def left(self, at: datetime) -> timedelta | None:
        """How long the first order can still be saved; None if there is nothing to save."""
        return self.first_deadline - at if self.first_deadline else None


def recovery_clock(delivery_results: pa.Table, at: datetime) -> pa.Table:
    """The orders that wait (pending, unknown, not yet due) and can be saved after `at`.

    Columns: deadline_hour (hours in which nothing expires are left out), currency, orders and
    value whose last moment lies in that hour, orders_left and value_left: what can be saved at the
    start of that hour, or at `at` if that is later.
    """
    rows = _query(_CLOCK, delivery_results, at)
    return rows.select(RECOVERY_CLOCK.names).cast(RECOVERY_CLOCK)


def savable(delivery_results: pa.Table, at: datetime) -> Savable:
    """What a materialization at the moment `at` could still deliver of what waits."""
    rows = _query(_SAVABLE, delivery_results, at).to_pylist()
    return Savable(
        orders=sum(row["orders"] for row in rows),
        money={row["currency"]: row["value"] for row in rows},
        first_deadline=min((row["first_deadline"] for row in rows), default=None),
    )


def _query(sql: str, delivery_results: pa.Table, at: datetime) -> pa.Table:
    columns = ["status", "deliver_until", "currency", "value"]
    with over(delivery_results=delivery_results.select(columns)) as connection:
        return query(connection, sql, {"at": at})
