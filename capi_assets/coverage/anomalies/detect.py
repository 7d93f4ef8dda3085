"""Anomalies: hours whose signals contradict each other.

Visits go on and orders do not; orders go on and visits do not; orders come without the match keys
that they usually carry. One signal alone is no anomaly: visits and orders that fall together are a
slow night, a holiday or a paused campaign. What an hour should hold is in `expectations`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, Flags, Floats
from capi_assets.coverage.anomalies.expectations import (
    KEYED,
    MATCHED,
    ORDERS,
    SENDABLE,
    VISITS,
    Expectations,
    WindowTotals,
    visits_are_informative,
)
from capi_assets.coverage.anomalies.hour_signals import HourSignals
from capi_assets.delivery.causes import Cause

# All numbers below were tuned on simulated weeks (benchmarks/labelled_weeks.py, below its SEED).
# Figures in docs/monitoring.md are of other seeds. Quoted names are those of benchmarks/weeks.py.

WINDOWS = (1, 2, 3, 6, 12, DAY, 3 * DAY, WEEK)
"""Lengths in hours of the windows that end with the hour in question: a shop with few orders needs
a longer window for the same certainty. Each is about double the last, so that no outage falls
between two."""

# Significance: the largest probability, under the expectation, at which a window is an anomaly.
SIGNIFICANCE = 1e-4
"""For orders and for the match rate. The target is fewer than one false flag in 500 quiet hours. On
17 outages and 12 oddities of the labelled weeks: 1e-3 raised the false flags from 3 to 31, 1e-5
missed 2 outages."""
KEY_SIGNIFICANCE = 1e-5
"""For one match key: some ten keys are tested, so a tenth of the above (Bonferroni)."""
JOINT_SIGNIFICANCE = 3e-5
"""For few visits and few matches together, as a product of two probabilities, which is smaller
than either; both must also be below `EACH_SIGNIFICANCE`."""
EACH_SIGNIFICANCE = 0.05
"""Each of the two must be unusual by itself, by the customary 5 %."""
SUBSET_SIGNIFICANCE = 1e-3
"""In a surge: that the orders which came as usual are so few. Below it a surge explains nothing."""
SURGE_SIGNIFICANCE = 0.01
"""That chance alone brings so many more orders: a surge must not be chance itself."""

# Effect sizes: a difference that is certain may still be too small to matter.
MIN_LOSS_SHARE = 0.2
"""Share of orders or visits. A shop whose conversion falls by 15 % for two days has lost
nothing."""
MIN_RATE_LOSS_SHARE = 0.1
"""Share of orders that lost their visit or a key: rates vary by 2 to 3 % a day, counts by 12 %."""
MIN_ORDERS = 3
"""Orders lost, or expected: fewer are not worth an alert, whatever their probability."""

# Demand: how many orders the visits that were seen suggest, as shares of the usual.
OUTAGE_VISIT_SHARE = 0.1
"""Visits and orders both below this are an outage: "shop closed for hours" keeps 30 % of its
visits."""
WORST_NORMAL_SHARE = 1 / 3
"""What a very bad day leaves, where visits cannot tell: a "holiday" leaves 40 % of the orders."""
LOW_TRAFFIC_SHARE = 0.5
"""Visits below this share of the last three days' level suggest no orders: the site may be down or
the shop closed (30 % above), and then there is nothing to deliver."""
MAX_DEMAND_RATIO = 1.25
"""Visits beyond this suggest no further orders: "bots" are six times the visits and sell
nothing."""
NORMAL_DEMAND_SHARE = 0.8
"""From this share of the usual visits on, orders follow visits in proportion. Below, they fall with
the cube: on a "holiday" 60 % of the visits make 40 % of the orders (the cube suggests 34 %)."""
MIN_VISIT_SHARE = 0.02
"""The share of the usual orders that no visit at all still suggests: some orders need no visit."""
SURGE_RATIO = 1.4
"""So many times the expected orders may be of another kind, which lowers shares without any loss:
"orders of a call centre" are two to three times the shop's own."""

RECOVERY_LOG_RATIO = 2.0
"""Log-likelihood ratio from which the latest hours count as recovered: they are e^2, about seven
times as likely under the expectation as under the loss. Then the window's loss is in the past."""

REGIME_CHANGE_SHARE = 0.9
"""Of a week's expected orders in anomalous hours: then the shop has changed, and the past is
forgotten. Not 1.0, because the change may begin in the middle of a day."""

