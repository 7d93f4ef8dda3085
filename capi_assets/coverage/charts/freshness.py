"""Freshness: the time from order to Meta's acceptance, compared with Meta's recommendations.

The scale is logarithmic: ten minutes, two hours and three days fit on it, and each matters.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.svg import Chart, line, rect, tag, text, titled
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, format_duration, percent
from capi_assets.coverage.freshness import META_LIMITS

_TOP, _BOTTOM = 12, 202
_SHARES = ("within_1h", "within_2h", "within_24h")
_TICKS = {"1 min": 1, "10 min": 10, "7 d": 7 * 1440}
_MIN_MINUTES, _MIN_SCALE_MINUTES = 1.0, 2 * 1440.0
"""The scale begins at a minute and reaches two days at least, so that Meta's limits are on it."""

_LEGEND = [
    ("pale", "from the median to the 95th percentile"),
    ("main", "median: half were faster"),
    ("dashed", "Meta’s recommended limits"),
]


def freshness_chart(table: pa.Table, buckets: Buckets, *, width: int = svg.WIDE) -> Chart:
    """Median and 95th percentile of the minutes from order to acceptance; rows of `FRESHNESS`."""
    rows = table.to_pylist()
    headline = _headline(next((row for row in rows if row["bucket"] is None), None))
    bars = [r for r in rows if r["bucket"] is not None and 0 <= r["bucket"] < buckets.count]
    axis = TimeAxis(buckets, 56, width - 16)
    highest = max([_MIN_SCALE_MINUTES, *(row["p95_minutes"] * 1.3 for row in bars)])
    parts = [
        *axis.drawn(_TOP, _BOTTOM),
        *_lines(axis, highest),
        *(_bar(row, axis, highest) for row in bars),
    ]
    return Chart(svg.picture(width, _BOTTOM + 42, "; ".join(headline), parts), headline, _LEGEND)


def _headline(whole: dict[str, Any] | None) -> list[str]:
    if whole is None:
        return ["Nothing was delivered"]
    shares = [
        f"{percent(whole[column] / whole['delivered'])} within {limit}"
        for limit, column in zip(META_LIMITS, _SHARES, strict=True)
    ]
    return [
        f"Half of {count(whole['delivered'], 'order')} reached Meta"
        f" within {_duration(whole['p50_minutes'])}",
        f"95 of 100 within {_duration(whole['p95_minutes'])}; {', '.join(shares)}",
    ]


def _duration(minutes: float) -> str:
    return format_duration(timedelta(minutes=max(minutes, 0.0)))


def _y(minutes: float, highest: float) -> float:
    share = math.log(max(minutes, _MIN_MINUTES) / _MIN_MINUTES) / math.log(highest / _MIN_MINUTES)
    return _BOTTOM - (_BOTTOM - _TOP) * share


def _lines(axis: TimeAxis, highest: float) -> list[str]:
    parts = []
    for label, minutes in {**_TICKS, **META_LIMITS}.items():
        if minutes <= highest:
            y = _y(minutes, highest)
            class_ = "dashed" if label in META_LIMITS else "grid"
            parts.append(line(axis.left, y, axis.right, y, class_))
            parts.append(text(axis.left - 6, y + 4, label, "soft end"))
    return parts


def _bar(row: dict[str, Any], axis: TimeAxis, highest: float) -> str:
    x, width = axis.slot(row["bucket"])
    median, p95 = _y(row["p50_minutes"], highest), _y(row["p95_minutes"], highest)
    title = (
        f"{axis.title(row['bucket'])}: {count(row['delivered'], 'order')}, half within"
        f" {_duration(row['p50_minutes'])}, 95 of 100 within {_duration(row['p95_minutes'])}"
    )
    drawn = rect(x, p95, width, max(median - p95, 1.0), "pale")
    return tag("g", titled(title) + drawn + rect(x, median - 1, width, 3, "main"))
