"""`dataset_quality`: what Meta's Dataset Quality says once a day, beside our own match keys."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from capi_assets.contracts.base import arrow_schema, conform
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.coverage.reconciliation.stored import (
    GROUP,
    compare_quality_of_day,
    keep_previous_readings,
)
from capi_assets.coverage.reconciliation.text import quality_off, quality_sentence, quality_table
from capi_assets.defs.hourly_reporting import OWNERS, column_schema, latest_materialization
from capi_assets.defs.metadata import table_metadata
from capi_assets.defs.resources import ClockResource, LakeResource, MetaResource
from capi_assets.partitions import DAILY
from capi_assets.settings import read_settings

TABLE = "dataset_quality"


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=["matched_events", "delivery_results"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "duckdb"},
    tags={"stage": "reconcile"},
    freshness_policy=(
        dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=49))
        if read_settings().reconcile
        else None
    ),
    metadata={"dagster/column_schema": column_schema(DatasetQuality)},
    description=(
        "Meta's match quality of the last seven days per event name: score, the share of events"
        " with each match key beside ours, deduplication keys, how much of the Pixel is covered."
        " Meta tells it as of now only: materializing an earlier day keeps what was stored then."
    ),
)
def dataset_quality(
    context: dg.AssetExecutionContext, lake: LakeResource, meta: MetaResource, clock: ClockResource
) -> Iterator[Any]:
    """Reads Meta's word of today, if today is asked for, and stores it."""
    now = clock.now()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store, schema = lake.open(), arrow_schema(DatasetQuality)
    for key in context.partition_keys:
        day = _day(key)
        rows = store.read(TABLE, [day], schema)
        if day == today:
            new = compare_quality_of_day(store, meta.open(), day, now)
            rows = conform(keep_previous_readings(new, rows), DatasetQuality)
            store.write(TABLE, day, rows)
        context.add_asset_metadata(_metadata(day, rows.to_pylist()), partition_key=key)
    yield dg.MaterializeResult()


def _day(key: str) -> datetime:
    return datetime.strptime(key, DAILY.fmt).replace(tzinfo=UTC)


def _metadata(day: datetime, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Meta's scores, which the UI plots per day, and both sides as a table."""
    told: dict[str, Any] = {"dagster/row_count": len(rows), "summary": quality_sentence(day, rows)}
    for row in rows:
        if row["measure"] == "score":
            told[f"score_{row['event_name'].lower()}"] = row["meta_value"]
    return told | table_metadata("comparison", quality_table(rows))


@dg.asset_check(
    asset=TABLE,
    name="match_keys_match_meta",
    partitions_def=DAILY,
    description=(
        "Meta sees each match key on the share of events on which we sent it, give or take a few"
        " points. A warning otherwise; passed where Meta may not be read."
    ),
)
def match_keys_match_meta(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> Any:
    """A verdict per day, also in a run over a range."""
    store, schema = lake.open(), arrow_schema(DatasetQuality)
    for key in context.partition_keys:
        day = _day(key)
        rows = store.read(TABLE, [day], schema).to_pylist()
        yield dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(TABLE),
            check_name="match_keys_match_meta",
            passed=not quality_off(rows),
            severity=dg.AssetCheckSeverity.WARN,
            description=quality_sentence(day, rows),
            metadata=table_metadata("comparison", quality_table(rows)),
            partition=key,
            target_materialization_data=latest_materialization(
                context.instance, TABLE, partition=key
            ),
        )
    yield dg.Output(None, output_name=context.op_execution_context.op_def.output_defs[0].name)
