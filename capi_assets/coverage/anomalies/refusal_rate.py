"""Refused and quarantined orders: the share that this shop always has, or significantly more.

Every shop has some orders that break their contract, and some have many: orders that need a visit,
a branch without e-mail addresses. The usual share is learned from the days before, and an hour is
tested against it (beta-binomial), alone and with the hours before it. A loss becomes usual only
after most of five weeks, and never beyond `LARGEST_USUAL`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Stream
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, WEEKS, Flags, Floats
from capi_assets.coverage.anomalies.hour_signals import HourSignals
from capi_assets.hours import HOUR

# Tuned on simulated weeks (benchmarks/labelled_weeks.py), like the numbers in detect.py.
_SIGNIFICANCE = 1e-4
"""The largest probability, at the usual share, at which a window is anomalous: as in detect.py."""
_FIRST_SIGNIFICANCE = 0.05
"""In the first days, against the share that is still good: the customary 5 %, since a share above
it is already a loss."""
_INTRA_HOUR_CORRELATION = 0.005
"""Faults come in small clusters, since orders of an hour share forms and products: of 100 orders,
the count varies by a fifth more than by chance (variance times 1 + 99 * 0.005)."""
_WINDOWS = (1, 3, 6, DAY, 3 * DAY, WEEK)
"""Hours: a small loss needs up to a day to be told from chance, the loss of a shop with a few
orders a day up to a week."""
_MIN_LOST_TOGETHER = 2
"""One refused order is chance even if it is an hour's only one; two of two or three are not, where
one in a hundred is usual."""

_MIN_HOURS, _MIN_ORDERS = 5 * DAY, 100
"""Needed for a baseline: five days of hours, as for all expectations, and enough orders that a
share of one per cent has been seen."""

OUTAGE_SHARE, OUTAGE_ORDERS = 0.2, 5
"""Where few orders are refused, an hour that loses this share and at least so many is an outage: a
fifth is the loss that must be found; five, so that one or two broken rows of a quiet hour are no
outage."""

LARGEST_USUAL = 0.3
"""More than this is never usual, however long it lasts: it is a fault that somebody should mend."""

_WORST_DAYS = 0.2
"""The share of the orders, those of the days that refuse most, that nothing is learned from: an
outage of a week in five."""

_OUTAGE_HOUR = 0.5
"""Nor from an hour that refuses this share and at least `OUTAGE_ORDERS`: most of the orders."""

_LOSS_BOUND = 0.98
"""A share under the loss is kept off 1, where one good order would decide the likelihood ratio."""
_RECOVERY_LOG_RATIO = 1.0
"""Log-likelihood ratio from which the latest hours count as back to usual (e times as likely).
Lower than in detect.py, because a recorded refusal stays visible by itself."""


@dataclass(frozen=True, slots=True)
class RefusalBaseline:
    """The orders of one stream, as running totals per hour; made by `learn`.

    Baseline hours are those that are no outage by themselves.

        RefusalBaseline.learn(signals).is_more(hour, refused=5, eligible=40, least=0.05)  # True
    """

    start: datetime
    eligible: Floats
    refused: Floats
    baseline_hours: Floats
    baseline_eligible: Floats
    baseline_refused: Floats

    @classmethod
    def learn(cls, signals: HourSignals | RefusalBaselines, stream: int = 0) -> RefusalBaseline:
        """Learns from all hours of `signals` that are no outage by themselves."""
        eligible, refused = (
            np.nan_to_num(of[stream]) for of in (signals.eligible, signals.refused)
        )
        outage = (refused >= _OUTAGE_HOUR * eligible) & (refused >= OUTAGE_ORDERS)
        baseline = signals.known & ~outage
        return cls(
            signals.start,
            _running(eligible),
            _running(refused),
            _running(baseline.astype(np.float64)),
            _running(eligible * baseline),
            _running(refused * baseline),
        )

    def is_more(self, hour: datetime, refused: int, eligible: int, least: float) -> bool | None:
        """Whether `refused` of an hour's `eligible` orders are significantly more than usual.

        Called by `coverage.findings`. `least` is the share (0 to 1) below which no loss counts.
        None if that is not certain and there is no usual share: too little history, or more than
        `LARGEST_USUAL`.
        """
        at = int((hour - self.start) / HOUR)
        usual = self._usual(at)
        tested = least if usual is None else usual
        if self._most_lost(at, refused, eligible, usual):
            return True
        if tested <= least and refused >= max(OUTAGE_ORDERS, OUTAGE_SHARE * eligible):
            return True
        if self._is_significant(at, refused, eligible, tested, least):
            return True
        return None if usual is None else False

    def _usual(self, at: int) -> float | None:
        """The share of all days before but the worst."""
        until = min(max(at, 0), len(self.eligible) - 1)
        since = max(until - WEEKS * WEEK, 0)
        edges = np.append(np.arange(until, since, -DAY), since)
        of = self.baseline_eligible[edges[:-1]] - self.baseline_eligible[edges[1:]]
        lost = self.baseline_refused[edges[:-1]] - self.baseline_refused[edges[1:]]
        hours = self.baseline_hours[until] - self.baseline_hours[since]
        if hours < _MIN_HOURS or of.sum() < _MIN_ORDERS:
            return None
        best = np.argsort(lost / np.maximum(of, 1.0), kind="stable")
        kept = best[np.cumsum(of[best]) <= (1.0 - _WORST_DAYS) * of.sum()]
        # One refusal more than were seen, so that the share is never zero.
        share = float((lost[kept].sum() + 1.0) / (of[kept].sum() + 1.0))
        return share if share <= LARGEST_USUAL else None

    def _most_lost(self, at: int, refused: int, eligible: int, usual: float | None) -> bool:
        """Whether an hour lost most of its orders, alone or together with the orders up to the
        nearest lost one, within a week before or after it: the first lost order is flagged with the
        second. Where a usual share is known, that must not be chance.
        """
        if 2 * refused <= eligible:
            return False
        of, lost = self.eligible, self.refused
        before, after = (min(max(edge, 0), len(of) - 1) for edge in (at, at + 1))
        first = int(np.searchsorted(lost, lost[before])) - 1
        last = int(np.searchsorted(lost, lost[after], side="right"))
        for start, end in (
            (before, before), (max(first, 0), before), (after, min(last, len(of) - 1))
        ):  # fmt: skip
            together = refused + lost[end] - lost[start]
            orders = eligible + of[end] - of[start]
            if together < _MIN_LOST_TOGETHER or 2 * together <= orders or end - start > WEEK:
                continue
            if usual is None or (
                count_models.hits_at_least(together, orders, usual, _INTRA_HOUR_CORRELATION)
                < _SIGNIFICANCE
            ):
                return True
        return False

    def _is_significant(
        self, at: int, refused: int, eligible: int, usual: float, least: float
    ) -> bool:
        until = min(max(at, 0), len(self.eligible) - 1)
        for window in _WINDOWS:
            first = min(max(at + 1 - window, 0), until)
            lost = refused + self.refused[until] - self.refused[first]
            of = eligible + self.eligible[until] - self.eligible[first]
            if lost <= least * of or lost <= usual * of:
                continue
            p_value = count_models.hits_at_least(lost, of, usual, _INTRA_HOUR_CORRELATION)
            if p_value >= _SIGNIFICANCE:
                continue
            # Earlier hours count against this one only while the latest look like them.
            firsts = np.arange(first + 1, until + 1)
            latest = refused + self.refused[until] - self.refused[firsts]
            latest_of = eligible + self.eligible[until] - self.eligible[firsts]
            with np.errstate(invalid="ignore", divide="ignore"):
                raised = np.clip((lost - latest) / (of - latest_of), usual, _LOSS_BOUND)
            ratio = latest * np.log(usual / raised)
            ratio += (latest_of - latest) * np.log((1.0 - usual) / (1.0 - raised))
            if not np.any(ratio > _RECOVERY_LOG_RATIO):
                return True
        return False


@dataclass(frozen=True, slots=True)
class RefusalBaselines:
    """What the baselines of all streams are learned from: all of `HourSignals` that is needed after
    detection, and small enough to be kept from one look of the sensor to the next."""

    start: datetime
    known: Flags
    places: Mapping[Stream, int]
    eligible: Floats
    refused: Floats

    @classmethod
    def keep(cls, signals: HourSignals) -> RefusalBaselines:
        """Those of the whole shop, the datasets and the event names."""
        streams = enumerate(signals.streams)
        places = {stream: place for place, stream in streams if not stream.action_source}
        return cls(signals.start, signals.known, places, signals.eligible, signals.refused)

    def of(self, stream: Stream) -> RefusalBaseline | None:
        """The baseline of a stream; None if it has no settled hour."""
        place = self.places.get(stream)
        return None if place is None else RefusalBaseline.learn(self, place)


def is_no_chance(lost: int, of: int, least: float) -> bool:
    """Whether so many lost orders are more than chance makes of `least`, the share that is still
    good. For the first days, in which nothing is known of the shop."""
    return lost > least * of and (
        count_models.hits_at_least(lost, of, least, _INTRA_HOUR_CORRELATION) < _FIRST_SIGNIFICANCE
    )


def _running(values: Floats) -> Floats:
    return np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
