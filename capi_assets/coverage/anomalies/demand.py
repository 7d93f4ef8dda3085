"""Demand: how many orders the visits that were seen suggest, as a share of the usual orders.

Fewer visits bring fewer orders, and a surge of visits brings as many more as it has brought so far.
Numbers were tuned on simulated weeks (benchmarks/labelled_weeks.py); quoted names are its kinds.
"""

from __future__ import annotations

import numpy as np

from capi_assets.coverage.anomalies.count_models import Flags, Floats
from capi_assets.coverage.anomalies.hour_signals import ORDERS, VISITS

MIN_EXPECTED_VISITS = 5.0
"""Visits: below that, or below half the expected orders, their number says nothing about orders.
Five is where no visit at all has a probability under 1 % (`exp(-5)`)."""

MIN_EXPECTED_REST = 30.0
"""Orders of the other streams: from so many on they tell a holiday from a stopped feed where visits
do not."""

WORST_NORMAL_SHARE = 1 / 3
"""What a very bad day leaves, where visits cannot tell: a "holiday" leaves 40 % of the orders."""

_LOW_TRAFFIC_SHARE = 0.5
"""Visits below this share of the last three days' level suggest no orders: the site may be down or
the shop closed ("shop closed for hours" keeps 30 %), and then there is nothing to deliver."""

_NORMAL_SHARE = 0.8
"""From this share of the usual visits on, orders follow visits in proportion. Below, they fall with
the cube: on a "holiday" 60 % of the visits make 40 % of the orders (the cube suggests 34 %)."""

MAX_RATIO = 1.25
"""Visits beyond this are a surge, and suggest no further orders by themselves: "bots" are six times
the visits and sell nothing. What the surge has sold so far, they suggest."""

_MAX_CONVERSION = 1.5
"""So many times the usual conversion is believed of a surge: a sale's."""

_SURGE_SPREAD = 0.1
"""What a surge's conversion may fall by, beside two standard errors of the orders it has sold: the
first hours of a sale convert best."""


def visits_are_informative(expected: Floats) -> Flags:
    """Whether so many visits are expected that their number says something about the orders.

    The last axis of `expected` are the signals of `hour_signals`.
    """
    minimum = np.maximum(MIN_EXPECTED_VISITS, 0.5 * expected[..., ORDERS])
    informative: Flags = expected[..., VISITS] >= minimum
    return informative


def ratio(seen: Floats, expected: Floats, otherwise: float | Floats = 1.0) -> Floats:
    """`seen / expected`, and `otherwise` where nothing is expected."""
    positive = expected > 0.0
    return np.where(positive, seen / np.where(positive, expected, 1.0), otherwise)


def demand(
    seen: Floats,
    expected: Floats,
    level: Floats,
    surge: tuple[Floats, Floats, Floats],
    rest: tuple[Floats, Floats],
    informative: Flags,
    *,
    cautious: bool,
) -> Floats:
    """The share of the usual orders that windows promise.

    Args:
        seen, expected: the windows' totals; the last axis are the signals of `hour_signals`.
        level: visits of the three days before, as a share of the usual; 1 where not known.
        surge: orders in hours of the surge in the day before the window: seen, as many as its
            visits would usually have brought, and as many as are usual in these hours.
        rest: orders of the other streams in the window, seen and expected.
        informative: where visits say something about the orders.
        cautious: the least that is promised, to test against; else the likeliest share, to learn
            how far orders scatter around it.
    """
    share = ratio(seen[..., VISITS], expected[..., VISITS])
    sold, promised, usual = surge
    sold = np.maximum(sold, 0.0)  # sums of differences, that may be a rounding below 0
    certain = (1.0 - _SURGE_SPREAD) * sold - 2.0 * np.sqrt(sold)
    conversion = np.clip(ratio(certain, promised, 0.0), 0.0, _MAX_CONVERSION)
    # Far beyond it, not even that much more: those visits are no customers.
    surging = np.where(share < MAX_RATIO**2, MAX_RATIO, 1.0)
    # A small surge proves nothing about one that is many times as large.
    proven = MAX_RATIO * ratio(promised, usual, 0.0)
    surging = np.maximum(surging, np.minimum(share, proven) * conversion)
    suggested = np.where(share > MAX_RATIO, surging, share)
    if cautious:
        fewer = np.where(share >= _NORMAL_SHARE, suggested, share**3 / _NORMAL_SHARE**2)
        suggested = np.where(share < _LOW_TRAFFIC_SHARE * np.minimum(level, 1.0), 0.0, fewer)
    others, others_expected = rest
    of_rest = np.where(
        others_expected >= MIN_EXPECTED_REST,
        np.minimum(1.0, ratio(others, others_expected)),
        WORST_NORMAL_SHARE if cautious else 1.0,
    )
    return np.where(informative, suggested, of_rest)
