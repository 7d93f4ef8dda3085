"""Match keys over time as a picture: one row per key, its share of events hour by hour.

Rows instead of one chart with a line each: fifteen lines can be told apart neither by colour nor
in print.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.svg import line, number, tag, text
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, percent
from capi_assets.coverage.labels import match_key_label

_MOST = 18
_ENOUGH = 10
"""Events that a piece of time needs before its share counts as a low."""


def match_keys_picture(
    shares: pa.Table, buckets: Buckets, *, width: int = svg.WIDE, name: str = "keys"
) -> str:
    """The share of events that carry each match key; rows of `MATCH_KEY_SHARES` over `buckets`."""
    by_key: defaultdict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    for row in shares.to_pylist():
        if 0 <= row["bucket"] < buckets.count and row["events"]:
            by_key[row["key"]][row["bucket"]] = (row["carried"], row["events"])
    overall = {key: _share(pieces) for key, pieces in by_key.items()}
    keys = sorted(by_key, key=lambda key: (-overall[key], key))
    stacked = width < svg.STACKED_BELOW
    step, high, dip = (48, 22, 20) if stacked else (32, 22, 4)
    left = 16.0 if stacked else 190.0
    axis = TimeAxis(buckets, left, width - 16 if stacked else width - 156)
    events = sum(total for _, total in next(iter(by_key.values()), {}).values())
    parts, more = svg.headline(_headline(keys, events), width)
    top = 58.0 + more
    if keys:
        parts.append(text(width - (100 if stacked else 90), top - 8, "overall", "s e"))
        parts.append(text(width - 16, top - 8, "lowest", "s e"))
    for i, key in enumerate(keys[:_MOST]):
        y = top + i * step
        words = svg.truncate(match_key_label(key), 150 if stacked else 166)
        low = _lowest(by_key[key])
        told = f"{match_key_label(key)}: {percent(overall[key])} of {count(events, 'event')}"
        told += f"; lowest {percent(low[1])} at {axis.says(low[0])}" if low else ""
        area = _area(by_key[key], axis, y + dip, y + dip + high)
        parts += [
            line(axis.left, y + dip + high, axis.right, y + dip + high),
            tag("g", tag("title", svg.escape(told)) + area),
            text(16, y + (14 if stacked else dip + 16), words),
            text(width - (100 if stacked else 90), y + (14 if stacked else dip + 16),
                 percent(overall[key]), "e"),
            text(width - 16, y + (14 if stacked else dip + 16),
                 percent(low[1]) if low else "–", "s e"),
        ]  # fmt: skip
    bottom = top + min(len(keys), _MOST) * step + 4
    if keys:
        parts += axis.drawn(bottom, bottom)
        bottom += 42
    if len(keys) > _MOST:
        parts.append(text(16, bottom, f"and {len(keys) - _MOST} rarer match keys", "s"))
        bottom += 12
    label = "Share of events per match key. " + ", ".join(
        f"{match_key_label(key)} {percent(overall[key])}" for key in keys[:_MOST]
    )
    return svg.picture(width, bottom + 6, label, parts)


def _headline(keys: list[str], events: int) -> str:
    if not keys:
        return "No events that carry match keys"
    return f"Share of {count(events, 'event')} that carry each match key"


def _share(pieces: Mapping[int, tuple[int, int]]) -> float:
    events = sum(total for _, total in pieces.values())
    return sum(carried for carried, _ in pieces.values()) / events


def _lowest(pieces: Mapping[int, tuple[int, int]]) -> tuple[int, float] | None:
    enough = [(c / n, i) for i, (c, n) in pieces.items() if n >= _ENOUGH]
    return (min(enough)[1], min(enough)[0]) if enough else None


def _area(pieces: Mapping[int, tuple[int, int]], axis: TimeAxis, top: float, floor: float) -> str:
    """One path of steps; pieces of time without events are left open."""
    drawn = []
    for i, (carried, events) in sorted(pieces.items()):
        left, right = (axis.x(moment) for moment in axis.buckets.bounds(i))
        y = floor - (floor - top) * carried / events
        drawn.append(f"M{number(left)} {number(floor)}V{number(y)}H{number(right)}V{number(floor)}")
    return tag("path", d="".join(drawn), class_="m")
