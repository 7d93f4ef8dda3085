"""The windows that end with one hour, of every stream: what every test of that hour reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies.anomaly import Comparison, Interval
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, Flags, Floats
from capi_assets.coverage.anomalies.expectations import Expectations
from capi_assets.coverage.anomalies.hour_signals import HourSignals

WINDOWS = (1, 2, 3, 6, 12, DAY, 3 * DAY, WEEK)
"""Lengths in hours of the windows that end with the hour in question: a shop with few orders needs
a longer window for the same certainty. Each is about double the last, so that no outage falls
between two."""

MIN_LOSS_SHARE = 0.2
"""Share of orders or visits. A shop whose conversion falls by 15 % for two days has lost
nothing."""
MIN_ORDERS = 3
"""Orders lost, or expected: fewer are not worth an alert, whatever their probability."""

MIN_DEVIATION = 2.5
"""Standard deviations below the expectation, at the smallest overdispersion: with fewer no exact
probability is below a significance used here, so it need not be computed."""


@dataclass(frozen=True, slots=True)
class HourWindows:
    """The windows that end with hour `at`.

    Attributes:
        seen, expected: axes stream, window (as WINDOWS), signal.
        demand: the share of the usual orders that visits suggest; axes stream, window.
        informative: whether visits say something about the orders; axes stream, window.
        share_of_significance: per stream: the whole shop has its own, and the streams one among
            them (Bonferroni), so that more streams raise no more false flags. 0: not judged.
    """

    signals: HourSignals
    model: Expectations
    at: int
    seen: Floats
    expected: Floats
    demand: Floats
    informative: Flags
    share_of_significance: Floats

    def weekday_known(self, hours: int) -> bool:
        """Whether all of the last hours were compared with their own day of the week."""
        return bool(self.model.weekday_known[max(self.at + 1 - hours, 0) : self.at + 1].all())

    def learned_from(self) -> tuple[datetime, ...]:
        """The hours that this hour's expectation comes from."""
        return tuple(self.signals.hour(int(place)) for place in self.model.compared)

    def comparison(
        self, signal: str, hours: int, seen: float, expected: float, low: float, high: float
    ) -> Comparison:
        """For people: what was seen and expected of a signal in a window of so many hours."""
        return Comparison(signal, seen, Interval(low, expected, high), hours, self.learned_from())


def hour_windows(signals: HourSignals, model: Expectations, at: int) -> HourWindows:
    """The windows of the hour that `model` has just computed the expectation of."""
    streams = np.arange(len(signals.streams))[:, None]
    hours = np.array(WINDOWS)[None, :]
    seen, expected = model.totals(streams, at + 1, hours)
    active = model.active(at)
    active[0] = True
    judged = active & model.has_sibling(active)
    family = max(int(judged[1:].sum()), 1)
    share = np.where(judged, 1.0 / family, 0.0)
    share[0] = 1.0
    return HourWindows(
        signals,
        model,
        at,
        seen,
        expected,
        model.demand(streams, at + 1, hours),
        model.informative(streams, expected),
        share,
    )


def window_text(hours: int) -> str:
    """` in 3 hours`; empty for the hour alone."""
    return "" if hours == 1 else f" in {hours} hours"
