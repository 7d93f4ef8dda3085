"""Starts runs of the jobs in this process, on the instance that the UI shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

import dagster as dg

from capi_assets.commands.interrupts import interrupts
from capi_assets.definitions import build_definitions
from capi_assets.defs.automation.active_runs import PARTITION, range_tags
from capi_assets.defs.dagster_private import ReconstructableJob
from capi_assets.defs.names import HOURLY_ASSETS
from capi_assets.defs.resources import clock_config
from capi_assets.hours import hour_key, key_hour
from capi_assets.settings import Settings

# Dagster makes a job again from the arguments of a function, which must be plain text: the settings
# that jobs are made from are found here by their place.
_settings: list[Settings] = []


@cache
def _built(settings: Settings) -> dg.Definitions:
    return build_definitions(settings)


def _job(name: str, place: int) -> dg.JobDefinition:
    settings = _settings[place]
    return _built(settings).resolve_job_def(settings.prefixed(name))


def job_of(settings: Settings, name: str) -> ReconstructableJob:
    """A job of these settings, built once in this process, for `dagster.execute_job`."""
    if settings not in _settings:
        _settings.append(settings)
    return dg.build_reconstructable_job(
        __name__,
        _job.__name__,
        reconstructable_kwargs={"name": name, "place": _settings.index(settings)},
    )


def run_hours(
    instance: dg.DagsterInstance,
    settings: Settings,
    first: datetime,
    last: datetime,
    *,
    at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
    ops: Mapping[str, Any] | None = None,
) -> bool:
    """Materializes all assets for the hours `first` to `last`, both included, in one run.

    `at` is the current time of the run (default: now), and `ops` run configuration by asset.
    Returns whether every hour was finished.
    """
    tags = {**_hours(first, last), **(tags or {})}
    with _executed(instance, settings, "deliver_hour", tags, at, ops) as result:
        return result.success


def read_meta(
    instance: dg.DagsterInstance, settings: Settings, first: datetime, last: datetime
) -> bool:
    """Materializes the assets that read Meta's side: access, counts and match keys.

    Returns whether all of it could be written.
    """
    day = {"dagster/partition": f"{last:%Y-%m-%d}"}
    return all(
        [
            _run(instance, settings, "check_access", {}),
            _run(instance, settings, "compare_counts", _hours(first, last)),
            _run(instance, settings, "read_quality", day),
        ]
    )


def deliver_hours(
    instance: dg.DagsterInstance,
    settings: Settings,
    first: datetime,
    last: datetime,
    tags: Mapping[str, str] | None = None,
) -> set[datetime]:
    """As `run_hours`; returns the hours that every asset finished.

    Raises:
        KeyboardInterrupt: the run was interrupted.
    """
    finished: dict[str, set[str]] = {}
    tags = {**_hours(first, last), **(tags or {})}
    with _executed(instance, settings, "deliver_hour", tags) as result:
        for event in result.all_events:
            if event.is_step_materialization and event.asset_key and event.partition:
                name = event.asset_key.path[-1]
                finished.setdefault(name, set()).add(event.partition)
    by_asset = [finished.get(name, set()) for name in HOURLY_ASSETS]
    return {key_hour(key) for key in set.intersection(*by_asset)}


def _hours(first: datetime, last: datetime) -> dict[str, str]:
    if first == last:
        return {PARTITION: hour_key(first)}
    return range_tags(first, last)


def _run(
    instance: dg.DagsterInstance,
    settings: Settings,
    job: str,
    tags: Mapping[str, str],
) -> bool:
    with _executed(instance, settings, job, tags) as result:
        return result.success


@contextmanager
def _executed(
    instance: dg.DagsterInstance,
    settings: Settings,
    job: str,
    tags: Mapping[str, str],
    at: datetime | None = None,
    ops: Mapping[str, Any] | None = None,
) -> Iterator[dg.JobExecutionResult]:
    config: dict[str, Any] = {
        # Every event is in the instance for the UI; on the console only the outcome matters.
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
        "ops": {settings.prefixed(name): config for name, config in (ops or {}).items()},
    }
    if at is not None:
        config["resources"] = clock_config(settings, at)
    with (
        interrupts() as is_interrupted,
        dg.execute_job(
            job_of(settings, job),
            instance=instance,
            tags=dict(tags),
            run_config=config,
            raise_on_error=False,
        ) as result,
    ):
        if is_interrupted():
            raise KeyboardInterrupt
        yield result
