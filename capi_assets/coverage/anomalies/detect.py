"""Hours whose signals contradict each other: visits go on and orders do not, orders go on and
visits do not, or orders come without the match keys that they usually carry.

One signal alone accuses nobody: visits and orders that fall together are a slow night, a holiday
or a paused campaign. What an hour should hold is in expectations.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, Flags, Floats
from capi_assets.coverage.anomalies.expectations import (
    KEYED,
    MATCHED,
    ORDERS,
    SENDABLE,
    VISITS,
    Expectations,
    WindowTotals,
    can_speak,
)
from capi_assets.coverage.anomalies.hour_signals import HourSignals
from capi_assets.delivery.causes import Cause

WINDOWS = (1, 2, 3, 6, 12, DAY, 3 * DAY, WEEK)
"""Hours that end with the one in question: the smaller the shop, the longer it takes to be sure."""

# Judgement, tuned on simulated weeks (benchmarks/labelled_weeks.py): the probability that a good
# window looks as bad. Some twenty looks, which depend on each other, are taken at each hour.
SIGNIFICANCE = 1e-4
CHANCE_OF_KEYS = 1e-5  # there are many keys
JOINT_SIGNIFICANCE = 3e-5  # of two signs that point the same way
CHANCE_OF_EACH = 0.05

MIN_LOSS_SHARE = 0.2  # less is not told from a shop's moods by volumes
LOSS_OF_KEYS = 0.1
OUTAGE_VISIT_SHARE = 0.1  # a shop that is merely quiet keeps more of its visits than this
WORST_NORMAL_SHARE = 1 / 3  # what is left on a very bad day, where visits cannot say how bad it is
LOW_TRAFFIC_SHARE = 0.5  # a shop that loses half of its visits may as well sell nothing
SURGE_RATIO = 1.4  # so many orders more than usual may be of another kind
SUBSET_SIGNIFICANCE = 1e-3  # that those which came as usual are so few
_RARE = 0.01  # that chance alone makes so many
MAX_DEMAND_RATIO = 1.25  # visits beyond this do not promise orders any more: they may be robots
NORMAL_DEMAND_SHARE = 0.8  # so many of the usual visits are a usual day
MIN_ORDERS = 3  # orders

_REGIME_CHANGE_SHARE = (
    0.9  # a week with such a share of its orders in unusual hours is a changed shop
)


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What an hour's signals say against it.

    Attributes:
        orders_expected_missing: about how many orders did not arrive.
        unmatched: about how many orders did not find the visit they usually find.
        orders_with_fewer_keys: about how many orders lack a match key that they usually carry.
    """

    cause: Cause
    evidence: str
    orders_expected_missing: int = 0
    unmatched: int = 0
    orders_with_fewer_keys: int = 0


def detect_anomalies(signals: HourSignals, threshold: float) -> dict[datetime, Anomaly]:
    """The hours of `signals` that cannot be explained by demand.

    An hour is held against the good hours before it: those with coverage of at least `threshold`
    that were not unusual themselves. There is no verdict on the first days. A change that lasts a
    week is the new normal.
    """
    usual = Expectations(signals)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = signals.delivered / signals.eligible
    good = signals.known & ~(share < threshold)
    found: dict[int, Anomaly] = {}
    strange = np.zeros(len(signals), dtype=bool)
    for at in map(int, np.flatnonzero(signals.known)):
        if usual.expect(at):
            verdict = _judge(usual, at, found)
            if verdict:
                found[at] = verdict
                strange[at] = True
        usual.learn(at, bool(good[at]) and not strange[at])
        if at % DAY == 0 and at - usual.start >= 2 * WEEK:
            _notice_change(usual, at, strange, good)
    return {signals.hour(at): verdict for at, verdict in found.items()}


def _judge(usual: Expectations, at: int, before: dict[int, Anomaly]) -> Anomaly | None:
    windows = [usual.sums(at, hours) for hours in WINDOWS]
    for window in windows:
        verdict = _orders_missing(usual, at, window) or _visits_missing(usual, at, window)
        if verdict:
            return verdict
    lately = [before.get(at - n) for n in range(1, DAY + 1)]
    of_late = any(v and v.cause is Cause.VISITS_MISSING for v in lately)
    for window in windows:
        lost = _hits_lost(usual, at, window, MATCHED, SENDABLE, SIGNIFICANCE)
        if lost:
            # Who bought today may have come yesterday, when visits were missing.
            cause = Cause.VISITS_MISSING if of_late else Cause.MATCH_KEYS_LOST
            now = usual.sums(at, 1)
            evidence = (
                f"{_ratio(window, MATCHED, SENDABLE)} found a visit"
                f"{_lately(window)}, {_usual_rate(usual, at, window, MATCHED, SENDABLE)} is usual"
            )
            return Anomaly(cause, evidence, unmatched=_short(usual, at, now, MATCHED, SENDABLE))
    return None if of_late else _keys_lost(usual, at, windows)


