"""`dataset_quality`: Meta's Dataset Quality, read once a day, next to our own match keys."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.coverage.reconciliation.stored import (
    compare_quality_of_day,
    keep_previous_readings,
)
from capi_assets.coverage.reconciliation.text import quality_off, quality_sentence, quality_table
from capi_assets.defs.hourly_reporting import OWNERS, column_schema, latest_materialization
from capi_assets.defs.metadata import markdown_text, table_metadata
from capi_assets.defs.names import asset_key, group_name, resource_key
from capi_assets.defs.reconciliation import GROUP
from capi_assets.defs.resources import clock_of
from capi_assets.lake import Lake
from capi_assets.policies import datasets_of
from capi_assets.settings import Settings

TABLE = "dataset_quality"


def _day(key: str) -> datetime:
    return datetime.fromisoformat(key).replace(tzinfo=UTC)


def _metadata(day: datetime, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Meta's scores, which the UI plots per day, and the comparison as a table."""
    metadata: dict[str, Any] = {
        "dagster/row_count": len(rows),
        "summary": quality_sentence(day, rows),
    }
    for row in rows:
        if row["measure"] == "score":
            metadata[f"score_{row['event_name'].lower()}"] = row["meta_value"]
    return metadata | table_metadata("comparison", quality_table(rows))


def build_dataset_quality(
    settings: Settings, daily: dg.DailyPartitionsDefinition
) -> dg.Definitions:
    """The asset `dataset_quality` and its check."""
    lake, asset = Lake(settings.lake), asset_key(settings, TABLE)

    @dg.asset(
        key=asset,
        required_resource_keys={resource_key(settings, "clock")},
        partitions_def=daily,
        backfill_policy=dg.BackfillPolicy.single_run(),
        deps=[asset_key(settings, name) for name in ("matched_events", "delivery_results")],
        group_name=group_name(settings, GROUP),
        owners=OWNERS,
        kinds={"parquet", "duckdb"},
        tags={"stage": "reconcile"},
        freshness_policy=(
            dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49))
            if settings.reconcile
            else None
        ),
        metadata={"dagster/column_schema": column_schema(DatasetQuality)},
        description=(
            "Meta's match quality of the last seven days per event name: score, the share of events"
            " with each match key next to ours, deduplication keys, and Pixel coverage. Meta"
            " reports current values only: materializing an earlier day keeps what was stored then."
        ),
    )
    def dataset_quality(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Reads Meta's Dataset Quality if today is among the run's days, and stores it.

        Started by `read_quality`, nightly. Columns: `contracts/dataset_quality.py`.

        Raises:
            DatasetsError: the file of datasets is invalid.
            LakeError: a stored table cannot be read.
        """
        now = clock_of(context, settings).now()
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        schema = arrow_schema(DatasetQuality)
        for key in context.partition_keys:
            day = _day(key)
            rows = lake.read(TABLE, [day], schema)
            if day == today:
                new = compare_quality_of_day(lake, datasets_of(settings), day, now)
                rows = conform(keep_previous_readings(new, rows), DatasetQuality)
                lake.write(TABLE, day, rows)
            context.add_asset_metadata(_metadata(day, rows.to_pylist()), partition_key=key)
        yield dg.MaterializeResult()

    @dg.asset_check(
        asset=asset,
        name="match_keys_match_meta",
        partitions_def=daily,
        description=(
            "Meta reports each match key for the same share of events as we sent it on, within a"
            " few points. A warning otherwise; passes where Dataset Quality cannot be read."
        ),
    )
    def match_keys_match_meta(context: dg.AssetCheckExecutionContext) -> Any:
        """A verdict per day, also in a run over a range."""
        schema = arrow_schema(DatasetQuality)
        for key in context.partition_keys:
            day = _day(key)
            rows = lake.read(TABLE, [day], schema).to_pylist()
            yield dg.AssetCheckEvaluation(
                asset_key=asset,
                check_name="match_keys_match_meta",
                passed=not quality_off(rows),
                severity=dg.AssetCheckSeverity.WARN,
                description=markdown_text(quality_sentence(day, rows)),
                metadata=table_metadata("comparison", quality_table(rows)),
                partition=key,
                target_materialization_data=latest_materialization(
                    context.instance, asset, partition=key
                ),
            )
        yield dg.Output(None, output_name=context.op_execution_context.op_def.output_defs[0].name)

    return dg.Definitions(assets=[dataset_quality], asset_checks=[match_keys_match_meta])
