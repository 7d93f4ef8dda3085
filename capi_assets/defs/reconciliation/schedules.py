"""What compares Meta's side with ours unattended; apart from delivery, which never waits for it.

A comparison is one question to Meta per dataset. Meta settles late, and hours are delivered late:
the last hours are read again every hour, the whole week that Meta remembers every night.
"""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from capi_assets.coverage.reconciliation.stored import week_of
from capi_assets.defs.automation.active_runs import range_tags
from capi_assets.defs.automation.autostart import schedule_status
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.partitions import DAILY, HOURLY
from capi_assets.settings import read_settings

_SETTINGS = read_settings()
_STATUS = schedule_status(_SETTINGS.reconcile)
# Two hours of a lasting difference, and one more for a tick that was missed.
READ_AGAIN = _SETTINGS.reconcile_settle_hours + 3

compare_counts = dg.define_asset_job(
    "compare_counts",
    selection=dg.AssetSelection.assets("meta_stats"),
    description="Reads Meta's hourly counts and compares them with the ledger. Sends nothing.",
    tags={"capi_assets/job": "reconcile"},
)

read_quality = dg.define_asset_job(
    "read_quality",
    selection=dg.AssetSelection.assets("dataset_quality"),
    description="Reads Meta's Dataset Quality of now and compares match keys. Sends nothing.",
    tags={"capi_assets/job": "reconcile"},
)


def _request(hours: Sequence[datetime], name: str, tick: datetime) -> dg.RunRequest | dg.SkipReason:
    """One run over those of `hours` that are partitions."""
    if not read_settings().reconcile:
        return dg.SkipReason("CAPI_RECONCILE is off.")
    known = [hour for hour in hours if hour >= HOURLY.start]
    if not known:
        return dg.SkipReason("Meta cannot have counted anything yet.")
    return dg.RunRequest(
        run_key=f"{name}-{tick:%Y-%m-%dT%H:%M}",
        tags=range_tags(known[0], known[-1]),
    )


@dg.schedule(
    job=compare_counts,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    description="Compares the last hours with Meta's counts, which settle late. One read.",
    default_status=_STATUS,
)
def reconcile_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run for the hours before the tick that Meta may still be counting."""
    tick = context.scheduled_execution_time
    end = floor_hour(tick)
    return _request(hours_between(end - READ_AGAIN * HOUR, end), "counts", tick)


@dg.schedule(
    job=compare_counts,
    cron_schedule="50 4 * * *",
    execution_timezone="UTC",
    description="Compares all hours that Meta still counts, for what was delivered late. One read.",
    default_status=_STATUS,
)
def reconcile_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run for the week before the tick."""
    tick = context.scheduled_execution_time
    return _request(week_of(tick)[:-1], "week", tick)


@dg.schedule(
    job=read_quality,
    cron_schedule="40 4 * * *",
    execution_timezone="UTC",
    description="Reads Meta's Dataset Quality of the last seven days. One read.",
    default_status=_STATUS,
)
def dataset_quality_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run for the day of the tick."""
    if not read_settings().reconcile:
        return dg.SkipReason("CAPI_RECONCILE is off.")
    tick = context.scheduled_execution_time
    day = f"{tick:{DAILY.fmt}}"
    return dg.RunRequest(run_key=f"quality-{day}", partition_key=day)
