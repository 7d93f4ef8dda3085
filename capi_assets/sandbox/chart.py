"""The page's bar chart as numbers: bars, grid lines and labels in per cent of its area."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from capi_assets.sandbox.reports import hour_of

HOUR = 3600
MAX_HOURS = 7 * 24
SHORTEST = 24
MOST_LABELS = 7
STEPS = (2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
LABEL_STEPS = (3, 6, 12, 24, 48)


@dataclass(frozen=True)
class Bar:
    """One hour: its place, and its events from the bottom up (heights in per cent)."""

    left: float
    width: float
    title: str
    accepted: float
    doubled: float
    duplicates: float


@dataclass(frozen=True)
class Chart:
    """What the template draws; `lines` and `labels` are (place in per cent, text)."""

    bars: list[Bar]
    lines: list[tuple[float, str]]
    labels: list[tuple[float, str]]


def hourly_chart(rows: Iterable[Mapping[str, Any]], now: datetime) -> Chart | None:
    """At most seven days up to `now`, from rows of `reports.received`; None without any rows.

    It ends now and not with the last event: that nothing comes any more is what people look for.
    """
    counts: dict[int, list[int]] = {}
    for row in rows:
        sums = counts.setdefault(hour_of(row["hour"]), [0, 0, 0])
        for position, name in enumerate(("accepted", "doubled", "duplicates")):
            sums[position] += row[name]
    if not counts:
        return None
    last = max(*counts, int(now.timestamp()) // HOUR * HOUR)
    first = min((hour for hour in counts if hour > last - MAX_HOURS * HOUR), default=last)
    first = min(first, last - (SHORTEST - 1) * HOUR)
    hours = range(first, last + HOUR, HOUR)
    top = ceiling(max(sum(counts.get(hour, ())) for hour in hours))
    slot = 100 / len(hours)
    bars = [
        Bar(
            left=round(position * slot, 3),
            width=round(slot * 0.78, 3),
            title=_title(hour, *counts[hour]),
            accepted=_share(counts[hour][0], top),
            doubled=_share(counts[hour][1], top),
            duplicates=_share(counts[hour][2], top),
        )
        for position, hour in enumerate(hours)
        if hour in counts
    ]
    lines = [(100 - 100 * part / 2, f"{top * part // 2:,}") for part in (1, 2)]
    return Chart(bars, lines, _labels(hours))


def ceiling(highest: int) -> int:
    """The next round number whose half is round too."""
    power = 1
    while highest > STEPS[-1] * power:
        power *= 10
    return next(step * power for step in STEPS if step * power >= highest)


def _labels(hours: range) -> list[tuple[float, str]]:
    step = next((s for s in LABEL_STEPS if len(hours) / s <= MOST_LABELS), LABEL_STEPS[-1])
    labels = []
    for position, hour in enumerate(hours):
        at = datetime.fromtimestamp(hour, UTC)
        if hour // HOUR % step == 0:
            text = f"{at.day} {at:%b}" if at.hour == 0 else f"{at:%H:%M}"
            labels.append((round(100 * position / len(hours), 3), text))
    return labels


def _share(count: int, top: int) -> float:
    return round(100 * count / top, 3)


def _title(hour: int, accepted: int, doubled: int, duplicates: int) -> str:
    at = datetime.fromtimestamp(hour, UTC)
    text = f"{at:%a %d %b, %H:00} UTC: {accepted:,} counted"
    if duplicates:
        text += f", {duplicates:,} duplicates removed"
    if doubled:
        text += f", {doubled:,} counted twice"
    return text
