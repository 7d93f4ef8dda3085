"""Forgetting: visits are kept as long as they can lend match keys, and no longer."""

from datetime import timedelta

import dagster as dg

from capi_assets.coverage.visit_retention import PURGE_TIME
from capi_assets.defs.automation.autostart import schedule_status
from capi_assets.defs.resources import ClockResource, LakeResource, RulesResource
from capi_assets.hours import floor_hour

EXPIRING = ("visits", "quarantined_visits")


@dg.op(description="Deletes the hours of visits that are older than CAPI_RETENTION_DAYS.")
def forget_old_visits(
    context: dg.OpExecutionContext, lake: LakeResource, rules: RulesResource, clock: ClockResource
) -> None:
    """Deletes whole hours; runs that read them at the same moment fail and may be repeated."""
    before = floor_hour(clock.now() - timedelta(days=rules.retention_days))
    store = lake.open()
    gone = {table: len(store.expire(table, before)) for table in EXPIRING}
    context.add_output_metadata({**gone, "before": dg.MetadataValue.timestamp(before)})


@dg.job(
    description="Keeps visits for CAPI_RETENTION_DAYS and deletes older ones.",
    tags={"capi_assets/job": "retention"},
)
def expire_visits() -> None:
    """One op: there is nothing to order."""
    forget_old_visits()


purge_visits_nightly = dg.ScheduleDefinition(
    name="purge_visits_nightly",
    job=expire_visits,
    cron_schedule=f"{PURGE_TIME.minute} {PURGE_TIME.hour} * * *",
    execution_timezone="UTC",
    description="Deletes visits that are older than CAPI_RETENTION_DAYS.",
    default_status=schedule_status(),
)
