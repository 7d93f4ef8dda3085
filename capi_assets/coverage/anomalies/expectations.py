"""What each signal of each stream should have been, hour by hour, learned from the good hours
before it.

Strictly causal: the expectation of an hour never changes when later hours arrive. `detect` gives
hours in time order to `expect`, evaluates them, then gives them to `learn`. `count_models` has the
arithmetic, `demand` what visits suggest. Numbers were tuned with benchmarks/labelled_weeks.py, on
seeds below its SEED.

    model = Expectations(signals)
    if model.expect(at):                       # False: too little history
        totals = model.totals(stream, at + 1, hours=3)
        totals.seen[ORDERS], totals.expected[ORDERS]
    model.learn(at, good=True, anomalous={})
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, WEEKS, Flags, Floats, Positions
from capi_assets.coverage.anomalies.demand import (
    MAX_RATIO,
    demand,
    ratio,
    visits_are_informative,
)
from capi_assets.coverage.anomalies.hour_signals import (
    MATCHED,
    ORDERS,
    SENDABLE,
    VISITS,
    HourSignals,
)

MIN_STREAM_ORDERS = 50
"""Orders of the last five weeks from which a stream is judged by itself: with fewer, a week's
silence could be chance."""

_MIN_RESIDUALS = 48
"""Residuals needed to estimate a shop's own overdispersion: two days of hours. With fewer, the 95th
percentile is one or two hours."""

_MIN_SAME_HOURS = 14
"""The same for one hour of the day: two weeks."""

_HOUR_OF_DAY_WINDOW = 3
"""Hours: windows up to this length also have the spread of their own hour of the day, since a
nightly batch varies more than the hours around it."""

_PRIOR_DISPERSION = {"count": 0.09, "rate": 0.03}
"""Until then: a demand that varies by 30 % (0.09 = 0.3 squared), and hits correlated by 3 %. Wide,
so that a new shop gets few false flags."""

MIN_DISPERSION = {"count": 0.005, "rate": 0.005}
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


_DEMAND = slice(max(VISITS, ORDERS) + 1)
"""The signals that tell of demand, which is asked for many windows."""

_MIN_MATCHED = 0.1
"""Share of a stream's orders with a visit: with fewer its orders come another way, such as from
stores, and visits say nothing about them."""
WEBSITE = "website"
"""The action source whose orders come from visits."""


class Totals(NamedTuple):
    """Signals summed over windows, what was seen and what expected; the last axis is the signal."""

    seen: Floats
    expected: Floats


class _Running:
    """Sums up to each hour, from which the sum of any window is one subtraction."""

    def __init__(self, streams: int, hours: int, *signals: int) -> None:
        # All numbers of an hour are side by side, since windows are read with all of them.
        self._by_hour = np.zeros((hours, streams, *signals))
        self.sums = np.moveaxis(self._by_hour, 0, -1)

    def add(self, at: int, values: Floats) -> None:
        self.sums[..., at + 1] = self.sums[..., at] + values

    def between(
        self,
        streams: Positions | int,
        first: Positions | int,
        end: Positions | int,
        signals: slice = slice(None),
    ) -> Floats:
        by_hour = self._by_hour[..., signals] if self._by_hour.ndim > 2 else self._by_hour
        total: Floats = by_hour[end, streams] - by_hour[first, streams]
        return total


class Expectations:
    """Each signal's expectation per stream and hour, and how far windows scatter around it.

    Arrays have the axes of `HourSignals.counts`. Windows are given by stream, end (the position
    after their last hour) and length in hours, each a number or an array; all three broadcast.
    """

    def __init__(self, signals: HourSignals) -> None:
        self.seen = signals.counts.copy(order="K")
        # What is learned from: there an anomalous hour counts as it should have been.
        self.usual = signals.counts.copy(order="K")
        self.expected = np.full_like(self.seen, np.nan)
        streams, rows, hours = self.seen.shape
        self.learnable: Flags = np.zeros(hours, dtype=bool)
        self.weekday_known: Flags = np.zeros(hours, dtype=bool)
        self.compared: Positions = np.zeros(0, dtype=np.intp)
        self._streams = signals.streams
        families = {stream.parent: n for n, stream in enumerate(signals.streams)}
        self._family = np.array([families[stream.parent] for stream in signals.streams])
        self._tracked: Flags = np.ones(streams, dtype=bool)
        self._unassigned, self._above = signals.unassigned, signals.above
        self._since = np.zeros(streams, dtype=np.intp)  # totals before are of the shop as it was
        self._seen, self._expected = (
            _Running(streams, hours + 1, rows),
            _Running(streams, hours + 1, rows),
        )
        self._learned = _Running(streams, hours + 1, rows)
        self._sold, self._promised, self._surged = (_Running(streams, hours + 1) for _ in range(3))
        self._overdispersion: dict[tuple[int, ...], float] = {}
        self._asked: dict[tuple[int, ...], tuple[int, Flags]] = {}

    def expect(self, at: int) -> bool:
        """Computes what hour `at` should hold; False if there is too little to learn from."""
        self.compared = count_models.same_hours(at, self.learnable)
        has_expectation = len(self.compared) > 0 and not np.isnan(self.seen[0, ORDERS, at])
        if has_expectation:
            expected = count_models.location(self.usual[:, :, self.compared])
            self.expected[:, :, at] = expected
            self.weekday_known[at] = self.compared.max() <= at - WEEK + 1
            # Orders whose stream could not be read belong to the streams as is usual.
            share = ratio(expected[:, ORDERS], expected[self._above, ORDERS], 0.0)
            self.seen[:, ORDERS, at] += self._unassigned[:, at] * share
            self.usual[:, ORDERS, at] = self.seen[:, ORDERS, at]
        usable = ~np.isnan(self.seen[:, :, at] + self.expected[:, :, at])
        self._seen.add(at, np.where(usable, self.seen[:, :, at], 0.0))
        self._expected.add(at, np.where(usable, self.expected[:, :, at], 0.0))
        return has_expectation

    def learn(self, at: int, good: bool, anomalous: Collection[int]) -> None:
        """Records whether hour `at` may be learned from, and the streams that were anomalous."""
        self.learnable[at] = good
        if at % DAY == 0:
            self._tracked = self._follow_visits(at)
        odd = list(anomalous)
        self.usual[odd, :, at] = self.expected[odd, :, at]
        self._learned.add(at, np.nan_to_num(self.usual[:, :, at]) * good)
        expected = self.expected[:, :, at]
        share = ratio(self.seen[:, VISITS, at], expected[:, VISITS])
        surge = (share > MAX_RATIO) & self.informative(np.arange(len(share)), expected) & good
        surge[odd] = False
        self._sold.add(at, np.where(surge, self.seen[:, ORDERS, at], 0.0))
        self._promised.add(at, np.where(surge, expected[:, ORDERS] * share, 0.0))
        self._surged.add(at, np.where(surge, expected[:, ORDERS], 0.0))

    def restart(self, stream: int, at: int) -> None:
        """Lets the week before `at` stand for the weeks before it: the stream has changed."""
        first = at - WEEK
        week = self.seen[stream, :, first:at]
        smooth = (np.roll(week, 1, axis=1) + week + np.roll(week, -1, axis=1)) / 3.0
        for weeks in range(WEEKS):
            start = first - weeks * WEEK
            if start >= 0:
                self.usual[stream, :, start : start + WEEK] = smooth
        self._since[stream] = at
        learned = np.nan_to_num(self.usual[stream]) * self.learnable
        self._learned.sums[stream, :, 1:] = np.cumsum(learned, axis=1)
        self._overdispersion = {k: g for k, g in self._overdispersion.items() if k[0] != stream}
        self._asked = {k: hour for k, hour in self._asked.items() if k[0] != stream}

    def _follow_visits(self, at: int) -> Flags:
        """The streams whose orders come from visits: those of the website, and where orders match
        visits at all, those that do."""
        learned = self._learned.sums[:, :, at] - self._learned.sums[:, :, _since(at)]
        share = ratio(learned[:, MATCHED], learned[:, SENDABLE], 0.0)
        by_name = np.array([s.action_source == WEBSITE for s in self._streams])
        by_match = (share >= _MIN_MATCHED) | (share[0] < _MIN_MATCHED)
        sources = np.array([bool(s.action_source) for s in self._streams])
        follows: Flags = np.where(sources, by_name, by_match)
        return follows

    def active(self, at: int) -> Flags:
        """The streams that have had enough orders to be judged by themselves."""
        had = self._learned.sums[:, ORDERS, at] - self._learned.sums[:, ORDERS, _since(at)]
        enough: Flags = had >= MIN_STREAM_ORDERS
        return enough

    def has_sibling(self, active: Flags) -> Flags:
        """The streams whose parent has another active part; what there is to say about the others
        is said of their parent."""
        parts = self._family[1:][active[1:]]
        several: Flags = np.bincount(parts, minlength=len(self._family))[self._family] >= 2
        return several

    def totals(
        self,
        streams: Positions | int,
        ends: Positions | int,
        hours: Positions | int,
        signals: slice = slice(None),
    ) -> Totals:
        """The windows' totals, as far as their hours have an expectation."""
        firsts = np.minimum(np.maximum(ends - hours, self._since[streams]), ends)
        firsts = np.maximum(firsts, 0)
        return Totals(
            self._seen.between(streams, firsts, ends, signals),
            self._expected.between(streams, firsts, ends, signals),
        )

    def demand(
        self,
        streams: Positions | int,
        ends: Positions | int,
        hours: Positions | int,
        *,
        cautious: bool = True,
        tracked: Flags | None = None,
    ) -> Floats:
        """The share of the usual orders that the windows' visits suggest, see `demand`."""
        seen, expected = self.totals(streams, ends, hours, _DEMAND)
        starts = np.maximum(ends - hours, 0)
        before = self.totals(streams, starts, 3 * DAY, _DEMAND)
        level = np.where(
            visits_are_informative(before.expected),
            ratio(before.seen[..., VISITS], before.expected[..., VISITS]),
            1.0,
        )
        day = np.maximum(starts - DAY, 0)
        surge = (
            self._sold.between(streams, day, starts),
            self._promised.between(streams, day, starts),
            self._surged.between(streams, day, starts),
        )
        whole = self.totals(0, ends, hours, _DEMAND)
        rest = (
            whole.seen[..., ORDERS] - seen[..., ORDERS],
            whole.expected[..., ORDERS] - expected[..., ORDERS],
        )
        informative = self.informative(streams, expected, tracked)
        return demand(seen, expected, level, surge, rest, informative, cautious=cautious)

    def informative(
        self, streams: Positions | int, expected: Floats, tracked: Flags | None = None
    ) -> Flags:
        """Whether the visits of windows say something about the orders of their streams; `tracked`:
        those whose orders come from visits, if it is not as of now."""
        follows = (self._tracked if tracked is None else tracked)[streams]
        informative: Flags = visits_are_informative(expected) & follows
        return informative

    def count_overdispersion(self, stream: int, at: int, hours: int) -> Callable[[], float]:
        """How much the orders of such windows vary around the number that their visits suggest.

        Once a day, as of the hour that first asks; it takes time, and only when it is called.
        """
        of_day = at % DAY if hours <= _HOUR_OF_DAY_WINDOW else -1
        key = (stream, ORDERS, hours, at // DAY, of_day)
        self._asked.setdefault(key, (at, self._tracked))
        return partial(self._learned_once, key, self._count_overdispersion)

    def _learned_once(
        self, key: tuple[int, ...], learn: Callable[[tuple[int, ...], int, Flags], float]
    ) -> float:
        if key not in self._overdispersion:
            self._overdispersion[key] = learn(key, *self._asked[key])
        return self._overdispersion[key]

    def _count_overdispersion(self, key: tuple[int, ...], at: int, tracked: Flags) -> float:
        stream, _, hours, _, of_day = key
        ends = self._past(stream, at, hours)
        seen, expected = self.totals(stream, ends, hours, _DEMAND)
        demand = self.demand(stream, ends, hours, cautious=False, tracked=tracked)
        mean = expected[:, ORDERS] * demand
        squares = (seen[:, ORDERS] - mean) ** 2
        use = mean >= _MIN_MEAN_COUNT
        found = _fit("count", _MIN_RESIDUALS, squares[use], mean[use], (mean**2)[use])
        same = use & ((ends - 1) % DAY == of_day)
        if same.sum() >= _MIN_SAME_HOURS:
            own = _fit("count", _MIN_SAME_HOURS, squares[same], mean[same], (mean**2)[same])
            found = max(found, own)
        return found

    def rates(
        self, at: int, totals: Totals, hits: Positions, trials: Positions, stream: int | None = None
    ) -> tuple[Floats, Floats]:
        """The expected shares of `hits` in `trials` (rows), and how many orders they rest on.

        Shrunk towards the share of all hours: a handful of same hours has too few orders for a
        share of its own. The axes are those of `totals`, with the pairs of rows as the last; the
        first are the streams from the first on, unless it is windows of one `stream`.
        """
        of = totals.expected[..., trials] * _EFFECTIVE_SAMPLES + _PRIOR_WEIGHT
        if stream is None:
            streams = np.arange(len(totals.expected))
            overall = self._overall_rates(at, streams, hits, trials)[:, None, :]
        else:
            overall = self._overall_rates(at, np.array([stream]), hits, trials)
        own = totals.expected[..., hits] * _EFFECTIVE_SAMPLES
        return np.minimum(own + overall * _PRIOR_WEIGHT, of - 0.5) / of, of

    def _overall_rates(
        self, at: int, streams: Positions | int, hits: Positions, trials: Positions
    ) -> Floats:
        learned = self._learned.between(streams, _since(at), at)
        return (learned[..., hits] + 0.5) / (learned[..., trials] + 1.0)

    def rate_overdispersion(
        self, stream: int, at: int, hours: int, hits: int, trials: int
    ) -> Callable[[], float]:
        """How much the share of `hits` in `trials` varies between such windows; likewise."""
        key = (stream, hits, trials, hours, at // DAY)
        self._asked.setdefault(key, (at, self._tracked))
        return partial(self._learned_once, key, self._rate_overdispersion)

    def _rate_overdispersion(self, key: tuple[int, ...], at: int, tracked: Flags) -> float:
        stream, hits, trials, hours, _ = key
        past = self.totals(stream, self._past(stream, at, hours), hours)
        pair = np.array([hits]), np.array([trials])
        rate = self.rates(at, past, *pair, stream=stream)[0][..., 0].ravel()
        n = past.seen[:, trials]
        variance = n * rate * (1.0 - rate)
        use = variance >= _MIN_VARIANCE
        squares = (past.seen[:, hits] - n * rate) ** 2
        quadratic = variance * (n - 1.0)
        return _fit("rate", _MIN_RESIDUALS, squares[use], variance[use], quadratic[use])

    def _past(self, stream: int, at: int, hours: int) -> Positions:
        """The ends of all windows of `hours` hours that ended with a good hour."""
        first = max(at - WEEK * WEEKS, int(self._since[stream]) + hours)
        ends = np.flatnonzero(self.learnable[:at]) + 1
        return ends[ends >= first]


def _since(at: int) -> int:
    return max(at - WEEK * WEEKS, 0)


def _fit(kind: str, least: int, squares: Floats, sampling: Floats, quadratic: Floats) -> float:
    if len(squares) < least:
        return _PRIOR_DISPERSION[kind]
    return count_models.overdispersion(squares, sampling, quadratic, MIN_DISPERSION[kind])