def _orders_missing(usual: Expectations, at: int, window: WindowTotals) -> Anomaly | None:
    """Visits promise orders that are not there; or both are silent where silence is no mood."""
    orders, expected = window.seen[ORDERS], window.expected[ORDERS]
    speak = bool(can_speak(window.expected))
    if orders > (1.0 - MIN_LOSS_SHARE) * expected or expected < MIN_ORDERS:
        return None
    excess = usual.count_excess(at, window.hours)
    visits, usual_visits = window.seen[VISITS], window.expected[VISITS]
    silent = (
        speak
        and visits <= OUTAGE_VISIT_SHARE * usual_visits
        and orders <= OUTAGE_VISIT_SHARE * expected
    )
    if silent:
        if not usual.weekday_known[at]:
            return None  # it may be the first closed Sunday
        chance = count_models.count_at_most(visits, usual_visits * WORST_NORMAL_SHARE, excess)
        mean = expected
    else:
        mean = expected * (_demand(usual, at, window) if speak else WORST_NORMAL_SHARE)
        if orders > (1.0 - MIN_LOSS_SHARE) * mean:
            return None
        unsure = 1.0 / visits if speak and visits else 0.0
        chance = count_models.count_at_most(orders, mean, excess + unsure)
    if chance > SIGNIFICANCE or _counts_are_back(usual, at, window, mean):
        return None
    now = usual.sums(at, 1)
    low, high = count_models.count_interval(expected, excess)
    evidence = (
        f"{orders:,.0f} orders{_lately(window)} where {expected:,.0f} ({low:,} to {high:,}) are"
        f" usual, {visits:,.0f} visits where {usual_visits:,.0f} are"
    )
    orders_expected_missing = max(0, round(now.expected[ORDERS] - now.seen[ORDERS]))
    return Anomaly(Cause.ORDERS_MISSING, evidence, orders_expected_missing=orders_expected_missing)


def _demand(usual: Expectations, at: int, window: WindowTotals) -> float:
    """The share of the usual orders that so many visits promise.

    Those who still come on a bad day also buy less. Visits far below those of the last days
    promise nothing at all: the site may be down, or the shop closed.
    """
    share = float(window.seen[VISITS] / window.expected[VISITS])
    before = usual.sums(at - window.hours, 3 * DAY) if at >= window.hours else window
    level = 1.0
    if can_speak(before.expected):
        level = min(1.0, float(before.seen[VISITS] / before.expected[VISITS]))
    if share < LOW_TRAFFIC_SHARE * level:
        return 0.0
    if share > MAX_DEMAND_RATIO:
        return MAX_DEMAND_RATIO if share < MAX_DEMAND_RATIO**2 else 1.0
    return share if share >= NORMAL_DEMAND_SHARE else share**3 / NORMAL_DEMAND_SHARE**2


def _visits_missing(usual: Expectations, at: int, window: WindowTotals) -> Anomaly | None:
    """More orders than so few visits make, and fewer of them than usual find theirs."""
    if window.hours > DAY or not can_speak(window.expected):
        return None
    visits, usual_visits = window.seen[VISITS], window.expected[VISITS]
    trials, rate = window.seen[SENDABLE], usual.rate(at, window, MATCHED, SENDABLE)
    lost = trials * rate - window.seen[MATCHED]
    if lost < max(MIN_ORDERS, LOSS_OF_KEYS * trials):
        return None
    demand = min(1.0, window.seen[ORDERS] / max(window.expected[ORDERS], 1e-9))
    now = usual.sums(at, 1)
    excess = usual.count_excess(at, window.hours)
    matched = window.seen[MATCHED], window.expected[MATCHED]
    if (
        _is_surge(window.seen[ORDERS], window.expected[ORDERS], excess)
        and count_models.count_at_most(*matched, excess) > SUBSET_SIGNIFICANCE
    ):
        return None
    if visits > (1.0 - MIN_LOSS_SHARE) * usual_visits * demand or (
        now.seen[VISITS] > (1.0 - MIN_LOSS_SHARE / 2) * now.expected[VISITS] * demand
    ):
        return None
    promised = window.expected[ORDERS] * max(visits / usual_visits, 0.02)
    by_visits = count_models.count_at_least(window.seen[ORDERS], promised, excess)
    by_matches = usual.rate_chance(at, window, MATCHED, SENDABLE)
    if max(by_visits, by_matches) > CHANCE_OF_EACH or by_visits * by_matches > JOINT_SIGNIFICANCE:
        return None
    evidence = (
        f"{visits:,.0f} visits{_lately(window)} where {usual_visits * demand:,.0f} are"
        f" usual, for {window.seen[ORDERS]:,.0f} orders;"
        f" {_ratio(window, MATCHED, SENDABLE)} found one,"
        f" {_usual_rate(usual, at, window, MATCHED, SENDABLE)} is usual"
    )
    return Anomaly(
        Cause.VISITS_MISSING, evidence, unmatched=_short(usual, at, now, MATCHED, SENDABLE)
    )


