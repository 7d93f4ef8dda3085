"""What `visits` and `orders` report about landed rows: metadata for the UI, and their checks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.coverage.formatting import count
from capi_assets.coverage.tables import Table
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    UnfinishedHour,
    hourly_check,
    report_hours,
)
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import duckdb_of
from capi_assets.hours import hour_key
from capi_assets.ingest.landing_folder import LandingFolder, ignored_text, misplaced_text
from capi_assets.lake import Lake
from capi_assets.meta.events.event_names import meant_names
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.policies import ingest_stage, orders_source, visits_source
from capi_assets.printable import printable
from capi_assets.settings import Settings
from capi_assets.stages.ingest import CONTRACTS, Stored, StoredHour, quarantine_of

_KEPT = "stored_rows_kept"
_HASHED = "ids_hashed"
_LEFT_OUT = "left_out"
_MAX_REASONS_SHOWN = 100  # removed keys are named as they landed, and every row may have its own
_MAX_NAMES_SHOWN = 20  # an export has a hundred columns of its own
_MAX_LINES_SHOWN = 5  # of a file's sum lines: an export has one, or one per currency


def ingest_hours(
    context: dg.AssetExecutionContext,
    settings: Settings,
    table: str,
    hours: Sequence[datetime],
    *,
    only_new: bool = False,
) -> Stored:
    """Replaces each hour and its quarantine as a whole; `IngestStage` has the errors.

    Logs what belongs to no single hour.
    """
    stage = ingest_stage(settings, table, only_new=only_new)
    if settings.spark_url and isinstance(stage.source, LandingFolder):
        from capi_assets.spark import ingest, session

        with session.open_session(settings.spark_url) as cluster:
            stored = ingest.ingest_hours(cluster, stage, hours)
    else:
        with duckdb_of(context, settings).get_connection() as connection:
            stored = stage.run(hours, connection)
    if kept := [hour for hour in stored.hours if hour.kept]:
        context.log.warning(
            "%s %s to %s: %s",
            table,
            hour_key(kept[0].hour),
            hour_key(kept[-1].hour),
            _kept_text(sum(hour.kept for hour in kept)),
        )
    if stored.misplaced:
        context.log.warning(misplaced_text(stored.misplaced))
    if stored.ignored:
        context.log.info("CAPI_IGNORE_FILES: %s", ignored_text(stored.ignored))
    if names := [printable(name) for name in stored.unknown_columns]:
        more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
        shown = ", ".join(names[:_MAX_NAMES_SHOWN])
        context.log.warning("Landed %s have unknown columns, not read: %s%s", table, shown, more)
    suggested = meant_names(sorted({name for hour in stored.hours for name in hour.event_names}))
    for name, standard in suggested.items():
        context.log.warning("Event %r is a custom event to Meta; did you mean %r?", name, standard)
    return stored


def report_landed(context: dg.AssetExecutionContext, table: str, stored: Stored) -> Iterator[Any]:
    """Reports each hour that was stored; yield from it last."""
    metadata = {hour.hour: landed_metadata(hour) for hour in stored.hours}
    yield from report_hours(context, metadata, _unreadable(stored))


def _kept_text(rows: int) -> str:
    return (
        f"The source is absent or cannot be read; {count(rows, 'stored row')} kept. Land the files"
        " again, if rows are missing. To empty an hour, land a file without rows, or run"
        " `capi-assets forget` and materialize it."
    )


def landed_metadata(hour: StoredHour) -> dict[str, Any]:
    """What the UI shows of a stored hour."""
    metadata: dict[str, Any] = {
        "dagster/row_count": hour.rows,
        "files": hour.files,
        "quarantined": hour.quarantined,
        "repeated": hour.repeats,
        "fields_dropped": sum(hour.dropped.values()),
        **({_KEPT: hour.kept} if hour.kept else {}),
        **({_HASHED: hour.ids_hashed} if hour.ids_hashed else {}),
        **_left_out(hour),
        **money_metadata(hour.value, "value"),
    }
    if suggested := meant_names(hour.event_names):
        metadata["custom_events_to_check"] = ", ".join(
            f"{name} (custom to Meta; did you mean {standard}?)"
            for name, standard in suggested.items()
        )
    reasons = _reason_table(hour.quarantine_reasons, "rows")
    metadata |= table_metadata("quarantined_by_reason", reasons)
    return metadata | table_metadata("dropped_by_reason", _reason_table(hour.dropped, "fields"))


def _left_out(hour: StoredHour) -> dict[str, Any]:
    """Lines that are no orders of their own, counted, and where they are."""
    if not hour.left_out:
        return {}
    sums = sum(len(file.sum_lines) for file in hour.left_out)
    further = sum(file.further_lines for file in hour.left_out)
    places = [
        f"{file.source} line {', '.join(map(str, file.sum_lines[:_MAX_LINES_SHOWN]))}"
        for file in hour.left_out
        if file.sum_lines
    ]
    texts = [f"{count(sums, 'sum line')} ({'; '.join(places[:_MAX_LINES_SHOWN])})"] if sums else []
    texts += [f"{count(further, 'further line')} of orders with several lines"] if further else []
    return {"sum_lines": sums, "further_lines": further, _LEFT_OUT: ", ".join(texts)}


def money_metadata(value: Mapping[str, float], prefix: str) -> dict[str, float]:
    """Sums by currency as numbers to plot: `value_eur`."""
    return {f"{prefix}_{currency.lower()}": total for currency, total in value.items()}


def _unreadable(stored: Stored) -> list[UnfinishedHour]:
    """Hours with files that could not be read: they stay unfinished until the file is fixed."""
    unfinished = []
    for hour in stored.hours:
        if hour.file_problems:
            first, *more = hour.file_problems
            files = "1 more file" if len(more) == 1 else f"{len(more)} more files"
            others = f" and {files}" if more else ""
            why = f"{first.source}{others} cannot be read: {first.detail}."
            remedy = "Fix or remove the file and materialize the hour again."
            unfinished.append(UnfinishedHour(hour.hour, why, remedy))
    return unfinished


def contract_check(
    table: str, settings: Settings, hourly: dg.HourlyPartitionsDefinition
) -> dg.AssetChecksDefinition:
    """The check that all landed rows of `table` match its contract."""

    def judge(hours: Sequence[datetime], now: datetime) -> Mapping[datetime, HourCheckResult]:
        source = visits_source(settings) if table == "visits" else orders_source(settings)
        verdicts = _verdicts(Lake(settings.lake), table, hours)
        if not isinstance(source, LandingFolder):
            return verdicts
        misplaced = source.misplaced(hours)
        return {hour: _with_misplaced(verdicts[hour], misplaced[hour]) for hour in hours}

    return hourly_check(
        settings,
        table,
        f"{table}_match_contract",
        f"All landed {table} match the contract; those that do not are listed by reason.",
        hourly,
        judge,
        _with_ingested,
    )


def _with_ingested(verdict: HourCheckResult, metadata: Mapping[str, Any]) -> HourCheckResult:
    """The verdict, with what the hour's last materialization kept, hashed and left out."""
    if _LEFT_OUT in metadata:
        text = metadata[_LEFT_OUT].value
        verdict = replace(verdict, description=f"{verdict.description} Left out: {text}.")
    if _HASHED in metadata:
        hashed = metadata[_HASHED].value
        text = f"{count(hashed, 'id')} with contact data hashed. {Problem.CONTACT_HASHED.text}"
        verdict = verdict.warned(text, {_HASHED: hashed})
    if _KEPT not in metadata:
        return verdict
    kept = metadata[_KEPT].value
    return verdict.warned(_kept_text(kept), {_KEPT: kept})


