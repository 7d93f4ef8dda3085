"""Jobs and schedules that compare Meta's counts with ours; deliveries never wait for them.

A comparison is one read per dataset. Meta's counts settle late, and hours are delivered late: the
last hours are read again every hour, the whole week that Meta still serves every night.
"""

from collections.abc import Sequence
from datetime import datetime

import dagster as dg

from capi_assets.coverage.reconciliation.stored import week_of
from capi_assets.defs.automation.active_runs import range_tags
from capi_assets.defs.autostart import schedule_status
from capi_assets.defs.executor import IN_ONE_PROCESS
from capi_assets.defs.names import asset_key
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.settings import Settings

_OFF = dg.SkipReason("CAPI_RECONCILE is off.")


def build_reconciliation_schedules(settings: Settings) -> dg.Definitions:
    """The jobs `compare_counts` and `read_quality` with their schedules."""
    status = schedule_status(settings, settings.reconcile)
    # Two hours of a lasting difference, and one more for a tick that was missed.
    recent_hours = settings.reconcile_settle_hours + 3

    compare_counts = dg.define_asset_job(
        settings.prefixed("compare_counts"),
        selection=dg.AssetSelection.assets(asset_key(settings, "meta_stats")),
        executor_def=IN_ONE_PROCESS,
        description="Reads Meta's hourly counts and compares them with the ledger. Sends nothing.",
        tags={"capi_assets/job": "reconcile"},
    )
    read_quality = dg.define_asset_job(
        settings.prefixed("read_quality"),
        selection=dg.AssetSelection.assets(asset_key(settings, "dataset_quality")),
        executor_def=IN_ONE_PROCESS,
        description="Reads Meta's current Dataset Quality and compares match keys. Sends nothing.",
        tags={"capi_assets/job": "reconcile"},
    )

    def request(
        hours: Sequence[datetime], name: str, tick: datetime
    ) -> dg.RunRequest | dg.SkipReason:
        """One run over those of `hours` that are partitions."""
        if not settings.reconcile:
            return _OFF
        known = [hour for hour in hours if hour >= settings.start_date]
        if not known:
            return dg.SkipReason("These hours are before CAPI_START_DATE.")
        return dg.RunRequest(
            run_key=f"{name}-{tick:%Y-%m-%dT%H:%M}", tags=range_tags(known[0], known[-1])
        )

    @dg.schedule(
        job=compare_counts,
        name=settings.prefixed("reconcile_hourly"),
        cron_schedule="35 * * * *",
        execution_timezone="UTC",
        description="Compares the last hours with Meta's counts, which settle late. One read.",
        default_status=status,
    )
    def reconcile_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """One run for the hours before the tick whose counts may still change."""
        tick = context.scheduled_execution_time
        end = floor_hour(tick)
        return request(hours_between(end - recent_hours * HOUR, end), "counts", tick)

    @dg.schedule(
        job=compare_counts,
        name=settings.prefixed("reconcile_nightly"),
        cron_schedule="50 4 * * *",
        execution_timezone="UTC",
        description="Compares all hours that Meta still counts, for late deliveries. One read.",
        default_status=status,
    )
    def reconcile_nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        """One run for the week before the tick."""
        tick = context.scheduled_execution_time
        return request(week_of(tick)[:-1], "week", tick)

    @dg.schedule(
        job=read_quality,
        name=settings.prefixed("dataset_quality_nightly"),
        cron_schedule="40 4 * * *",
        execution_timezone="UTC",
        description="Reads Meta's Dataset Quality of the last seven days. One read.",
        default_status=status,
    )
    def dataset_quality_nightly(
        context: dg.ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        """One run for the day of the tick."""
        if not settings.reconcile:
            return _OFF
        day = f"{context.scheduled_execution_time:%Y-%m-%d}"
        return dg.RunRequest(run_key=f"quality-{day}", partition_key=day)

    return dg.Definitions(
        jobs=[compare_counts, read_quality],
        schedules=[reconcile_hourly, reconcile_nightly, dataset_quality_nightly],
    )
