"""Orders that never arrived: far fewer than visits suggest, or neither orders nor visits at all."""

from __future__ import annotations

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, Flags, Floats
from capi_assets.coverage.anomalies.demand import WORST_NORMAL_SHARE
from capi_assets.coverage.anomalies.expectations import MIN_DISPERSION
from capi_assets.coverage.anomalies.hour_signals import ORDERS, VISITS
from capi_assets.coverage.anomalies.order_value import missing_money
from capi_assets.coverage.anomalies.windows import (
    MIN_DEVIATION,
    MIN_LOSS_SHARE,
    MIN_ORDERS,
    WINDOWS,
    HourWindows,
    window_text,
)
from capi_assets.delivery.causes import Cause

# Tuned on simulated weeks (benchmarks/labelled_weeks.py), like all numbers of this folder.
SIGNIFICANCE = 1e-4
"""The largest probability, under the expectation, at which a window is an anomaly. The target is
fewer than one false flag in 500 quiet hours."""

_OUTAGE_VISIT_SHARE = 0.02
"""Visits and orders both below this are an outage: a landing that stops leaves at most the rest of
a file, while a street on the night of a lockdown keeps 7 % of its people."""

_OPEN_SHARE = 0.15
"""Of the orders of the best hour: with fewer expected, a day of business is over."""

RECOVERY_LOG_RATIO = 2.0
"""Log-likelihood ratio from which the latest hours count as recovered: they are e^2, about seven
times as likely under the expectation as under the loss. Then the window's loss is in the past."""

_LEAST_RATE = 0.02
"""The orders that a loss leaves are kept off 0, where one odd order would decide the ratio."""


def missing_orders(hour: HourWindows) -> dict[int, Anomaly]:
    """The streams (places in `HourSignals.streams`) that lack orders, each with its anomaly."""
    orders, expected = hour.seen[..., ORDERS], hour.expected[..., ORDERS]
    stopped = _both_stopped(hour)
    mean = np.where(stopped, expected, expected * hour.demand)
    # The demand is itself an estimate, from so many visits.
    visits = hour.seen[..., VISITS]
    informative = hour.informative & (visits > 0)
    uncertainty = np.where(informative, 1.0 / np.maximum(visits, 1.0), 0.0)
    # Sums of windows are differences, and may be a rounding error below 0.
    deviation = np.sqrt(np.maximum(mean, 0.0) + (MIN_DISPERSION["count"] + uncertainty) * mean**2)
    candidates = (
        (orders <= (1.0 - MIN_LOSS_SHARE) * mean)
        & (expected >= MIN_ORDERS)
        & (mean - orders >= MIN_DEVIATION * deviation)
        & (hour.share_of_significance[:, None] > 0.0)
        # An hour with all its orders lost none, whatever the hours before it lost.
        & ((expected[:, :1] < MIN_ORDERS) | (orders[:, :1] < np.floor(mean[:, :1])))
    )
    found: dict[int, Anomaly] = {}
    for stream, window in np.argwhere(candidates | stopped):
        if stream not in found and _is_anomalous(
            hour, stream, window, mean[stream, window], uncertainty[stream, window],
            bool(stopped[stream, window]),
        ):  # fmt: skip
            found[int(stream)] = _anomaly(hour, stream, window, bool(stopped[stream, window]))
    return found


def _both_stopped(hour: HourWindows) -> Flags:
    """Windows of the whole shop with hardly any visits or orders. A first closed Sunday is none."""
    expected = hour.expected
    stopped: Flags = (
        hour.informative
        & (expected[..., ORDERS] >= MIN_ORDERS)
        & (hour.seen[..., VISITS] <= _OUTAGE_VISIT_SHARE * expected[..., VISITS])
        & (hour.seen[..., ORDERS] <= _OUTAGE_VISIT_SHARE * expected[..., ORDERS])
    )
    stopped &= np.array([hour.weekday_known(hours) for hours in WINDOWS])
    stopped[1:] = False
    return stopped