def _with_misplaced(verdict: HourCheckResult, names: Sequence[str]) -> HourCheckResult:
    """The verdict, with the files that may belong to the hour and cannot be assigned to it."""
    if not names:
        return verdict
    listed = "\n".join(map(printable, names[:20]))
    return verdict.warned(misplaced_text(names), {"misplaced": listed})


def _verdicts(
    lake: Lake, table: str, hours: Sequence[datetime]
) -> Mapping[datetime, HourCheckResult]:
    quarantined = lake.read(quarantine_of(table), hours, arrow_schema(Quarantine))
    stored = lake.read(table, hours, arrow_schema(CONTRACTS[table]), ["occurred_at"])
    floors = Counter(pc.floor_temporal(stored.column("occurred_at"), unit="hour").to_pylist())
    by_hour: dict[datetime, list[dict[str, Any]]] = {}
    for row in quarantined.to_pylist():
        by_hour.setdefault(row["hour"], []).append(row)
    return {hour: _verdict(table, floors[hour], by_hour.get(hour, [])) for hour in hours}


def _verdict(table: str, stored: int, rows: list[dict[str, Any]]) -> HourCheckResult:
    if not rows:
        return HourCheckResult(
            True,
            f"All {stored} {table} match the contract.",
            metadata={"quarantined": 0, "stored": stored},
        )
    reasons = Counter(reason for row in rows for reason in row["reasons"].split())
    main = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    whole_files = any(row["line"] is None and row["row_id"] is None for row in rows)
    return HourCheckResult(
        passed=False,
        description=f"{len(rows)} quarantined, {stored} stored. Top reasons: {main}.",
        severity=dg.AssetCheckSeverity.ERROR if whole_files else dg.AssetCheckSeverity.WARN,
        metadata={
            "quarantined": len(rows),
            "stored": stored,
            **table_metadata("rows", _quarantine_table(rows)),
            "remedy": (
                "Correct the rows at their source, land the hour's files again and materialize the"
                f" hour again. All quarantined rows: select * from {quarantine_of(table)}"
            ),
        },
    )


def _reason_table(counts: Mapping[str, int], unit: str) -> Table:
    return Table(["column:reason", unit], Counter(counts).most_common(_MAX_REASONS_SHOWN))


def _quarantine_table(refused: list[dict[str, Any]]) -> Table:
    columns = ["source", "line", "reasons", "shapes"]
    return Table(columns, [[row[name] for name in columns] for row in refused])
