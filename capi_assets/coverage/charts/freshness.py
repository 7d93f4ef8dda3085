"""Freshness as a picture: how long after the order Meta had it, against Meta's own lines.

The scale is logarithmic: ten minutes, two hours and three days fit on it, and each matters.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.legend import Entry, legend
from capi_assets.coverage.charts.svg import box, line, tag, text
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, format_duration, percent
from capi_assets.coverage.freshness import META_LINES

_HEIGHT = 190
_WITHIN = ("within_1h", "within_2h", "within_24h")
_TICKS = {"1 min": 1, "10 min": 10, "7 d": 7 * 1440}
_LEAST, _HIGHEST = 1.0, 2 * 1440.0


def freshness_picture(
    table: pa.Table, buckets: Buckets, *, width: int = svg.WIDE, name: str = "freshness"
) -> str:
    """Median and 95th percentile of the minutes from order to acceptance; rows of `FRESHNESS`."""
    rows = table.to_pylist()
    whole = next((row for row in rows if row["bucket"] is None), None)
    pieces = [r for r in rows if r["bucket"] is not None and 0 <= r["bucket"] < buckets.count]
    words = summary(whole)
    axis = TimeAxis(buckets, 56, width - 16)
    entries = [
        Entry("from the median to the 95th percentile", "p"),
        Entry("median: half were faster", "m"),
        Entry("Meta’s lines", dashed=True),
    ]
    parts, more = svg.headline(words[0], width)
    y = 48.0 + more
    for said in words[1:]:
        for piece in svg.wrapped(said, width - 32):
            parts.append(text(16, y, piece))
            y += 19
    key, key_height = legend(entries, 16, y - 6, width - 16)
    top = y + key_height + 8
    floor = top + _HEIGHT
    highest = max([_HIGHEST, *(row["p95_minutes"] * 1.3 for row in pieces)])
    parts += key
    parts += axis.drawn(top, floor)
    parts += _lines(axis, top, floor, highest)
    for row in pieces:
        parts.append(_piece(row, axis, top, floor, highest))
    return svg.picture(width, floor + 46, " ".join(words), parts)


def summary(whole: dict[str, Any] | None) -> list[str]:
    """The whole range in short lines of text; `whole` is the row without a bucket."""
    if whole is None:
        return ["Nothing was delivered"]
    shares = [
        f"{percent(whole[column] / whole['delivered'])} within {words}"
        for words, column in zip(META_LINES, _WITHIN, strict=True)
    ]
    return [
        f"Half of {count(whole['delivered'], 'order')} reached Meta"
        f" within {_lasting(whole['p50_minutes'])}",
        f"95 of 100 within {_lasting(whole['p95_minutes'])}",
        ", ".join(shares),
    ]


def _lasting(minutes: float) -> str:
    return format_duration(timedelta(minutes=max(minutes, 0.0)))


def _y(minutes: float, top: float, floor: float, highest: float) -> float:
    share = math.log(max(minutes, _LEAST) / _LEAST) / math.log(highest / _LEAST)
    return floor - (floor - top) * share


def _lines(axis: TimeAxis, top: float, floor: float, highest: float) -> list[str]:
    parts = []
    for words, minutes in {**_TICKS, **META_LINES}.items():
        if minutes <= highest:
            y = _y(minutes, top, floor, highest)
            parts.append(line(axis.left, y, axis.right, y, "d" if words in META_LINES else "l"))
            parts.append(text(axis.left - 6, y + 4, words, "s e"))
    return parts


def _piece(row: dict[str, Any], axis: TimeAxis, top: float, floor: float, highest: float) -> str:
    x, broad = axis.slot(row["bucket"])
    middle = _y(row["p50_minutes"], top, floor, highest)
    high = _y(row["p95_minutes"], top, floor, highest)
    says = (
        f"{axis.says(row['bucket'])}: {count(row['delivered'], 'order')}, half within"
        f" {_lasting(row['p50_minutes'])}, 95 of 100 within {_lasting(row['p95_minutes'])}"
    )
    drawn = box(x, high, broad, max(middle - high, 1.0), "p") + box(x, middle - 1, broad, 3, "m")
    return tag("g", tag("title", svg.escape(says)) + drawn)
