"""Robust averages, and the tail probabilities of counts and rates that vary more than by chance.

Arithmetic only: `expectations` decides what is compared, `detect` what a difference means. The
tails are exact (negative binomial, beta-binomial), not normal approximations, so they hold for
three orders as well as for three hundred:

    count_at_most(0, mean=5.0, overdispersion=0.02)  # P(no order where 5 are expected) = 0.0085
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]

DAY, WEEK = 24, 168
WEEKS = 5
"""Weeks of history that an hour is compared with. Five same hours outvote two bad ones in a median;
a longer memory would lag behind the season."""

# How many comparable hours are needed; the fewer, the coarser the comparison.
_MIN_SAME_HOURS = 4  # same hours of the week: enough for a median that ignores one bad week
_MIN_SAME_WEEKDAYS = 2  # else these hours and their neighbours: 2 weeks x 3 hours = 6 samples
_MIN_DAYS = 5  # else the same hour of the last 14 days; below 5 one weekend would decide

# Quantiles of chi-square with one degree of freedom, as (share, limit): half of all squared
# standardised residuals are below 0.4549, 95 % are below 3.8415 (1.96 squared).
_MEDIAN, _HIGH = (0.5, 0.4549), (0.95, 3.8415)

_DISPERSIONS = np.geomspace(1e-4, 1.0, 41)
"""Values tried by `overdispersion`, each a quarter larger than the one before: from Poisson (a
mean that varies by 1 %) to one that varies by 100 %. A finer grid changes no verdict."""


def location(samples: Floats) -> Floats:
    """A robust average along the last axis: the mean of samples clipped around their median.

    The mean, because the median of small counts is often zero. Clipped at two spreads (scaled MAD,
    never below that of a Poisson count), so that one sale or one unnoticed outage moves it little.
    """
    middle = median(samples)[..., None]
    deviation = median(np.abs(samples - middle))[..., None]
    # 1.4826 times it estimates the standard deviation of a normal sample.
    spread = np.maximum(1.4826 * deviation, np.sqrt(middle + 1.0))
    clipped = np.clip(samples, middle - 2.0 * spread, middle + 2.0 * spread)
    average: Floats = clipped.mean(axis=-1)
    return average


_FEW = 7
"""Samples up to which comparing them by pairs, each pair for all rows at once, is faster than
sorting each row."""


def median(samples: Floats) -> Floats:
    """As `np.median` along the last axis; in a fifth of the time where rows are many and short."""
    size = samples.shape[-1]
    if size <= _FEW:
        columns = [samples[..., place] for place in range(size)]
        for turn in range(size):
            for left in range(turn % 2, size - 1, 2):
                pair = columns[left], columns[left + 1]
                columns[left], columns[left + 1] = np.minimum(*pair), np.maximum(*pair)
    else:
        ordered = np.sort(samples, axis=-1)  # NaN last
        ordered[np.isnan(ordered[..., -1])] = np.nan
        columns = [ordered[..., place] for place in range(size)]
    middle: Floats = columns[size // 2]
    return middle if size % 2 else (columns[size // 2 - 1] + middle) / 2.0


def median_where(samples: Floats, used: Flags) -> Floats:
    """The median along the last axis of the samples that are `used`; NaN where none is."""
    count = used.sum(axis=-1, keepdims=True)
    ordered = np.sort(np.where(used, samples, np.inf), axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, samples.shape[-1] - 1)
    both = (np.take_along_axis(ordered, place, axis=-1) for place in (low, high))
    middle: Floats = np.where(count > 0, sum(both) / 2.0, np.nan)[..., 0]
    return middle


def same_hours(at: int, learnable: Flags) -> Positions:
    """Positions of the earlier hours that hour `at` is compared with; empty if there are too few.

    Args:
        at: the hour's position on an hourly grid.
        learnable: per position, whether it may be learned from.
    """
    weekly = _usable(at - WEEK * np.arange(1, WEEKS + 1), learnable)
    if len(weekly) >= _MIN_SAME_HOURS:
        return weekly
    if len(weekly) >= _MIN_SAME_WEEKDAYS:
        return _usable((weekly[:, None] + np.array([-1, 0, 1])).ravel(), learnable)
    daily = _usable(at - DAY * np.arange(1, 2 * 7 + 1), learnable)
    return daily if len(daily) >= _MIN_DAYS else daily[:0]


def _usable(positions: npt.NDArray[np.int64], learnable: Flags) -> Positions:
    inside = positions[positions >= 0]
    return inside[learnable[inside]].astype(np.intp)


def overdispersion(squares: Floats, sampling: Floats, quadratic: Floats, minimum: float) -> float:
    """How much more than by chance a shop's past residuals vary; at least `minimum`.

    The smallest g for which residuals with variance `sampling + g * quadratic` do not
    exceed the median and the 95th percentile of chi-square: the bulk must fit, and the tail too.
    """
    tried = _DISPERSIONS[np.searchsorted(_DISPERSIONS, minimum) :]

    # As `np.quantile` has it, whose generality took most of the time of a look of the sensor.
    at = np.array((_MEDIAN[0], _HIGH[0])) * (len(squares) - 1)
    low = np.floor(at).astype(np.intp)
    high = np.minimum(low + 1, len(squares) - 1)
    places = np.concatenate((low, high))

    def fits(g: float) -> bool:
        scaled = squares / (sampling + g * quadratic)
        ordered = np.partition(scaled, places)
        quantiles = ordered[low] + (ordered[high] - ordered[low]) * (at - low)
        return bool(quantiles[0] <= _MEDIAN[1] and quantiles[1] <= _HIGH[1])

    return float(tried[min(bisect_left(tried, True, key=fits), len(tried) - 1)])


def count_at_most(count: float, mean: float, overdispersion: float) -> float:
    """P(X <= count) of a count around `mean` with variance `mean + overdispersion * mean²`.

    Negative binomial: a Poisson count whose mean varies by a share of `sqrt(overdispersion)`.
    """
    if mean <= 0.0:
        return 1.0
    size = 1.0 / max(overdispersion, 1e-9)
    k = np.arange(int(count))
    steps = np.log(k + size) - np.log(k + 1.0) + np.log(mean / (size + mean))
    return _sum(size * np.log1p(-mean / (size + mean)), steps)


def count_at_least(count: float, mean: float, overdispersion: float) -> float:
    """P(X >= count) of the same count."""
    if count <= 0.0:
        return 1.0
    if mean <= 0.0:
        return 0.0
    return max(0.0, 1.0 - count_at_most(count - 1.0, mean, overdispersion))


def count_interval(mean: float, overdispersion: float) -> tuple[int, int]:
    """The range that holds 19 of 20 such counts, both ends included: shown to people, decides
    nothing."""
    reach = 1.96 * float(np.sqrt(mean + overdispersion * mean * mean))
    return max(0, int(np.floor(mean - reach))), int(np.ceil(mean + reach))


def hits_at_most(hits: float, trials: float, rate: float, overdispersion: float) -> float:
    """P(X <= hits) hits in `trials` at a hit rate around `rate`.

    Beta-binomial; `overdispersion` is the correlation of two trials: the variance is
    `trials * rate * (1 - rate) * (1 + (trials - 1) * overdispersion)`.
    """
    if hits >= trials:
        return 1.0
    if rate <= 0.0 or rate >= 1.0:
        return 1.0 if rate <= 0.0 else 0.0
    scale = 1.0 / min(max(overdispersion, 1e-6), 0.99) - 1.0
    a, b, n = rate * scale, (1.0 - rate) * scale, int(trials)
    i = np.arange(n)
    k = np.arange(int(hits))
    steps = np.log(n - k) - np.log(k + 1.0) + np.log(k + a) - np.log(n - k - 1.0 + b)
    return _sum(float(np.sum(np.log(b + i) - np.log(a + b + i))), steps)


def hits_at_least(hits: float, trials: float, rate: float, overdispersion: float) -> float:
    """P(X >= hits) of the same hits."""
    return hits_at_most(trials - hits, trials, 1.0 - rate, overdispersion)


def _sum(first: float, steps: Floats) -> float:
    """The sum of successive probabilities, from the log of the first and the log of each ratio."""
    logs = np.concatenate(([first], first + np.cumsum(steps)))
    return min(1.0, float(np.exp(logs).sum()))
