"""Coverage over time: the share of eligible orders at Meta, hour by hour, with gaps shaded and
their deadlines; below it the number of orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts import svg
from capi_assets.coverage.charts.svg import Chart, line, rect, tag, text, text_width, titled
from capi_assets.coverage.charts.time_axis import TimeAxis
from capi_assets.coverage.formatting import count, percent
from capi_assets.coverage.labels import WAITING
from capi_assets.hours import HOUR, hours_between

_COVERAGE_PX, _ORDERS_PX = 150, 46
_TOP = 28
_COUNTED = ("orders", "eligible", "delivered")


@dataclass(frozen=True, slots=True)
class GapBand:
    """A gap as a shaded band: `name` is its number, `is_over` if it was recovered.

    `deadline` is when its first order becomes too old for Meta; None if nothing is recoverable.
    """

    name: str
    first_hour: datetime
    last_hour: datetime
    is_over: bool = False
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Bar:
    orders: int
    eligible: int
    delivered: int
    waiting: int
    late: int

    @property
    def missing_waiting(self) -> int:
        return min(self.waiting, max(self.eligible - self.delivered, 0))

    @property
    def lost(self) -> int:
        return max(self.eligible - self.delivered, 0) - self.missing_waiting


def coverage_chart(
    health: pa.Table,
    late: pa.Table,
    bands: Sequence[GapBand],
    buckets: Buckets,
    *,
    width: int = svg.WIDE,
) -> Chart:
    """Coverage over `buckets`.

    Args:
        health: rows of `attribution_health`; an hour without any is drawn as unknown.
        late: orders delivered after their hour was due; columns hour and orders.
        bands: the gaps, in time order.
        buckets: the hours to show, and how many of them make a bar.
    """
    axis = TimeAxis(buckets, 48, width - 16)
    bars, known = _bars(health, late, buckets)
    bottom = _TOP + _COVERAGE_PX
    orders_top = bottom + 20
    orders_bottom = orders_top + _ORDERS_PX
    parts = [
        *_scale(bottom, axis),
        *axis.drawn(_TOP, orders_bottom),
        *_bands(bands, axis, orders_bottom),
        *_unknown(known, axis, bottom),
        *(_coverage_bar(bar, axis, i, bottom) for i, bar in bars.items() if bar.eligible > 0),
        *_order_bars(bars, axis, orders_top, orders_bottom),
        *_deadlines(bands, axis, orders_bottom),
    ]
    eligible = sum(bar.eligible for bar in bars.values())
    delivered = sum(bar.delivered for bar in bars.values())
    share = percent(delivered / eligible if eligible > 0 else None)
    label = f"Coverage over time: {share} of {count(eligible, 'eligible order')} reached Meta"
    return Chart(
        svg.picture(width, orders_bottom + 42, label, parts),
        legend=_legend(bars, known, bands, buckets),
    )


def _bars(
    health: pa.Table, late: pa.Table, buckets: Buckets
) -> tuple[dict[int, _Bar], set[datetime]]:
    """The counts of each bucket, and the hours that were evaluated at all."""
    counts = {name: Counter[int]() for name in (*_COUNTED, "waiting", "late")}
    known: set[datetime] = set()
    for row in health.select(["hour", *_COUNTED, *WAITING]).to_pylist():
        hour = row["hour"].astimezone(UTC)
        if buckets.first <= hour < buckets.end:
            known.add(hour)
            for name in _COUNTED:
                counts[name][buckets.index(hour)] += row[name] or 0
            counts["waiting"][buckets.index(hour)] += sum(row[name] or 0 for name in WAITING)
    for row in late.select(["hour", "orders"]).to_pylist():
        counts["late"][buckets.index(row["hour"].astimezone(UTC))] += row["orders"]
    return {i: _Bar(**{n: counts[n][i] for n in counts}) for i in sorted(counts["orders"])}, known


def _legend(
    bars: dict[int, _Bar], known: set[datetime], bands: Sequence[GapBand], buckets: Buckets
) -> list[tuple[str, str]]:
    shown = {
        ("main", "share of eligible orders at Meta"): True,
        ("pale", "delivered late"): any(bar.late for bar in bars.values()),
        ("other", "all orders"): True,
        ("waiting", "waiting"): any(bar.missing_waiting for bar in bars.values()),
        ("lost", "lost"): any(bar.lost for bar in bars.values()),
        ("unknown", "not materialized yet"): len(known) < buckets.hours,
        ("open", "open gap"): any(not band.is_over for band in bands),
        ("recovered", "recovered gap"): any(band.is_over for band in bands),
        ("dashed", "first deadline of a gap"): any(_within(b.deadline, buckets) for b in bands),
    }
    return [entry for entry, is_shown in shown.items() if is_shown]


def _scale(bottom: float, axis: TimeAxis) -> list[str]:
    parts = []
    for part in (0, 25, 50, 75, 100):
        y = bottom - _COVERAGE_PX * part / 100
        parts.append(line(axis.left, y, axis.right, y))
        if part % 50 == 0:
            parts.append(text(axis.left - 6, y + 4, f"{part} %", "soft end"))
    return parts


def _bands(bands: Sequence[GapBand], axis: TimeAxis, bottom: float) -> list[str]:
    parts, edge = [], 0.0
    for band in bands:
        left, right = axis.x(band.first_hour), axis.x(band.last_hour + HOUR)
        width = max(right - left - 1, 3.0)  # neighbours stay two
        state = "recovered" if band.is_over else "open"
        parts.append(rect(left, _TOP - 16, width, bottom - _TOP + 16, state))
        half = text_width(band.name, 12) / 2
        middle = min(max(left + width / 2, axis.left + half), axis.right - half)
        if middle - half > edge:
            parts.append(text(middle, _TOP - 4, band.name, "soft centred strong"))
            edge = middle + half + 4
    return parts


def _unknown(known: set[datetime], axis: TimeAxis, bottom: float) -> list[str]:
    """A low hatched strip under hours that were never materialized: unknown is not zero."""
    parts = []
    hours = hours_between(axis.buckets.first, axis.buckets.end)
    for is_known, group in groupby(hours, known.__contains__):
        if not is_known:
            first, *others = group
            length = len(others) + 1
            left, right = axis.x(first), axis.x(first + length * HOUR)
            title = f"Not materialized: {length} h, orders unknown"
            parts.append(rect(left, bottom - 8, right - left, 8, "unknown", title))
    return parts


def _coverage_bar(bar: _Bar, axis: TimeAxis, i: int, bottom: float) -> str:
    x, width = axis.slot(i)
    title = (
        f"{axis.title(i)}: {bar.delivered:,} of {count(bar.eligible, 'eligible order')}"
        f" reached Meta ({percent(bar.delivered / bar.eligible)})"
    )
    title += f", {bar.late:,} of them late" if bar.late else ""
    unit = _COVERAGE_PX / bar.eligible
    late = min(bar.late, bar.delivered)
    in_time = (bar.delivered - late) * unit
    drawn = rect(x, bottom - in_time, width, in_time, "main") if in_time else ""
    if late:
        drawn += rect(x, bottom - bar.delivered * unit, width, late * unit, "pale")
    # Something to point at where nothing arrived.
    target = rect(x, bottom - _COVERAGE_PX, width, _COVERAGE_PX, "target")
    return tag("g", titled(title) + drawn + target)


def _order_bars(bars: dict[int, _Bar], axis: TimeAxis, top: float, bottom: float) -> list[str]:
    most = max((bar.orders for bar in bars.values()), default=0)
    parts = [text(axis.left, top - 5, f"orders per {axis.buckets.label}", "soft")]
    if not most:
        return [*parts, text(axis.left - 6, bottom, "0", "soft end")]
    parts.append(text(axis.left - 6, top + 9, f"{most:,}", "soft end"))
    unit = _ORDERS_PX / most
    for i, bar in bars.items():
        x, width = axis.slot(i)
        title = (
            f"{axis.title(i)}: {count(bar.orders, 'order')}, {bar.missing_waiting:,} waiting,"
            f" {bar.lost:,} lost"
        )
        y = bottom - bar.orders * unit
        parts.append(rect(x, y, width, bar.orders * unit, "other", title))
        y = bottom
        for orders, class_ in ((bar.lost, "lost"), (bar.missing_waiting, "waiting")):
            if orders:
                height = max(orders * unit, 1.5)
                y -= height
                parts.append(rect(x, y, width, height, class_, title))
    return parts


def _within(moment: datetime | None, buckets: Buckets) -> bool:
    return moment is not None and buckets.first <= moment <= buckets.end


def _deadlines(bands: Sequence[GapBand], axis: TimeAxis, bottom: float) -> list[str]:
    parts = []
    for band in bands:
        if band.deadline is not None and _within(band.deadline, axis.buckets):
            x = axis.x(band.deadline)
            title = titled(f"Gap {band.name}: the first order becomes too old for Meta here")
            parts.append(tag("g", title + line(x, _TOP - 16, x, bottom, "dashed")))
    return parts
