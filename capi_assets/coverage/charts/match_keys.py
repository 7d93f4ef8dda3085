"""Match keys over time: one row per key, its share of events hour by hour.

Rows instead of one chart with a line each: fifteen lines can be told apart neither by colour nor
in print.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.svg import Chart, line, number, tag, text, titled
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, percent
from capi_assets.coverage.labels import match_key_label

_MAX_KEYS = 18
_MIN_EVENTS = 10
"""Events that a bucket needs before its share counts as the lowest: of fewer it is chance."""

_TOP, _ROW_PX = 30, 22


def match_keys_chart(shares: pa.Table, buckets: Buckets, *, width: int = svg.WIDE) -> Chart:
    """The share of events that carry each match key; rows of `MATCH_KEY_SHARES` over `buckets`."""
    by_key: defaultdict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in shares.to_pylist():
        if 0 <= row["bucket"] < buckets.count and row["events"]:
            by_key[row["key"]][row["bucket"]] = (row["carried"], row["events"])
    if not by_key:
        return Chart("", ["No events with match keys"])
    overall = {key: _share(row) for key, row in by_key.items()}
    keys = sorted(by_key, key=lambda key: (-overall[key], key))
    stacked = width < svg.STACKED_BELOW
    step, indent, baseline = (48, 20, 14) if stacked else (32, 4, 20)
    overall_x, lowest_x = width - (100 if stacked else 90), width - 16
    axis = TimeAxis(buckets, 16.0 if stacked else 190.0, lowest_x if stacked else width - 156)
    events = sum(total for _, total in next(iter(by_key.values())).values())
    parts = [
        text(overall_x, _TOP - 8, "overall", "soft end"),
        text(lowest_x, _TOP - 8, "lowest", "soft end"),
    ]
    for i, key in enumerate(keys[:_MAX_KEYS]):
        y = _TOP + i * step
        bottom = y + indent + _ROW_PX
        label, share, low = match_key_label(key), percent(overall[key]), _lowest(by_key[key])
        title = f"{label}: {share} of {count(events, 'event')}"
        title += f"; lowest {percent(low[1])} at {axis.title(low[0])}" if low else ""
        parts += [
            line(axis.left, bottom, axis.right, bottom),
            tag("g", titled(title) + _area(by_key[key], axis, bottom)),
            text(16, y + baseline, svg.truncate(label, 150 if stacked else 166)),
            text(overall_x, y + baseline, share, "end"),
            text(lowest_x, y + baseline, percent(low[1] if low else None), "soft end"),
        ]
    bottom = _TOP + min(len(keys), _MAX_KEYS) * step + 4
    parts += axis.drawn(bottom, bottom)
    headline = [f"Share of {count(events, 'event')} that carry each match key"]
    if len(keys) > _MAX_KEYS:
        headline.append(f"{len(keys) - _MAX_KEYS} rarer match keys are not shown")
    label = "Share of events per match key. " + ", ".join(
        f"{match_key_label(key)} {percent(overall[key])}" for key in keys[:_MAX_KEYS]
    )
    return Chart(svg.picture(width, bottom + 42, label, parts), headline)


def _share(row: Mapping[int, tuple[int, int]]) -> float:
    events = sum(total for _, total in row.values())
    return sum(carried for carried, _ in row.values()) / events


def _lowest(row: Mapping[int, tuple[int, int]]) -> tuple[int, float] | None:
    enough = [(c / n, i) for i, (c, n) in row.items() if n >= _MIN_EVENTS]
    return (min(enough)[1], min(enough)[0]) if enough else None


def _area(row: Mapping[int, tuple[int, int]], axis: TimeAxis, bottom: float) -> str:
    """One path of steps; buckets without events are left open."""
    drawn = []
    for i, (carried, events) in sorted(row.items()):
        left, right = (axis.x(moment) for moment in axis.buckets.bounds(i))
        y = bottom - _ROW_PX * carried / events
        drawn.append(
            f"M{number(left)} {number(bottom)}V{number(y)}H{number(right)}V{number(bottom)}"
        )
    return tag("path", d="".join(drawn), class_="main")
