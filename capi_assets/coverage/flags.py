"""Which hours are bad, how bad, and why: one row per hour over all datasets.

Plain thresholds apply from the first day. With some days of history, anomalies flag hours as well
(anomalies/detect.py), and the usual share of refused orders flags none (anomalies/refusal_rate.py).
gaps.py joins consecutive hours into gaps; waterfall.py computes an hour's numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.anomalies.detect import Anomaly, detect_anomalies
from capi_assets.coverage.anomalies.hour_signals import hour_signals
from capi_assets.coverage.anomalies.missing_visits import HourOfVisits, missing_visits
from capi_assets.coverage.anomalies.refusal_rate import RefusalBaseline
from capi_assets.coverage.formatting import format_utc
from capi_assets.coverage.hour_totals import HourTotals, hour_totals, window_end
from capi_assets.coverage.landing_delays import AT_ONCE, LandingDelays
from capi_assets.coverage.outcomes import UNREADABLE_FILE
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.delivery.causes import Cause, EndedBy
from capi_assets.hours import HOUR, floor_hour
from capi_assets.meta.events.refusals import FORMER_REASONS

WARN, ERROR = "warn", "error"


@dataclass(frozen=True, slots=True)
class CoveragePolicy:
    """When an hour is flagged.

    Attributes:
        threshold: an hour is flagged if its share of delivered orders is lower.
        settle: an hour is evaluated this long after its end; earlier only for causes that waiting
            cannot fix (`Cause.certain`).
        grace: additional time for hours that were never materialized or have unusually few orders
            or visits, because runs take time.
        delays: how late visits and orders usually land. Anomalies, which compare the two, wait for
            both, and causes that late visits may explain for the visits.
        min_missing: missing orders that flag an hour when the cause is on our side or Meta's.
        min_missing_data: the same when single rows are at fault (refused, quarantined, weak match
            keys), of which a few are normal. A smaller hour is evaluated together with the 23
            hours before it. Fewer flag it where most orders are lost, over up to a week.
        error_within: ERROR instead of WARN when the first event expires, or visits needed for
            matching are deleted, within this time.
        visits: how long visits are stored; None if they are never deleted.
    """

    threshold: float = 0.95
    settle: timedelta = timedelta(minutes=5)
    grace: timedelta = timedelta(minutes=20)
    min_missing: int = 1
    min_missing_data: int = 3
    error_within: timedelta = timedelta(hours=24)
    visits: VisitRetention | None = None
    delays: LandingDelays = AT_ONCE

    def wait(self, cause: Cause | None = None) -> timedelta:
        """How long after its end an hour is evaluated for a cause; without one, for anomalies."""
        if cause is None or cause.ended_by is EndedBy.DATA:
            return self.settle + self.grace + self.delays.longest
        return self.settle

    def delays_text(self, hour: datetime, now: datetime) -> str:
        """From when on an hour is judged whose files usually land later; empty once it is."""
        due = hour + HOUR + self.wait()
        if now >= due or not self.delays.text:
            return ""
        return f"{self.delays.text}: missing ones are judged from {format_utc(due)} on."

    def visits_are_due(self, hour: datetime, now: datetime) -> bool:
        """Whether the visits of an hour have usually landed by now."""
        return now >= hour + HOUR + self.settle + self.delays.visits

    def expires_soon(
        self, hour: datetime, deadline: datetime | None, visits: datetime | None, now: datetime
    ) -> bool:
        """Whether Meta's deadline or the deletion of visits is near.

        Visits that are always deleted within `error_within` do not count: they would make every
        hour an error.
        """
        if deadline is not None and deadline - now <= self.error_within:
            return True
        if visits is None or visits - now > self.error_within:
            return False
        return visits - (hour + HOUR) > self.error_within


_TIME, _MONEY = pa.timestamp("us", tz="UTC"), pa.map_(pa.string(), pa.float64())

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
        ("missing_money", _MONEY),
        ("recoverable", pa.int64()),
        ("recoverable_money", _MONEY),
        ("correctable", pa.int64()),
        ("correctable_money", _MONEY),
        ("unmatched", pa.int64()),
        ("orders_expected_missing", pa.int64()),
        ("orders_with_fewer_keys", pa.int64()),
        ("first_deadline", UTC_MICROSECONDS),
        ("visits_until", UTC_MICROSECONDS),
        ("visits_remaining", pa.string()),
        ("reasons", pa.map_(pa.string(), pa.int64())),
        ("evidence", pa.string()),
    ]
)


def flag_hours(
    health: pa.Table,
    policy: CoveragePolicy,
    now: datetime,
    *,
    expected_hours: Iterable[datetime] = (),
    history: pa.Table | None = None,
) -> pa.Table:
    """Evaluates every hour of `health` and of `expected_hours`; one row each, in time order.

    Args:
        health: `attribution_health` of any number of hours. Include the neighbouring hours: they
            are the evidence for missing visits.
        policy: when an hour is flagged.
        now: the time of evaluation, timezone-aware.
        expected_hours: hours that should be in `health`. Those that are not are flagged as
            `not_materialized`, with unknown (null) counts.
        history: earlier hours (columns `hour_signals.HISTORY`) to learn what is usual; five weeks
            are enough. They get no rows. Each hour of `health` also learns from those before it.

    Returns:
        A table with the schema `FLAGS`. Its columns:

        - hour (start, UTC), judged (false while it is too early), flagged, and where flagged
          severity (`warn`, `error`) and cause;
        - coverage, orders, eligible, delivered and missing (eligible less delivered);
        - recoverable: missing orders that a materialization still delivers, as of `now`;
          correctable: missing orders that need corrected input first, within Meta's seven days;
          both, and missing, also as money per currency (`""` where an order has none);
        - unmatched: orders without a visit, where visits are missing or orders find them less
          often than usual; orders_expected_missing and orders_with_fewer_keys: estimates of the
          orders that never arrived, and of those that lack a usual match key;
        - first_deadline: until when the first order can be delivered; visits_until: when the next
          visits needed for matching are deleted, if that is before Meta's deadline;
          visits_remaining: whether `all`, `some` or `none` of these visits are stored;
        - where flagged, reasons (missing orders per reason) and evidence (text).

    Example:
        `flag_hours(lake.read("attribution_health", hours, schema), CoveragePolicy(), now)`
    """
    settled = now - HOUR - policy.wait()
    signals = hour_signals([health] if history is None else [history, health], settled)
    hours = hour_totals(health, now)
    anomalies = _silent(hours)
    anomalies = {h: a for h, a in anomalies.items() if policy.visits_are_due(h, now)}
    if signals:
        anomalies |= detect_anomalies(signals, policy.threshold)
    judge = _Judge(
        hours, anomalies, RefusalBaseline.learn(signals) if signals else None, policy, now
    )
    rows = [judge.row(hour, totals) for hour, totals in hours.items()]
    not_materialized = {floor_hour(hour) for hour in expected_hours} - hours.keys()
    rows += [_judge_absent(hour, policy, now) for hour in not_materialized]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["hour"]), schema=FLAGS)


def is_inconclusive(row: Mapping[str, Any]) -> bool:
    """Whether an hour of FLAGS lost most of its orders, but too few to flag it: never called good.

    The next lost order decides: then both hours are flagged.
    """
    lost_most = row["eligible"] and 2 * row["delivered"] < row["eligible"]
    return bool(row["judged"] and not row["flagged"] and lost_most)


def _silent(hours: Mapping[datetime, HourTotals]) -> dict[datetime, Anomaly]:
    """Missing visits, found by comparison with the hours around them; needs no history."""
    found = missing_visits(
        HourOfVisits(hour, t.visits, t.orders, t.matched) for hour, t in hours.items()
    )
    return {
        hour: Anomaly(
            Cause.VISITS_MISSING,
            f"{silent.visits:,} visits where {silent.usual:,.0f} are usual,"
            f" {silent.unmatched:,} of {hours[hour].orders:,} orders have no visit",
            unmatched=silent.unmatched,
        )
        for hour, silent in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Judge:
    """What the verdict on one hour depends on beside its own totals."""

    hours: Mapping[datetime, HourTotals]
    anomalies: Mapping[datetime, Anomaly]
    refusals: RefusalBaseline | None
    policy: CoveragePolicy
    now: datetime

    def row(self, hour: datetime, totals: HourTotals) -> dict[str, Any]:
        """The hour's row of FLAGS."""
        anomaly = self.anomalies.get(hour)
        if anomaly and anomaly.cause is Cause.VISITS_MISSING:
            _blame_visits(totals)
        settled = self.now >= hour + HOUR + self.policy.settle
        cause = self._lost(hour, totals, settled)
        if anomaly and settled and self._is_worse(anomaly, totals, cause):
            cause = anomaly.cause
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
        main = anomaly if anomaly and anomaly.cause is cause else None
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
            "missing_money": _amounts(totals.missing_money),
            "recoverable": totals.recoverable,
            "recoverable_money": _amounts(totals.recoverable_money),
            "correctable": totals.correctable,
            "correctable_money": _amounts(totals.correctable_money),
            "unmatched": anomaly.unmatched if anomaly else 0,
            "orders_expected_missing": main.orders_expected_missing if main else 0,
            "orders_with_fewer_keys": main.orders_with_fewer_keys if main else 0,
            "first_deadline": totals.first_deadline,
            "visits_until": visits.until,
            "visits_remaining": visits.remaining,
            "reasons": list(totals.reasons.items()) if cause else None,
            "evidence": _evidence(cause, anomaly, totals),
        }

    def _lost(self, hour: datetime, totals: HourTotals, settled: bool) -> Cause | None:
        """The cause with most undelivered orders that is enough to flag the hour."""
        # An unreadable file may hold any number of orders, so no share can excuse it.
        unreadable = Cause.QUARANTINE if settled and totals.reasons[UNREADABLE_FILE] else None
        if totals.coverage is None or totals.coverage >= self.policy.threshold:
            return unreadable
        for cause, cost in sorted(totals.costs.items(), key=lambda item: (-item[1], item[0])):
            if not (settled or cause.certain):
                continue
            # Orders that need their visit are not lost before its file usually lands.
            if cause is Cause.MATCH_KEYS_LOST and not self.policy.visits_are_due(hour, self.now):
                continue
            enough = (
                self._is_more_than_usual(hour, totals, cost)
                if cause.cured_by_data
                else cost >= self.policy.min_missing
            )
            if enough:
                return cause
        return unreadable

    def _is_more_than_usual(self, hour: datetime, totals: HourTotals, cost: int) -> bool:
        refused = sum(n for cause, n in totals.costs.items() if cause.cured_by_data)
        if self.refusals:
            least = 1.0 - self.policy.threshold
            more = self.refusals.is_more(hour, refused, totals.eligible, least)
            if more is not None:
                return more
        return cost >= self.policy.min_missing_data or self._day_is_bad(hour)

    def _day_is_bad(self, hour: datetime) -> bool:
        """Whether the 24 hours that end with this one lost enough orders to faulty rows."""
        day = [t for i in range(24) if (t := self.hours.get(hour - i * HOUR))]
        eligible = sum(t.eligible for t in day)
        lost = sum(n for t in day for cause, n in t.costs.items() if cause.cured_by_data)
        return lost >= self.policy.min_missing_data and 1 - lost / eligible < self.policy.threshold

    def _is_worse(self, anomaly: Anomaly, totals: HourTotals, cause: Cause | None) -> bool:
        """Whether the anomaly matters more than the undelivered orders.

        An hour may be flagged for quality alone: all delivered, but with fewer match keys.
        """
        if anomaly.cause is Cause.ORDERS_MISSING:
            return cause is None or anomaly.orders_expected_missing > totals.costs[cause]
        if (
            anomaly.cause is Cause.VISITS_MISSING
            and anomaly.unmatched < self.policy.min_missing_data
        ):
            return False
        return cause is None

    def _severity(self, hour: datetime, totals: HourTotals, visits: datetime | None) -> str:
        soon = self.policy.expires_soon(hour, totals.first_deadline, visits, self.now)
        # No delivery at all is an error only if several orders are missing, not for a single one.
        nothing = totals.delivered == 0 and totals.missing >= self.policy.min_missing_data
        return ERROR if soon or nothing else WARN


