"""Which hours are bad, how bad, and why: one row per hour over all datasets.

The rules are plain thresholds that work from the first day on. How consecutive hours become gaps
is in gaps.py; what an hour's numbers are, in waterfall.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa

from capi_assets.coverage.causes import Cause
from capi_assets.coverage.hour_totals import HourTotals, hour_totals, window_end
from capi_assets.coverage.missing_visits import HourOfVisits, MissingVisits, missing_visits
from capi_assets.hours import HOUR, floor_hour

WARN, ERROR = "warn", "error"


@dataclass(frozen=True, slots=True)
class CoveragePolicy:
    """When an hour is bad.

    Attributes:
        threshold: an hour whose share of delivered orders is below this is flagged.
        settle: an hour is judged this long after its end, not earlier, save for faults that
            waiting cannot cure (`Cause.certain`).
        grace: an hour that was never materialized is given this much more: a run takes time.
        min_missing: missing orders that flag an hour, when the fault is ours or Meta's.
        min_missing_data: the same when the fault lies in single rows (refused, quarantined,
            weak match keys): a trickle of those is normal. An hour too small to lose so many is
            judged by the 24 hours that it ends.
        error_within: ERROR instead of WARN when the first event expires within this time.
    """

    threshold: float = 0.95
    settle: timedelta = timedelta(minutes=5)
    grace: timedelta = timedelta(minutes=20)
    min_missing: int = 1
    min_missing_data: int = 3
    error_within: timedelta = timedelta(hours=24)


FLAGS = pa.schema(
    [
        ("hour", pa.timestamp("us", tz="UTC")),
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
        ("first_deadline", pa.timestamp("us", tz="UTC")),
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

    Returns:
        hour; judged (false while it is too early); flagged; severity `warn` or `error` and cause
        where flagged; coverage, orders, eligible, delivered, missing (eligible
        less delivered); recoverable (missing orders that a materialization still delivers, by
        `now`); correctable (missing orders that need other input first, while the hour is inside
        Meta's seven days); the three of them also as money, JSON text `{"EUR": 12.5}` with `""`
        where an order has no currency; unmatched (orders without a visit, only where visits are
        missing); first_deadline of what is recoverable; where flagged, reasons (JSON text, missing
        orders per reason) and evidence (a phrase, where there is more to say than the reasons).
    """
    hours = hour_totals(health, losses, now)
    silent = missing_visits(
        HourOfVisits(hour, t.visits, t.orders, t.matched) for hour, t in hours.items()
    )
    rows = [
        _judge(hour, totals, hours, silent.get(hour), policy, now) for hour, totals in hours.items()
    ]
    absent = {floor_hour(hour) for hour in expected_hours} - hours.keys()
    rows += [_judge_absent(hour, policy, now) for hour in absent]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["hour"]), schema=FLAGS)


def _judge(
    hour: datetime,
    totals: HourTotals,
    hours: Mapping[datetime, HourTotals],
    silent: MissingVisits | None,
    policy: CoveragePolicy,
    now: datetime,
) -> dict[str, Any]:
    if silent and totals.costs[Cause.MATCH_KEYS_LOST]:
        totals.costs[Cause.VISITS_MISSING] += totals.costs.pop(Cause.MATCH_KEYS_LOST)
    settled = now >= hour + HOUR + policy.settle
    cause = _cause(hour, totals, hours, silent, policy, settled)
    severity = _severity(totals, cause, policy, now) if cause else None
    return {
        "hour": hour,
        "judged": settled or cause is not None,
        "flagged": cause is not None,
        "severity": severity,
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
        "unmatched": silent.unmatched if silent else 0,
        "first_deadline": totals.first_deadline,
        "reasons": orjson.dumps(totals.reasons).decode() if cause else None,
        "evidence": _evidence(totals, silent) if cause and silent else None,
    }


def _judge_absent(hour: datetime, policy: CoveragePolicy, now: datetime) -> dict[str, Any]:
    due = hour + HOUR + policy.settle + policy.grace
    deadline = window_end(hour)
    savable = now < deadline
    flagged = now >= due
    soon = savable and deadline - now <= policy.error_within
    return {
        "hour": hour,
        "judged": flagged,
        "flagged": flagged,
        "severity": (ERROR if soon else WARN) if flagged else None,
        "cause": str(Cause.NOT_MATERIALIZED) if flagged else None,
        "first_deadline": deadline if savable else None,
        "evidence": "attribution_health has no data for this hour" if flagged else None,
    }


def _cause(
    hour: datetime,
    totals: HourTotals,
    hours: Mapping[datetime, HourTotals],
    silent: MissingVisits | None,
    policy: CoveragePolicy,
    settled: bool,
) -> Cause | None:
    """The costliest cause that is reason enough to flag the hour."""
    short = totals.coverage is not None and totals.coverage < policy.threshold
    for cause, cost in sorted(totals.costs.items(), key=lambda item: (-item[1], item[0])):
        if not short or not (settled or cause.certain):
            continue
        enough = policy.min_missing_data if cause.cured_by_data else policy.min_missing
        if cost >= enough or (cause.cured_by_data and _day_is_bad(hour, hours, policy)):
            return cause
    # All delivered, but without the match keys that visits lend: flagged for quality.
    if silent and settled and silent.unmatched >= policy.min_missing_data:
        return Cause.VISITS_MISSING
    return None


def _day_is_bad(
    hour: datetime, hours: Mapping[datetime, HourTotals], policy: CoveragePolicy
) -> bool:
    """Whether the 24 hours that end with this one lost enough to faults of single rows."""
    day = [t for i in range(24) if (t := hours.get(hour - i * HOUR))]
    eligible = sum(t.eligible for t in day)
    lost = sum(n for t in day for cause, n in t.costs.items() if cause.cured_by_data)
    return lost >= policy.min_missing_data and 1 - lost / eligible < policy.threshold


def _severity(totals: HourTotals, cause: Cause, policy: CoveragePolicy, now: datetime) -> str:
    soon = totals.first_deadline and totals.first_deadline - now <= policy.error_within
    # One order of one is no catastrophe; none of several is.
    nothing = totals.delivered == 0 and totals.missing >= policy.min_missing_data
    return ERROR if soon or nothing else WARN


def _evidence(totals: HourTotals, silent: MissingVisits) -> str:
    return (
        f"{silent.visits:,} visits where {silent.usual:,.0f} are usual,"
        f" {silent.unmatched:,} of {totals.orders:,} orders found none"
    )


def money_text(money: Mapping[str, float]) -> str:
    """Money per currency as JSON text, sorted by currency, zero amounts left out."""
    return orjson.dumps(
        {c: round(v, 4) for c, v in money.items() if round(v, 4)}, option=orjson.OPT_SORT_KEYS
    ).decode()
