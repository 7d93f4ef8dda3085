"""The totals of an hour over datasets, event names and currencies, which flags.py needs: what is
missing, how much per cause, and what can still be delivered at a given time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.delivery.causes import Cause
from capi_assets.meta.limits import DELIVERY_MARGIN, WINDOW


@dataclass(slots=True)
class HourTotals:
    """One hour over all datasets and event names.

    Money is per currency, `""` where an order has none. `costs` counts missing orders per cause,
    `reasons` per reason. `flags.flag_hours` explains recoverable and correctable.
    """

    orders: int = 0
    eligible: int = 0
    delivered: int = 0
    matched: int = 0
    visits: int = 0
    recoverable: int = 0
    correctable: int = 0
    first_deadline: datetime | None = None
    missing_money: dict[str, float] = field(default_factory=dict)
    recoverable_money: dict[str, float] = field(default_factory=dict)
    correctable_money: dict[str, float] = field(default_factory=dict)
    costs: Counter[Cause] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        return self.eligible - self.delivered

    @property
    def coverage(self) -> float | None:
        return self.delivered / self.eligible if self.eligible else None


def window_end(hour: datetime) -> datetime:
    """Until when an hour's first event can be sent, for every source but physical stores."""
    return hour + WINDOW - DELIVERY_MARGIN


_TOTALS = """
SELECT hour, coalesce(currency, '') AS currency, max(visits) AS visits,
    sum(orders)::BIGINT AS orders, sum(eligible)::BIGINT AS eligible,
    sum(delivered)::BIGINT AS delivered, sum(matched)::BIGINT AS matched,
    sum(value_orders - value_withheld - value_delivered) AS missing_value,
    sum(CASE WHEN savable THEN pending + unknown + future_dated ELSE 0 END)::BIGINT AS recoverable,
    sum(CASE WHEN savable THEN value_pending + value_unknown + value_future_dated ELSE 0 END)
        AS recoverable_value,
    sum(CASE WHEN inside THEN quarantined + invalid + rejected ELSE 0 END)::BIGINT AS correctable,
    sum(CASE WHEN inside THEN value_quarantined + value_invalid + value_rejected ELSE 0 END)
        AS correctable_value,
    min(first_deadline) FILTER (savable AND pending + unknown + future_dated > 0) AS first_deadline
FROM (
    SELECT *,
        coalesce(first_deadline, hour + to_microseconds($window)) > $now AS savable,
        hour + to_microseconds($window) > $now AS inside
    FROM health
)
GROUP BY hour, coalesce(currency, '')
ORDER BY hour, currency
"""

_COSTS = """
SELECT hour, main_reason_kind AS kind, main_reason AS reason,
    sum(eligible - delivered)::BIGINT AS cost
FROM health
WHERE eligible > delivered
GROUP BY hour, main_reason_kind, main_reason
ORDER BY hour, cost DESC, reason
"""


def hour_totals(health: pa.Table, now: datetime) -> dict[datetime, HourTotals]:
    """`attribution_health` added up per hour as of `now`, in time order.

    All missing orders of a row count for its main reason.
    """
    window = int((WINDOW - DELIVERY_MARGIN) / timedelta(microseconds=1))
    with duckdb_with(health=health) as connection:
        totals = query(connection, _TOTALS, {"window": window, "now": now})
        costs = query(connection, _COSTS)
    hours: dict[datetime, HourTotals] = defaultdict(HourTotals)
    for row in totals.to_pylist():
        _add(hours[row["hour"].astimezone(UTC)], row)
    for row in costs.to_pylist():
        hour = hours.get(row["hour"].astimezone(UTC))
        if hour is not None:
            hour.costs[_known(row["kind"])] += row["cost"]
            hour.reasons[row["reason"] or "no reason given"] += row["cost"]
    return dict(hours)


def _add(hour: HourTotals, row: Mapping[str, Any]) -> None:
    hour.visits = max(hour.visits, row["visits"])
    for name in ("orders", "eligible", "delivered", "matched", "recoverable", "correctable"):
        setattr(hour, name, getattr(hour, name) + row[name])
    for name in ("missing", "recoverable", "correctable"):
        getattr(hour, f"{name}_money")[row["currency"]] = row[f"{name}_value"]
    deadlines = [d for d in (hour.first_deadline, row["first_deadline"]) if d]
    hour.first_deadline = min(deadlines).astimezone(UTC) if deadlines else None


def _known(kind: str | None) -> Cause:
    try:
        return Cause(kind or "")
    except ValueError:
        return Cause.UNEXPLAINED
