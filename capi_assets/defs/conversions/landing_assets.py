"""What `visits` and `orders` say about what landed, for the UI and for their checks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.defs.hourly_reporting import (
    HourCheckResult,
    UnfinishedHour,
    hourly_check,
    report_hours,
)
from capi_assets.defs.resources import LakeResource, SourcesResource
from capi_assets.ingest.hours import Ingested, IngestedHour
from capi_assets.ingest.landing_folder import LandingFolder, misplaced_text
from capi_assets.lake import Lake
from capi_assets.meta.events.event_names import meant_names

_CONTRACTS: dict[str, type[Contract]] = {"visits": Visits, "orders": Orders}


def quarantine_of(table: str) -> str:
    """The lake's name for a table's quarantine."""
    return f"quarantined_{table}"


def report_landed(
    context: dg.AssetExecutionContext, table: str, lake: Lake, ingested: Ingested
) -> Iterator[Any]:
    """Replaces each hour, and its quarantine, whole, and tells Dagster; yield from it last."""
    for hour in ingested.hours:
        lake.write(table, hour.hour, hour.rows)
        refused = quarantine_of(table)
        if hour.quarantine.num_rows or lake.path(refused, hour.hour).exists():
            lake.write(refused, hour.hour, hour.quarantine)
    if ingested.misplaced:
        context.log.warning(misplaced_text(ingested.misplaced))
    for name in ingested.unknown_columns:
        context.log.warning("Landed %s carry a column that is not known: %s", table, name)
    metadata = {hour.hour: _metadata(hour) for hour in ingested.hours}
    meant = {name: std for hour in ingested.hours for name, std in _meant(hour).items()}
    for name, standard in meant.items():
        context.log.warning("Event %r is a custom event to Meta; %r is meant?", name, standard)
    yield from report_hours(context, metadata, _unreadable(ingested))


def _metadata(hour: IngestedHour) -> dict[str, Any]:
    drops = _counts(hour.rows.column("dropped_fields"))
    refused = _counts(hour.quarantine.column("reasons"))
    found: dict[str, Any] = {
        "dagster/row_count": hour.rows.num_rows,
        "files": hour.files,
        "quarantined": hour.quarantine.num_rows,
        "repeated": hour.repeats,
        "fields_dropped": sum(drops.values()),
    }
    if "value" in hour.rows.column_names:
        found |= money_metadata(hour.rows, "value")
    if meant := _meant(hour):
        found["custom_events_to_check"] = ", ".join(
            f"{name} (custom to Meta; {standard} is meant?)" for name, standard in meant.items()
        )
    if refused:
        found["quarantined_by_reason"] = dg.MetadataValue.md(_reason_table(refused, "rows"))
    if drops:
        found["dropped_by_reason"] = dg.MetadataValue.md(_reason_table(drops, "fields"))
    return found


def _meant(hour: IngestedHour) -> dict[str, str]:
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


def _unreadable(ingested: Ingested) -> list[UnfinishedHour]:
    """Hours with files that could not be read: they stay unfinished until the file is mended."""
    found = []
    for hour in ingested.hours:
        if hour.file_problems:
            first, *more = hour.file_problems
            others = f" and {len(more)} more files" if more else ""
            why = f"{first.source}{others} cannot be read: {first.detail}."
            remedy = "Mend or remove the file and materialize the hour again."
            found.append(UnfinishedHour(hour.hour, why, remedy))
    return found


def contract_check(table: str) -> dg.AssetChecksDefinition:
    """The check that everything that landed for `table` keeps its contract."""

    def judge(
        hours: Sequence[datetime], lake: LakeResource, sources: SourcesResource
    ) -> Mapping[datetime, HourCheckResult]:
        source = sources.visits() if table == "visits" else sources.orders()
        verdicts = _verdicts(lake.open(), table, hours)
        if not isinstance(source, LandingFolder):
            return verdicts
        misplaced = source.misplaced(hours)
        return {hour: _with_misplaced(verdicts[hour], misplaced[hour]) for hour in hours}

    return hourly_check(
        table,
        f"{table}_match_contract",
        f"All {table} that landed fit the contract; what does not is listed by reason.",
        judge,
        {"lake", "sources"},
    )


def _with_misplaced(verdict: HourCheckResult, names: Sequence[str]) -> HourCheckResult:
    """The verdict, with the files that may belong to the hour and cannot be assigned to it."""
    if not names:
        return verdict
    return replace(
        verdict,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN if verdict.passed else verdict.severity,
        description=f"{verdict.description} {misplaced_text(names)}",
        metadata={**verdict.metadata, "misplaced": "\n".join(names[:20])},
    )


def _verdicts(
    lake: Lake, table: str, hours: Sequence[datetime]
) -> Mapping[datetime, HourCheckResult]:
    refused = lake.read(quarantine_of(table), hours, arrow_schema(Quarantine))
    stored = lake.read(table, hours, arrow_schema(_CONTRACTS[table]), ["occurred_at"])
    floors = Counter(pc.floor_temporal(stored.column("occurred_at"), unit="hour").to_pylist())
    by_hour: dict[datetime, list[dict[str, Any]]] = {}
    for row in refused.to_pylist():
        by_hour.setdefault(row["hour"], []).append(row)
    return {hour: _verdict(table, floors[hour], by_hour.get(hour, [])) for hour in hours}


def _verdict(table: str, kept: int, refused: list[dict[str, Any]]) -> HourCheckResult:
    if not refused:
        return HourCheckResult(True, f"All {kept} {table} keep the contract.")
    reasons = Counter(reason for row in refused for reason in row["reasons"].split())
    main = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
    whole_files = any(row["line"] is None and row["row_id"] is None for row in refused)
    return HourCheckResult(
        passed=False,
        description=f"{len(refused)} refused, {kept} kept. Mostly: {main}.",
        severity=dg.AssetCheckSeverity.ERROR if whole_files else dg.AssetCheckSeverity.WARN,
        metadata={
            "refused": len(refused),
            "kept": kept,
            "rows": dg.MetadataValue.md(_quarantine_table(refused)),
            "remedy": dg.MetadataValue.md(
                f"Mend the rows where they come from, land the hour's files again and"
                f" re-materialize it. All refused rows: `select * from {quarantine_of(table)}`."
            ),
        },
    )


def _counts(entries: pa.ChunkedArray) -> Counter[str]:
    return Counter(entry for text in entries.drop_null().to_pylist() for entry in text.split())


def _reason_table(counts: Counter[str], what: str) -> str:
    rows = [f"| {reason} | {count} |" for reason, count in counts.most_common(20)]
    return "\n".join([f"| column:reason | {what} |", "|---|---:|", *rows])


def _quarantine_table(refused: list[dict[str, Any]]) -> str:
    rows = [
        f"| {row['source']} | {row['line'] or ''} | {row['reasons']} | `{row['shapes'] or ''}` |"
        for row in refused[:20]
    ]
    more = [f"\n… and {len(refused) - 20} more."] if len(refused) > 20 else []
    head = ["| file | line | reasons | shapes |", "|---|---:|---|---|"]
    return "\n".join([*head, *rows, *more])
