"""What `visits` and `orders` report about landed rows: metadata for the UI, and their checks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.coverage.formatting import count
from capi_assets.coverage.tables import Table
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    UnfinishedHour,
    hourly_check,
    report_hours,
)
from capi_assets.defs.metadata import table_metadata
from capi_assets.hours import hour_key
from capi_assets.ingest.hours import Ingested, IngestedHour, keep_stored
from capi_assets.ingest.landing_folder import LandingFolder, ignored_text, misplaced_text
from capi_assets.ingest.orders import ORDER_KEY, keep_former_ids
from capi_assets.ingest.sources import FileProblem
from capi_assets.ingest.visits import VISIT_KEY
from capi_assets.lake import Lake
from capi_assets.meta.events.event_names import meant_names
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.policies import orders_source, visits_source
from capi_assets.printable import printable
from capi_assets.settings import Settings

_CONTRACTS: dict[str, type[Contract]] = {"visits": Visits, "orders": Orders}
_KEYS = {"visits": VISIT_KEY, "orders": ORDER_KEY}
_KEPT = "stored_rows_kept"
_HASHED = "ids_hashed"
_LEFT_OUT = "left_out"
_MAX_REASONS_SHOWN = 100  # removed keys are named as they landed, and every row may have its own
_MAX_NAMES_SHOWN = 20  # an export has a hundred columns of its own
_MAX_LINES_SHOWN = 5  # of a file's sum lines: an export has one, or one per currency


def quarantine_of(table: str) -> str:
    """The lake's name for a table's quarantine."""
    return f"quarantined_{table}"


@dataclass(frozen=True)
class StoredHour:
    """An hour that landed and is in the lake, without its rows: what Dagster is told of it."""

    hour: datetime
    metadata: dict[str, Any]
    kept: int
    file_problems: list[FileProblem]
    suggested: dict[str, str]


def report_landed(
    context: dg.AssetExecutionContext, table: str, lake: Lake, batches: Iterable[Ingested]
) -> Iterator[Any]:
    """Replaces each hour and its quarantine as a whole and reports both; yield from it last.

    `batches` are ingested when their turn comes. Stored rows of hours whose source is absent or
    cannot be read are kept: see `keep_stored`.
    """
    stored = store_landed(context, table, lake, batches)
    metadata = {hour.hour: hour.metadata for hour in stored}
    yield from report_hours(context, metadata, _unreadable(stored))


def store_landed(
    context: dg.AssetExecutionContext, table: str, lake: Lake, batches: Iterable[Ingested]
) -> list[StoredHour]:
    """Replaces each hour and its quarantine as a whole, a batch in memory at a time.

    Logs what belongs to no single hour. The only way in which landed rows enter the lake.
    """
    hours: list[StoredHour] = []
    misplaced, ignored, unknown = set[str](), set[str](), set[str]()
    for ingested in batches:
        hours += [_store(table, lake, hour) for hour in ingested.hours]
        misplaced |= set(ingested.misplaced)
        ignored |= set(ingested.ignored)
        unknown |= set(ingested.unknown_columns)
    if kept := [hour for hour in hours if hour.kept]:
        context.log.warning(
            "%s %s to %s: %s",
            table,
            hour_key(kept[0].hour),
            hour_key(kept[-1].hour),
            _kept_text(sum(hour.kept for hour in kept)),
        )
    if misplaced:
        context.log.warning(misplaced_text(sorted(misplaced)))
    if ignored:
        context.log.info("CAPI_IGNORE_FILES: %s", ignored_text(sorted(ignored)))
    if names := [printable(name) for name in sorted(unknown)]:
        more = f" and {len(names) - _MAX_NAMES_SHOWN} more" if len(names) > _MAX_NAMES_SHOWN else ""
        shown = ", ".join(names[:_MAX_NAMES_SHOWN])
        context.log.warning("Landed %s have unknown columns, not read: %s%s", table, shown, more)
    suggested = {name: std for hour in hours for name, std in hour.suggested.items()}
    for name, standard in suggested.items():
        context.log.warning("Event %r is a custom event to Meta; did you mean %r?", name, standard)
    return hours


def _store(table: str, lake: Lake, hour: IngestedHour) -> StoredHour:
    quarantine = quarantine_of(table)
    if hour.is_absent or hour.file_problems:
        stored = lake.read(table, [hour.hour], arrow_schema(_CONTRACTS[table]))
        quarantined = lake.read(quarantine, [hour.hour], arrow_schema(Quarantine))
        hour = keep_stored(hour, stored, quarantined, _KEYS[table])
    if table == "orders" and _ids_hashed(hour):
        stored = lake.read(table, [hour.hour], arrow_schema(Orders))
        hour = keep_former_ids(hour, stored)
    lake.write(table, hour.hour, hour.rows)
    if hour.quarantine.num_rows or lake.path(quarantine, hour.hour).exists():
        lake.write(quarantine, hour.hour, hour.quarantine)
    return StoredHour(
        hour.hour, _landed_metadata(hour), hour.kept, hour.file_problems, _suggested(hour)
    )


def _kept_text(rows: int) -> str:
    return (
        f"The source is absent or cannot be read; {count(rows, 'stored row')} kept. Land the files"
        " again, if rows are missing. To empty an hour, land a file without rows, or run"
        " `capi-assets forget` and materialize it."
    )


def _landed_metadata(hour: IngestedHour) -> dict[str, Any]:
    """What the UI shows of a stored hour."""
    drops = _counts(hour.rows.column("dropped_fields"))
    quarantined = _counts(hour.quarantine.column("reasons"))
    metadata: dict[str, Any] = {
        "dagster/row_count": hour.rows.num_rows,
        "files": hour.files,
        "quarantined": hour.quarantine.num_rows,
        "repeated": hour.repeats,
        "fields_dropped": sum(drops.values()),
        **({_KEPT: hour.kept} if hour.kept else {}),
        **({_HASHED: _ids_hashed(hour)} if _ids_hashed(hour) else {}),
        **_left_out(hour),
    }
    if "value" in hour.rows.column_names:
        metadata |= money_metadata(hour.rows, "value")
    if suggested := _suggested(hour):
        metadata["custom_events_to_check"] = ", ".join(
            f"{name} (custom to Meta; did you mean {standard}?)"
            for name, standard in suggested.items()
        )
    metadata |= table_metadata("quarantined_by_reason", _reason_table(quarantined, "rows"))
    return metadata | table_metadata("dropped_by_reason", _reason_table(drops, "fields"))


def _ids_hashed(hour: IngestedHour) -> int:
    drops = _counts(hour.rows.column("dropped_fields"))
    return sum(n for drop, n in drops.items() if drop.endswith(f":{Problem.CONTACT_HASHED.code}"))


def _left_out(hour: IngestedHour) -> dict[str, Any]:
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


def _suggested(hour: IngestedHour) -> dict[str, str]:
    if "event_name" not in hour.rows.column_names:
        return {}
    return meant_names(hour.rows.column("event_name").unique().to_pylist())


def money_metadata(rows: pa.Table, prefix: str) -> dict[str, float]:
    """The sum of `value` per currency, as numbers to plot: `value_eur`."""
    sums = rows.group_by("currency").aggregate([("value", "sum")]).to_pylist()
    return {
        f"{prefix}_{row['currency'].lower()}": round(row["value_sum"], 2)
        for row in sorted(sums, key=lambda row: row["currency"] or "")
        if row["currency"] and row["value_sum"] is not None
    }


def _unreadable(stored: Sequence[StoredHour]) -> list[UnfinishedHour]:
    """Hours with files that could not be read: they stay unfinished until the file is fixed."""
    unfinished = []
    for hour in stored:
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
    stored = lake.read(table, hours, arrow_schema(_CONTRACTS[table]), ["occurred_at"])
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


def _counts(entries: pa.ChunkedArray) -> Counter[str]:
    return Counter(entry for text in entries.drop_null().to_pylist() for entry in text.split())


def _reason_table(counts: Counter[str], unit: str) -> Table:
    return Table(["column:reason", unit], counts.most_common(_MAX_REASONS_SHOWN))


def _quarantine_table(refused: list[dict[str, Any]]) -> Table:
    columns = ["source", "line", "reasons", "shapes"]
    return Table(columns, [[row[name] for name in columns] for row in refused])
