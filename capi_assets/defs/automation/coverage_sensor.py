"""The coverage sensor: looks at every watched hour, tells what changed, writes it where people
look. What a gap is, and when it is told, is decided in `coverage`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import orjson

from capi_assets.coverage.alerting.alert_message import message
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.alerting.channels import LogChannel, deliver
from capi_assets.coverage.formatting import count
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.coverage.markdown import hour_sentence
from capi_assets.coverage.recovery.state import RecoveryState
from capi_assets.coverage.stored_health import CoverageSnapshot, find_gaps, older_than_results
from capi_assets.defs.automation.active_runs import active_hours, done_at, failure_texts, range_tags
from capi_assets.defs.automation.auto_recovery import recover
from capi_assets.defs.automation.schedules import HourlyJobs
from capi_assets.defs.autostart import sensor_status
from capi_assets.defs.conversions.attribution_health import open_gaps_check
from capi_assets.defs.dagster_private import AssetCheckEvaluationTargetMaterializationData
from capi_assets.defs.hourly_reporting import latest_materialization
from capi_assets.defs.resources import ClockResource
from capi_assets.delivery.causes import Cause
from capi_assets.hours import hour_key, key_hour, key_ranges
from capi_assets.lake import Lake
from capi_assets.policies import alert_channels, coverage_policy
from capi_assets.settings import Settings

# The hours whose verdict a change of clock alone can turn.
_REJUDGE = ("about_to_expire", "expired")
_OVER = ("recovered", "expired", "changed")
_GIVEN_UP = "recovery_stopped"
_AT_MOST_OBSERVATIONS = 200
_AT_MOST_RANGES = 5


def build_coverage_sensor(settings: Settings, jobs: HourlyJobs) -> dg.Definitions:
    """The sensor `coverage_sensor`."""

    @dg.sensor(
        jobs=[jobs.evaluate_hour, jobs.deliver_hour],
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description=(
            "Flags hours whose coverage dropped, with cause, cost and deadline: on the hour's page,"
            " in the check open_gaps, and as an alert to the log and to the configured channels."
            " Alerts are sent on a change of state only: opened, worse, about to expire, recovered."
            " Hours whose results are newer than their evaluation are evaluated again. With"
            " CAPI_AUTO_BACKFILL=on it launches the backfill once the cause of a gap is resolved."
        ),
    )
    def coverage_sensor(
        context: dg.SensorEvaluationContext, clock: ClockResource
    ) -> dg.SensorResult:
        return _evaluate(context, settings, clock.now())

    return dg.Definitions(sensors=[coverage_sensor])


def _evaluate(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime
) -> dg.SensorResult:
    """One look; the cursor remembers what was told, launched and judged again."""
    lake = Lake(settings.lake)
    memory = _memory(context.cursor)
    before: dict[str, str] = memory.get("flagged", {})
    seen = _with_failed_runs(
        context.instance, find_gaps(lake, coverage_policy(settings), now), before
    )
    told, state = decide(
        AlertState.from_json(memory.get("alerts")), seen.gaps, now, watched_from=seen.watched_from
    )
    busy = active_hours(context.instance, now)
    launched: list[str] = memory.get("launched", [])
    requests = [request for alert in told for request in _judge_again(alert, settings.start_date)]
    recovery = RecoveryState.from_json(memory.get("recovery"))
    told = [replace(a, automatic=a.kind in _OVER and a.gap_id in launched) for a in told]
    launched = [known.id for known in state.standing if known.id in launched]
    if settings.auto_backfill:
        found = recover(seen, recovery, state, settings, busy, now, context.log)
        recovery = found.state
        requests += found.requests
        told += [a for a in found.alerts if a.kind == _GIVEN_UP or a.gap_id not in launched]
        launched = list(dict.fromkeys([*launched, *(a.gap_id for a in found.alerts)]))
    rejudged, again = _newer_results(
        context.instance, lake, memory.get("rejudged", {}), busy, now, settings.start_date
    )
    requests += again

    messages = [message(alert, now, settings.ui_url) for alert in told]
    LogChannel(context.log).send(messages)
    failures, unsent = deliver(alert_channels(settings), messages, memory.get("unsent", {}), now)
    for failure in failures:
        context.log.warning("An alert was not delivered by %s: %s", failure.channel, failure.reason)

    flagged = _flagged(seen.gaps)
    events = _observations(seen, flagged, before, now, settings.ui_url)
    # Dagster calls a check "not evaluated" once its asset was materialized after it.
    judged = latest_materialization(context.instance, "attribution_health")
    judged_id = judged.storage_id if judged else None
    if flagged != memory.get("flagged") or judged_id != memory.get("judged"):
        events.append(_standing_list(seen.gaps, now, judged, settings.ui_url))
    remembered = {
        "alerts": state.to_json(),
        "flagged": flagged,
        "judged": judged_id,
        "recovery": recovery.to_json(),
        "launched": launched,
        "rejudged": rejudged,
        "unsent": unsent,
    }
    return dg.SensorResult(
        cursor=orjson.dumps(remembered).decode(),
        asset_events=events,
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(_look(seen, len(told))),
    )


def _memory(cursor: str | None) -> dict[str, Any]:
    """What the former look left. A cursor that cannot be read, as one set by hand, is none: alerts
    are told once more, where an exception would end the watch."""
    try:
        found = orjson.loads(cursor or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _look(seen: CoverageSnapshot, told: int) -> str:
    news = f"{count(told, 'alert')} told. " if told else ""
    if not seen.gaps:
        return f"{news}Nothing is flagged."
    hours = count(sum(gap.hours for gap in seen.gaps), "flagged hour")
    standing = f"{hours} in {count(len(seen.gaps), 'gap')}"
    return f"{news}{standing}." if told else f"Nothing new: {standing}, all told before."


def _flagged(gaps: Sequence[Gap]) -> dict[str, str]:
    """Flagged hours by key, each with what would make it worth telling again."""
    return {
        hour_key(hour): f"{gap.cause} {gap.severity} {missing}"
        for gap in gaps
        for hour, missing in gap.missing.items()
    }


def _with_failed_runs(
    instance: dg.DagsterInstance, seen: CoverageSnapshot, before: Mapping[str, str]
) -> CoverageSnapshot:
    """Newly flagged hours without data often have a run that failed: the evidence names it."""
    new = {
        hour
        for gap in seen.gaps
        if gap.cause is Cause.NOT_MATERIALIZED
        for hour in gap.missing
        if hour_key(hour) not in before
    }
    words = failure_texts(instance, new)
    if not words:
        return seen
    gaps = []
    for gap in seen.gaps:
        of_gap = [words[hour] for hour in sorted(gap.missing) if hour in words]
        gaps.append(replace(gap, evidence=of_gap[-1]) if of_gap else gap)
    return replace(seen, gaps=gaps)


def _observations(
    seen: CoverageSnapshot,
    flagged: Mapping[str, str],
    before: Mapping[str, str],
    now: datetime,
    ui_url: str | None,
) -> list[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """One note per hour that is newly flagged, or flagged otherwise than before."""
    by_key = {hour_key(hour): (gap, hour) for gap in seen.gaps for hour in gap.missing}
    changed = [key for key, mark in flagged.items() if before.get(key) != mark]
    return [
        dg.AssetObservation(
            "attribution_health",
            partition=key,
            description=hour_sentence(by_key[key][1], seen.flags, now),
            metadata=_note(by_key[key][0], ui_url),
        )
        for key in changed[:_AT_MOST_OBSERVATIONS]
    ]


def _note(gap: Gap, ui_url: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gap": gap.id,
        "cause": str(gap.cause),
        "materialize": partition_ranges_text([gap.partition_range]),
        "remedy": gap.remedy,
    }
    if gap.evidence:
        found["evidence"] = gap.evidence
    if not gap.as_stored and (link := backfill_link(ui_url, [gap.partition_range])):
        found["backfill"] = dg.MetadataValue.url(link)
    return found


def _standing_list(
    gaps: Sequence[Gap],
    now: datetime,
    judged: AssetCheckEvaluationTargetMaterializationData | None,
    ui_url: str | None,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("attribution_health"),
        check_name="open_gaps",
        target_materialization_data=judged,
        **open_gaps_check(gaps, now, ui_url),
    )


def _judge_again(alert: Alert, start: datetime) -> list[dg.RunRequest]:
    """Time alone turned these hours' verdict: their checks are run again."""
    if alert.kind not in _REJUDGE:
        return []
    requests = []
    for keys in alert.ranges:
        first, last = map(key_hour, keys.split("..."))
        first = max(first, start)  # CAPI_START_DATE may have moved
        if first > last:
            continue
        requests.append(
            dg.RunRequest(
                job_name="evaluate_hour",
                run_key=f"{alert.gap_id}-{alert.kind}-{hour_key(first)}",
                tags={**range_tags(first, last), "capi_assets/gap": alert.gap_id},
            )
        )
    return requests


