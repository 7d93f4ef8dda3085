"""How a run over many hours reports each of them to Dagster: assets and checks per hour.

A range is one run, and an exception would mark all of its hours failed. So an hour that cannot be
finished raises nothing while the others go on: the finished hours are reported as materialized one
by one, and only then does the step fail, which leaves exactly the others "failed".
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from capi_assets.contracts.base import Contract, columns
from capi_assets.coverage.tables import Table
from capi_assets.defs.automation.active_runs import materialized
from capi_assets.defs.dagster_private import (
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
    AssetCheckEvaluationTargetMaterializationData,
)
from capi_assets.defs.metadata import markdown_text, table_metadata
from capi_assets.defs.names import asset_key, group_name, resource_key
from capi_assets.defs.resources import clock_of
from capi_assets.hours import hour_key, key_hour
from capi_assets.settings import Settings

Upstream = dg.AssetDep | dg.AssetKey | dg.AssetSpec | dg.AssetsDefinition | str
"""An asset of a team, as `deps` of `dagster.asset` takes it."""

OWNERS = ["team:analytics-engineering"]

# Hours are materialized hourly: a warning once a run is a quarter of an hour late, a failure once
# it is missing.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=2), warn_window=timedelta(minutes=75)
)
"""Passes while any hour was materialized lately: the schedules run and their runs succeed. Dagster
checks the asset's latest materialization of any hour, so a backfill counts too; hours that lack
orders are listed by `open_gaps`."""


def hours_of(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[datetime]:
    """The hours that this run was asked for, in time order."""
    return sorted(key_hour(key) for key in context.partition_keys)


def column_schema(contract: type[Contract]) -> dg.TableSchema:
    """A contract's columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in columns(contract)
        ]
    )