def _keys_lost(usual: Expectations, at: int, windows: Iterable[WindowTotals]) -> Anomaly | None:
    """The match key that most orders lost, with all others that are lost, too."""
    for window in windows:
        lost = {
            key: _short(usual, at, window, row, KEYED)
            for key, row in usual.keys.items()
            if _hits_lost(usual, at, window, row, KEYED, CHANCE_OF_KEYS)
        }
        if lost:
            worst = sorted(lost, key=lambda key: (-lost[key], key))
            rows = [usual.keys[key] for key in worst]
            said = [
                f"{key} on {_ratio(window, row, KEYED)}{_lately(window)} where"
                f" {_usual_rate(usual, at, window, row, KEYED)} is usual"
                for key, row in zip(worst[:3], rows, strict=False)
            ]
            now = usual.sums(at, 1)
            orders_with_fewer_keys = max(_short(usual, at, now, row, KEYED) for row in rows)
            return Anomaly(
                Cause.MATCH_KEYS_LOST,
                ", ".join(said),
                orders_with_fewer_keys=orders_with_fewer_keys,
            )
    return None


def _hits_lost(
    usual: Expectations, at: int, window: WindowTotals, hits: int, trials: int, limit: float
) -> bool:
    """Whether orders carry (or find) something much less often than usual.

    Fewer for these visits as well: orders of another kind that come on top, of a branch or a call
    centre, dilute the share and lose nothing.
    """
    n, k = window.seen[trials], window.seen[hits]
    rate = usual.rate(at, window, hits, trials)
    if n * rate - k < max(MIN_ORDERS, LOSS_OF_KEYS * n) or k > (1.0 - MIN_LOSS_SHARE) * n * rate:
        return False
    speak = bool(can_speak(window.expected))
    by = VISITS if speak else ORDERS
    demand = window.seen[by] / max(window.expected[by], 1e-9)
    due = window.expected[hits] * (demand if speak else min(1.0, demand))
    if k > (1.0 - LOSS_OF_KEYS) * due:
        return False
    moods = usual.count_excess(at, window.hours)
    of_due = due * window.expected[trials] / max(window.expected[hits], 1e-9)
    if (
        _is_surge(n, of_due, moods)
        and count_models.count_at_most(k, due, moods) > SUBSET_SIGNIFICANCE
    ):
        return False
    if usual.rate_chance(at, window, hits, trials) > limit:
        return False
    tails = usual.suffixes(at, window.hours - 1)
    hit, of = tails.seen[hits], tails.seen[trials]
    with np.errstate(invalid="ignore", divide="ignore"):
        poor = np.clip((k - hit) / (n - of), 0.02, 0.98)
    fine = min(rate, 0.98)
    back = hit * np.log(fine / poor) + (of - hit) * np.log((1.0 - fine) / (1.0 - poor))
    return not bool(np.any(back > _BACK))


def _is_surge(count: float, due: float, moods: float) -> bool:
    return count > SURGE_RATIO * due and count_models.count_at_least(count, due, moods) < _RARE


def _counts_are_back(usual: Expectations, at: int, window: WindowTotals, mean: float) -> bool:
    """Whether the latest hours look like the usual orders rather than like the hours before."""
    tails = usual.suffixes(at, window.hours - 1)
    seen = tails.seen[ORDERS]
    expected = tails.expected[ORDERS] * mean / window.expected[ORDERS]
    with np.errstate(invalid="ignore", divide="ignore"):
        poor = np.clip((window.seen[ORDERS] - seen) / (mean - expected), 0.02, 1.0)
    back = seen * np.log(1.0 / poor) - expected * (1.0 - poor)
    return bool(np.any(back > _BACK))


_BACK = 2.0  # log-likelihood ratio


def _notice_change(usual: Expectations, at: int, strange: Flags, good: Flags) -> None:
    """After a week of unusual hours there is nothing left to compare with, or to save."""
    week = slice(at - WEEK + 1, at + 1)
    expected: Floats = np.nan_to_num(usual.expected[ORDERS, week])
    seen: Floats = np.nan_to_num(usual.seen[ORDERS, week])
    stopped = (
        seen.sum() < WORST_NORMAL_SHARE * expected.sum()
    )  # a feed that is dead never becomes normal
    if not stopped and expected[strange[week]].sum() > _REGIME_CHANGE_SHARE * expected.sum():
        usual.start_anew(week.start, good[week])


def _short(usual: Expectations, at: int, window: WindowTotals, hits: int, trials: int) -> int:
    due = window.seen[trials] * usual.rate(at, window, hits, trials)
    return max(0, round(float(due - window.seen[hits])))


def _ratio(window: WindowTotals, hits: int, trials: int) -> str:
    return f"{window.seen[hits]:,.0f} of {window.seen[trials]:,.0f} orders"


def _usual_rate(usual: Expectations, at: int, window: WindowTotals, hits: int, trials: int) -> str:
    return f"{100 * usual.rate(at, window, hits, trials):.0f} %"


def _lately(window: WindowTotals) -> str:
    return "" if window.hours == 1 else f" in {window.hours} hours"
