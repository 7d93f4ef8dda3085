"""The sensor for files that land after their hour was materialized.

Which hours are late is decided in `ingest/late_files.py`, for SQL models in `ingest/late_rows.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg
import orjson

from capi_assets.contracts.base import Contract
from capi_assets.contracts.landing import LandedOrders, LandedVisits
from capi_assets.coverage.alerting.alert_message import note
from capi_assets.coverage.alerting.channels import LogChannel, send_all
from capi_assets.coverage.formatting import count, join_names
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.coverage.stored_health import WATCH_WINDOW
from capi_assets.defs.automation.active_runs import (
    active_hours,
    hours_of_run,
    materialized,
    range_tags,
)
from capi_assets.defs.automation.landed_hours import is_open, read_at
from capi_assets.defs.automation.schedules import HourlyJobs
from capi_assets.defs.autostart import sensor_status
from capi_assets.defs.names import asset_key
from capi_assets.hours import floor_hour, hour_key, hours_between, key_hour, key_ranges
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.late_files import LateHour, landed_files, late_hours
from capi_assets.ingest.late_rows import late_rows, rows_by_hour
from capi_assets.ingest.sources import SourceError, SqlModel
from capi_assets.policies import alert_channels, orders_source, visits_source
from capi_assets.settings import Settings

_TAG = "capi_assets/late_files"
_CONTRACTS: dict[str, type[Contract]] = {"visits": LandedVisits, "orders": LandedOrders}
_WATCHED = "watched"
# A query over eight days costs a warehouse more than a listing does.
_PAUSE_OF_MODELS = timedelta(minutes=15)
# Everything that an hour read, as its materialization counts it.
_ROWS = ("dagster/row_count", "quarantined", "repeated", "further_lines")
_AT_MOST_RANGES = 5
_AT_MOST_RUNS = 500
_TRIES = 4
_FIRST_PAUSE = timedelta(minutes=15)


def build_late_files_sensor(settings: Settings, jobs: HourlyJobs) -> dg.Definitions:
    """The sensor `late_files_sensor`."""

    @dg.sensor(
        name=settings.prefixed("late_files_sensor"),
        job=jobs.deliver_hour,
        minimum_interval_seconds=60,
        default_status=sensor_status(settings),
        description=(
            "Finds files that landed after their hour was materialized, in the last eight days, and"
            " has the hour materialized again once they are unchanged for a minute; with"
            " CAPI_LATE_FILES=propose it only alerts. Each set of files once, and up to three times"
            " more if the run fails. Reads landing folders; with CAPI_WATCH_SQL=on it also counts"
            " the rows of SQL models, every 15 minutes."
        ),
    )
    def late_files_sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        return _evaluate(context, settings, settings.now or datetime.now(UTC))

    return dg.Definitions(sensors=[late_files_sensor])


def _evaluate(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime
) -> dg.SensorResult | dg.SkipReason:
    """One evaluation; the cursor records which sets of files were handled."""
    if settings.late_files == "off":
        return dg.SkipReason("CAPI_LATE_FILES is off.")
    sources = (visits_source(settings), orders_source(settings))
    folders = [source for source in sources if isinstance(source, LandingFolder)]
    models = [source for source in sources if isinstance(source, SqlModel)]
    if not folders and not settings.watch_sql:
        return dg.SkipReason(
            "Visits and orders come from SQL models: no files to watch. CAPI_WATCH_SQL=on watches"
            " their rows."
        )
    start = max(floor_hour(now - WATCH_WINDOW), settings.start_date)
    hours = [h for h in hours_between(start, now) if not is_open(h, settings, now)]
    files = [file for folder in folders for file in landed_files(folder, hours)]
    late = late_hours(files, read_at(context.instance, settings, files), now)
    known = _known(context.cursor, start)
    if models and settings.watch_sql and _is_due(known, now):
        for source, table in zip(sources, ("visits", "orders"), strict=True):
            if isinstance(source, SqlModel):
                late += _late_rows(context, settings, source, table, hours, now)
        known = {key: mark for key, mark in known.items() if not key.startswith(_WATCHED)}
        known[f"{_WATCHED} {hour_key(now)}"] = now.isoformat()
        late.sort(key=lambda entry: (entry.hour, entry.table))
    busy = active_hours(context.instance, settings, now)
    free = [entry for entry in late if entry.hour not in busy]
    proposing = settings.late_files == "propose"
    stuck = [entry.hour for entry in free if known.get(_key(entry)) == entry.mark]
    failed = {} if proposing or not stuck else _failed(context.instance, settings, stuck, now)
    due = [e for e in free if known.get(_key(e)) != e.mark or e.hour in failed]
    if not due:
        return dg.SensorResult(skip_reason=dg.SkipReason(_look(late)), cursor=_text(known))
    ranges = key_ranges(entry.hour for entry in due)
    if not proposing:
        ranges = ranges[:_AT_MOST_RANGES]  # the others have their turn at the next look
    taken = [e for e in due if any(a <= hour_key(e.hour) <= b for a, b in ranges)]
    known |= {_key(entry): entry.mark for entry in taken}
    keys = [first if first == last else f"{first}...{last}" for first, last in ranges]
    text = _words(taken, keys, proposing, backfill_link(settings.backfill_url, keys))
    told = [note("late_files", text, _subject(taken), now, keys, settings.backfill_url)]
    LogChannel(context.log).send(told)
    if proposing:
        for failure in send_all(alert_channels(settings), told):
            context.log.warning("Not delivered by %s: %s", failure.channel, failure.reason)
    return dg.SensorResult(
        cursor=_text(known),
        asset_events=[_observation(settings, entry, proposing) for entry in taken],
        run_requests=[] if proposing else [_request(taken, failed, *keys_of) for keys_of in ranges],
        skip_reason=dg.SkipReason(f"Proposed: {partition_ranges_text(keys)}.")
        if proposing
        else None,
    )


def _is_due(known: Mapping[str, str], now: datetime) -> bool:
    """Whether models were last counted long enough ago."""
    seen = [mark for key, mark in known.items() if key.startswith(_WATCHED)]
    return all(now - datetime.fromisoformat(mark) >= _PAUSE_OF_MODELS for mark in seen)


def _late_rows(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    model: SqlModel,
    table: str,
    hours: Sequence[datetime],
    now: datetime,
) -> list[LateHour]:
    """The materialized hours for which the model has more rows by now; none if it fails."""
    done = materialized(context.instance, asset_key(settings, table), hours)
    if not done:
        return []
    try:
        found = rows_by_hour(model, _CONTRACTS[table], sorted(done))
    except SourceError as error:
        context.log.warning("Late rows of %s cannot be counted: %s", table, error)
        return []
    ingested = {}
    for hour, record in done.items():
        metadata = record.asset_materialization.metadata if record.asset_materialization else {}
        counts = [metadata[name].value for name in _ROWS if name in metadata]
        if counts:  # another way of materializing counts nothing
            ingested[hour] = sum(number for number in counts if isinstance(number, int))
    return late_rows(table, found, ingested, now)


def _known(cursor: str | None, start: datetime) -> dict[str, str]:
    """What was dealt with, of the hours from `start`. A cursor that cannot be read, as one set by
    hand, is none: run keys keep files from being taken twice."""
    try:
        saved = orjson.loads(cursor or "{}")
        return {key: mark for key, mark in saved.items() if key_hour(key.split()[1]) >= start}
    except (ValueError, IndexError, AttributeError):
        return {}


def _failed(
    instance: dg.DagsterInstance, settings: Settings, hours: Sequence[datetime], now: datetime
) -> dict[datetime, int]:
    """Those of `hours` whose last run for late files failed, as when its machine went down, and
    that are due another; each with how many failed. Pauses double, and it ends after `_TRIES`."""
    asked = dg.RunsFilter(
        job_name=settings.prefixed("deliver_hour"),
        tags={_TAG: ["orders", "visits", "orders and visits"]},
        created_after=now - WATCH_WINDOW,
    )
    runs: dict[datetime, list[dg.RunRecord]] = {hour: [] for hour in hours}
    for record in instance.get_run_records(asked, limit=_AT_MOST_RUNS):  # the latest first
        for hour in runs.keys() & set(hours_of_run(record.dagster_run)):
            runs[hour].append(record)
    failed = {}
    for hour, of_hour in runs.items():
        ended = [r for r in of_hour if r.dagster_run.status is dg.DagsterRunStatus.FAILURE]
        if not ended or ended[0] is not of_hour[0] or len(ended) >= _TRIES:
            continue
        if now - ended[0].create_timestamp >= _FIRST_PAUSE * 2 ** (len(ended) - 1):
            failed[hour] = len(ended)
    return failed


def _request(
    late: Sequence[LateHour], failed: Mapping[datetime, int], first: str, last: str
) -> dg.RunRequest:
    part = [entry for entry in late if first <= hour_key(entry.hour) <= last]
    marks = " ".join(f"{_key(entry)} {entry.mark} {failed.get(entry.hour, '')}" for entry in part)
    return dg.RunRequest(
        run_key=f"late-files-{first}-{sha256(marks.encode()).hexdigest()[:12]}",
        tags={
            **range_tags(key_hour(first), key_hour(last)),
            _TAG: " and ".join(sorted({entry.table for entry in part})),
        },
    )


def _observation(settings: Settings, entry: LateHour, proposing: bool) -> dg.AssetObservation:
    what = "Materialize the hour again." if proposing else "The hour is materialized again."
    files = count(entry.files, entry.unit)
    metadata: Mapping[str, Any] = {
        f"late_{entry.unit}s": entry.files,
        "newest": dg.MetadataValue.timestamp(entry.newest),
    }
    return dg.AssetObservation(
        asset_key(settings, entry.table),
        partition=hour_key(entry.hour),
        description=f"{files} came or changed after the hour was read. {what}",
        metadata=metadata,
    )


def _words(
    late: Sequence[LateHour], ranges: Sequence[str], proposing: bool, link: str | None
) -> str:
    said = [f"Late files: {_subject(late)}."]
    if proposing:
        where = f"{partition_ranges_text(ranges)}{f' {link}' if link else ''}"
        said.append(f"Materialize these hours again, all assets: {where}")
    else:
        said.append(f"They are materialized again: {partition_ranges_text(ranges)}.")
    if any(entry.table == "visits" for entry in late):
        said.append(
            "Orders of later hours may have come from these visits: those that are not at Meta yet"
            " find them when their hour is materialized, those that are stay as they were sent."
        )
    return " ".join(said)


def _subject(late: Sequence[LateHour]) -> str:
    parts = []
    for table in sorted({entry.table for entry in late}):
        of_it = [entry for entry in late if entry.table == table]
        files = count(sum(entry.files for entry in of_it), of_it[0].unit)
        parts.append(f"{files} of {table} in {count(len(of_it), 'hour')}")
    return f"{join_names(parts)} came or changed after the hours were read"


def _look(late: Sequence[LateHour]) -> str:
    if not late:
        return "No file that is quiet for a minute is newer than its hour's materialization."
    return f"Nothing new: {count(len(late), 'late hour')}, dealt with before or under way."


def _key(entry: LateHour) -> str:
    return f"{entry.table} {hour_key(entry.hour)}"


def _text(known: Mapping[str, str]) -> str:
    return orjson.dumps(dict(known)).decode()
