"""Removes what is stored longer than it is needed, once a night: `delivery/retention.py`."""

import dagster as dg
from pydantic import Field

from capi_assets.coverage.formatting import format_utc
from capi_assets.coverage.tables import Cell, Table
from capi_assets.coverage.visit_retention import PURGE_TIME
from capi_assets.defs.autostart import schedule_status
from capi_assets.defs.executor import IN_ONE_PROCESS
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.names import resource_key
from capi_assets.defs.resources import clock_of
from capi_assets.delivery.retention import remove_expired, remove_landing
from capi_assets.hours import floor_hour, hour_key
from capi_assets.lake import Lake
from capi_assets.policies import landing_needs, open_ledger, retention_policy
from capi_assets.settings import Settings

_COLUMNS = ["table", "what", "before", "rows", "bytes"]
_LANDING_COLUMNS = ["landing files of", "needed since", "needed", "not needed", "bytes not needed"]


class RetentionConfig(dg.Config):
    """How a run applies the retention."""

    dry_run: bool = Field(False, description="Only count what would be removed.")


def build_retention(settings: Settings) -> dg.Definitions:
    """The job `apply_retention` and its schedule `apply_retention_nightly`."""

    @dg.op(
        name=settings.prefixed("remove_old_data"),
        description="Removes data past its retention, and reports rows and bytes by table.",
        required_resource_keys={resource_key(settings, "clock")},
    )
    def remove_old_data(context: dg.OpExecutionContext, config: RetentionConfig) -> None:
        """Whole hours, payloads and match keys, ids in the ledger; landing files only where
        CAPI_LANDING_RETENTION_DAYS says so. A run that reads a deleted hour fails and can be
        repeated."""
        delete = not config.dry_run and settings.retention == "delete"
        policy, now = retention_policy(settings), clock_of(context, settings).now()
        with open_ledger(settings) as ledger:
            removed = [*remove_expired(Lake(settings.lake), ledger, policy, now, delete=delete)]
        landing: list[list[Cell]] = []
        for folder, need in landing_needs(settings, now):
            if policy.landing is not None:
                before = floor_hour(now - policy.landing)
                removed.append(remove_landing(folder, need, before, delete=delete))
            size = sum(size for _, _, size in need.unneeded)
            since = hour_key(need.needed_since)
            landing.append([need.table, since, need.needed_files, len(need.unneeded), size])
        rows: list[list[Cell]] = [
            [r.table, r.what, format_utc(r.before), r.rows, r.bytes] for r in removed
        ]
        context.add_output_metadata(
            {
                "deleted": delete,
                "rows": sum(entry.rows for entry in removed),
                "bytes": sum(entry.bytes for entry in removed),
                **table_metadata("tables", Table(_COLUMNS, rows)),
                **table_metadata("landing", Table(_LANDING_COLUMNS, landing)),
            }
        )

    @dg.job(
        name=settings.prefixed("apply_retention"),
        executor_def=IN_ONE_PROCESS,
        description="Removes data past its retention; with `dry_run` it only counts.",
        tags={"capi_assets/job": "retention"},
    )
    def apply_retention() -> None:
        remove_old_data()

    apply_retention_nightly = dg.ScheduleDefinition(
        name=settings.prefixed("apply_retention_nightly"),
        job=apply_retention,
        cron_schedule=f"{PURGE_TIME.minute} {PURGE_TIME.hour} * * *",
        execution_timezone="UTC",
        description="Removes data past its retention, or only reports it (CAPI_RETENTION).",
        default_status=schedule_status(settings),
    )
    return dg.Definitions(jobs=[apply_retention], schedules=[apply_retention_nightly])
