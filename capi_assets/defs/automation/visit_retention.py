"""Deletes old visits: they are kept as long as they can supply match keys, and no longer."""

from datetime import timedelta

import dagster as dg

from capi_assets.coverage.visit_retention import PURGE_TIME
from capi_assets.defs.autostart import schedule_status
from capi_assets.defs.resources import ClockResource
from capi_assets.hours import floor_hour
from capi_assets.lake import Lake
from capi_assets.settings import Settings

EXPIRING = ("visits", "quarantined_visits")


def build_visit_retention(settings: Settings) -> dg.Definitions:
    """The job `expire_visits` and its schedule `purge_visits_nightly`."""

    @dg.op(description="Deletes hours of visits that are older than CAPI_RETENTION_DAYS.")
    def forget_old_visits(context: dg.OpExecutionContext, clock: ClockResource) -> None:
        """Deletes whole hours; runs that read them at that moment fail and can be repeated."""
        before = floor_hour(clock.now() - timedelta(days=settings.retention_days))
        lake = Lake(settings.lake)
        deleted = {table: len(lake.expire(table, before)) for table in EXPIRING}
        context.add_output_metadata({**deleted, "before": dg.MetadataValue.timestamp(before)})

    @dg.job(
        description="Keeps visits for CAPI_RETENTION_DAYS and deletes older ones.",
        tags={"capi_assets/job": "retention"},
    )
    def expire_visits() -> None:
        forget_old_visits()

    purge_visits_nightly = dg.ScheduleDefinition(
        name="purge_visits_nightly",
        job=expire_visits,
        cron_schedule=f"{PURGE_TIME.minute} {PURGE_TIME.hour} * * *",
        execution_timezone="UTC",
        description="Deletes visits that are older than CAPI_RETENTION_DAYS.",
        default_status=schedule_status(settings),
    )
    return dg.Definitions(jobs=[expire_visits], schedules=[purge_visits_nightly])
