"""Buckets of whole hours, so that a long range still fits on a page: a bar per bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from capi_assets.hours import HOUR

_SIZES = (1, 2, 3, 4, 6, 8, 12, 24)


@dataclass(frozen=True, slots=True)
class Buckets:
    """`hours` hours from `first` on, in buckets of `size` hours; the last may be shorter."""

    first: datetime
    hours: int
    size: int

    @property
    def count(self) -> int:
        return -(-self.hours // self.size)

    @property
    def end(self) -> datetime:
        return self.first + self.hours * HOUR

    @property
    def label(self) -> str:
        """`hour`, `8 hours`, `day`: the length of one bucket."""
        days, hours = divmod(self.size, 24)
        if hours:
            return "hour" if self.size == 1 else f"{self.size} hours"
        return "day" if days == 1 else f"{days} days"

    def index(self, moment: datetime) -> int:
        """The bucket of a moment; below 0 or from `count` on for a moment outside."""
        return (moment - self.first) // (self.size * HOUR)

    def bounds(self, index: int) -> tuple[datetime, datetime]:
        """Start and end of a bucket."""
        start = self.first + index * self.size * HOUR
        return start, min(start + self.size * HOUR, self.end)

    @property
    def parameters(self) -> dict[str, int]:
        """First and last moment and length of a bucket in microseconds, as SQL parameters."""
        first = round(self.first.timestamp()) * 1_000_000
        hour = HOUR // timedelta(microseconds=1)
        return {"first": first, "last": first + self.hours * hour, "length": self.size * hour}


def buckets_of(hours: Sequence[datetime], max_buckets: int) -> Buckets:
    """At most `max_buckets` equal buckets over consecutive `hours`; days where needed."""
    count = len(hours)
    size = next(
        (s for s in _SIZES if count <= s * max_buckets), 24 * -(-count // (24 * max_buckets))
    )
    return Buckets(hours[0], count, size)
