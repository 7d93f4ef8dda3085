"""The coverage sensor: evaluates all watched hours every minute, in four duties.

It reports gaps and lists them (gap_reports.py), recovers hours (auto_recovery.py) and evaluates
hours again (reevaluation.py). `coverage.sensor_state.SensorState` is its memory.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from capi_assets.coverage.formatting import count
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.defs.automation.active_runs import active_hours
from capi_assets.defs.automation.auto_recovery import recover
from capi_assets.defs.automation.gap_reports import list_open_gaps, report_gaps, send_alerts
from capi_assets.defs.automation.reevaluation import reevaluate_changed, reevaluate_expiring
from capi_assets.defs.automation.schedules import HourlyJobs
from capi_assets.defs.automation.watch import watching
from capi_assets.defs.autostart import sensor_status
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy
from capi_assets.settings import Settings


def build_coverage_sensor(settings: Settings, jobs: HourlyJobs) -> dg.Definitions:
    """The sensor `coverage_sensor`."""

    @dg.sensor(
        name=settings.prefixed("coverage_sensor"),
        jobs=[jobs.evaluate_hour, jobs.deliver_hour],
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description=(
            "Flags hours with low coverage, with cause, cost and deadline: on the hour's page, in"
            " the check open_gaps, and as an alert in the log and through the configured channels."
            " Sends alerts only when an incident changes: opened, worse, about to expire, over."
            " Evaluates hours again if their results are newer than their evaluation. With"
            " CAPI_AUTO_BACKFILL=on it launches the backfill once the cause of a gap is resolved."
        ),
    )
    def coverage_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        now, previous = settings.now or datetime.now(UTC), SensorState.from_json(context.cursor)
        with watching(settings, previous.turn, now, context.log) as turn:
            if turn is None:
                return dg.SkipReason(
                    "Another daemon watches this lake. This one takes over three minutes after its"
                    " last look."
                )
            return _tick(context, settings, replace(previous, turn=turn), now)

    return dg.Definitions(sensors=[coverage_sensor])


def _tick(
    context: dg.SensorEvaluationContext, settings: Settings, previous: SensorState, now: datetime
) -> dg.SensorResult:
    """The four duties; the cursor holds the state between two ticks."""
    instance, lake = context.instance, Lake(settings.lake)
    policy = coverage_policy(settings, now)
    snapshot = find_gaps(lake, policy, now)
    active = active_hours(instance, settings, now)

    report = report_gaps(instance, settings, snapshot, previous, policy, now)
    new_alerts, requests = report.alerts, reevaluate_expiring(settings, report.alerts)
    state = replace(previous, alerts=report.alert_state, flagged=report.flagged)
    if settings.auto_backfill:
        recovery = recover(
            report.snapshot, state.recovery, state.alerts, settings, active, now, context.log
        )
        new_alerts, requests = new_alerts + recovery.alerts, requests + recovery.requests
        state = replace(state, recovery=recovery.state, alerts=recovery.alert_state)
    evaluations, reevaluated = reevaluate_changed(
        instance, settings, lake, previous.reevaluated, active, now
    )
    requests += evaluations
    open_list, listed_after = list_open_gaps(instance, settings, report, previous, policy, now)
    unsent = send_alerts(new_alerts, settings, previous.unsent, now, context.log)
    state = replace(state, reevaluated=reevaluated, listed_after=listed_after, unsent=unsent)
    return dg.SensorResult(
        cursor=state.to_json(),
        asset_events=[*report.notes, *open_list],
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(_summary(snapshot.gaps, len(new_alerts))),
    )


def _summary(gaps: list[Gap], sent: int) -> str:
    alerts = f"{count(sent, 'alert')} sent. " if sent else ""
    if not gaps:
        return f"{alerts}Nothing is flagged."
    flagged = count(sum(gap.hours for gap in gaps), "flagged hour")
    open_gaps = f"{flagged} in {count(len(gaps), 'gap')}"
    return f"{alerts}{open_gaps}." if sent else f"Nothing new: {open_gaps}, all already reported."
