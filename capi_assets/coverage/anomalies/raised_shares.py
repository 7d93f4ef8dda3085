"""Shares of orders that are far above usual, per series and hour: without consent, doubled, free.

A day is compared with the good hours of the five weeks before it: the share of the same hour of the
week, drawn towards that of the same hour of all days and of all hours. Strictly causal. Windows of
one hour to a week that end with the hour are tested (beta-binomial); earlier hours of a window
count only while the latest look like them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Interval
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, WEEKS, Flags, Floats, Positions

WINDOWS = (1, 2, 3, 6, DAY, 3 * DAY, WEEK)
"""Hours: the smaller the shop, the longer the window that it needs."""
SIGNIFICANCE = 1e-5
"""The largest probability, at the usual share, of all series of a signal together. Smaller than in
detect.py: what is looked for here is a broken column, and moves most orders of an hour."""
MEMORY = WEEKS * WEEK
MIN_HOURS, MIN_ORDERS = 5 * DAY, 100
"""Needed for a usual share, as in refusal_rate.py."""

_EFFECTIVE = 0.6
"""What an order of the same hours is worth: five weeks count as three, as they are correlated."""
_PRIOR_WEIGHT = 60.0
"""Orders of the broader share that are mixed into that of the same hours, as in expectations.py."""
_CORRELATION, _PRIOR_CORRELATION = 0.005, 0.03
"""Of two orders of a window: at least, and until the own past tells, as in expectations.py."""
_MIN_RESIDUALS, _MIN_VARIANCE = 48, 2.0  # as in expectations.py
_CERTAIN_SHARE = 0.98
"""A share under the fault is kept off 1, where one good order would decide the likelihood ratio."""
RECOVERY_LOG_RATIO = 1.0
"""Log-likelihood ratio from which the latest hours are back to usual, as in refusal_rate.py."""
_LASTING = 1 / 3
"""Of a day's hours with orders: more are raised while a change lasts, even in a small shop, and
fewer on a day on which it begins or ends late."""
ACCEPTED_AFTER = 4 * WEEK
"""Hours: nothing is sent without consent, and copies are money, so nothing may hide them soon. A
person who has left them alone for four weeks has accepted them; Meta takes those orders no more."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A series whose share is raised in the window of `hours` that ends with position `at`.

    Attributes:
        hits, trials: seen in the window.
        usual: the usual share, and the range of 19 of 20 such windows.
        excess: hits above usual in the hour itself, and the range.
        learned: positions of the hours that the share was learned from, of the same hour of day.
    """

    row: int
    at: int
    hours: int
    hits: float
    trials: float
    usual: Interval
    excess: Interval
    learned: Positions


Confirm = Callable[[int, slice, float], bool]
"""Whether other evidence allows it; of row, window and excess hits."""


@dataclass(slots=True)
class _Past:
    """Running totals of hits, trials and expected hits, of the hours that have a usual share."""

    hits: Floats
    trials: Floats
    expected: Floats


def raised_shares(
    hits: Floats,
    trials: Floats,
    known: Flags,
    *,
    least: float,
    accepted_after: int = ACCEPTED_AFTER,
    confirm: Confirm = lambda row, window, excess: True,
) -> Iterator[Raised]:
    """The hours in which `hits` of `trials` (a row per series, from midnight UTC on) are far above
    usual, by at least the share `least`, day by day.

    A raised hour is not learned from; a change that lasts for `accepted_after` hours is.
    """
    limit = SIGNIFICANCE / max(len(hits), 1)
    trials = np.where(known, trials, 0.0)
    hits = np.minimum(hits, trials)
    # Most signals are 0 in most series, and those are never raised.
    series = np.flatnonzero(hits.any(axis=1))
    if not len(series):
        return
    hits, trials = hits[series], trials[series]
    rows, size = hits.shape
    good = np.tile(known, (rows, 1))
    past = _Past(*(np.zeros((rows, size + 1)) for _ in range(3)))
    for day in range(size // DAY):
        first = day * DAY
        accept_lasting(good, known, trials > 0, first, accepted_after)
        usual, weight = _usual(hits, trials, good, first)
        today = slice(first, first + DAY)
        judged = ~np.isnan(usual) & known[today]
        for total, values in (
            (past.hits, hits[:, today]),
            (past.trials, trials[:, today]),
            (past.expected, np.nan_to_num(usual) * trials[:, today]),
        ):
            total[:, first + 1 : first + DAY + 1] = total[:, [first]] + np.cumsum(
                np.where(judged, values, 0.0), axis=1
            )
        judged &= hits[:, today] > np.nan_to_num(usual) * trials[:, today]
        correlations: dict[tuple[int, int], float] = {}
        for hours in WINDOWS:
            for row, hour in np.argwhere(judged & _suspicious(past, first, hours, least)):
                at = first + int(hour)
                since = max(at + 1 - hours, 0)
                window = _Window(past, int(row), since, at + 1)
                uncertainty = 1.0 / weight[row, hour]
                if window.p_value(_CORRELATION + uncertainty) >= limit:
                    continue
                key = (int(row), hours)
                if key not in correlations:
                    correlations[key] = _correlation(past, good, int(row), first, hours)
                correlation = correlations[key] + uncertainty
                if (
                    window.p_value(correlation) >= limit
                    or not confirm(
                        int(series[row]), slice(since, at + 1), window.hits - window.expected
                    )
                    or window.is_over()
                ):
                    continue
                judged[row, hour], good[row, at] = False, False
                own = Interval(
                    *(
                        trials[row, at] * s
                        for s in _range(usual[row, hour], trials[row, at], correlation)
                    )
                )
                seen = hits[row, at]
                same_hours = np.arange(at - DAY, max(at - MEMORY, 0) - 1, -DAY)
                yield Raised(
                    int(series[row]),
                    at,
                    hours,
                    window.hits,
                    window.trials,
                    _range(window.expected / window.trials, window.trials, correlation),
                    Interval(
                        max(seen - own.high, 0.0), seen - own.expected, min(seen - own.low, seen)
                    ),
                    same_hours[good[row, same_hours]],
                )


def running(values: Floats) -> Floats:
    """Running totals along each row, from 0."""
    totals: Floats = np.concatenate((np.zeros((len(values), 1)), np.cumsum(values, axis=1)), axis=1)
    return totals


def accept_lasting(good: Flags, known: Flags, active: Flags, first: int, after: int) -> None:
    """Learns again, from the last week alone, in rows where every day of the last `after` hours had
    orders that were not as usual. `active` are the hours with orders, `good` those as usual."""
    if first < after:
        return
    period = slice(first - after, first)
    of = (active & known)[:, period].reshape(len(good), -1, DAY)
    raised = (of & ~good[:, period].reshape(of.shape)).sum(axis=2)
    lasting = (raised >= _LASTING * of.sum(axis=2)).all(axis=1) & raised.any(axis=1)
    for row in np.flatnonzero(lasting):
        good[row, : first - WEEK] = False
        good[row, first - WEEK : first] = (active & known)[row, first - WEEK : first]


def _usual(hits: Floats, trials: Floats, good: Flags, first: int) -> tuple[Floats, Floats]:
    """The usual share of each hour of a day (NaN: not known), and the orders that it rests on."""
    past = slice(max(first - MEMORY, 0), first)
    rows = len(hits)
    hit, of = (
        np.where(good[:, past], values[:, past], 0.0).reshape(rows, -1, DAY)
        for values in (hits, trials)
    )
    orders = of.sum(axis=(1, 2))
    enough = (good[:, past].sum(axis=1) >= MIN_HOURS) & (orders >= MIN_ORDERS)
    share = np.tile(((hit.sum(axis=(1, 2)) + 0.5) / (orders + 1.0))[:, None], (1, DAY))
    for days in (slice(None), slice(-7, None, -7)):  # all days, then the same weekday
        own = (_EFFECTIVE * values[:, days].sum(axis=1) for values in (hit, of))
        own_hits, own_of = own
        share = (own_hits + _PRIOR_WEIGHT * share) / (own_of + _PRIOR_WEIGHT)
    weight = _EFFECTIVE * of.sum(axis=1) + _PRIOR_WEIGHT
    return np.where(enough[:, None], share, np.nan), weight


def _suspicious(past: _Past, first: int, hours: int, least: float) -> Flags:
    """The hours of a day whose window is raised enough for the exact test."""
    ends = np.arange(first + 1, first + DAY + 1)
    firsts = np.maximum(ends - hours, 0)
    seen, of, expected = (
        total[:, ends] - total[:, firsts] for total in (past.hits, past.trials, past.expected)
    )
    suspicious: Flags = (seen >= 2) & (seen - expected >= least * of)
    return suspicious


@dataclass(frozen=True, slots=True)
class _Window:
    past: _Past
    row: int
    first: int
    end: int

    def _sum(self, total: Floats, first: int | Positions | None = None) -> Floats:
        since = total[self.row, self.first if first is None else first]
        return total[self.row, self.end] - since  # type: ignore[no-any-return]

    @property
    def hits(self) -> float:
        return float(self._sum(self.past.hits))

    @property
    def trials(self) -> float:
        return float(self._sum(self.past.trials))

    @property
    def expected(self) -> float:
        return float(self._sum(self.past.expected))

    def p_value(self, correlation: float) -> float:
        rate = self.expected / self.trials
        return count_models.hits_at_least(self.hits, self.trials, rate, correlation)

    def is_over(self) -> bool:
        """Whether the latest hours look usual again rather than like those before them."""
        firsts = np.arange(self.first + 1, self.end)
        latest, of, expected = (
            self._sum(total, firsts)
            for total in (self.past.hits, self.past.trials, self.past.expected)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = expected / of
            raised = np.clip((self.hits - latest) / (self.trials - of), usual, _CERTAIN_SHARE)
            ratio = latest * np.log(usual / raised)
            ratio += (of - latest) * np.log((1.0 - usual) / (1.0 - raised))
        return bool(np.any(ratio > RECOVERY_LOG_RATIO))


def _correlation(past: _Past, good: Flags, row: int, first: int, hours: int) -> float:
    """How much windows of so many hours varied around their usual share, as a correlation."""
    ends = np.flatnonzero(good[row, :first]) + 1
    ends = ends[ends >= max(first - MEMORY, 0) + hours]
    seen, of, expected = (
        total[row, ends] - total[row, ends - hours]
        for total in (past.hits, past.trials, past.expected)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.nan_to_num(expected * (1.0 - expected / of))
    use = variance >= _MIN_VARIANCE
    if use.sum() < _MIN_RESIDUALS:
        return _PRIOR_CORRELATION
    variance = variance[use]
    squares = (seen - expected)[use] ** 2
    quadratic = variance * (of[use] - 1.0)
    return count_models.overdispersion(squares, variance, quadratic, _CORRELATION)


def _range(share: float, trials: float, correlation: float) -> Interval:
    """A share, and the range of 19 of 20 such windows: shown to people, decides nothing."""
    variance = share * (1.0 - share) * (1.0 + (trials - 1.0) * correlation) / max(trials, 1.0)
    reach = 1.96 * float(np.sqrt(variance))
    return Interval(max(share - reach, 0.0), float(share), min(share + reach, 1.0))
