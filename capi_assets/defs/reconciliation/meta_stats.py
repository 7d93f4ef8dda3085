"""`meta_stats`: Meta's own hourly counts beside our ledger's, and the check that they agree.

Not part of `deliver_hour`: whatever Meta tells or refuses to tell, no event waits for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.coverage.reconciliation.compare import Reconciliation
from capi_assets.coverage.reconciliation.stored import (
    GROUP,
    compare_counts,
    keep_previous_readings,
    rows_of,
)
from capi_assets.coverage.reconciliation.text import (
    advice,
    fit_sentence,
    hour_off,
    hour_sentence,
    hour_table,
    ours,
    unknown_events_text,
)
from capi_assets.defs.hourly_reporting import (
    FRESHNESS,
    HourCheckResult,
    hourly_asset,
    hourly_check,
    hours_of,
    report_hours,
)
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import ClockResource, LakeResource, MetaResource, RulesResource
from capi_assets.settings import read_settings

TABLE = "meta_stats"


@hourly_asset(
    MetaStats,
    stage="reconcile",
    kinds={"parquet", "duckdb"},
    deps=["delivery_results"],
    group=GROUP,
    freshness=FRESHNESS if read_settings().reconcile else None,
    description=(
        "How many server events Meta itself counts in the hour (its /stats, at most seven days"
        " back), beside what our ledger delivered. Meta settles late: materialize again at any"
        " time, what it has forgotten since stays as it was read. Nothing is sent."
    ),
)
def meta_stats(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    meta: MetaResource,
    rules: RulesResource,
    clock: ClockResource,
) -> Iterator[Any]:
    """Reads Meta's counts of the week once, and stores those of the run's hours."""
    hours = hours_of(context)
    store = lake.open()
    found = compare_counts(
        store,
        meta.open(),
        hours,
        clock.now(),
        rules.reconciliation(),
        pixel_redundant=rules.pixel == "redundant",
    )
    schema = arrow_schema(MetaStats)
    metadata = {}
    for hour in hours:
        old = store.read(TABLE, [hour], schema)
        rows = conform(keep_previous_readings(rows_of(found.rows, "hour", hour), old), MetaStats)
        store.write(TABLE, hour, rows)
        metadata[hour] = _metadata(hour, rows.to_pylist(), found)
    yield from report_hours(context, metadata)


def _metadata(
    hour: datetime, rows: Sequence[Mapping[str, Any]], found: Reconciliation
) -> dict[str, Any]:
    """Numbers that the UI plots per hour, and both sides as a table."""
    told: dict[str, Any] = {"dagster/row_count": len(rows), "summary": hour_sentence(hour, rows)}
    told |= _numbers(rows)
    told |= table_metadata("comparison", hour_table(rows))
    if found.fits:
        told["how_meta_counts"] = " ".join(
            f"Dataset {dataset}: {fit_sentence(fit)}" for dataset, fit in found.fits.items()
        )
    if found.foreign:
        told["not_ours"] = " ".join(
            f"Dataset {dataset}: {unknown_events_text(names)}"
            for dataset, names in found.foreign.items()
        )
    return told


def _numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The hour's sums; Meta's side only where it was read."""
    found = {"our_delivered": sum(ours(row) for row in rows)}
    if any(row["meta_events"] is not None for row in rows):
        for name in ("meta_events", "difference", "unexplained"):
            found[name] = sum(row[name] or 0 for row in rows)
    return found


def _judge(hours: Sequence[datetime], lake: LakeResource) -> Mapping[datetime, HourCheckResult]:
    stored = lake.open().read(TABLE, hours, arrow_schema(MetaStats))
    return {hour: _verdict(hour, rows_of(stored, "hour", hour).to_pylist()) for hour in hours}


def _verdict(hour: datetime, rows: Sequence[Mapping[str, Any]]) -> HourCheckResult:
    return HourCheckResult(
        passed=not hour_off(rows),
        description=f"{hour_sentence(hour, rows)} {advice(rows)}".rstrip(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata=_numbers(rows) | table_metadata("comparison", hour_table(rows)),
    )


meta_counts_match_ledger = hourly_check(
    TABLE,
    "meta_counts_match_ledger",
    "Meta counts as many server events as our ledger delivered, within CAPI_RECONCILE_PERCENT. A"
    " warning when two hours in a row, or a day's sum, differ beyond what is known to explain it."
    " Passed where Meta may not be read: there is nothing to compare.",
    _judge,
    {"lake"},
)