def _blame_visits(totals: HourTotals) -> None:
    """Counts orders refused for data that their visits would have supplied as missing visits:
    weak match keys, and in hours that a former version wrote the browser's data."""
    supplied = min(totals.costs[Cause.PAYLOAD], sum(totals.reasons[r] for r in FORMER_REASONS))
    totals.costs[Cause.PAYLOAD] -= supplied
    totals.costs[Cause.VISITS_MISSING] += supplied + totals.costs.pop(Cause.MATCH_KEYS_LOST, 0)


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
        "visits_remaining": visits.remaining,
        "evidence": "attribution_health has no data for this hour" if flagged else None,
    }


@dataclass(frozen=True, slots=True)
class _Visits:
    until: datetime | None
    remaining: str | None


_UNREADABLE = "a landed file cannot be read; the number of its orders is unknown"


def _evidence(cause: Cause | None, anomaly: Anomaly | None, totals: HourTotals) -> str | None:
    if cause is None:
        return None
    unreadable = [_UNREADABLE] if totals.reasons[UNREADABLE_FILE] else []
    return "; ".join([*unreadable, *([anomaly.evidence] if anomaly else [])]) or None


def _visits(
    policy: CoveragePolicy,
    hour: datetime,
    deadline: datetime,
    now: datetime,
    *,
    needed: bool,
    matched_again: bool,
) -> _Visits:
    """Which visits of a flagged hour are stored, and until when, if that is before its deadline."""
    if policy.visits is None or not needed:
        return _Visits(None, None)
    until = policy.visits.next_loss(hour, now)
    binds = matched_again and until is not None and until < deadline
    return _Visits(until if binds else None, policy.visits.remaining(hour, now))


def _amounts(money: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(c, round(v, 4)) for c, v in sorted(money.items()) if round(v, 4)]