_RATE_BOUNDS = (0.02, 0.98)
"""Rates under the loss are kept off 0 and 1, where one odd order would decide the ratio."""


def detect_anomalies(signals: HourSignals, threshold: float) -> dict[datetime, Anomaly]:
    """The hours of `signals` that demand does not explain, by their start (UTC).

    Called by `coverage.flags.flag_hours` with every hour stored; adding later hours never changes
    an earlier result. An hour is compared with the good hours before it: those with coverage of at
    least `threshold` (0 to 1) that were not anomalous. The first five days have nothing to be
    compared with. A change that lasts a week becomes the new expectation, unless orders stopped.

        detect_anomalies(signals, 0.95)[noon].cause  # Cause.ORDERS_MISSING
    """
    model = Expectations(signals)
    with np.errstate(invalid="ignore", divide="ignore"):
        coverage = signals.delivered / signals.eligible
    good = signals.known & ~(coverage < threshold)
    anomalies: dict[int, Anomaly] = {}
    anomalous = np.zeros(len(signals), dtype=bool)
    for at in map(int, np.flatnonzero(signals.known)):
        if model.expect(at):
            anomaly = _evaluate(model, at, anomalies)
            if anomaly:
                anomalies[at] = anomaly
                anomalous[at] = True
        model.learn(at, bool(good[at]) and not anomalous[at])
        if at % DAY == 0 and at - model.start >= 2 * WEEK:
            _restart_after_change(model, at, anomalous, good)
    return {signals.hour(at): anomaly for at, anomaly in anomalies.items()}


def _evaluate(model: Expectations, at: int, earlier: dict[int, Anomaly]) -> Anomaly | None:
    windows = [model.window_totals(at, hours) for hours in WINDOWS]
    for window in windows:
        anomaly = _orders_missing(model, at, window) or _visits_missing(model, at, window)
        if anomaly:
            return anomaly
    last_day = [earlier.get(at - n) for n in range(1, DAY + 1)]
    visits_were_missing = any(a and a.cause is Cause.VISITS_MISSING for a in last_day)
    for window in windows:
        if _rate_dropped(model, at, window, MATCHED, SENDABLE, SIGNIFICANCE):
            # Who buys today may have visited yesterday, when visits were missing.
            cause = Cause.VISITS_MISSING if visits_were_missing else Cause.MATCH_KEYS_LOST
            hour = model.window_totals(at, 1)
            return Anomaly(
                cause,
                _match_rate_text(model, at, window),
                unmatched=_shortfall(model, at, hour, MATCHED, SENDABLE),
            )
    return None if visits_were_missing else _keys_lost(model, at, windows)


def _orders_missing(model: Expectations, at: int, window: WindowTotals) -> Anomaly | None:
    """Far fewer orders than the visits suggest; or neither orders nor visits at all."""
    orders, expected = window.seen[ORDERS], window.expected[ORDERS]
    informative = bool(visits_are_informative(window.expected))
    if orders > (1.0 - MIN_LOSS_SHARE) * expected or expected < MIN_ORDERS:
        return None
    overdispersion = model.count_overdispersion(at, window.hours)
    visits, expected_visits = window.seen[VISITS], window.expected[VISITS]
    both_stopped = (
        informative
        and visits <= OUTAGE_VISIT_SHARE * expected_visits
        and orders <= OUTAGE_VISIT_SHARE * expected
    )
    if both_stopped:
        if not model.weekday_known[at]:
            return None  # it may be the first closed Sunday
        worst_normal = expected_visits * WORST_NORMAL_SHARE
        p_value = count_models.count_at_most(visits, worst_normal, overdispersion)
        mean = expected
    else:
        mean = expected * (_demand(model, at, window) if informative else WORST_NORMAL_SHARE)
        if orders > (1.0 - MIN_LOSS_SHARE) * mean:
            return None
        # The demand is itself an estimate, from so many visits.
        uncertainty = 1.0 / visits if informative and visits else 0.0
        p_value = count_models.count_at_most(orders, mean, overdispersion + uncertainty)
    if p_value > SIGNIFICANCE or _orders_recovered(model, at, window, mean):
        return None
    hour = model.window_totals(at, 1)
    low, high = count_models.count_interval(expected, overdispersion)
    evidence = (
        f"{orders:,.0f} orders{_window_text(window)} (expected {expected:,.0f}, normally {low:,} to"
        f" {high:,}) with {visits:,.0f} visits (expected {expected_visits:,.0f})"
    )
    missing = max(0, round(hour.expected[ORDERS] - hour.seen[ORDERS]))
    return Anomaly(Cause.ORDERS_MISSING, evidence, orders_expected_missing=missing)