def _newer_results(
    instance: dg.DagsterInstance,
    lake: Lake,
    before: Mapping[str, int],
    busy: frozenset[datetime],
    now: datetime,
    start: datetime,
) -> tuple[dict[str, int], list[dg.RunRequest]]:
    """Hours whose results are newer than their verdict are judged again, once per change; what
    was asked for is returned to be remembered."""

    def judged_at(hours: list[datetime]) -> dict[datetime, datetime]:
        done = done_at(instance, "attribution_health", hours)
        return {hour: at for hour, (at, _) in done.items()}

    old = older_than_results(lake, judged_at, now)
    marks = {hour_key(hour): int(changed.timestamp()) for hour, changed in old.items()}
    known = {key: mark for key, mark in before.items() if marks.get(key) == mark}
    new = [h for h in old if known.get(hour_key(h)) != marks[hour_key(h)]]
    due = [h for h in new if h not in busy and h >= start]
    requests = []
    for first, last in key_ranges(due)[:_AT_MOST_RANGES]:
        asked = [hour_key(h) for h in due if first <= hour_key(h) <= last]
        known |= {key: marks[key] for key in asked}
        newest = max(marks[key] for key in asked)
        requests.append(
            dg.RunRequest(
                job_name="evaluate_hour",
                run_key=f"newer-results-{first}-{last}-{newest}",
                tags={
                    **range_tags(key_hour(first), key_hour(last)),
                    "capi_assets/judged_again": "newer_results",
                },
            )
        )
    return known, requests
