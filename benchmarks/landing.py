"""Landing files of a shop of any size, raw as a shop exports them, for `hour_range.py`.

Whole columns of Arrow, since a million orders are one hour of it. Each order is of another person,
with nine contact fields, and comes from a visit of the day before: by its Pixel's cookie, every
second one by its e-mail too. A visitor has three visits a week.

`write(folder, hours, orders, visits)` writes so many of each per hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS_PER_FILE = 100_000
"""An export of a busy hour comes in parts."""

_TIME = pa.timestamp("us", tz="UTC")
_HOUR_US = 3_600_000_000


def write(
    folder: Path,
    hours: Sequence[datetime],
    orders: int,
    visits: int,
    without_orders: int = 0,
    datasets: int = 1,
) -> None:
    """The hours' files below `folder`, in the layout `{table}/2026-11-20/13/`; the first hours may
    be `without_orders`."""
    for place, hour in enumerate(hours):
        _put(folder / "visits", hour, _visits(hour, place * visits, visits))
        if place >= without_orders:
            rows = _orders(hour, place, orders, visits)
            if datasets > 1:
                dataset = _text("{}", np.arange(rows.num_rows) % datasets)
                rows = rows.append_column("dataset_id", dataset)
            _put(folder / "orders", hour, rows)


def _visits(hour: datetime, first: int, count: int) -> pa.Table:
    number = np.arange(first, first + count, dtype=np.uint64)
    return pa.table(
        {
            "visit_id": _text("v-{}", number),
            **_visitor(number, count),
            "occurred_at": _times(hour, count),
            "page_url": _text("https://shop.example/p/{}?utm_source=a", number % 9_973),
            "referrer_url": pa.repeat("https://www.facebook.com/", count),
        }
    )


def _visitor(visit: np.ndarray, per_hour: int) -> dict[str, pa.Array]:
    """Who came: the columns that visits and orders have in common."""
    person = _mix(visit) % np.uint64(max(per_hour, 1) * 56)  # three visits in 168 hours
    return {
        "fbp": _text("fb.1.1763000000000.{}", person + np.uint64(10**9)),
        "client_ip_address": pc.binary_join_element_wise(
            "85", *(_text("{}", _mix(person + np.uint64(n)) % 250 + 1) for n in range(3)), "."
        ),
        "client_user_agent": _text("Mozilla/5.0 (X11; Linux {}) Chrome/140.0", person % 300),
        "email": _where(person % 2 == 0, _text("visitor.{}@example.com", person)),
    }


def _orders(hour: datetime, place: int, count: int, visits: int) -> pa.Table:
    number = np.arange(place * count, (place + 1) * count, dtype=np.uint64)
    back = _mix(number) % np.uint64(max(1, visits * min(place, 24))) + np.uint64(1)
    visitor = _visitor(np.maximum(np.uint64(place * visits), back) - back, visits)
    dial, items = _mix(number), _mix(number + np.uint64(7))
    price = items % 30_000 / 100 + 1
    sku = _text("SKU-{}", items % 20_000)
    return pa.table(
        {
            "order_id": _text("ORD-{}", number),
            "occurred_at": _times(hour, count),
            "value": price,
            "currency": pa.repeat("EUR", count),
            "contents": pc.binary_join_element_wise(
                '[{"id":"', sku, '","quantity":1,"item_price":', pa.array(price).cast(pa.string()),
                "}]", "",
            ),
            "content_type": pa.repeat("product", count),
            "num_items": np.ones(count, np.int64),
            "event_source_url": _text("https://shop.example/thank-you?o={}", number),
            "fbp": visitor["fbp"],
            "email": pc.coalesce(visitor["email"], _text("buyer.{}@example.com", number)),
            "phone": _text("+49 151 {}", dial % 10**8 + 10**8),
            "first_name": _text("Ana{}", dial % 2_000),
            "last_name": _text("SILVA{}", items % 15_000),
            "date_of_birth": _text("19{}0715", dial % 60 + 40),
            "city": _text("Town {}", items % 4_000),
            "state": pa.repeat("Hessen", count),
            "zip": _text("{}", dial % 90_000 + 10_000),
            "country": pa.repeat("DE", count),
        }
    )  # fmt: skip


def _put(folder: Path, hour: datetime, rows: pa.Table) -> None:
    target = folder / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    target.mkdir(parents=True)
    for part, start in enumerate(range(0, rows.num_rows, ROWS_PER_FILE)):
        pq.write_table(rows.slice(start, ROWS_PER_FILE), target / f"part-{part:03}.parquet")


def _times(hour: datetime, count: int) -> pa.Array:
    """Moments in the first 55 minutes of the hour."""
    start = int(hour.timestamp()) * 1_000_000
    return pa.array(start + np.arange(count) * (_HOUR_US * 55 // 60 // max(count, 1)), _TIME)


def _text(pattern: str, numbers: np.ndarray) -> pa.Array:
    before, after = pattern.split("{}")
    digits = pa.array(numbers.astype(np.uint64)).cast(pa.string())
    return pc.binary_join_element_wise(before, digits, after, "")


def _where(condition: np.ndarray, values: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(condition), values, pa.scalar(None, pa.string()))


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Numbers that look random, the same at every run (splitmix64)."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))
