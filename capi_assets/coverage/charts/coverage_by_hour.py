"""Coverage over time as a picture: the share of eligible orders at Meta, hour by hour, with gaps
shaded, their deadlines, and below it how many orders there were and how long gaps can be saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.legend import Entry, legend
from capi_assets.coverage.charts.svg import box, hatch, line, tag, text, text_width
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, deadline, format_duration, percent
from capi_assets.coverage.labels import WAITING
from capi_assets.hours import HOUR
from capi_assets.meta.limits import WINDOW

_LANE, _ORDERS = 150, 46
_CLOCKS = 6
_URGENT = timedelta(hours=24)
_OPEN, _OVER = 0.2, 0.25
"""How strongly gaps are shaded: those still open, those recovered."""


@dataclass(frozen=True, slots=True)
class GapBand:
    """A gap as it is shaded: `name` is short (its number); `over` when nothing is missing now.

    `deadline` is until when its first order can be saved, None where nothing can.
    """

    name: str
    first_hour: datetime
    last_hour: datetime
    over: bool = False
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Bar:
    orders: int
    eligible: int
    delivered: int
    waiting: int
    late: int

    @property
    def missing(self) -> int:
        return max(self.eligible - self.delivered, 0)


def coverage_picture(
    health: pa.Table,
    late: pa.Table,
    shades: Sequence[GapBand],
    buckets: Buckets,
    now: datetime,
    *,
    width: int = svg.WIDE,
    name: str = "coverage",
) -> str:
    """Coverage over `buckets`.

    Args:
        health: rows of `attribution_health`; an hour without any is drawn as unknown.
        late: orders delivered after their hour was due; columns hour and orders.
        shades: the gaps, in time order.
        buckets: the hours to show, and how many of them make a bar.
        now: the moment of drawing, which deadlines are counted from.
        name: unique on its page.
    """
    axis = TimeAxis(buckets, 48, width - 16)
    bars, known = _bars(health, late, buckets)
    key, key_height = legend(_entries(bars, known, shades, buckets, name), 16, 14, width - 16)
    top = 14 + key_height + 22
    floor = top + _LANE
    orders_top = floor + 20
    orders_floor = orders_top + _ORDERS
    parts = [*key]
    parts += _scale(top, floor, axis)
    parts += axis.drawn(top, orders_floor)
    parts += _shading(shades, axis, top, orders_floor)
    parts += _unknown(known, axis, floor, name)
    parts += _coverage_bars(bars, axis, top, floor, buckets)
    parts += _order_bars(bars, axis, orders_top, orders_floor, name)
    parts += _deadlines(shades, axis, top, orders_floor)
    clocks, height = _clocks(shades, now, orders_floor + 56, width)
    parts += clocks
    eligible = sum(bar.eligible for bar in bars.values())
    delivered = sum(bar.delivered for bar in bars.values())
    share = percent(delivered / eligible if eligible > 0 else None)
    label = f"Coverage over time: {share} of {count(eligible, 'eligible order')} reached Meta"
    patterns = hatch(f"{name}-b", "b") + hatch(f"{name}-u", "o")
    return svg.picture(width, orders_floor + 46 + height, label, parts, patterns)


def _bars(
    health: pa.Table, late: pa.Table, buckets: Buckets
) -> tuple[dict[int, _Bar], set[datetime]]:
    """Per piece of time what was sold and delivered, and the hours that are known at all."""
    plain = ("orders", "eligible", "delivered")
    counts = {name: Counter[int]() for name in (*plain, "waiting", "late")}
    known: set[datetime] = set()
    for row in health.select(["hour", *plain, *WAITING]).to_pylist():
        hour = row["hour"].astimezone(UTC)
        if buckets.first <= hour < buckets.end:
            known.add(hour)
            for name in plain:
                counts[name][buckets.index(hour)] += row[name] or 0
            counts["waiting"][buckets.index(hour)] += sum(row[name] or 0 for name in WAITING)
    for row in late.select(["hour", "orders"]).to_pylist():
        counts["late"][buckets.index(row["hour"].astimezone(UTC))] += row["orders"]
    return {
        i: _Bar(*(counts[name][i] for name in (*plain, "waiting", "late")))
        for i in sorted(counts["orders"])
    }, known


def _entries(
    bars: dict[int, _Bar],
    known: set[datetime],
    shades: Sequence[GapBand],
    buckets: Buckets,
    name: str,
) -> list[Entry]:
    entries = [Entry("share of eligible orders at Meta", "m")]
    if any(bar.late for bar in bars.values()):
        entries.append(Entry("delivered late", "p"))
    entries.append(Entry("all orders", "o"))
    if any(min(bar.waiting, bar.missing) for bar in bars.values()):
        entries.append(Entry("waiting", "w"))
    if any(bar.missing > bar.waiting for bar in bars.values()):
        entries.append(Entry("lost", pattern=f"{name}-b"))
    if len(known) < buckets.hours:
        entries.append(Entry("not run yet", pattern=f"{name}-u"))
    if any(not shade.over for shade in shades):
        entries.append(Entry("open gap", "b", opacity=_OPEN))
    if any(shade.over for shade in shades):
        entries.append(Entry("recovered gap", "o", opacity=_OVER))
    if any(_within(shade.deadline, buckets) for shade in shades):
        entries.append(Entry("first deadline of a gap", dashed=True))
    return entries


def _scale(top: float, floor: float, axis: TimeAxis) -> list[str]:
    parts = []
    for part in (0, 25, 50, 75, 100):
        y = floor - (floor - top) * part / 100
        parts.append(line(axis.left, y, axis.right, y))
        if part % 50 == 0:
            parts.append(text(axis.left - 6, y + 4, f"{part} %", "s e"))
    return parts


def _shading(shades: Sequence[GapBand], axis: TimeAxis, top: float, bottom: float) -> list[str]:
    parts, edge = [], 0.0
    for shade in shades:
        left, right = axis.x(shade.first_hour), axis.x(shade.last_hour + HOUR)
        broad = max(right - left - 1, 3.0)  # neighbours stay two
        band = box(left, top - 16, broad, bottom - top + 16, "o" if shade.over else "b")
        parts.append(tag("g", band, opacity=_OVER if shade.over else _OPEN))
        half = text_width(shade.name, 12) / 2
        middle = min(max(left + broad / 2, axis.left + half), axis.right - half)
        if middle - half > edge:
            parts.append(text(middle, top - 4, shade.name, "s c h"))
            edge = middle + half + 4
    return parts


def _unknown(known: set[datetime], axis: TimeAxis, floor: float, name: str) -> list[str]:
    """A low hatched strip under hours that were never materialized: unknown is not zero."""
    parts, run = [], None
    hours = [axis.buckets.first + i * HOUR for i in range(axis.buckets.hours)]
    for hour in [*hours, axis.buckets.end]:
        absent = hour not in known and hour < axis.buckets.end
        if absent and run is None:
            run = hour
        elif not absent and run is not None:
            left, right = axis.x(run), axis.x(hour)
            title = f"Not materialized: {(hour - run) // HOUR} h, orders unknown"
            parts.append(box(left, floor - 8, right - left, 8, "", title, fill=f"{name}-u"))
            run = None
    return parts


def _coverage_bars(
    bars: dict[int, _Bar], axis: TimeAxis, top: float, floor: float, buckets: Buckets
) -> list[str]:
    parts = []
    for i, bar in bars.items():
        if bar.eligible <= 0:
            continue
        x, broad = axis.slot(i)
        says = (
            f"{axis.says(i)}: {bar.delivered:,} of {count(bar.eligible, 'eligible order')}"
            f" reached Meta ({percent(bar.delivered / bar.eligible)})"
        )
        says += f", {bar.late:,} of them late" if bar.late else ""
        unit = (floor - top) / bar.eligible
        late = min(bar.late, bar.delivered)
        in_time = (bar.delivered - late) * unit
        drawn = box(x, floor - in_time, broad, in_time, "m") if in_time else ""
        if late:
            drawn += box(x, floor - bar.delivered * unit, broad, late * unit, "p")
        # Something to point at where nothing arrived.
        target = tag("rect", x=x, y=top, width=broad, height=floor - top, style="fill:transparent")
        parts.append(tag("g", tag("title", svg.escape(says)) + drawn + target))
    return parts


def _order_bars(
    bars: dict[int, _Bar], axis: TimeAxis, top: float, floor: float, name: str
) -> list[str]:
    most = max((bar.orders for bar in bars.values()), default=0)
    parts = [text(axis.left, top - 5, f"orders per {axis.buckets.words}", "s")]
    if not most:
        return [*parts, text(axis.left - 6, floor, "0", "s e")]
    parts.append(text(axis.left - 6, top + 9, f"{most:,}", "s e"))
    unit = (floor - top) / most
    for i, bar in bars.items():
        x, broad = axis.slot(i)
        waiting = min(bar.waiting, bar.missing)
        lost = bar.missing - waiting
        says = f"{axis.says(i)}: {count(bar.orders, 'order')}, {waiting:,} waiting, {lost:,} lost"
        high = bar.orders * unit
        parts.append(box(x, floor - high, broad, high, "o", says))
        at = floor
        for part, class_, pattern in ((lost, "", f"{name}-b"), (waiting, "w", "")):
            if part:
                gone = max(part * unit, 1.5)
                at -= gone
                parts.append(box(x, at, broad, gone, class_, says, fill=pattern))
    return parts


def _within(moment: datetime | None, buckets: Buckets) -> bool:
    return moment is not None and buckets.first <= moment <= buckets.end


def _deadlines(shades: Sequence[GapBand], axis: TimeAxis, top: float, bottom: float) -> list[str]:
    parts = []
    for shade in shades:
        if shade.deadline is not None and _within(shade.deadline, axis.buckets):
            x = axis.x(shade.deadline)
            told = tag("title", svg.escape(f"Gap {shade.name}: the first order is lost from here"))
            mark = line(x, top - 16, x, bottom, "d")
            parts.append(tag("g", told + mark))
    return parts


def _clocks(
    shades: Sequence[GapBand], now: datetime, top: float, width: int
) -> tuple[list[str], float]:
    """One row per gap that can be saved, and their height: how much of Meta's seven days is left,
    the least first."""
    urgent = [(s.deadline, s) for s in shades if s.deadline is not None and s.deadline > now]
    if not urgent:
        return [], 0
    urgent.sort(key=lambda item: item[0])
    parts = [text(16, top + 12, "Time left of Meta’s seven days", "h")]
    y = top + 22
    stacked = width < svg.STACKED_BELOW
    for until, shade in urgent[:_CLOCKS]:
        left = until - now
        told = f"Gap {shade.name}: until {deadline(until, now)}"
        share = min(left / WINDOW, 1.0)
        bar_left, bar_right = (16.0, width - 16.0) if stacked else (width * 0.52, width - 16.0)
        bar_top = y + 20 if stacked else y + 4
        full = bar_right - bar_left
        parts += [
            text(16, y + 14, told),
            tag("g", box(bar_left, bar_top, full, 10, "o"), opacity=0.3),
            box(
                bar_left,
                bar_top,
                full * share,
                10,
                "b" if left <= _URGENT else "w",
                format_duration(left),
            ),
        ]
        y += 38 if stacked else 24
    if len(urgent) > _CLOCKS:
        parts.append(text(16, y + 14, f"and {len(urgent) - _CLOCKS} less urgent gaps", "s"))
        y += 24
    return parts, y - top + 20
