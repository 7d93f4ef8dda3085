"""What each signal was expected to be, hour by hour, learned from the good hours before it.

Strictly causal: what an hour is held against never changes when later hours arrive. What is made
of a difference is in unusual.py, the arithmetic is in baselines.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.count_models import Flags, Floats
from capi_assets.coverage.anomalies.hour_signals import HourSignals

VISITS, ORDERS, SENDABLE, MATCHED, KEYED = range(5)
_FIRST_KEY = 5

_ENOUGH_RESIDUALS = 48
_PRIOR_DISPERSION = {"count": 0.09, "rate": 0.03}  # until a shop has shown how much it varies
_MIN_DISPERSION = {"count": 0.005, "rate": 0.005}  # Judgement: no shop is steadier than this

_SAMPLES = 3  # Judgement: what a handful of same hours is worth in orders, beside
_PRIOR_WEIGHT = 60.0  # so many orders of all hours
_EVEN = 2.0
_PLAUSIBLE = 0.01  # no need to look closer

MIN_EXPECTED_VISITS = 5.0
"""Judgement: below so many expected visits, or fewer than half the orders, visits prove nothing."""


class WindowTotals(NamedTuple):
    """Signals of a window that ends with the hour in question, seen and expected, per row."""

    hours: int
    seen: Floats
    expected: Floats


@dataclass(slots=True)
class _Running:
    seen: Floats
    expected: Floats


class Expectations:
    """Signals by row (VISITS, ORDERS, SENDABLE, MATCHED, KEYED, then each key) and their usual.

    Hours are given in time order to `expect`, then judged, then given to `learn`.
    """

    def __init__(self, signals: HourSignals) -> None:
        keyed = signals.sendable.copy()
        for counts in signals.keys.values():
            keyed[np.isnan(counts)] = np.nan
        rows = (signals.visits, signals.orders, signals.sendable, signals.matched, keyed)
        self.seen = np.vstack([*rows, *signals.keys.values()])
        self.expected = np.full_like(self.seen, np.nan)
        self.keys = {key: _FIRST_KEY + n for n, key in enumerate(signals.keys)}
        self.learnable: Flags = np.zeros(len(signals), dtype=bool)
        self.weekday_known: Flags = np.zeros(len(signals), dtype=bool)
        self.start = 0  # what was before is forgotten
        self._sums_from = 0  # what was before was expected of another shop
        shape = (len(self.seen), len(signals) + 1)
        self._sums = _Running(np.zeros(shape), np.zeros(shape))
        self._good = np.zeros(shape)
        self._excess: dict[tuple[int, int, int, int], float] = {}

    def expect(self, at: int) -> bool:
        """Works out what hour `at` should hold; false if there is too little to learn from."""
        alike = count_models.same_hours(at, self.start, self.learnable)
        found = len(alike) > 0 and not np.isnan(self.seen[ORDERS, at])
        if found:
            self.expected[:, at] = count_models.location(self.seen[:, alike])
            self.weekday_known[at] = alike.max() <= at - count_models.WEEK + 1
        usable = ~np.isnan(self.seen[:, at] + self.expected[:, at])
        for running, values in ((self._sums.seen, self.seen), (self._sums.expected, self.expected)):
            running[:, at + 1] = running[:, at] + np.where(usable, values[:, at], 0.0)
        return found

    def learn(self, at: int, good: bool) -> None:
        """Says whether hour `at` may be learned from."""
        self.learnable[at] = good
        seen = np.nan_to_num(self.seen[:, at]) if good else 0.0
        self._good[:, at + 1] = self._good[:, at] + seen

    def start_anew(self, at: int, good: Flags) -> None:
        """Forgets what came before `at`; of the hours since, `good` ones are learned from."""
        self.start, self._sums_from = at, at + len(good)
        self._excess.clear()
        for position, is_good in enumerate(good, at):
            self.learn(position, bool(is_good))

    def sums(self, at: int, hours: int) -> WindowTotals:
        """The last `hours` hours that end with `at`, as far as they have an expectation."""
        first = min(max(at + 1 - hours, self._sums_from), at + 1)
        s = self._sums
        return WindowTotals(
            hours,
            s.seen[:, at + 1] - s.seen[:, first],
            s.expected[:, at + 1] - s.expected[:, first],
        )

    def suffixes(self, at: int, hours: int) -> WindowTotals:
        """The sums of the last 1, 2, ... `hours` hours, as columns."""
        firsts = np.arange(at, max(at - hours, self._sums_from - 1), -1)
        s = self._sums
        last = at + 1
        return WindowTotals(
            hours,
            s.seen[:, [last]] - s.seen[:, firsts],
            s.expected[:, [last]] - s.expected[:, firsts],
        )

    def count_excess(self, at: int, hours: int) -> float:
        """How much orders of such windows vary around what their visits promise."""
        key = (ORDERS, VISITS, hours, at // count_models.DAY)
        if key not in self._excess:
            seen, expected = self._past(at, hours)
            mean = expected[ORDERS] * np.where(
                can_speak(expected), seen[VISITS] / np.maximum(expected[VISITS], 1e-9), 1.0
            )
            use = mean >= 3.0
            squares = (seen[ORDERS] - mean) ** 2
            self._excess[key] = _fit("count", squares[use], mean[use], (mean**2)[use])
        return self._excess[key]

    def rate(self, at: int, window: WindowTotals, hits: int, trials: int) -> float:
        """The usual share of `hits` in a window, drawn towards that of all hours.

        Of the few orders of a few same hours alone, every tenth share would be far off.
        """
        overall = self._overall(at, hits, trials)
        own, of = window.expected[hits] * _SAMPLES, window.expected[trials] * _SAMPLES
        return float(
            min(own + overall * _PRIOR_WEIGHT, of + _PRIOR_WEIGHT - 0.5) / (of + _PRIOR_WEIGHT)
        )

    def rate_chance(self, at: int, window: WindowTotals, hits: int, trials: int) -> float:
        """The probability that a good window has so few `hits`, or fewer."""
        rate = self.rate(at, window, hits, trials)
        unsure = 1.0 / (
            window.expected[trials] * _SAMPLES + _PRIOR_WEIGHT
        )  # the rate is an estimate
        seen, of = window.seen[hits], window.seen[trials]
        least = count_models.hits_at_most(seen, of, rate, _MIN_DISPERSION["rate"] + unsure)
        if least > _PLAUSIBLE:
            return least
        overdispersion = self._rate_excess(at, window.hours, hits, trials)
        return count_models.hits_at_most(seen, of, rate, overdispersion + unsure)

    def _overall(self, at: int, hits: int, trials: int) -> float:
        since = max(at - count_models.WEEK * count_models.WEEKS, self.start)
        hit, of = (self._good[row, at] - self._good[row, since] for row in (hits, trials))
        return float((hit + 0.5) / (of + 1.0))

    def _rate_excess(self, at: int, hours: int, hits: int, trials: int) -> float:
        key = (hits, trials, hours, at // count_models.DAY)
        if key not in self._excess:
            seen, expected = self._past(at, hours)
            of = expected[trials] * _SAMPLES + _PRIOR_WEIGHT
            rate = (
                expected[hits] * _SAMPLES + self._overall(at, hits, trials) * _PRIOR_WEIGHT
            ) / of
            n = seen[trials]
            chance = n * rate * (1.0 - rate)
            use = chance >= _EVEN  # where it is less, chance itself is lopsided
            squares = (seen[hits] - n * rate) ** 2
            self._excess[key] = _fit("rate", squares[use], chance[use], (chance * (n - 1.0))[use])
        return self._excess[key]

    def _past(self, at: int, hours: int) -> tuple[Floats, Floats]:
        ends = np.flatnonzero(self.learnable[:at]) + 1
        ends = ends[
            ends >= max(at - count_models.WEEK * count_models.WEEKS, self._sums_from + hours)
        ]
        s = self._sums
        return s.seen[:, ends] - s.seen[:, ends - hours], (
            s.expected[:, ends] - s.expected[:, ends - hours]
        )


def can_speak(expected: Floats) -> Flags:
    """Whether so many visits are usual that their number says something about the orders."""
    few = np.maximum(MIN_EXPECTED_VISITS, 0.5 * expected[ORDERS])
    spoken: Flags = expected[VISITS] >= few
    return spoken


def _fit(kind: str, squares: Floats, sampling: Floats, quadratic: Floats) -> float:
    if len(squares) < _ENOUGH_RESIDUALS:
        return _PRIOR_DISPERSION[kind]
    return count_models.overdispersion(squares, sampling, quadratic, _MIN_DISPERSION[kind])
