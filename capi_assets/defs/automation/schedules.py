"""The jobs over hours, and the schedules that deliver each hour and the current one.

Both schedules may run as often as they like: an hour is replaced as a whole, and the ledger knows
what Meta has.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

from capi_assets.defs.autostart import schedule_status
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.settings import Settings

# The coverage sensor writes this check: it reads eight days, not the hours of one run.
_OPEN_GAPS = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("attribution_health"), "open_gaps")
)
HOURLY_ASSETS = ("visits", "orders", "matched_events", "delivery_results", "attribution_health")
ALL_ASSETS = dg.AssetSelection.assets(*HOURLY_ASSETS) - _OPEN_GAPS
# Later than this, deliver_hourly has taken the hour.
CATCH_UP = timedelta(minutes=15)


class HourlyJobs(NamedTuple):
    """The jobs over hours, which schedules and sensors launch."""

    deliver_hour: Any
    evaluate_hour: Any


def build_hourly_jobs() -> HourlyJobs:
    """`deliver_hour` and `evaluate_hour`."""
    return HourlyJobs(
        dg.define_asset_job(
            "deliver_hour",
            selection=ALL_ASSETS,
            description=(
                "All steps for an hour or a range of hours: ingest, match, deliver, evaluate."
                " Launch it over the hours of an outage to recover them; events that are already at"
                " Meta are not sent again."
            ),
            tags={"capi_assets/job": "deliver"},
        ),
        dg.define_asset_job(
            "evaluate_hour",
            selection=dg.AssetSelection.assets("attribution_health") - _OPEN_GAPS,
            description="Re-evaluates hours from stored data; sends nothing.",
            tags={"capi_assets/job": "evaluate"},
        ),
    )


def build_schedules(settings: Settings, jobs: HourlyJobs) -> dg.Definitions:
    """The schedules `deliver_hourly` and `deliver_current_hour`."""

    @dg.schedule(
        job=jobs.deliver_hour,
        cron_schedule=f"{settings.settle_minutes} * * * *",
        execution_timezone="UTC",
        description="Delivers each hour once it has settled: CAPI_SETTLE_MINUTES after its end.",
        default_status=schedule_status(settings),
    )
    def deliver_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        """One run for the hour that ended before the tick."""
        hour = floor_hour(context.scheduled_execution_time) - HOUR
        return dg.RunRequest(
            run_key=f"settled-{hour_key(hour)}",
            partition_key=hour_key(hour),
            tags={"capi_assets/pass": "settled_hour"},
        )

    @dg.schedule(
        job=jobs.deliver_hour,
        cron_schedule="*/10 * * * *",
        execution_timezone="UTC",
        description=(
            "Delivers the current hour every ten minutes, so that conversions reach Meta within the"
            " recommended hour. On the hour it delivers the hour that just ended."
        ),
        default_status=schedule_status(settings),
    )
    def deliver_current_hour(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        """One run for the current hour, as of the tick."""
        tick = context.scheduled_execution_time
        if datetime.now(UTC) - tick > CATCH_UP:
            return dg.SkipReason("The tick was missed; deliver_hourly covers its hour.")
        hour = floor_hour(tick - timedelta(seconds=1))
        return dg.RunRequest(
            run_key=f"open-{tick:%Y-%m-%dT%H:%M}",
            partition_key=hour_key(hour),
            tags={"capi_assets/pass": "deliver_current_hour"},
        )

    return dg.Definitions(jobs=[*jobs], schedules=[deliver_hourly, deliver_current_hour])
