"""Times in the sample shop: how many visits or orders per hour, and when each happens.

The n rows of an hour share it evenly, each at a random moment of its own n-th part. So the row
nearest to any moment is found without generating the others. Hours count from the epoch, moments
are milliseconds of the epoch, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from capi_assets.sandbox.shop.keyed_random import Flags, Floats, Ints, KeyedRandom

HOUR_MS = 3_600_000

# Visits from 00 to 23 h UTC of a shop whose customers are mostly European, and Monday to Sunday.
_DAY = np.array([
    45.0, 32.0, 24.0, 20.0, 22.0, 32.0, 50.0, 75.0, 95.0, 110.0, 120.0, 125.0,
    130.0, 125.0, 120.0, 120.0, 125.0, 135.0, 150.0, 165.0, 170.0, 155.0, 115.0, 75.0,
])  # fmt: skip
_WEEK = np.array([103.0, 100.0, 97.0, 96.0, 94.0, 99.0, 111.0])
_DAY /= _DAY.mean()
_WEEK /= _WEEK.mean()
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday


def to_ms(moment: datetime) -> int:
    """An aware datetime as milliseconds of the epoch."""
    return int(moment.timestamp() * 1_000)


def rhythm(hours: Ints) -> Floats:
    """How busy each hour is, relative to the average hour."""
    busy: Floats = _DAY[hours % 24] * _WEEK[(hours // 24 + _EPOCH_WEEKDAY) % 7]
    return busy


@dataclass(frozen=True)
class Stream:
    """The times of one kind of row: visits, or orders."""

    dice: KeyedRandom
    name: str
    per_day: float
    first_hour: int

    def counts(self, hours: Ints, factor: float | Floats = 1.0) -> Ints:
        """The number of rows per hour, with random variation; none before the first hour."""
        mood = 1.0 + 0.05 * self.dice.normal(f"{self.name}/mood", hours)
        expected = self.per_day / 24 * rhythm(hours) * mood * factor
        expected = np.where(hours < self.first_hour, 0.0, np.maximum(expected, 0.0))
        luck = self.dice.normal(f"{self.name}/luck", hours)
        return np.maximum(np.rint(expected + np.sqrt(expected) * luck), 0).astype(np.int64)

    def at(self, hours: Ints, index: Ints, counts: Ints) -> Ints:
        place = (index + self.dice.unit(f"{self.name}/moment", hours, index)) / np.maximum(
            counts, 1
        )
        return hours * HOUR_MS + (place * HOUR_MS).astype(np.int64)

    def before(self, target: Ints, latest: Ints) -> tuple[Ints, Ints, Flags]:
        """The row nearest to each `target` moment that is not after `latest`.

        Returns its hour, its index, and whether there is one (a very small shop may have none).
        """
        hours = target // HOUR_MS
        counts = self.counts(hours)
        index = ((target % HOUR_MS) / HOUR_MS * counts).astype(np.int64)
        safe = np.maximum(counts, 1)
        index -= self.at(hours, np.minimum(index, safe - 1), safe) > latest
        earlier = (index < 0) & (counts > 0)
        previous = self.counts(hours - 1)
        hours = np.where(earlier, hours - 1, hours)
        index = np.where(earlier, previous - 1, np.minimum(index, safe - 1))
        found = (index >= 0) & np.where(earlier, previous > 0, counts > 0)
        return hours, np.maximum(index, 0), found
