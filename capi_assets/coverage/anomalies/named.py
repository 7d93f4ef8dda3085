"""Names for anomalies whose pattern over many hours says more than the hour itself.

`name_causes` is called with what detect.py found: orders that are dated hours early or late are
`time_shift` and not missing visits or orders; where neither visits nor orders land it is
`landing_stopped` and not lost match keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Anomaly, Comparison, Interval
from capi_assets.coverage.anomalies.count_models import DAY, Floats
from capi_assets.coverage.anomalies.demand import MIN_EXPECTED_VISITS
from capi_assets.coverage.anomalies.hour_signals import ORDERS, VISITS, HourSignals
from capi_assets.coverage.formatting import count
from capi_assets.delivery.causes import Cause

_RENAMED = (Cause.ORDERS_MISSING, Cause.VISITS_MISSING, Cause.MATCH_KEYS_LOST)

_MAX_SHIFT = 14
"""Hours: the largest offset of a time zone."""
_WINDOWS = (12, DAY, 2 * DAY)
"""Hours: a shift is seen by the rise and fall of a day."""
_SOME_HOURS = 6
"""Hours in which a shift must have shown three times."""
_MIN_ORDERS = 30
_OVERDISPERSION = 0.05
"""A demand that varies by 22 %, as ordinary shops do."""
_LOG_RATIO = 8.0
"""By which orders must fit a shift better than a shortage of any size: e to the 8th, about 3,000
times as likely, since 28 shifts are tried."""
_SAME_TOTAL = 0.3
"""A shift keeps the number of orders: more or less by this share is something else as well."""
_STOPPED = 0.05
"""The share of the usual visits and orders below which neither lands: the rest of a file."""
_LOOKBACK = DAY
"""Hours after a stop in which orders miss their visits; most orders follow their visit within a
day."""


def name_causes(anomalies: Mapping[int, Anomaly], signals: HourSignals) -> dict[int, Anomaly]:
    """The whole shop's `anomalies` by position in `signals`, with the cause `time_shift` or
    `landing_stopped` where the hours up to each one say so. Numbers of orders are kept; adding
    later hours changes nothing.
    """
    if not anomalies:
        return {}
    learnable = signals.known.copy()
    learnable[list(anomalies)] = False
    usual = _usual(signals, learnable)
    stopped = _stopped(anomalies, signals, usual)
    named = dict(anomalies)
    for at, anomaly in anomalies.items():
        if anomaly.cause not in _RENAMED:
            continue
        if at in stopped:
            named[at] = _landing_stopped(anomaly, usual[:, at], signals, at)
        elif _lasts(at, anomalies) and (shift := _shift(at, signals, usual)):
            named[at] = _time_shift(anomaly, shift)
        elif anomaly.unmatched and any(at - back in stopped for back in range(1, _LOOKBACK + 1)):
            named[at] = replace(
                anomaly,
                cause=Cause.LANDING_STOPPED,
                evidence=f"{anomaly.evidence}; shortly before, neither visits nor orders landed",
            )
    return named


def _lasts(at: int, anomalies: Mapping[int, Anomaly]) -> bool:
    """Whether an anomaly is no single hour: a clock that is wrong stays wrong."""
    return sum(at - back in anomalies for back in range(1, _SOME_HOURS)) >= 2


def _usual(signals: HourSignals, learnable: count_models.Flags) -> Floats:
    """Visits and orders that each hour usually has, from the hours before it; NaN: not known."""
    seen = signals.counts[0, [VISITS, ORDERS]]
    usual = np.full((2, len(signals) + _MAX_SHIFT), np.nan)
    known = np.concatenate((learnable, np.zeros(_MAX_SHIFT, dtype=bool)))
    for at in range(usual.shape[1]):
        compared = count_models.same_hours(at, known)
        if len(compared):
            usual[:, at] = count_models.location(seen[:, compared])
    return usual


def _stopped(anomalies: Mapping[int, Anomaly], signals: HourSignals, usual: Floats) -> set[int]:
    """Anomalous hours without visits and orders where both are usual, and the empty hours that
    follow, however few are usual in them."""
    stopped: set[int] = set()
    for at in sorted(anomalies):
        seen = signals.counts[0, [VISITS, ORDERS], at]
        expected = usual[:, at]
        clear = expected[0] >= MIN_EXPECTED_VISITS and expected[1] >= 1.0
        if (clear and np.all(seen <= _STOPPED * expected)) or (
            at - 1 in stopped and not seen.any()
        ):
            stopped.add(at)
    return stopped


def _landing_stopped(anomaly: Anomaly, usual: Floats, signals: HourSignals, at: int) -> Anomaly:
    visits, orders = signals.counts[0, [VISITS, ORDERS], at]
    return replace(
        anomaly,
        cause=Cause.LANDING_STOPPED,
        evidence=(
            f"{count(int(visits), 'visit')} (usually {usual[0]:,.0f}) and"
            f" {count(int(orders), 'order')} (usually {usual[1]:,.0f})"
        ),
        comparisons=(
            *anomaly.comparisons,
            Comparison("visits", float(visits), _around(usual[0])),
            Comparison("orders", float(orders), _around(usual[1])),
        ),
    )


def _around(mean: float) -> Interval:
    low, high = count_models.count_interval(mean, _OVERDISPERSION)
    return Interval(low, float(mean), high)


def _shift(at: int, signals: HourSignals, usual: Floats) -> tuple[int, int, float] | None:
    """Hours by which orders are dated late (negative: early), the window that says so most clearly,
    and its orders; None if there is none.

    Orders dated early leave the latest hours empty, since their time has not come.
    """
    visits, all_orders = signals.counts[0, [VISITS, ORDERS]]
    empty = 0
    while empty < min(_MAX_SHIFT, at) and all_orders[at - empty] == 0:
        empty += 1
    ends = {at + 1 - empty: range(-empty, 1 - empty), at + 1: range(-_MAX_SHIFT, _MAX_SHIFT + 1)}
    clearest, found = _LOG_RATIO, None
    for hours in _WINDOWS:
        for end in sorted(ends):
            window = slice(end - hours, end)
            orders = all_orders[window]
            if window.start < _MAX_SHIFT or not orders.sum() >= _MIN_ORDERS:
                continue
            if _best_shift(visits[window], usual[0], window, ends[end]):
                continue  # at a change of clocks visits move as well
            shortage = _fit_of_shortage(orders, usual[1, window])
            for shift in ends[end]:
                shifted = slice(window.start - shift, window.stop - shift)
                ratio = _fit(orders, usual[1, shifted]) - shortage
                if (
                    shift
                    and ratio > clearest
                    and abs(orders.sum() / usual[1, shifted].sum() - 1.0) <= _SAME_TOTAL
                ):
                    clearest, found = ratio, (shift, hours, float(orders.sum()))
    return found


def _best_shift(seen: Floats, usual: Floats, window: slice, shifts: range) -> int:
    fits = {s: _fit(seen, usual[window.start - s : window.stop - s]) for s in shifts}
    return max(fits, key=lambda shift: (fits[shift], shift == 0))


def _fit(seen: Floats, usual: Floats) -> float:
    """The log-likelihood of counts at the best multiple of `usual`, but for what is the same for
    every `usual` (negative binomial); minus infinity where `usual` is not known."""
    if np.isnan(usual).any() or np.isnan(seen).any() or usual.sum() <= 0:
        return -np.inf
    # Never nothing: one order in a hundred hours may come at any time.
    mean = np.maximum(usual * seen.sum() / usual.sum(), 0.01)
    size = 1.0 / _OVERDISPERSION
    return float(np.sum(seen * np.log(mean / (size + mean)) - size * np.log1p(mean / size)))


def _fit_of_shortage(orders: Floats, usual: Floats) -> float:
    """The fit of a feed that gets smaller or larger, or stops, at the hour that explains most."""
    parts = (
        _fit(orders[:split], usual[:split]) + _fit(orders[split:], usual[split:])
        for split in range(1, len(orders))
    )
    return max(_fit(orders, usual), *parts)


def _time_shift(anomaly: Anomaly, shift: tuple[int, int, float]) -> Anomaly:
    by, hours, orders = shift
    direction = "late" if by > 0 else "early"
    return replace(
        anomaly,
        cause=Cause.TIME_SHIFT,
        evidence=(
            f"{orders:,.0f} orders in {count(hours, 'hour')} fit the usual day if they are dated"
            f" about {count(abs(by), 'hour')} {direction}, while visits are not"
        ),
        orders_affected=anomaly.orders_affected or anomaly.unmatched,
    )
