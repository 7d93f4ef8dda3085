"""Which hours are bad, how bad, and why: one row per hour, with a finding per cause.

Plain thresholds apply from the first day. With some days of history, anomalies flag hours as well
(anomalies/detect.py), and the usual share of refused orders flags none (anomalies/refusal_rate.py).
gaps.py joins consecutive findings into gaps; waterfall.py computes an hour's numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.anomalies import hour_signals
from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.missing_visits import HourOfVisits, missing_visits
from capi_assets.coverage.anomalies.stream_hours import STREAM_HISTORY
from capi_assets.coverage.anomalies.unusual_hours import UnusualHours, unusual_hours
from capi_assets.coverage.findings import FINDING, MONEY, Findings, not_materialized
from capi_assets.coverage.hour_totals import HourTotals, Totals, hour_totals, window_end
from capi_assets.coverage.policy import ERROR, WARN, CoveragePolicy
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, floor_hour

HISTORY = tuple(dict.fromkeys((*hour_signals.HISTORY, *STREAM_HISTORY)))
"""Columns of `attribution_health` that earlier hours need."""

FLAGS = pa.schema(
    {
        "hour": UTC_MICROSECONDS,
        **dict.fromkeys(("judged", "flagged"), pa.bool_()),
        **dict.fromkeys(("severity", "cause"), pa.string()),
        "coverage": pa.float64(),
        **dict.fromkeys(("orders", "eligible", "delivered", "missing", "recoverable"), pa.int64()),
        "missing_money": MONEY,
        "first_deadline": UTC_MICROSECONDS,
        "findings": pa.list_(pa.struct(list(FINDING))),
    }
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
        history: earlier hours (columns `flags.HISTORY`) to learn what is usual; five weeks
            are enough. They get no rows. Each hour of `health` also learns from those before it.

    Returns:
        A table with the schema `FLAGS`. Its columns:

        - hour (start, UTC), judged (false while it is too early), flagged;
        - coverage, orders, eligible, delivered, missing (eligible less delivered, also as money per
          currency, `""` where an order has none) and recoverable (missing orders that a
          materialization still delivers, as of `now`), all of the whole hour;
        - first_deadline: until when the first order can be delivered;
        - severity (`warn`, `error`, the worst) and cause (the costliest) of the findings;
        - findings, the costliest first, one per cause, with the columns of `findings.FINDING`.
          Orders and money are those of that cause alone: missing, recoverable, and correctable
          (those that need corrected input first, within Meta's seven days); estimates of the
          orders that never arrived (orders_expected_missing), have no visit although such orders
          usually do (unmatched), lack a usual match key, or arrived otherwise than usual
          (orders_affected), and of their money; streams: the datasets, event names and action
          sources concerned, none where it is the whole shop; first_deadline; visits_until: when
          the next visits needed for matching are deleted, if that is before Meta's deadline;
          visits_remaining: whether `all`, `some` or `none` of these visits are stored; reasons
          (missing orders per reason), evidence (text), and comparisons: what was seen and
          expected, with the hours that the expectation was learned from.

    Example:
        `flag_hours(lake.read("attribution_health", hours, schema), CoveragePolicy(), now)`
    """
    tables = [health] if history is None else [history, health]
    unusual = unusual_hours(tables, last_settled(policy, now), policy.threshold)
    return flags_beside(unusual, health, policy, now, expected_hours)


def last_settled(policy: CoveragePolicy, now: datetime) -> datetime:
    """The last hour that anomalies are looked for in: its visits and orders have usually landed."""
    return floor_hour(now - HOUR - policy.wait())


