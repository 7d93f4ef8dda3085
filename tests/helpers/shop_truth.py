"""Counts of what a sample shop planted, so that tests know what must be found."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from capi_assets.sandbox.shop.orders import MISTAKES
from capi_assets.sandbox.shop.shop import Shop

_OUTCOMES = ["broken", "unconfirmed", "unconsented", "weak", "sound"]
COLUMNS = ["visits", "orders", "repeats", *_OUTCOMES, *MISTAKES]


def truth(shop: Shop, start: datetime, end: datetime) -> pd.DataFrame:
    """One row per hour of `[start, end)` (index `hour`, UTC), whole numbers.

    `visits` and `orders` (distinct) that land, and `repeats`, the rows beyond each order's first.
    Every order is exactly one of `broken` (breaks the contract), `unconfirmed` (in its latest
    status), `unconsented`, `weak` (Meta would answer 2804050) and `sound`. Beside these, one column
    per kind of typing mistake.
    """
    hours = pd.date_range(
        pd.Timestamp(start).floor("h"), end, freq="h", inclusive="left", name="hour"
    ).tz_convert("UTC")
    per_hour = [_orders(block) for block in shop.landings("orders", start, end)]
    per_hour += [_visits(block) for block in shop.landings("visits", start, end)]
    counted = pd.concat(per_hour).groupby(level=0).sum()
    seconds = counted.index.to_numpy(dtype="int64") * 3_600
    counted.index = pd.to_datetime(seconds, unit="s", utc=True)
    return counted.reindex(index=hours, columns=COLUMNS).fillna(0).astype("int64")


def origins(shop: Shop, start: datetime, end: datetime) -> Any:
    """order_id and visit_id of the visit that each order came from (null: from none)."""
    blocks = shop.landings("orders", start, end)
    rows = pa.concat_tables(block.select(["_order", "_origin"]) for block in blocks)
    distinct = rows.group_by(["_order", "_origin"], use_threads=False).aggregate([])
    return distinct.rename_columns(["order_id", "visit_id"])


def _visits(block: Any) -> pd.DataFrame:
    return pd.DataFrame({"visits": 1}, index=block["_hour"].to_pandas()).groupby(level=0).sum()


def _orders(block: Any) -> pd.DataFrame:
    rows = block.select(
        ["_order", "_hour", "status", "consent", "_broken", "_mistake", "_weak"]
    ).to_pandas()
    latest = rows.drop_duplicates("_order", keep="last")
    left = pd.Series(True, index=latest.index)
    planted = pd.DataFrame({"hour": latest["_hour"], "orders": 1})
    for fate, flags in (
        ("broken", latest["_broken"].notna()),
        ("unconfirmed", latest["status"] != "confirmed"),
        ("unconsented", ~latest["consent"]),
        ("weak", latest["_weak"]),
        ("sound", left),
    ):
        planted[fate] = left & flags
        left = left & ~flags
    for mistake in MISTAKES:
        planted[mistake] = latest["_mistake"] == mistake
    counted = planted.groupby("hour").sum()
    counted["repeats"] = rows.groupby("_hour").size() - counted["orders"]
    return counted
