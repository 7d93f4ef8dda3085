"""What each signal should have been, hour by hour, learned from the good hours before it.

Strictly causal: the expectation of an hour never changes when later hours arrive. `detect` gives
hours in time order to `expect`, evaluates them, then gives them to `learn`; `count_models` has the
arithmetic. Numbers below were tuned with benchmarks/labelled_weeks.py, on seeds below its SEED.

    model = Expectations(signals)
    if model.expect(at):                       # False: too little history
        totals = model.window_totals(at, 3)
        totals.seen[ORDERS], totals.expected[ORDERS]
    model.learn(at, good=True)
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

_MIN_RESIDUALS = 48
"""Residuals needed to estimate a shop's own overdispersion: two days of hours. With fewer, the 95th
percentile is one or two hours."""

_PRIOR_DISPERSION = {"count": 0.09, "rate": 0.03}
"""Until then: a demand that varies by 30 % (0.09 = 0.3 squared), and hits correlated by 3 %. Wide,
so that a new shop gets few false flags."""

_MIN_DISPERSION = {"count": 0.005, "rate": 0.005}
"""However steady the past was: a demand that varies by 7 %. Five weeks do not contain every kind of
hour, and a pure Poisson interval of a large shop would be a few per cent wide."""

_MIN_MEAN_COUNT = 3.0
"""Orders: below that, squared residuals are so skewed that they say nothing about
overdispersion."""

_MIN_VARIANCE = 2.0
"""Hits squared, as `n * rate * (1 - rate)`: the same for rates near 0 or 1."""

_EFFECTIVE_SAMPLES = 3
"""What four or five same hours are worth when a rate is estimated: they are correlated."""

_PRIOR_WEIGHT = 60.0
"""Orders of the overall rate that are mixed into the rate of the same hours. With two orders an
hour the own rate rests on six orders alone and could not be told from chance."""

_PLAUSIBLE = 0.01
"""A probability above this, at the smallest overdispersion, is far from any significance used here,
so the shop's own overdispersion (slower to estimate, and never smaller) is not needed."""

MIN_EXPECTED_VISITS = 5.0
"""Visits: below that, or below half the expected orders, their number says nothing about orders.
Five is where no visit at all has a probability under 1 % (`exp(-5)`)."""


class WindowTotals(NamedTuple):
    """Each signal summed over the window that ends with an hour: what was seen, what expected."""

    hours: int
    seen: Floats
    expected: Floats


@dataclass(slots=True)
class _RunningTotals:
    seen: Floats
    expected: Floats


