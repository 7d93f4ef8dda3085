"""What an hour usually holds, and how unlikely what it holds is: robust location and spread over
the same hour of the week, and intervals for counts and rates that stay true when both are small.

Only arithmetic. Which signals are compared, and what a difference means, is in unusual.py.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]

DAY, WEEK = 24, 168
WEEKS = 5
"""How many weeks back an hour is compared; a baseline never needs more hours than this."""

_SAME_HOURS = 4
"""So many same hours of the week stand for themselves; with fewer, their neighbours help."""
_SAME_WEEKDAYS = 2
"""With fewer, the same hour of the other days must do."""
_DAYS = 5
"""With fewer, there is no baseline."""

# Quantiles of chi-square with one degree of freedom: the share of squared residuals below them.
_MEDIAN, _HIGH = (0.5, 0.4549), (0.95, 3.8415)


def location(samples: Floats) -> Floats:
    """What such counts usually are, along the last axis: the median after one Huber step.

    The step towards the mean is for small counts, whose median is zero. No sample counts for more
    than two spreads (scaled MAD, never below that of a Poisson count) from the median, so that a
    sale or an outage that nobody noticed moves little.
    """
    middle = np.median(samples, axis=-1, keepdims=True)
    deviation = np.median(np.abs(samples - middle), axis=-1, keepdims=True)
    spread = np.maximum(1.4826 * deviation, np.sqrt(middle + 1.0))
    held: Floats = np.clip(samples, middle - 2.0 * spread, middle + 2.0 * spread).mean(axis=-1)
    return held


def same_hours(at: int, start: int, learnable: Flags) -> Positions:
    """The earlier hours that hour number `at` is compared with; empty if there are too few.

    Args:
        at: the hour's position on an hourly grid.
        start: the first position that may be used.
        learnable: per position, whether it may be learned from.
    """
    weekly = _usable(at - WEEK * np.arange(1, WEEKS + 1), start, learnable)
    if len(weekly) >= _SAME_HOURS:
        return weekly
    if len(weekly) >= _SAME_WEEKDAYS:
        return _usable((weekly[:, None] + np.array([-1, 0, 1])).ravel(), start, learnable)
    daily = _usable(at - DAY * np.arange(1, 2 * 7 + 1), start, learnable)
    return daily if len(daily) >= _DAYS else daily[:0]


def _usable(positions: npt.NDArray[np.int64], start: int, learnable: Flags) -> Positions:
    inside = positions[positions >= max(start, 0)]
    return inside[learnable[inside]].astype(np.intp)


def overdispersion(squares: Floats, sampling: Floats, quadratic: Floats, least: float) -> float:
    """How much more than by chance a shop's own past residuals vary; at least `least`.

    The smallest g under which residuals with variance `sampling + g * quadratic` have the median
    and the 95th percentile that they should: most hours may be clean, the tail must fit too.
    """
    for g in _STEPS[np.searchsorted(_STEPS, least) :]:
        scaled = squares / (sampling + g * quadratic)
        if all(np.quantile(scaled, share) <= limit for share, limit in (_MEDIAN, _HIGH)):
            return float(g)
    return float(_STEPS[-1])


_STEPS = np.geomspace(1e-4, 1.0, 41)


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
    """Where 19 of 20 such counts lie, both ends included."""
    reach = 1.96 * float(np.sqrt(mean + overdispersion * mean * mean))
    return max(0, int(np.floor(mean - reach))), int(np.ceil(mean + reach))


def hits_at_most(hits: float, trials: float, rate: float, overdispersion: float) -> float:
    """P(X <= hits) of `trials` that hit at `rate`, which itself varies.

    Beta-binomial; `excess` is the correlation of two trials: the variance is
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
    """P(X >= hits) of the same trials."""
    return hits_at_most(trials - hits, trials, 1.0 - rate, overdispersion)


def _sum(first: float, steps: Floats) -> float:
    """The sum of a run of probabilities, from the log of the first and the steps between them."""
    logs = np.concatenate(([first], first + np.cumsum(steps)))
    return min(1.0, float(np.exp(logs).sum()))
