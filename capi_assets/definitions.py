"""The code location: every definition of `defs/`, built from one `Settings`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from capi_assets.defs.access.meta_access import build_meta_access
from capi_assets.defs.automation.coverage_sensor import build_coverage_sensor
from capi_assets.defs.automation.late_files_sensor import build_late_files_sensor
from capi_assets.defs.automation.retention import build_retention
from capi_assets.defs.automation.schedules import build_hourly_jobs, build_schedules
from capi_assets.defs.conversions.attribution_health import build_attribution_health
from capi_assets.defs.conversions.delivery_results import build_delivery_results
from capi_assets.defs.conversions.matched_events import build_matched_events
from capi_assets.defs.conversions.orders import build_orders
from capi_assets.defs.conversions.visits import build_visits
from capi_assets.defs.reconciliation.dataset_quality import build_dataset_quality
from capi_assets.defs.reconciliation.meta_stats import build_meta_stats
from capi_assets.defs.reconciliation.schedules import build_reconciliation_schedules
from capi_assets.defs.resources import build_resources
from capi_assets.partitions import Partitions
from capi_assets.policies import orders_columns, visits_columns
from capi_assets.processes import protect_process
from capi_assets.settings import Settings, read_settings

# One process per run: 4 assets of an hour take 4 to 5 s, against 19 to 25 s with one per step.
# A step starts as soon as its inputs are there, even if the step that made them then failed for
# some of its hours: the others go on to Meta (see defs/hourly_reporting.py).
EXECUTOR = dg.in_process_executor.configured(
    {"step_dependency_config": {"require_upstream_step_success": False}}
)


def build_definitions(
    settings: Settings, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources, all made from `settings`.

    Reads neither the environment nor a file: differently configured definitions can live in one
    process. `resource_overrides` replaces resources by key ("clock", "duckdb"), as a test does:

        build_definitions(Settings(lake="lake"), {"clock": ClockResource(at="2026-11-20T14:05Z")})
    """
    with warnings.catch_warnings():
        # Backfill policies and partitioned checks are beta in Dagster, whose version is pinned.
        for category in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", category)
        return _merged(settings, resource_overrides or {})


def _merged(settings: Settings, resource_overrides: Mapping[str, Any]) -> dg.Definitions:
    partitions, jobs = Partitions.since(settings.start_date), build_hourly_jobs()
    return dg.Definitions.merge(
        build_visits(settings, partitions.hourly),
        build_orders(settings, partitions.hourly),
        build_matched_events(settings, partitions.hourly),
        build_delivery_results(settings, partitions.hourly),
        build_attribution_health(settings, partitions.hourly),
        build_meta_access(settings),
        build_meta_stats(settings, partitions.hourly),
        build_dataset_quality(settings, partitions.daily),
        build_reconciliation_schedules(settings),
        build_schedules(settings, jobs),
        build_coverage_sensor(settings, jobs),
        build_late_files_sensor(settings, jobs),
        build_retention(settings),
        dg.Definitions(
            resources=build_resources(settings) | dict(resource_overrides), executor=EXECUTOR
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` and `dagster -m capi_assets.definitions` load; reads the settings."""
    settings = read_settings()
    protect_process(settings.umask)
    visits_columns(settings), orders_columns(settings)  # a wrong map stops the start, not a run
    return build_definitions(settings)
