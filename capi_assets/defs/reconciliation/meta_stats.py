"""`meta_stats`: Meta's own hourly counts next to our ledger's, and the check that they agree.

Not part of `deliver_hour`: deliveries never wait for what Meta reports.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.coverage.reconciliation.compare import Reconciliation
from capi_assets.coverage.reconciliation.stored import (
    compare_counts,
    keep_previous_readings,
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
from capi_assets.defs.reconciliation import GROUP
from capi_assets.defs.resources import clock_of
from capi_assets.lake import Lake, rows_of
from capi_assets.policies import datasets_of, tolerance
from capi_assets.settings import Settings

TABLE = "meta_stats"


def _metadata(
    hour: datetime, rows: Sequence[Mapping[str, Any]], found: Reconciliation
) -> dict[str, Any]:
    """Numbers that the UI plots per hour, and both sides as a table."""
    metadata: dict[str, Any] = {
        "dagster/row_count": len(rows),
        "summary": hour_sentence(hour, rows),
    }
    metadata |= _numbers(rows)
    metadata |= table_metadata("comparison", hour_table(rows))
    if found.fits:
        metadata["how_meta_counts"] = " ".join(
            f"Dataset {dataset}: {fit_sentence(fit)}" for dataset, fit in found.fits.items()
        )
    if found.foreign:
        metadata["not_ours"] = " ".join(
            f"Dataset {dataset}: {unknown_events_text(names)}"
            for dataset, names in found.foreign.items()
        )
    return metadata


def _numbers(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The hour's sums; Meta's side only where it was read."""
    found = {"our_delivered": sum(ours(row) for row in rows)}
    if any(row["meta_events"] is not None for row in rows):
        for name in ("meta_events", "difference", "unexplained"):
            found[name] = sum(row[name] or 0 for row in rows)
    return found


def _judge(lake: Lake, hours: Sequence[datetime]) -> Mapping[datetime, HourCheckResult]:
    stored = lake.read(TABLE, hours, arrow_schema(MetaStats))
    return {hour: _verdict(hour, rows_of(stored, hour, "hour").to_pylist()) for hour in hours}


def _verdict(hour: datetime, rows: Sequence[Mapping[str, Any]]) -> HourCheckResult:
    return HourCheckResult(
        passed=not hour_off(rows),
        description=f"{hour_sentence(hour, rows)} {advice(rows)}".rstrip(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata=_numbers(rows) | table_metadata("comparison", hour_table(rows)),
    )


def build_meta_stats(settings: Settings, hourly: dg.HourlyPartitionsDefinition) -> dg.Definitions:
    """The asset `meta_stats` and its check."""
    lake = Lake(settings.lake)

    @hourly_asset(
        MetaStats,
        settings,
        hourly,
        stage="reconcile",
        kinds={"parquet", "duckdb"},
        deps=["delivery_results"],
        group=GROUP,
        resources=["clock"],
        freshness=FRESHNESS if settings.reconcile else None,
        description=(
            "How many server events Meta itself counts in the hour (its /stats, at most seven days"
            " back), next to what our ledger delivered. Meta's counts settle late: materialize"
            " again at any time; values that Meta no longer serves are kept. Sends nothing."
        ),
    )
    def meta_stats(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Reads Meta's counts of the week once, and stores those of the run's hours.

        Started by `compare_counts`. One row per hour, dataset and event name; columns:
        `contracts/meta_stats.py`.

        Raises:
            DatasetsError: the file of datasets is invalid.
            LakeError: a stored table cannot be read.
        """
        hours = hours_of(context)
        found = compare_counts(
            lake,
            datasets_of(settings),
            hours,
            clock_of(context, settings).now(),
            tolerance(settings),
            pixel_redundant=settings.pixel == "redundant",
        )
        schema = arrow_schema(MetaStats)
        metadata = {}
        for hour in hours:
            old = lake.read(TABLE, [hour], schema)
            new = rows_of(found.rows, hour, "hour")
            rows = conform(keep_previous_readings(new, old), MetaStats)
            lake.write(TABLE, hour, rows)
            metadata[hour] = _metadata(hour, rows.to_pylist(), found)
        yield from report_hours(context, metadata)

    meta_counts_match_ledger = hourly_check(
        settings,
        TABLE,
        "meta_counts_match_ledger",
        "Meta counts as many server events as our ledger delivered, within CAPI_RECONCILE_PERCENT."
        " A warning when two hours in a row, or the sum of a day, differ by more than known reasons"
        " explain. Passes where Meta's counts cannot be read: no comparison is possible.",
        hourly,
        lambda hours, now: _judge(lake, hours),
    )
    return dg.Definitions(assets=[meta_stats], asset_checks=[meta_counts_match_ledger])