class Expectations:
    """Each signal's expectation per hour, and how far windows of hours scatter around it.

    Rows of every array are VISITS, ORDERS, SENDABLE, MATCHED, KEYED, then one per match key
    (`keys` gives its row); columns are hours from `signals.start` on. `sendable` orders can carry
    match keys; KEYED are those of hours in which match keys were counted.
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
        self.start = 0  # hours before are not learned from
        self._totals_start = 0  # expectations before are those of before the change
        shape = (len(self.seen), len(signals) + 1)
        self._totals = _RunningTotals(np.zeros(shape), np.zeros(shape))
        self._learned = np.zeros(shape)
        self._overdispersion: dict[tuple[int, int, int, int], float] = {}

    def expect(self, at: int) -> bool:
        """Computes what hour `at` should hold; False if there is too little to learn from."""
        compared = count_models.same_hours(at, self.start, self.learnable)
        has_expectation = len(compared) > 0 and not np.isnan(self.seen[ORDERS, at])
        if has_expectation:
            self.expected[:, at] = count_models.location(self.seen[:, compared])
            self.weekday_known[at] = compared.max() <= at - count_models.WEEK + 1
        usable = ~np.isnan(self.seen[:, at] + self.expected[:, at])
        totals = self._totals
        for running, values in ((totals.seen, self.seen), (totals.expected, self.expected)):
            running[:, at + 1] = running[:, at] + np.where(usable, values[:, at], 0.0)
        return has_expectation

    def learn(self, at: int, good: bool) -> None:
        """Records whether hour `at` may be learned from."""
        self.learnable[at] = good
        seen = np.nan_to_num(self.seen[:, at]) if good else 0.0
        self._learned[:, at + 1] = self._learned[:, at] + seen

    def restart(self, at: int, good: Flags) -> None:
        """Forgets what came before `at`; of the hours since, `good` ones are learned from."""
        self.start, self._totals_start = at, at + len(good)
        self._overdispersion.clear()
        for position, is_good in enumerate(good, at):
            self.learn(position, bool(is_good))

    def window_totals(self, at: int, hours: int) -> WindowTotals:
        """The last `hours` hours up to and including `at`, as far as they have an expectation."""
        first = min(max(at + 1 - hours, self._totals_start), at + 1)
        totals = self._totals
        return WindowTotals(
            hours,
            totals.seen[:, at + 1] - totals.seen[:, first],
            totals.expected[:, at + 1] - totals.expected[:, first],
        )

    def suffix_totals(self, at: int, hours: int) -> WindowTotals:
        """The totals of the last 1, 2, ... `hours` hours, as columns."""
        firsts = np.arange(at, max(at - hours, self._totals_start - 1), -1)
        totals, last = self._totals, at + 1
        return WindowTotals(
            hours,
            totals.seen[:, [last]] - totals.seen[:, firsts],
            totals.expected[:, [last]] - totals.expected[:, firsts],
        )

    def count_overdispersion(self, at: int, hours: int) -> float:
        """How much the orders of such windows vary around the number that their visits suggest."""
        key = (ORDERS, VISITS, hours, at // count_models.DAY)
        if key not in self._overdispersion:
            seen, expected = self._past(at, hours)
            mean = expected[ORDERS] * np.where(
                visits_are_informative(expected),
                seen[VISITS] / np.maximum(expected[VISITS], 1e-9),
                1.0,
            )
            use = mean >= _MIN_MEAN_COUNT
            squares = (seen[ORDERS] - mean) ** 2
            self._overdispersion[key] = _fit("count", squares[use], mean[use], (mean**2)[use])
        return self._overdispersion[key]

    def rate(self, at: int, window: WindowTotals, hits: int, trials: int) -> float:
        """The expected share of `hits` (a row) in `trials`, shrunk towards that of all hours.

        A handful of same hours has too few orders for a share of its own.
        """
        overall = self._overall_rate(at, hits, trials)
        own = window.expected[hits] * _EFFECTIVE_SAMPLES
        of = window.expected[trials] * _EFFECTIVE_SAMPLES
        return float(
            min(own + overall * _PRIOR_WEIGHT, of + _PRIOR_WEIGHT - 0.5) / (of + _PRIOR_WEIGHT)
        )

    def rate_p_value(self, at: int, window: WindowTotals, hits: int, trials: int) -> float:
        """The probability that a good window has so few `hits`, or fewer."""
        rate = self.rate(at, window, hits, trials)
        # The rate is itself an estimate, from so many orders.
        uncertainty = 1.0 / (window.expected[trials] * _EFFECTIVE_SAMPLES + _PRIOR_WEIGHT)
        seen, of = window.seen[hits], window.seen[trials]
        smallest = count_models.hits_at_most(seen, of, rate, _MIN_DISPERSION["rate"] + uncertainty)
        if smallest > _PLAUSIBLE:
            return smallest
        overdispersion = self._rate_overdispersion(at, window.hours, hits, trials)
        return count_models.hits_at_most(seen, of, rate, overdispersion + uncertainty)

    def _overall_rate(self, at: int, hits: int, trials: int) -> float:
        since = max(at - count_models.WEEK * count_models.WEEKS, self.start)
        hit, of = (self._learned[row, at] - self._learned[row, since] for row in (hits, trials))
        return float((hit + 0.5) / (of + 1.0))

    def _rate_overdispersion(self, at: int, hours: int, hits: int, trials: int) -> float:
        key = (hits, trials, hours, at // count_models.DAY)
        if key not in self._overdispersion:
            seen, expected = self._past(at, hours)
            of = expected[trials] * _EFFECTIVE_SAMPLES + _PRIOR_WEIGHT
            overall = self._overall_rate(at, hits, trials)
            rate = (expected[hits] * _EFFECTIVE_SAMPLES + overall * _PRIOR_WEIGHT) / of
            n = seen[trials]
            variance = n * rate * (1.0 - rate)
            use = variance >= _MIN_VARIANCE
            squares = (seen[hits] - n * rate) ** 2
            quadratic = variance * (n - 1.0)
            self._overdispersion[key] = _fit("rate", squares[use], variance[use], quadratic[use])
        return self._overdispersion[key]

    def _past(self, at: int, hours: int) -> tuple[Floats, Floats]:
        """The totals of all windows of `hours` hours that ended with a good hour, as columns."""
        first = max(at - count_models.WEEK * count_models.WEEKS, self._totals_start + hours)
        ends = np.flatnonzero(self.learnable[:at]) + 1
        ends = ends[ends >= first]
        totals = self._totals
        return totals.seen[:, ends] - totals.seen[:, ends - hours], (
            totals.expected[:, ends] - totals.expected[:, ends - hours]
        )


def visits_are_informative(expected: Floats) -> Flags:
    """Whether so many visits are expected that their number says something about the orders."""
    minimum = np.maximum(MIN_EXPECTED_VISITS, 0.5 * expected[ORDERS])
    informative: Flags = expected[VISITS] >= minimum
    return informative


def _fit(kind: str, squares: Floats, sampling: Floats, quadratic: Floats) -> float:
    if len(squares) < _MIN_RESIDUALS:
        return _PRIOR_DISPERSION[kind]
    return count_models.overdispersion(squares, sampling, quadratic, _MIN_DISPERSION[kind])