def flags_beside(
    unusual: UnusualHours,
    health: pa.Table,
    policy: CoveragePolicy,
    now: datetime,
    expected_hours: Iterable[datetime] = (),
) -> pa.Table:
    """As `flag_hours`, given what is unusual until `last_settled`, which takes most of the time and
    does not depend on `now`."""
    hours = hour_totals(health, now)
    silent = {h: a for h, a in _silent(hours).items() if policy.visits_are_due(h, now)}
    if unusual.start:
        known_from = unusual.start + timedelta(weeks=1)
        silent = {h: a for h, a in silent.items() if h < known_from}
    anomalies: dict[datetime, Sequence[Anomaly]] = {**silent, **unusual.anomalies}
    for hour, more in unusual.orders.items():
        anomalies[hour] = [*anomalies.get(hour, ()), *more]
    findings = Findings(hours, anomalies, unusual.baselines, policy, now)
    rows = []
    for hour, totals in hours.items():
        found = findings.of_hour(hour)
        settled_hour = now >= hour + HOUR + policy.settle
        rows.append(_row(hour, totals.whole, found, judged=settled_hour or bool(found)))
    for hour in {floor_hour(hour) for hour in expected_hours} - hours.keys():
        found = not_materialized(hour, policy, now)
        deadline = window_end(hour)
        row = {"hour": hour, "judged": bool(found), **_verdict(found)}
        rows.append({**row, "first_deadline": deadline if now < deadline else None})
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["hour"]), schema=FLAGS)


def moments_of_change(
    health: pa.Table, policy: CoveragePolicy, expected_hours: Iterable[datetime] = ()
) -> list[datetime]:
    """The moments, in order, from which on `flag_hours` may give something else for the same
    arguments but `now`. Whatever is compared with `now` must be among them."""
    stored, deadlines = (
        [at.astimezone(UTC) for at in pc.unique(health[name].drop_null()).to_pylist()]
        for name in ("hour", "first_deadline")
    )
    ends = {floor_hour(hour) for hour in expected_hours}.union(stored)
    moments = {window_end(hour) for hour in ends}.union(deadlines)
    moments |= {at for hour in ends for at in policy.visits_deleted(hour)}
    moments |= {at - policy.error_within for at in moments}
    moments |= {hour + HOUR + wait for hour in ends for wait in policy.waits}
    return sorted(moments)


def _row(
    hour: datetime, totals: Totals, found: list[dict[str, Any]], *, judged: bool
) -> dict[str, Any]:
    deadlines = [row["first_deadline"] for row in found] + [totals.first_deadline]
    return {
        "hour": hour,
        "judged": judged,
        "coverage": totals.coverage,
        "orders": totals.orders,
        "eligible": totals.eligible,
        "delivered": totals.delivered,
        "missing": totals.missing,
        "recoverable": totals.recoverable,
        "missing_money": [(c, round(v, 4)) for c, v in sorted(totals.missing_money.items())],
        "first_deadline": min((at for at in deadlines if at), default=None),
        **_verdict(found),
    }


def _verdict(found: list[dict[str, Any]]) -> dict[str, Any]:
    severe = any(row["severity"] == ERROR for row in found)
    return {
        "flagged": bool(found),
        "severity": (ERROR if severe else WARN) if found else None,
        "cause": found[0]["cause"] if found else None,
        "findings": found,
    }


def is_inconclusive(row: Mapping[str, Any]) -> bool:
    """Whether an hour of FLAGS lost most of its orders, but too few to flag it: never called good.

    The next lost order decides: then both hours are flagged.
    """
    lost_most = row["eligible"] and 2 * row["delivered"] < row["eligible"]
    return bool(row["judged"] and not row["flagged"] and lost_most)


def _silent(hours: Mapping[datetime, HourTotals]) -> dict[datetime, list[Anomaly]]:
    """Missing visits, found by comparison with the hours around them, for the first week."""
    wholes = {hour: totals.whole for hour, totals in hours.items()}
    found = missing_visits(
        HourOfVisits(hour, hours[hour].visits, t.orders, t.matched) for hour, t in wholes.items()
    )
    return {
        hour: [
            Anomaly(
                Cause.VISITS_MISSING,
                f"{silent.visits:,} visits where {silent.usual:,.0f} are usual,"
                f" {silent.unmatched:,} of {wholes[hour].orders:,} orders have no visit",
                unmatched=silent.unmatched,
            )
        ]
        for hour, silent in found.items()
    }
