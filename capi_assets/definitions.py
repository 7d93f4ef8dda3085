"""Every definition of `defs/`, built from one `Settings`: for a team's Dagster, or on their own.

`build_conversions_definitions` is for a project that has definitions of its own
(docs/in-your-dagster.md); `build_definitions` and `defs` are the code location of this repository.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import dagster as dg

from capi_assets.defs.access.meta_access import build_meta_access
from capi_assets.defs.automation.coverage_sensor import build_coverage_sensor
from capi_assets.defs.automation.landing_sensor import build_landing_sensor
from capi_assets.defs.automation.late_files_sensor import build_late_files_sensor
from capi_assets.defs.automation.retention import build_retention
from capi_assets.defs.automation.schedules import build_hourly_jobs, build_schedules
from capi_assets.defs.conversions.attribution_health import build_attribution_health
from capi_assets.defs.conversions.delivery_results import build_delivery_results
from capi_assets.defs.conversions.matched_events import build_matched_events
from capi_assets.defs.conversions.orders import build_orders
from capi_assets.defs.conversions.visits import build_visits
from capi_assets.defs.executor import IN_ONE_PROCESS
from capi_assets.defs.hourly_reporting import Upstream
from capi_assets.defs.reconciliation.dataset_quality import build_dataset_quality
from capi_assets.defs.reconciliation.meta_stats import build_meta_stats
from capi_assets.defs.reconciliation.schedules import build_reconciliation_schedules
from capi_assets.defs.resources import build_resources
from capi_assets.partitions import Partitions
from capi_assets.policies import orders_columns, visits_columns
from capi_assets.processes import protect_process
from capi_assets.settings import Settings, read_settings


def build_conversions_definitions(
    settings: Settings,
    *,
    key_prefix: str | Sequence[str] | None = None,
    group: str | None = None,
    visits_upstream: Sequence[Upstream] = (),
    orders_upstream: Sequence[Upstream] = (),
) -> dg.Definitions:
    """Assets, checks, jobs, schedules, sensors and resources, to merge with a team's own.

        defs = dg.Definitions.merge(
            team, build_conversions_definitions(read_settings(), key_prefix="shop")
        )

    Reads neither the environment nor a file. Several instances with prefixes of their own fit in
    one code location; each needs a lake, a ledger and an erasure key of its own. Executor, I/O
    managers, loggers and resources of the team are left as they are: our jobs have an executor
    of their own, and no asset has an output to store.

    Args:
        settings: `read_settings()`, or `Settings(lake=…, …)`.
        key_prefix, group: replace `settings.key_prefix` and `settings.group`.
        visits_upstream, orders_upstream: the team's assets that the rows come from, as `deps` of
            `dagster.asset` takes them. They are lineage only: rows are read by the SQL model
            (`visits_sql`) or from the landing folder. Hours and days map to our hours.

    Raises:
        pydantic.ValidationError: the prefix or the group is no name.
    """
    prefix = (
        key_prefix if key_prefix is None or isinstance(key_prefix, str) else "/".join(key_prefix)
    )
    valid = Settings.model_validate(
        {
            "key_prefix": settings.key_prefix if prefix is None else prefix,
            "group": settings.group if group is None else group,
        }
    )
    names = {"key_prefix": valid.key_prefix, "group": valid.group}
    settings = settings.model_copy(update=names)
    with warnings.catch_warnings():
        # Backfill policies and partitioned checks are beta in Dagster, whose version is pinned.
        for category in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", category)
        return _merged(settings, visits_upstream, orders_upstream)


def _merged(
    settings: Settings, visits_upstream: Sequence[Upstream], orders_upstream: Sequence[Upstream]
) -> dg.Definitions:
    partitions, jobs = Partitions.since(settings.start_date), build_hourly_jobs(settings)
    return dg.Definitions.merge(
        build_visits(settings, partitions.hourly, visits_upstream),
        build_orders(settings, partitions.hourly, orders_upstream),
        build_matched_events(settings, partitions.hourly),
        build_delivery_results(settings, partitions.hourly),
        build_attribution_health(settings, partitions.hourly),
        build_meta_access(settings),
        build_meta_stats(settings, partitions.hourly),
        build_dataset_quality(settings, partitions.daily),
        build_reconciliation_schedules(settings),
        build_schedules(settings, jobs),
        build_coverage_sensor(settings, jobs),
        build_landing_sensor(settings, jobs),
        build_late_files_sensor(settings, jobs),
        build_retention(settings),
        dg.Definitions(resources=build_resources(settings)),
    )


class NothingHandedOn(dg.IOManager):
    """Assets hand nothing on: they read the lake.

    Dagster's default would write wherever a launch says, and with its `mem_io_manager` no run can
    be re-executed from its failed step.
    """

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Stores nothing."""

    def load_input(self, context: dg.InputContext) -> None:
        """Loads nothing."""


def build_definitions(settings: Settings) -> dg.Definitions:
    """A code location with nothing else in it, whose other runs go as those of our jobs.

    Reads neither the environment nor a file: differently configured definitions can live in one
    process.
    """
    return dg.Definitions.merge(
        build_conversions_definitions(settings),
        dg.Definitions(
            resources={"io_manager": NothingHandedOn()},
            executor=IN_ONE_PROCESS,
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` and `dagster -m capi_assets.definitions` load; reads the settings."""
    settings = read_settings()
    protect_process(settings.umask)
    visits_columns(settings), orders_columns(settings)  # a wrong map stops the start, not a run
    return build_definitions(settings)
