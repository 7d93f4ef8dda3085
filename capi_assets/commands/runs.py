"""Starts runs of the hourly job in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import dagster as dg

from capi_assets.definitions import build_definitions
from capi_assets.hours import hour_key

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@cache
def _built() -> dg.JobDefinition:
    return build_definitions().resolve_job_def("deliver_hour")


def deliver_hour_job() -> dg.JobDefinition:
    """The job `deliver_hour`, built once in this process."""
    return _built()


def run_hours(
    instance: dg.DagsterInstance,
    first: datetime,
    last: datetime,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    tags: Mapping[str, str] | None = None,
    ops: Mapping[str, Any] | None = None,
) -> bool:
    """Materializes all assets for the hours `first` to `last`, both included, in one run.

    `resources` is resource configuration by key, such as `{"clock": {"at": "..."}}`, and `ops` run
    configuration by asset. Returns whether every hour was finished.
    """
    hours = (
        {"dagster/partition": hour_key(first)}
        if first == last
        else {RANGE_START: hour_key(first), RANGE_END: hour_key(last)}
    )
    config = {
        # Every event is in the instance for the UI; on the console only the outcome matters.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": dict(ops or {}),
        "resources": {key: {"config": dict(values)} for key, values in (resources or {}).items()},
    }
    with dg.execute_job(
        dg.reconstructable(deliver_hour_job),
        instance=instance,
        tags={**hours, **(tags or {})},
        run_config=config,
        raise_on_error=False,
    ) as result:
        return result.success
