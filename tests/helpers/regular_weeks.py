"""Weeks of one small shop without any luck: every hour of a kind is the same, so that a test can
change one thing and know that nothing else is odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from tests.helpers.order_records import HOUR, health_row

MONDAY = datetime.fromisoformat("2026-11-02T00:00+00:00")
WEEK = 168
KEYS = {"em": 0.9, "ph": 0.5}


def hour_of(week: int, day: int, hour: int) -> datetime:
    """`week` and `day` count from 0, the day from Monday."""
    return MONDAY + timedelta(weeks=week, days=day, hours=hour)


def is_night(at: datetime) -> bool:
    return at.hour < 6


def ordinary(at: datetime) -> dict[str, int]:
    """Forty orders and 1,200 visits an hour by day, a twentieth of it by night."""
    orders = 2 if is_night(at) else 40
    return {"visits": 30 * orders, "orders": orders, "matched": round(0.8 * orders)}


def weeks(
    number: float, change: Callable[[datetime], dict[str, Any] | None] = lambda _: None
) -> pa.Table:
    """`attribution_health` of so many weeks; `change` gives what is different in an hour.

    Columns that `change` gives are taken as they are; of `visits`, `orders`, `matched` and `keys`
    the others follow.
    """
    rows = []
    for n in range(int(number * WEEK)):
        at = MONDAY + n * HOUR
        usual = ordinary(at)
        other = change(at) or {}
        if "orders" in other and "matched" not in other:
            usual["matched"] = round(0.8 * other["orders"])
        columns: dict[str, Any] = {**usual, **other}
        shares = {**KEYS, **columns.pop("keys", {})}
        orders = columns["orders"]
        withheld = columns.get("withheld", 0)
        eligible = orders - withheld
        lost = sum(columns.get(stage, 0) for stage in ("pending", "invalid", "quarantined"))
        texts = ",".join(f'"{k}":{round(s * eligible)}' for k, s in shares.items())
        columns = {
            "eligible": eligible,
            "delivered": eligible - lost,
            "matched_eligible": min(columns["matched"], eligible),
            "match_keys": "{" + texts + "}",
            **columns,
        }
        rows.append(health_row(at, **columns))
    return pa.Table.from_pylist(rows, schema=ATTRIBUTION_HEALTH)


def flagged(health: pa.Table, **more: Any) -> dict[datetime, dict[str, Any]]:
    """The flagged rows with what is in their first finding, judged a day after the last hour."""
    now = health["hour"][-1].as_py() + timedelta(hours=26)
    rows = flag_hours(health, CoveragePolicy(), now, **more).to_pylist()
    return {row["hour"]: {**row, **row["findings"][0]} for row in rows if row["flagged"]}


def during(first: datetime, hours: int, **columns: Any) -> Callable[[datetime], dict | None]:
    return lambda at: columns if first <= at < first + hours * HOUR else None