def hourly_asset(
    contract: type[Contract],
    settings: Settings,
    hourly: dg.HourlyPartitionsDefinition,
    *,
    stage: str,
    kinds: set[str],
    description: str,
    deps: Sequence[str] = (),
    upstream: Sequence[Upstream] = (),
    resources: Sequence[str] = (),
    group: str = "",
    freshness: dg.FreshnessPolicy | None = FRESHNESS,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what all hourly assets share: partitions, one run per range, owners, columns.

    The asset function returns `report_hours(...)`. `contract` documents the columns in the UI.
    `deps` are assets of ours by name, `upstream` are a team's; `resources` are those that the
    function asks `clock_of` and `duckdb_of` for; `group` is a group beside that of the hours.
    """
    return dg.asset(
        key_prefix=settings.prefix_parts or None,
        required_resource_keys={resource_key(settings, name) for name in resources},
        partitions_def=hourly,
        # `dagster asset materialize --partition-range` needs a single run.
        backfill_policy=(
            dg.BackfillPolicy.multi_run(settings.hours_per_run)
            if settings.hours_per_run
            else dg.BackfillPolicy.single_run()
        ),
        freshness_policy=freshness,
        deps=[*(asset_key(settings, name) for name in deps), *upstream],
        group_name=group_name(settings, group),
        owners=OWNERS,
        kinds=kinds,
        tags={"stage": stage},
        metadata={"dagster/column_schema": column_schema(contract)},
        description=description,
    )


@dataclass(frozen=True)
class UnfinishedHour:
    """An hour that a run could not finish: why, in a sentence, and the remedy."""

    hour: datetime
    why: str
    remedy: str


def report_hours(
    context: dg.AssetExecutionContext,
    metadata: Mapping[datetime, Mapping[str, Any]],
    unfinished: Sequence[UnfinishedHour] = (),
) -> Iterator[Any]:
    """Reports every hour of the run; yield from it last.

    With `unfinished` hours the run fails after all others are reported and everything downstream
    has its input: `defs/executor.py` runs a step as soon as its inputs are there, whether or not
    the step that made them ended well.

    Raises:
        dagster.Failure: some hours are unfinished; names them with their remedy.
    """
    if not unfinished:
        for hour, values in metadata.items():
            context.add_asset_metadata(dict(values), partition_key=hour_key(hour))
        yield dg.MaterializeResult()
        return
    failed = {entry.hour: entry for entry in unfinished}
    for hour, values in metadata.items():
        key, entry = hour_key(hour), failed.get(hour)
        if entry is None:
            yield dg.AssetMaterialization(context.asset_key, partition=key, metadata=dict(values))
        else:
            yield dg.AssetObservation(
                context.asset_key,
                partition=key,
                description=markdown_text(f"Not finished: {entry.why}"),
                metadata={**values, "remedy": entry.remedy},
            )
    # Hands on the step's output without a materialization of its own for every hour.
    yield dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
    raise dg.Failure(
        description=unfinished_text(unfinished, len(metadata)),
        metadata={
            "unfinished_hours": len(unfinished),
            **table_metadata(
                "hours",
                Table(
                    ["hour", "why", "remedy"],
                    [[hour_key(e.hour), e.why, e.remedy] for e in unfinished],
                ),
            ),
        },
        allow_retries=False,
    )


def report_nothing_done(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Any]
) -> Iterator[Any]:
    """Reports what a dry run found, and leaves every hour as it was; yield from it last."""
    keys = list(context.partition_keys)
    yield dg.AssetObservation(
        context.asset_key,
        partition=keys[0] if len(keys) == 1 else None,
        description=f"Dry run over {len(keys)} hours: nothing was sent.",
        metadata=dict(metadata),
    )
    yield dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def unfinished_text(unfinished: Sequence[UnfinishedHour], total: int) -> str:
    """Why a run failed, in a few sentences: hours with the same remedy are grouped."""
    first, last = hour_key(unfinished[0].hour), hour_key(unfinished[-1].hour)
    if total == 1:
        where = f"The hour {first} is not finished."
    else:
        number = f"{len(unfinished)} of {total} hours"
        between = f", {first}" if first == last else f", between {first} and {last}"
        others = "; the others are" if len(unfinished) < total else ""
        where = f"{number} {'is' if len(unfinished) == 1 else 'are'} not finished{between}{others}."
    by_remedy: dict[str, list[UnfinishedHour]] = {}
    for entry in unfinished:
        by_remedy.setdefault(entry.remedy, []).append(entry)
    sentences = []
    for remedy, group in list(by_remedy.items())[:3]:
        hours = "1 more hour" if len(group) == 2 else f"{len(group) - 1} more hours"
        more = f" ({hours} with the same reason.)" if group[1:] else ""
        sentences.append(f"{group[0].why}{more} {remedy}")
    others = f" ({len(by_remedy) - 3} more reasons.)" if len(by_remedy) > 3 else ""
    return f"{where} {' '.join(sentences)}{others}"


@dataclass(frozen=True)
class HourCheckResult:
    """The result of a check for one hour."""

    passed: bool
    description: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def warned(self, text: str, metadata: Mapping[str, Any]) -> "HourCheckResult":
        """The same, failed as a warning at least, with a further text and further metadata."""
        return HourCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN if self.passed else self.severity,
            description=f"{self.description} {text}",
            metadata={**self.metadata, **metadata},
        )


_PER_HOUR = (
    "Each hour has its own result: the list of checks shows the one evaluated last, the page of an"
    " hour (Partitions) that of the hour."
)


def _of_hour(hour: datetime, text: str) -> str:
    """The text of a check's result, which names its hour first."""
    return text if text.startswith(hour_key(hour)) else f"{hour_key(hour)}: {text}"


def hourly_check(
    settings: Settings,
    asset: str,
    name: str,
    description: str,
    hourly: dg.HourlyPartitionsDefinition,
    judge: Callable[[Sequence[datetime], datetime], Mapping[datetime, HourCheckResult]],
    amend: Callable[[HourCheckResult, Mapping[str, Any]], HourCheckResult] | None = None,
) -> dg.AssetChecksDefinition:
    """A check with a verdict per hour, also in a run over a range.

    `judge(hours, now)` returns the verdicts; `amend(verdict, metadata)` corrects one by the
    metadata of the hour's latest materialization. In a range run Dagster's own check result loses
    its partition, so one evaluation per hour is recorded with the materialization it speaks of.
    """

    key = asset_key(settings, asset)

    @dg.asset_check(
        asset=key,
        name=name,
        description=f"{description} {_PER_HOUR}",
        partitions_def=hourly,
        required_resource_keys={resource_key(settings, "clock")},
    )
    def check(context: dg.AssetCheckExecutionContext) -> Any:
        verdicts = judge(hours_of(context), clock_of(context, settings).now())
        latest = materialized(context.instance, key, list(verdicts))
        for hour, verdict in verdicts.items():
            record = latest.get(hour)
            if amend and record and record.asset_materialization:
                verdict = amend(verdict, record.asset_materialization.metadata)
            yield dg.AssetCheckEvaluation(
                asset_key=key,
                check_name=name,
                passed=verdict.passed,
                severity=verdict.severity,
                description=markdown_text(_of_hour(hour, verdict.description)),
                metadata=dict(verdict.metadata),
                partition=hour_key(hour),
                target_materialization_data=_target(record),
            )
        yield dg.Output(None, output_name=context.op_execution_context.op_def.output_defs[0].name)

    return check


def latest_materialization(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partition: str | None = None
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """The materialization that a check of an asset, or of one of its partitions, is about; None
    before the first."""
    keys = [partition] if partition is not None else None
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset, asset_partitions=keys), limit=1
    ).records
    return _target(records[0] if records else None)


def _target(
    record: dg.EventLogRecord | None,
) -> AssetCheckEvaluationTargetMaterializationData | None:
    if record is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