def _is_anomalous(
    hour: HourWindows, stream: int, window: int, mean: float, uncertainty: float, stopped: bool
) -> bool:
    hours = WINDOWS[window]
    seen = hour.seen[stream, window]
    if not (stopped or hour.informative[stream, window]):
        if not hour.weekday_known(hours):
            return False  # it may be the first closed Sunday
        expected = hour.expected[stream, window, ORDERS]
        mean *= max(1.0 - _perhaps_closed(hour, stream, hours) / expected, 0.0)
        if mean < MIN_ORDERS:
            return False
    significance = SIGNIFICANCE * hour.share_of_significance[stream]
    overdispersion = hour.model.count_overdispersion(stream, hour.at, hours)

    def p_value(dispersion: float) -> float:
        if stopped:
            worst = hour.expected[stream, window, VISITS] * WORST_NORMAL_SHARE
            return count_models.count_at_most(seen[VISITS], worst, dispersion)
        return count_models.count_at_most(seen[ORDERS], mean, dispersion + uncertainty)

    if p_value(MIN_DISPERSION["count"]) > significance:
        return False  # as most windows, before their own dispersion is estimated
    if p_value(overdispersion()) > significance:
        return False
    return not _recovered(hour, stream, hours, mean)


def _perhaps_closed(hour: HourWindows, stream: int, hours: int) -> float:
    """Expected orders of the last `hours` hours on the first day that passes without any order.

    Where visits cannot tell, a closed day looks like a feed that stopped: the second day decides.
    A feed that stops in the middle of a day is none.
    """
    since = max(hour.at + 1 - WEEK - DAY, 0)
    expected, seen = (
        np.nan_to_num(signal[stream, ORDERS, since : hour.at + 1])
        for signal in (hour.model.expected, hour.model.seen)
    )
    is_open = expected >= _OPEN_SHARE * expected.max()
    sold = np.flatnonzero(seen >= 0.5)  # quarantined orders are given to streams in parts
    last = int(sold[-1]) if len(sold) else -1
    opens = np.flatnonzero(is_open[1:] & ~is_open[:-1]) + 1
    opens = opens[opens > last]
    if not len(opens):
        return 0.0
    closes = np.flatnonzero(~is_open)
    closes = closes[closes > opens[0]]
    end = int(closes[0]) if len(closes) else len(expected)
    return float(expected[max(int(opens[0]), len(expected) - hours) : end].sum())


def _recovered(hour: HourWindows, stream: int, hours: int, mean: float) -> bool:
    """Whether the window's latest hours fit the expected orders better than the hours before."""
    if hours == 1:
        return False
    whole = hour.model.totals(stream, hour.at + 1, hours)
    latest = hour.model.totals(stream, hour.at + 1, np.arange(1, hours))
    seen = latest.seen[:, ORDERS]
    expected = latest.expected[:, ORDERS] * mean / whole.expected[ORDERS]
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = np.clip((whole.seen[ORDERS] - seen) / (mean - expected), _LEAST_RATE, 1.0)
    ratio = seen * np.log(1.0 / reduced) - expected * (1.0 - reduced)
    return bool(np.any(ratio > RECOVERY_LOG_RATIO))


def _anomaly(hour: HourWindows, stream: int, window: int, stopped: bool) -> Anomaly:
    hours, seen = WINDOWS[window], hour.seen[stream, window]
    expected = hour.expected[stream, window]
    low, high = count_models.count_interval(
        expected[ORDERS], hour.model.count_overdispersion(stream, hour.at, hours)()
    )
    evidence = (
        f"{seen[ORDERS]:,.0f} orders{window_text(hours)} (expected {expected[ORDERS]:,.0f},"
        f" normally {low:,} to {high:,}) with {seen[VISITS]:,.0f} visits"
        f" (expected {expected[VISITS]:,.0f})"
    )
    promised = hour.demand[stream, 0] if hour.informative[stream, 0] else 1.0
    mean = hour.expected[stream, 0, ORDERS] * (1.0 if stopped else promised)
    missing = max(0, round(mean - hour.seen[stream, 0, ORDERS]))
    return Anomaly(
        Cause.LANDING_STOPPED if stopped else Cause.ORDERS_MISSING,
        evidence,
        orders_expected_missing=missing,
        estimated_money=missing_money(hour, stream, mean),
        comparisons=(
            hour.comparison("orders", hours, seen[ORDERS], expected[ORDERS], low, high),
            hour.comparison("visits", hours, seen[VISITS], expected[VISITS], *_interval(expected)),
        ),
    )


def _interval(expected: Floats) -> tuple[int, int]:
    return count_models.count_interval(expected[VISITS], MIN_DISPERSION["count"])
