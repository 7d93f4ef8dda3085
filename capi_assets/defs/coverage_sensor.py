"""The coverage sensor: looks at every watched hour, tells what changed, writes it where people
look. What a gap is, and when it is told, is decided in `coverage`.
"""

from datetime import datetime
from typing import Any

import dagster as dg
import orjson
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

from capi_assets.coverage.alerts import Alert, AlertState, decide
from capi_assets.coverage.channels import LogChannel, send_all
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.tables import hour_sentence
from capi_assets.coverage.words import message
from capi_assets.defs.attribution_health import watch_words
from capi_assets.defs.automation import judge_hour
from capi_assets.defs.reporting import latest_materialization
from capi_assets.defs.resources import Alerts, Clock, LakeResource, Rules
from capi_assets.defs.watch import Seen, watch
from capi_assets.hours import hour_key
from capi_assets.settings import read_settings

# The hours whose verdict a change of clock alone can turn.
_REJUDGE = ("about_to_expire", "expired")
_AT_MOST_OBSERVATIONS = 200


@dg.sensor(
    job=judge_hour,
    minimum_interval_seconds=60,
    default_status=(
        dg.DefaultSensorStatus.RUNNING
        if read_settings().autostart
        else dg.DefaultSensorStatus.STOPPED
    ),
    description=(
        "Flags hours whose coverage dropped, with cause, cost and deadline: on the hour's page, in"
        " the check coverage_watch, and as an alert to the log and to CAPI_ALERT_WEBHOOK. Alerts"
        " come on a change of state only: opened, worse, about to expire, recovered."
    ),
)
def coverage_sensor(
    context: dg.SensorEvaluationContext,
    lake: LakeResource,
    rules: Rules,
    clock: Clock,
    alerts: Alerts,
) -> dg.SensorResult:
    """One look; the cursor remembers what was told."""
    now = clock.now()
    seen = watch(lake.open(), rules.coverage(), now)
    memory: dict[str, Any] = orjson.loads(context.cursor) if context.cursor else {}
    told, state = decide(
        AlertState.from_json(memory.get("alerts")), seen.gaps, now, watched_from=seen.watched_from
    )
    channels = [LogChannel(context.log), *alerts.channels()]
    for failure in send_all(channels, [message(alert, now) for alert in told]):
        context.log.warning("An alert was not delivered by %s: %s", failure.channel, failure.reason)

    flagged = _flagged(seen.gaps)
    events = _observations(seen, flagged, memory.get("flagged", {}), now)
    # Dagster calls a check "not evaluated" once its asset was materialized after it.
    judged = latest_materialization(context.instance, "attribution_health")
    judged_id = judged.storage_id if judged else None
    if flagged != memory.get("flagged") or judged_id != memory.get("judged"):
        events.append(_standing_list(seen.gaps, now, judged))
    remembered = {"alerts": state.to_json(), "flagged": flagged, "judged": judged_id}
    cursor = orjson.dumps(remembered).decode()
    return dg.SensorResult(
        cursor=cursor,
        asset_events=events,
        run_requests=[request for alert in told for request in _judge_again(alert)],
        skip_reason=None if told else dg.SkipReason(_look(seen)),
    )


def _look(seen: Seen) -> str:
    hours = sum(gap.hours for gap in seen.gaps)
    return f"Nothing new: {hours} flagged hours in {len(seen.gaps)} gaps, all told before."


def _flagged(gaps: list[Gap]) -> dict[str, str]:
    """Flagged hours by key, each with what would make it worth telling again."""
    return {
        hour_key(hour): f"{gap.cause} {gap.severity} {missing}"
        for gap in gaps
        for hour, missing in gap.missing.items()
    }


def _observations(
    seen: Seen, flagged: dict[str, str], before: dict[str, str], now: datetime
) -> list[dg.AssetObservation | dg.AssetCheckEvaluation]:
    """One note per hour that is newly flagged, or flagged otherwise than before."""
    by_key = {hour_key(hour): (gap, hour) for gap in seen.gaps for hour in gap.missing}
    changed = [key for key, mark in flagged.items() if before.get(key) != mark]
    return [
        dg.AssetObservation(
            "attribution_health",
            partition=key,
            description=hour_sentence(by_key[key][1], seen.flags, now),
            metadata={
                "gap": by_key[key][0].id,
                "cause": str(by_key[key][0].cause),
                "materialize": by_key[key][0].partition_range,
                "what_to_do": by_key[key][0].remedy,
            },
        )
        for key in changed[:_AT_MOST_OBSERVATIONS]
    ]


def _standing_list(
    gaps: list[Gap], now: datetime, judged: AssetCheckEvaluationTargetMaterializationData | None
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey("attribution_health"),
        check_name="coverage_watch",
        target_materialization_data=judged,
        **watch_words(gaps, now),
    )


def _judge_again(alert: Alert) -> list[dg.RunRequest]:
    """Time alone turned these hours' verdict: their checks are run again."""
    if alert.kind not in _REJUDGE:
        return []
    requests = []
    for keys in alert.ranges:
        first, last = keys.split("...")
        requests.append(
            dg.RunRequest(
                run_key=f"{alert.gap_id}-{alert.kind}-{first}",
                tags={
                    "dagster/asset_partition_range_start": first,
                    "dagster/asset_partition_range_end": last,
                    "capi_assets/gap": alert.gap_id,
                },
            )
        )
    return requests
