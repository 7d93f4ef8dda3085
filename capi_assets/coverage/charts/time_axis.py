"""The time axis of all charts: positions, ticks in UTC, and the title of a bar."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.charts.svg import line, text, text_width
from capi_assets.hours import HOUR

_STEPS = (1, 2, 3, 6, 12, 24, 48, 96, 168, 336, 672)
_LABEL_PX = 62
_MAX_BAR_PX = 64


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Maps the time of `buckets` to pixels from `left` to `right`."""

    buckets: Buckets
    left: float
    right: float

    def x(self, moment: datetime) -> float:
        """The pixel of a moment; the nearer end for one outside."""
        share = (moment - self.buckets.first) / (self.buckets.end - self.buckets.first)
        return self.left + (self.right - self.left) * min(max(share, 0.0), 1.0)

    def slot(self, index: int) -> tuple[float, float]:
        """Left edge and width of a bar; wide bars leave a gap between them, thin ones cannot."""
        start, end = self.buckets.bounds(index)
        left, right = self.x(start), self.x(end)
        width = min((right - left) * (0.82 if right - left > 3 else 1), _MAX_BAR_PX)
        return (left + right - width) / 2, width

    def title(self, index: int) -> str:
        """`Fri 20 Nov 2026, 13:00 to 14:00 UTC`: the time of a bar."""
        start, end = (moment.astimezone(UTC) for moment in self.buckets.bounds(index))
        until = f"{end:%H:%M}" if end - start < timedelta(days=1) else f"{day(end)} {end:%H:%M}"
        return f"{start:%a} {day(start)} {start:%Y, %H:%M} to {until} UTC"

    def drawn(self, top: float, bottom: float) -> list[str]:
        """Grid lines from `top` to `bottom`, their labels, and the whole period in words."""
        parts = [line(self.left, bottom, self.right, bottom)]
        room = max(int((self.right - self.left) / _LABEL_PX), 1)
        step = next((s for s in _STEPS if self.buckets.hours / s <= room), _STEPS[-1])
        moment, edge = self._first_tick(step), 0.0
        while moment <= self.buckets.end:
            x = self.x(moment)
            label = day(moment) if step >= 24 or moment.hour == 0 else f"{moment:%H:%M}"
            half = text_width(label, 12) / 2
            if x - half >= edge and x + half <= self.right + 14:
                parts += [line(x, top, x, bottom + 4), text(x, bottom + 17, label, "soft centred")]
                edge = x + half + 6
            moment += step * HOUR
        first, end = self.buckets.first, self.buckets.end
        span = f"{day(first)} {first:%Y %H:%M} to {day(end)} {end:%Y %H:%M} UTC"
        parts.append(text(self.right, bottom + 34, span, "soft end"))
        return parts

    def _first_tick(self, step: int) -> datetime:
        """The first moment at a whole multiple of the step, counted from a Monday's midnight."""
        passed = (self.buckets.first - _MONDAY) // HOUR
        return _MONDAY + -(-passed // step) * step * HOUR


_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def day(moment: datetime) -> str:
    """`20 Nov`, in UTC."""
    moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b}"