def _demand(model: Expectations, at: int, window: WindowTotals) -> float:
    """The share of the usual orders that the visits suggest."""
    share = float(window.seen[VISITS] / window.expected[VISITS])
    before = model.window_totals(at - window.hours, 3 * DAY) if at >= window.hours else window
    level = 1.0
    if visits_are_informative(before.expected):
        level = min(1.0, float(before.seen[VISITS] / before.expected[VISITS]))
    if share < LOW_TRAFFIC_SHARE * level:
        return 0.0
    if share > MAX_DEMAND_RATIO:
        # Far beyond it, not even that much more: those visits are no customers.
        return MAX_DEMAND_RATIO if share < MAX_DEMAND_RATIO**2 else 1.0
    return share if share >= NORMAL_DEMAND_SHARE else share**3 / NORMAL_DEMAND_SHARE**2


def _visits_missing(model: Expectations, at: int, window: WindowTotals) -> Anomaly | None:
    """More orders than so few visits bring, and fewer of them than usual match a visit."""
    if window.hours > DAY or not visits_are_informative(window.expected):
        return None
    visits, expected_visits = window.seen[VISITS], window.expected[VISITS]
    trials, rate = window.seen[SENDABLE], model.rate(at, window, MATCHED, SENDABLE)
    lost = trials * rate - window.seen[MATCHED]
    if lost < max(MIN_ORDERS, MIN_RATE_LOSS_SHARE * trials):
        return None
    demand = min(1.0, window.seen[ORDERS] / max(window.expected[ORDERS], 1e-9))
    hour = model.window_totals(at, 1)
    overdispersion = model.count_overdispersion(at, window.hours)
    matched = window.seen[MATCHED], window.expected[MATCHED]
    if (
        _is_surge(window.seen[ORDERS], window.expected[ORDERS], overdispersion)
        and count_models.count_at_most(*matched, overdispersion) > SUBSET_SIGNIFICANCE
    ):
        return None
    if visits > (1.0 - MIN_LOSS_SHARE) * expected_visits * demand or (
        hour.seen[VISITS] > (1.0 - MIN_LOSS_SHARE / 2) * hour.expected[VISITS] * demand
    ):
        return None
    suggested = window.expected[ORDERS] * max(visits / expected_visits, MIN_VISIT_SHARE)
    by_visits = count_models.count_at_least(window.seen[ORDERS], suggested, overdispersion)
    by_matches = model.rate_p_value(at, window, MATCHED, SENDABLE)
    if max(by_visits, by_matches) > EACH_SIGNIFICANCE or (
        by_visits * by_matches > JOINT_SIGNIFICANCE
    ):
        return None
    evidence = (
        f"{visits:,.0f} visits{_window_text(window)} (expected {expected_visits * demand:,.0f});"
        f" {_match_rate_text(model, at, window)}"
    )
    unmatched = _shortfall(model, at, hour, MATCHED, SENDABLE)
    return Anomaly(Cause.VISITS_MISSING, evidence, unmatched=unmatched)


def _keys_lost(model: Expectations, at: int, windows: Iterable[WindowTotals]) -> Anomaly | None:
    """The match keys that orders lost, the one that most orders lost first."""
    for window in windows:
        lost = {
            key: _shortfall(model, at, window, row, KEYED)
            for key, row in model.keys.items()
            if _rate_dropped(model, at, window, row, KEYED, KEY_SIGNIFICANCE)
        }
        if lost:
            keys = sorted(lost, key=lambda key: (-lost[key], key))
            evidence = ", ".join(
                f"{key} on {_rate_text(model, at, window, model.keys[key], KEYED)}"
                for key in keys[:3]
            )
            hour = model.window_totals(at, 1)
            return Anomaly(
                Cause.MATCH_KEYS_LOST,
                f"{evidence}{_window_text(window)}",
                orders_with_fewer_keys=max(
                    _shortfall(model, at, hour, model.keys[key], KEYED) for key in keys
                ),
            )
    return None


