"""What Dagster knows of runs over hours: under way, failed, and when an hour was last done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from capi_assets.defs.dagster_private import NOT_FINISHED_STATUSES
from capi_assets.hours import HOUR, hour_key, hours_between, key_hour

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"

# A run that has been at it for longer was lost: its hours must not be blocked for good.
_LONGEST = timedelta(hours=6)
# No step is longer at its work without an event: deliveries tell their progress.
_SILENCE = timedelta(minutes=30)
_AT_MOST = 500


def range_tags(first: datetime, last: datetime) -> dict[str, str]:
    """The tags by which a run takes the hours `first` to `last`, both included."""
    return {RANGE_START: hour_key(first), RANGE_END: hour_key(last)}


def active_hours(instance: dg.DagsterInstance, now: datetime) -> frozenset[datetime]:
    """Hours that a run works on, or that wait for one in the queue."""
    asked = dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES), created_after=now - _LONGEST)
    records = instance.get_run_records(asked, limit=_AT_MOST)
    return frozenset(
        hour
        for record in records
        if not _is_lost(instance, record, now)
        for hour in hours_of_run(record.dagster_run)
    )


def _is_lost(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> bool:
    """Whether a run that began has been silent for so long that it was killed.

    Run monitoring finds those that the daemon launched; of a killed `dagster asset materialize`
    Dagster itself says for ever that it runs.
    """
    if record.dagster_run.status is dg.DagsterRunStatus.QUEUED:
        return False
    silent_since = now - _SILENCE
    if record.create_timestamp.astimezone(UTC) > silent_since:
        return False
    last = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return not last or datetime.fromtimestamp(last[0].timestamp, UTC) < silent_since


def failure_texts(instance: dg.DagsterInstance, hours: Iterable[datetime]) -> dict[datetime, str]:
    """The latest failed run of each of `hours` that has one, in words: which, where and by what.

    An exception is named by its class: its text may hold what was read.
    """
    wanted = set(hours)
    runs: dict[datetime, str] = {}
    if wanted:
        asked = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], created_after=min(wanted))
        for run in instance.get_runs(asked, limit=_AT_MOST):  # the latest first
            for hour in wanted.intersection(hours_of_run(run)):
                runs.setdefault(hour, run.run_id)
    words = {run_id: _failure(instance, run_id) for run_id in set(runs.values())}
    return {hour: words[run_id] for hour, run_id in runs.items()}


def _failure(instance: dg.DagsterInstance, run_id: str) -> str:
    said = f"run {run_id[:8]} failed"
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        error = event.step_failure_data.error if event else None
        while error and error.cause:
            error = error.cause
        if event and error:
            return f"{said} in {event.step_key} ({error.cls_name})"
    return said


def hours_of_run(run: dg.DagsterRun) -> list[datetime]:
    """The hours that a run was asked for; none if it has nothing to do with hours, or only reads
    Meta's side of them, which delivery neither waits for nor fails with."""
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
    instance: dg.DagsterInstance, asset: str, hours: Sequence[datetime]
) -> dict[datetime, tuple[datetime, str]]:
    """When each of `hours` was last materialized, and by which run; two queries in all."""
    key = dg.AssetKey(asset)
    latest = instance.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, {hour_key(hour) for hour in hours}
    )
    if not latest:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, storage_ids=list(latest.values())), limit=len(latest)
    ).records
    return {
        key_hour(record.partition_key): (
            datetime.fromtimestamp(record.timestamp, UTC),
            record.run_id,
        )
        for record in records
        if record.partition_key
    }


def started_at(instance: dg.DagsterInstance, run_ids: Iterable[str]) -> dict[str, datetime]:
    """When runs started, by their id; those that Dagster no longer knows are left out."""
    ids = sorted(set(run_ids))
    if not ids:
        return {}
    return {
        record.dagster_run.run_id: datetime.fromtimestamp(record.start_time, UTC)
        for record in instance.get_run_records(dg.RunsFilter(run_ids=ids))
        if record.start_time
    }
