"""Refused and quarantined orders: a shop's usual trickle, or more of them than chance brings.

Every shop has some orders that break their contract; which share is usual is learned, and an hour
is judged by a binomial interval around it, alone and with the hours before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, WEEKS, Floats
from capi_assets.coverage.anomalies.hour_signals import HourSignals
from capi_assets.hours import HOUR

# Judgement: that a good window looks as bad, and how alike the orders of an hour are.
_CHANCE = 1e-4
_INTRA_HOUR_CORRELATION = 0.005
_WINDOWS = (1, 3, 6, DAY)

_HOURS, _ORDERS = 5 * DAY, 100
"""With fewer to learn from, nothing is usual yet."""

OUTAGE, FEWEST = 0.2, 5
"""An hour that loses this share and so many orders is an outage whatever is usual."""


@dataclass(frozen=True, slots=True)
class RefusalBaseline:
    """Running sums per hour: eligible and refused orders, in all and in baseline hours."""

    start: datetime
    eligible: Floats
    refused: Floats
    calm_hours: Floats
    calm_eligible: Floats
    calm_refused: Floats

    @classmethod
    def learn(cls, signals: HourSignals) -> RefusalBaseline:
        """From all hours that are no outage by themselves."""
        eligible, refused = np.nan_to_num(signals.eligible), np.nan_to_num(signals.refused)
        baseline = signals.known & ~((refused >= OUTAGE * eligible) & (refused >= FEWEST))
        return cls(
            signals.start,
            _running(eligible),
            _running(refused),
            _running(baseline.astype(np.float64)),
            _running(eligible * baseline),
            _running(refused * baseline),
        )

    def is_more(self, hour: datetime, refused: int, eligible: int, least: float) -> bool | None:
        """Whether `refused` of `eligible` orders of an hour are more than its usual trickle.

        None when there is too little before it to know what is usual. `least` is the share below
        which no loss counts.
        """
        at = int((hour - self.start) / HOUR)
        until = min(max(at, 0), len(self.eligible) - 1)
        since = max(until - WEEKS * WEEK, 0)
        orders = self.calm_eligible[until] - self.calm_eligible[since]
        if self.calm_hours[until] - self.calm_hours[since] < _HOURS or orders < _ORDERS:
            return None
        if refused >= max(FEWEST, OUTAGE * eligible):
            return True
        # One order more than were seen: nothing that can happen is ruled out.
        usual = (self.calm_refused[until] - self.calm_refused[since] + 1.0) / (orders + 1.0)
        for window in _WINDOWS:
            first = min(max(at + 1 - window, 0), until)
            lost = refused + self.refused[until] - self.refused[first]
            of = eligible + self.eligible[until] - self.eligible[first]
            if lost <= least * of or lost <= usual * of:
                continue
            if count_models.hits_at_least(lost, of, usual, _INTRA_HOUR_CORRELATION) < _CHANCE:
                # The hours before are evidence only as far as the latest look like them.
                firsts = np.arange(first + 1, until + 1)
                hit = refused + self.refused[until] - self.refused[firsts]
                late = eligible + self.eligible[until] - self.eligible[firsts]
                with np.errstate(invalid="ignore", divide="ignore"):
                    poor = np.clip((lost - hit) / (of - late), usual, 0.98)
                baseline = hit * np.log(usual / poor)
                baseline += (late - hit) * np.log((1.0 - usual) / (1.0 - poor))
                if not np.any(baseline > 1.0):
                    return True
        return False


def _running(values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
