"""What runs the assets unattended: the hourly job, and the pass over the open hour.

Both may run as often as they like: an hour is replaced whole, and the ledger knows what Meta has.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from capi_assets.defs.automation.autostart import schedule_status
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.settings import read_settings

# The standing list is the sensor's to write: it looks at eight days, not at one run's hours.
_STANDING = dg.AssetSelection.checks(
    dg.AssetCheckKey(dg.AssetKey("attribution_health"), "open_gaps")
)
ALL_ASSETS = (
    dg.AssetSelection.assets(
        "visits", "orders", "matched_events", "delivery_results", "attribution_health"
    )
    - _STANDING
)

deliver_hour = dg.define_asset_job(
    "deliver_hour",
    selection=ALL_ASSETS,
    description=(
        "Everything for an hour or a range of hours: read, match, deliver, judge. Launch it over"
        " the hours of an outage to recover them; hours that are already at Meta cost nothing."
    ),
    tags={"capi_assets/job": "deliver"},
)

evaluate_hour = dg.define_asset_job(
    "evaluate_hour",
    selection=dg.AssetSelection.assets("attribution_health") - _STANDING,
    description="Judges hours again from what is stored, without sending anything.",
    tags={"capi_assets/job": "judge"},
)

CATCH_UP = timedelta(minutes=15)

_SETTINGS = read_settings()


@dg.schedule(
    job=deliver_hour,
    cron_schedule=f"{_SETTINGS.settle_minutes} * * * *",
    execution_timezone="UTC",
    description=("Materializes each hour once it has settled (CAPI_SETTLE_MINUTES after its end)."),
    default_status=schedule_status(),
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
    job=deliver_hour,
    cron_schedule="*/10 * * * *",
    execution_timezone="UTC",
    description=(
        "Delivers the open hour as it fills, so that conversions reach Meta within its one-hour"
        " line. At the full hour it takes the hour that just ended."
    ),
    default_status=schedule_status(),
)
def deliver_current_hour(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run for the open hour, as of the tick."""
    tick = context.scheduled_execution_time
    if datetime.now(UTC) - tick > CATCH_UP:
        # Ticks missed long ago are made up for by deliver_hourly.
        return dg.SkipReason("The tick was missed; its hour is left to deliver_hourly.")
    hour = floor_hour(tick - timedelta(seconds=1))
    return dg.RunRequest(
        run_key=f"open-{tick:%Y-%m-%dT%H:%M}",
        partition_key=hour_key(hour),
        tags={"capi_assets/pass": "deliver_current_hour"},
    )
