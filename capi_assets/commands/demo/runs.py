"""Starts runs of the jobs in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import dagster as dg

from capi_assets.definitions import build_definitions
from capi_assets.defs.automation.active_runs import PARTITION, range_tags
from capi_assets.hours import hour_key

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@cache
def _built(name: str) -> dg.JobDefinition:
    return build_definitions().resolve_job_def(name)


# Dagster finds a job again by the name of the function that makes it.
def deliver_hour_job() -> dg.JobDefinition:
    """The job `deliver_hour`, built once in this process."""
    return _built("deliver_hour")


def check_access_job() -> dg.JobDefinition:
    """The job `check_access`."""
    return _built("check_access")


def compare_counts_job() -> dg.JobDefinition:
    """The job `compare_counts`."""
    return _built("compare_counts")


def read_quality_job() -> dg.JobDefinition:
    """The job `read_quality`."""
    return _built("read_quality")


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
    return _run(instance, deliver_hour_job, {**_hours(first, last), **(tags or {})}, resources, ops)


def ask_meta(instance: dg.DagsterInstance, first: datetime, last: datetime) -> bool:
    """Materializes what stands beside the delivery: access, and Meta's counts and match keys.

    Returns whether all of it could be written.
    """
    return all(
        [
            _run(instance, check_access_job, {}),
            _run(instance, compare_counts_job, _hours(first, last)),
            _run(instance, read_quality_job, {"dagster/partition": f"{last:%Y-%m-%d}"}),
        ]
    )


def _hours(first: datetime, last: datetime) -> dict[str, str]:
    if first == last:
        return {PARTITION: hour_key(first)}
    return range_tags(first, last)


def _run(
    instance: dg.DagsterInstance,
    job: Callable[[], dg.JobDefinition],
    tags: Mapping[str, str],
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    ops: Mapping[str, Any] | None = None,
) -> bool:
    config = {
        # Every event is in the instance for the UI; on the console only the outcome matters.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": dict(ops or {}),
        "resources": {key: {"config": dict(values)} for key, values in (resources or {}).items()},
    }
    with dg.execute_job(
        dg.reconstructable(job),
        instance=instance,
        tags=dict(tags),
        run_config=config,
        raise_on_error=False,
    ) as result:
        return result.success
