"""Which hours are bad, how bad, and why: one row per hour over all datasets.

Plain thresholds work from the first day on. Once there are some days to compare with, signals that
contradict each other (unusual.py) flag hours too, and losses that the shop always has (trickle.py)
flag none. How consecutive hours become gaps is in gaps.py; an hour's numbers, in waterfall.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.anomalies.detect import Anomaly, detect_anomalies
from capi_assets.coverage.anomalies.hour_signals import hour_signals
from capi_assets.coverage.anomalies.missing_visits import HourOfVisits, missing_visits
from capi_assets.coverage.anomalies.refusal_rate import RefusalBaseline
from capi_assets.coverage.hour_totals import HourTotals, hour_totals, window_end
from capi_assets.coverage.outcomes import UNREADABLE_FILE
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.delivery.causes import VISIT_SUPPLIED_REASONS, Cause
from capi_assets.hours import HOUR, floor_hour

WARN, ERROR = "warn", "error"


@dataclass(frozen=True, slots=True)
class CoveragePolicy:
    """When an hour is bad.

    Attributes:
        threshold: an hour whose share of delivered orders is below this is flagged.
        settle: an hour is judged this long after its end, not earlier, save for faults that
            waiting cannot cure (`Cause.certain`).
        grace: an hour that was never materialized, or whose orders or visits are fewer than
            usual, is given this much more: a run takes time, and files may come late.
        min_missing: missing orders that flag an hour, when the fault is ours or Meta's.
        min_missing_data: the same when the fault lies in single rows (refused, quarantined,
            weak match keys): a trickle of those is normal. An hour too small to lose so many is
            judged by the 24 hours that it ends.
        error_within: ERROR instead of WARN when the first event expires, or the visits that it
            must be matched with are deleted, within this time.
        visits: how long visits are kept; None for ever.
    """

    threshold: float = 0.95
    settle: timedelta = timedelta(minutes=5)
    grace: timedelta = timedelta(minutes=20)
    min_missing: int = 1
    min_missing_data: int = 3
    error_within: timedelta = timedelta(hours=24)
    visits: VisitRetention | None = None

    def expires_soon(
        self, hour: datetime, deadline: datetime | None, visits: datetime | None, now: datetime
    ) -> bool:
        """Whether time runs out for an hour: Meta's, or that of its visits.

        Visits that were never kept for longer than `error_within` are no alarm of every hour.
        """
        if deadline is not None and deadline - now <= self.error_within:
            return True
        if visits is None or visits - now > self.error_within:
            return False
        return visits - (hour + HOUR) > self.error_within


FLAGS = pa.schema(
    [
        ("hour", UTC_MICROSECONDS),
        ("judged", pa.bool_()),
        ("flagged", pa.bool_()),
        ("severity", pa.string()),
        ("cause", pa.string()),
        ("coverage", pa.float64()),
        ("orders", pa.int64()),
        ("eligible", pa.int64()),
        ("delivered", pa.int64()),
        ("missing", pa.int64()),
        ("missing_money", pa.string()),
        ("recoverable", pa.int64()),
        ("recoverable_money", pa.string()),
        ("correctable", pa.int64()),
        ("correctable_money", pa.string()),
        ("unmatched", pa.int64()),
        ("orders_expected_missing", pa.int64()),
        ("orders_with_fewer_keys", pa.int64()),
        ("first_deadline", UTC_MICROSECONDS),
        ("visits_until", UTC_MICROSECONDS),
        ("visits_remaining", pa.string()),
        ("reasons", pa.string()),
        ("evidence", pa.string()),
    ]
)


def flag_hours(
    health: pa.Table,
    policy: CoveragePolicy,
    now: datetime,
    *,
    expected_hours: Iterable[datetime] = (),
    losses: pa.Table | None = None,
    history: pa.Table | None = None,
) -> pa.Table:
    """Judges every hour of `health` and of `expected_hours`; one row each, in time order.

    Args:
        health: `attribution_health` of any number of hours. Neighbouring hours are the evidence
            for missing visits, so pass more than the hour in question.
        policy: when an hour is bad.
        now: the moment of judgement, timezone-aware.
        expected_hours: hours that ought to be in `health`; those that are not are flagged as
            `not_materialized`, with unknown (null) counts.
        losses: of the same hours (`outcomes.losses`); makes costs per cause exact. Without it a
            row's losses all count for its main reason.
        history: earlier hours (columns `hour_signals.HISTORY`) to learn from, with no verdict of
            their own; five weeks are as good as any number. What `health` holds is learned from
            as well, each hour from those before it.

    Returns:
        hour; judged (false while it is too early); flagged; severity `warn` or `error` and cause
        where flagged; coverage, orders, eligible, delivered, missing (eligible
        less delivered); recoverable (missing orders that a materialization still delivers, by
        `now`); correctable (missing orders that need other input first, while the hour is inside
        Meta's seven days); the three of them also as money, JSON text `{"EUR": 12.5}` with `""`
        where an order has no currency; unmatched (orders without a visit, only where visits are
        missing or orders find them less than usual); orders_expected_missing (about how many
        orders never arrived, where orders are missing); orders_with_fewer_keys (about how many
        orders lack a match key that they usually carry, where keys are lost);
        first_deadline of what is recoverable, or of what
        could still arrive; visits_until (where flagged orders must be matched again: the next
        moment at which visits that they may have come from are deleted, if before Meta's deadline)
        and visits_remaining (where something can be saved: whether `all`, `some` or `none` of those
        visits are stored); where flagged, reasons (JSON text, missing orders per reason) and
        evidence (a phrase, where there is more to say than the reasons).
    """
    settled = now - HOUR - policy.settle - policy.grace
    signals = hour_signals([health] if history is None else [history, health], settled)
    hours = hour_totals(health, losses, now)
    oddities = _silent(hours)
    if signals:
        oddities |= detect_anomalies(signals, policy.threshold)
    judge = _Judge(
        hours, oddities, RefusalBaseline.learn(signals) if signals else None, policy, now
    )
    rows = [judge.row(hour, totals) for hour, totals in hours.items()]
    orders_expected_missing = {floor_hour(hour) for hour in expected_hours} - hours.keys()
    rows += [_judge_absent(hour, policy, now) for hour in orders_expected_missing]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["hour"]), schema=FLAGS)


def _silent(hours: Mapping[datetime, HourTotals]) -> dict[datetime, Anomaly]:
    """Missing visits by the hours around them: from the first day on, without a baseline."""
    found = missing_visits(
        HourOfVisits(hour, t.visits, t.orders, t.matched) for hour, t in hours.items()
    )
    return {
        hour: Anomaly(
            Cause.VISITS_MISSING,
            f"{silent.visits:,} visits where {silent.usual:,.0f} are usual,"
            f" {silent.unmatched:,} of {hours[hour].orders:,} orders found none",
            unmatched=silent.unmatched,
        )
        for hour, silent in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the verdict on one hour depends on beside its own totals."""

    hours: Mapping[datetime, HourTotals]
    oddities: Mapping[datetime, Anomaly]
    trickle: RefusalBaseline | None
    policy: CoveragePolicy
    now: datetime

    def row(self, hour: datetime, totals: HourTotals) -> dict[str, Any]:
        """The hour's row of FLAGS."""
        odd = self.oddities.get(hour)
        if odd and odd.cause is Cause.VISITS_MISSING:
            _blame_visits(totals)
        settled = self.now >= hour + HOUR + self.policy.settle
        cause = self._lost(hour, totals, settled)
        if odd and settled and self._is_worse(odd, totals, cause):
            cause = odd.cause
        if cause is Cause.ORDERS_MISSING and self.now < window_end(hour):
            totals.first_deadline = min(totals.first_deadline or window_end(hour), window_end(hour))
        savable = totals.first_deadline is not None or totals.correctable > 0
        visits = _visits(
            self.policy,
            hour,
            totals.first_deadline or window_end(hour),
            self.now,
            needed=cause is not None and savable,
            matched_again=cause is not None and cause.matched_again,
        )
        return {
            "hour": hour,
            "judged": settled or cause is not None,
            "flagged": cause is not None,
            "severity": self._severity(hour, totals, visits.until) if cause else None,
            "cause": cause and str(cause),
            "coverage": totals.coverage,
            "orders": totals.orders,
            "eligible": totals.eligible,
            "delivered": totals.delivered,
            "missing": totals.missing,
            "missing_money": money_text(totals.missing_money),
            "recoverable": totals.recoverable,
            "recoverable_money": money_text(totals.recoverable_money),
            "correctable": totals.correctable,
            "correctable_money": money_text(totals.correctable_money),
            "unmatched": odd.unmatched if odd else 0,
            "orders_expected_missing": odd.orders_expected_missing
            if odd and cause is odd.cause
            else 0,
            "orders_with_fewer_keys": odd.orders_with_fewer_keys
            if odd and cause is odd.cause
            else 0,
            "first_deadline": totals.first_deadline,
            "visits_until": visits.until,
            "visits_remaining": visits.left,
            "reasons": orjson.dumps(totals.reasons).decode() if cause else None,
            "evidence": _evidence(cause, odd, totals),
        }

    def _lost(self, hour: datetime, totals: HourTotals, settled: bool) -> Cause | None:
        """The costliest cause among undelivered orders that is reason enough to flag the hour."""
        # A file holds nobody knows how many orders: no share of what was read says that it is few.
        unreadable = Cause.QUARANTINE if settled and totals.reasons[UNREADABLE_FILE] else None
        if totals.coverage is None or totals.coverage >= self.policy.threshold:
            return unreadable
        for cause, cost in sorted(totals.costs.items(), key=lambda item: (-item[1], item[0])):
            if not (settled or cause.certain):
                continue
            enough = (
                self._is_no_trickle(hour, totals, cost)
                if cause.cured_by_data
                else cost >= self.policy.min_missing
            )
            if enough:
                return cause
        return unreadable

    def _is_no_trickle(self, hour: datetime, totals: HourTotals, cost: int) -> bool:
        refused = sum(n for cause, n in totals.costs.items() if cause.cured_by_data)
        if self.trickle:
            least = 1.0 - self.policy.threshold
            more = self.trickle.is_more(hour, refused, totals.eligible, least)
            if more is not None:
                return more
        return cost >= self.policy.min_missing_data or self._day_is_bad(hour)

    def _day_is_bad(self, hour: datetime) -> bool:
        """Whether the 24 hours that end with this one lost enough to faults of single rows."""
        day = [t for i in range(24) if (t := self.hours.get(hour - i * HOUR))]
        eligible = sum(t.eligible for t in day)
        lost = sum(n for t in day for cause, n in t.costs.items() if cause.cured_by_data)
        return lost >= self.policy.min_missing_data and 1 - lost / eligible < self.policy.threshold

    def _is_worse(self, odd: Anomaly, totals: HourTotals, cause: Cause | None) -> bool:
        """Whether what is odd about the hour is a reason to flag it, and more so than its losses.

        An hour may be flagged for quality alone: all delivered, but with fewer match keys.
        """
        if odd.cause is Cause.ORDERS_MISSING:
            return cause is None or odd.orders_expected_missing > totals.costs[cause]
        if odd.cause is Cause.VISITS_MISSING and odd.unmatched < self.policy.min_missing_data:
            return False
        return cause is None

    def _severity(self, hour: datetime, totals: HourTotals, visits: datetime | None) -> str:
        soon = self.policy.expires_soon(hour, totals.first_deadline, visits, self.now)
        # One order of one is no catastrophe; none of several is.
        nothing = totals.delivered == 0 and totals.missing >= self.policy.min_missing_data
        return ERROR if soon or nothing else WARN


def _blame_visits(totals: HourTotals) -> None:
    """Orders that were refused for want of what their visits would have lent them."""
    lent = min(totals.costs[Cause.PAYLOAD], sum(totals.reasons[r] for r in VISIT_SUPPLIED_REASONS))
    totals.costs[Cause.PAYLOAD] -= lent
    totals.costs[Cause.VISITS_MISSING] += lent + totals.costs.pop(Cause.MATCH_KEYS_LOST, 0)


def _judge_absent(hour: datetime, policy: CoveragePolicy, now: datetime) -> dict[str, Any]:
    due = hour + HOUR + policy.settle + policy.grace
    deadline = window_end(hour)
    savable = now < deadline
    flagged = now >= due
    visits = _visits(policy, hour, deadline, now, needed=flagged and savable, matched_again=flagged)
    soon = savable and policy.expires_soon(hour, deadline, visits.until, now)
    return {
        "hour": hour,
        "judged": flagged,
        "flagged": flagged,
        "severity": (ERROR if soon else WARN) if flagged else None,
        "cause": str(Cause.NOT_MATERIALIZED) if flagged else None,
        "first_deadline": deadline if savable else None,
        "visits_until": visits.until,
        "visits_remaining": visits.left,
        "evidence": "attribution_health has no data for this hour" if flagged else None,
    }


@dataclass(frozen=True, slots=True)
class _Visits:
    until: datetime | None
    left: str | None


_UNREADABLE = "a landed file cannot be read, and nobody knows how many orders it holds"


def _evidence(cause: Cause | None, odd: Anomaly | None, totals: HourTotals) -> str | None:
    if cause is None:
        return None
    said = [_UNREADABLE] if totals.reasons[UNREADABLE_FILE] else []
    return "; ".join([*said, *([odd.evidence] if odd else [])]) or None


def _visits(
    policy: CoveragePolicy,
    hour: datetime,
    deadline: datetime,
    now: datetime,
    *,
    needed: bool,
    matched_again: bool,
) -> _Visits:
    """What is left of the visits of a bad hour, and until when, if that is before its deadline."""
    if policy.visits is None or not needed:
        return _Visits(None, None)
    until = policy.visits.next_loss(hour, now)
    binds = matched_again and until is not None and until < deadline
    return _Visits(until if binds else None, policy.visits.left(hour, now))


def money_text(money: Mapping[str, float]) -> str:
    """Money per currency as JSON text, sorted by currency, zero amounts left out."""
    return orjson.dumps(
        {c: round(v, 4) for c, v in money.items() if round(v, 4)}, option=orjson.OPT_SORT_KEYS
    ).decode()
