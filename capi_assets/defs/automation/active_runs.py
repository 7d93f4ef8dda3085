"""Runs over hours, from Dagster's database: active, failed, and the last of each hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from capi_assets.defs.dagster_private import NOT_FINISHED_STATUSES
from capi_assets.defs.names import HOURLY_ASSETS, asset_key
from capi_assets.hours import HOUR, hour_key, hours_between, key_hour
from capi_assets.settings import Settings

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

# A run that lasts longer was lost: its hours must not stay blocked. dagster.yaml has it too.
MAX_RUN_TIME = timedelta(hours=6)
# No step works longer without an event: deliveries log their progress.
_MAX_SILENCE = timedelta(minutes=30)
# Runs read per tick, more than a week of hourly runs; bounds the time a tick takes.
_MAX_RUNS = 500


def range_tags(first: datetime, last: datetime) -> dict[str, str]:
    """The tags of a run over the hours `first` to `last`, both included."""
    return {RANGE_START: hour_key(first), RANGE_END: hour_key(last)}


def active_hours(
    instance: dg.DagsterInstance, settings: Settings, now: datetime
) -> frozenset[datetime]:
    """Hours of running or queued runs of these settings' assets."""
    runs = [run for run in active_runs(instance, now) if _is_ours(run, settings)]
    return frozenset(hour for run in runs for hour in hours_of_run(run))


def active_runs(instance: dg.DagsterInstance, now: datetime) -> list[dg.DagsterRun]:
    """Running and queued runs of any job, without those that were killed."""
    unfinished = dg.RunsFilter(
        statuses=list(NOT_FINISHED_STATUSES), created_after=now - MAX_RUN_TIME
    )
    records = instance.get_run_records(unfinished, limit=_MAX_RUNS)
    return [record.dagster_run for record in records if not _is_lost(instance, record, now)]


def _is_ours(run: dg.DagsterRun, settings: Settings) -> bool:
    """Whether a run materializes assets of these settings: other shops and the team's own jobs
    have hours too. A job of the team's that includes our assets is not recognised."""
    if run.asset_selection is not None:
        ours = {asset_key(settings, name) for name in HOURLY_ASSETS}
        return not ours.isdisjoint(run.asset_selection)
    return run.job_name in {settings.prefixed(name) for name in ("deliver_hour", "evaluate_hour")}


def _is_lost(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> bool:
    """Whether a started run has logged nothing for so long that it must have been killed.

    Run monitoring ends killed runs that the daemon launched; if all of Dagster was killed with
    them, and for a killed `dagster asset materialize`, only after `max_runtime_seconds`
    (dagster.yaml).
    """
    if record.dagster_run.status is dg.DagsterRunStatus.QUEUED:
        return False
    silent_since = now - _MAX_SILENCE
    if record.create_timestamp.astimezone(UTC) > silent_since:
        return False
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return not last or datetime.fromtimestamp(last[0].timestamp, UTC) < silent_since


def failure_texts(
    instance: dg.DagsterInstance, settings: Settings, hours: Iterable[datetime]
) -> dict[datetime, str]:
    """The latest failed run of each of `hours`, if any, as text: run, step and exception.

    Only the class of an exception is named: its message may contain data.
    """
    needed, runs = set(hours), dict[datetime, str]()
    if needed:
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=min(needed))
        for run in instance.get_runs(failed, limit=_MAX_RUNS):  # the latest first
            hours_of_ours = hours_of_run(run) if _is_ours(run, settings) else []
            for hour in needed.intersection(hours_of_ours):
                runs.setdefault(hour, run.run_id)
    texts = {run_id: _failure(instance, run_id) for run_id in set(runs.values())}
    return {hour: texts[run_id] for hour, run_id in runs.items()}


def _failure(instance: dg.DagsterInstance, run_id: str) -> str:
    text = f"run {run_id[:8]} failed"
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        error = event.step_failure_data.error if event else None
        while error and error.cause:
            error = error.cause
        if event and error:
            return f"{text} in {event.step_key} ({error.cls_name})"
    return text


def hours_of_run(run: dg.DagsterRun) -> list[datetime]:
    """The hours that a run was launched for; none for other runs, and for those that only read
    Meta's counts, which delivery does not wait for."""
    if run.tags.get("capi_assets/job") == "reconcile":
        return []
    try:
        if PARTITION in run.tags:
            return [key_hour(run.tags[PARTITION])]
        if RANGE_START in run.tags and RANGE_END in run.tags:
            end = key_hour(run.tags[RANGE_END]) + HOUR
            return hours_between(key_hour(run.tags[RANGE_START]), end)
    except ValueError:  # partitions of some other kind
        pass
    return []


def done_at(
    instance: dg.DagsterInstance, asset: dg.AssetKey, hours: Sequence[datetime]
) -> dict[datetime, tuple[datetime, str]]:
    """When each of `hours` was last materialized, and by which run, in two queries."""
    return {
        hour: (datetime.fromtimestamp(record.timestamp, UTC), record.run_id)
        for hour, record in materialized(instance, asset, hours).items()
    }


def materialized(
    instance: dg.DagsterInstance, asset: dg.AssetKey, hours: Sequence[datetime]
) -> dict[datetime, dg.EventLogRecord]:
    """The last materialization of each of `hours`."""
    latest = instance.get_latest_storage_id_by_partition(
        asset, dg.DagsterEventType.ASSET_MATERIALIZATION, {hour_key(hour) for hour in hours}
    )
    if not latest:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, storage_ids=list(latest.values())), limit=len(latest)
    ).records
    return {key_hour(record.partition_key): record for record in records if record.partition_key}


def started_at(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> dict[str, datetime]:
    """When runs started, by their id; deleted runs are left out."""
    ids = sorted(set(run_ids))
    if not ids:
        return {}
    return {
        record.dagster_run.run_id: datetime.fromtimestamp(record.start_time, UTC)
        for record in instance.get_run_records(dg.RunsFilter(run_ids=ids))
        if record.start_time
    }