def _rate_dropped(
    model: Expectations,
    at: int,
    window: WindowTotals,
    hits: int,
    trials: int,
    significance: float,
) -> bool:
    """Whether orders carry a key (or match a visit) much less often than usual.

    There must also be fewer such orders than the visits suggest: orders of another kind that come
    in addition, of a branch or a call centre, lower the share without any loss.
    """
    n, k = window.seen[trials], window.seen[hits]
    rate = model.rate(at, window, hits, trials)
    if n * rate - k < max(MIN_ORDERS, MIN_RATE_LOSS_SHARE * n):
        return False
    if k > (1.0 - MIN_LOSS_SHARE) * n * rate:
        return False
    informative = bool(visits_are_informative(window.expected))
    by = VISITS if informative else ORDERS
    demand = window.seen[by] / max(window.expected[by], 1e-9)
    suggested = window.expected[hits] * (demand if informative else min(1.0, demand))
    if k > (1.0 - MIN_RATE_LOSS_SHARE) * suggested:
        return False
    overdispersion = model.count_overdispersion(at, window.hours)
    suggested_trials = suggested * window.expected[trials] / max(window.expected[hits], 1e-9)
    if (
        _is_surge(n, suggested_trials, overdispersion)
        and count_models.count_at_most(k, suggested, overdispersion) > SUBSET_SIGNIFICANCE
    ):
        return False
    if model.rate_p_value(at, window, hits, trials) > significance:
        return False
    return not _rate_recovered(model, at, window, hits, trials)


def _is_surge(count: float, expected: float, overdispersion: float) -> bool:
    if count <= SURGE_RATIO * expected:
        return False
    return count_models.count_at_least(count, expected, overdispersion) < SURGE_SIGNIFICANCE


def _rate_recovered(
    model: Expectations, at: int, window: WindowTotals, hits: int, trials: int
) -> bool:
    """Whether the window's latest hours fit the usual rate better than the rate before them."""
    latest = model.suffix_totals(at, window.hours - 1)
    k, n = latest.seen[hits], latest.seen[trials]
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = np.clip((window.seen[hits] - k) / (window.seen[trials] - n), *_RATE_BOUNDS)
    usual = min(model.rate(at, window, hits, trials), _RATE_BOUNDS[1])
    ratio = k * np.log(usual / reduced) + (n - k) * np.log((1.0 - usual) / (1.0 - reduced))
    return bool(np.any(ratio > RECOVERY_LOG_RATIO))


def _orders_recovered(model: Expectations, at: int, window: WindowTotals, mean: float) -> bool:
    """Whether the window's latest hours fit the expected orders better than the hours before."""
    latest = model.suffix_totals(at, window.hours - 1)
    seen = latest.seen[ORDERS]
    expected = latest.expected[ORDERS] * mean / window.expected[ORDERS]
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = np.clip((window.seen[ORDERS] - seen) / (mean - expected), _RATE_BOUNDS[0], 1.0)
    ratio = seen * np.log(1.0 / reduced) - expected * (1.0 - reduced)
    return bool(np.any(ratio > RECOVERY_LOG_RATIO))


def _restart_after_change(model: Expectations, at: int, anomalous: Flags, good: Flags) -> None:
    """After a week of anomalous hours, learns anew from that week: the shop has changed.

    Not after orders have stopped: a dead feed never becomes normal.
    """
    week = slice(at - WEEK + 1, at + 1)
    expected: Floats = np.nan_to_num(model.expected[ORDERS, week])
    seen: Floats = np.nan_to_num(model.seen[ORDERS, week])
    stopped = seen.sum() < WORST_NORMAL_SHARE * expected.sum()
    if not stopped and expected[anomalous[week]].sum() > REGIME_CHANGE_SHARE * expected.sum():
        model.restart(week.start, good[week])


def _shortfall(model: Expectations, at: int, window: WindowTotals, hits: int, trials: int) -> int:
    expected = window.seen[trials] * model.rate(at, window, hits, trials)
    return max(0, round(float(expected - window.seen[hits])))


def _match_rate_text(model: Expectations, at: int, window: WindowTotals) -> str:
    """`8 of 40 orders (usually 80 %) matched a visit`."""
    rate = _rate_text(model, at, window, MATCHED, SENDABLE)
    return f"{rate} matched a visit{_window_text(window)}"


def _rate_text(model: Expectations, at: int, window: WindowTotals, hits: int, trials: int) -> str:
    usual = 100 * model.rate(at, window, hits, trials)
    return f"{window.seen[hits]:,.0f} of {window.seen[trials]:,.0f} orders (usually {usual:.0f} %)"


def _window_text(window: WindowTotals) -> str:
    return "" if window.hours == 1 else f" in {window.hours} hours"
