"""How a run over many hours tells Dagster what became of each: assets and checks per hour.

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
from capi_assets.defs.dagster_private import (
    SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION,
    AssetCheckEvaluationTargetMaterializationData,
)
from capi_assets.defs.resources import ClockResource
from capi_assets.hours import hour_key, key_hour

OWNERS = ["team:analytics-engineering"]
GROUP = "conversions"


FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=2), warn_window=timedelta(minutes=75)
)
"""Some hour was written lately: the schedules run and their runs end well. Dagster looks at the
asset's latest materialization, whichever hour it was of, so a backfill counts too; which hours
lack orders is for `open_gaps` to say."""


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
    hourly: dg.HourlyPartitionsDefinition,
    *,
    stage: str,
    kinds: set[str],
    description: str,
    deps: Sequence[str] = (),
    group: str = GROUP,
    freshness: dg.FreshnessPolicy | None = FRESHNESS,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what all assets here share: hours, one run per range, owners, columns."""
    return dg.asset(
        partitions_def=hourly,
        backfill_policy=dg.BackfillPolicy.single_run(),
        freshness_policy=freshness,
        deps=deps,
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        tags={"stage": stage},
        metadata={"dagster/column_schema": column_schema(contract)},
        description=description,
    )


@dataclass(frozen=True)
class UnfinishedHour:
    """An hour that a run could not finish: why in a sentence, and what would help."""

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
    has its input: `definitions.py` runs a step as soon as its inputs are there, whether or not the
    step that made them ended well.

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
                description=f"Not finished: {entry.why}",
                metadata={**values, "remedy": entry.remedy},
            )
    # Hands on the step's output without a materialization of its own for every hour.
    yield dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
    raise dg.Failure(
        description=unfinished_text(unfinished, len(metadata)),
        metadata={
            "unfinished_hours": len(unfinished),
            "hours": dg.MetadataValue.md(_unfinished_table(unfinished)),
        },
        allow_retries=False,
    )


def report_nothing_done(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Any]
) -> Iterator[Any]:
    """Tells what a dry run found, and leaves every hour as it was; yield from it last."""
    keys = list(context.partition_keys)
    yield dg.AssetObservation(
        context.asset_key,
        partition=keys[0] if len(keys) == 1 else None,
        description=f"Dry run over {len(keys)} hours: nothing was sent.",
        metadata=dict(metadata),
    )
    yield dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def unfinished_text(unfinished: Sequence[UnfinishedHour], total: int) -> str:
    """Why a run failed, in a few sentences: hours that need the same done are told together."""
    first, last = hour_key(unfinished[0].hour), hour_key(unfinished[-1].hour)
    if total == 1:
        where = f"The hour {first} is not finished."
    else:
        number = f"{len(unfinished)} of {total} hours"
        between = f", {first}" if first == last else f", between {first} and {last}"
        others = "; the others are" if len(unfinished) < total else ""
        where = f"{number} {'is' if len(unfinished) == 1 else 'are'} not finished{between}{others}."
    alike: dict[str, list[UnfinishedHour]] = {}
    for entry in unfinished:
        alike.setdefault(entry.remedy, []).append(entry)
    said = []
    for remedy, group in list(alike.items())[:3]:
        hours = "1 more hour" if len(group) == 2 else f"{len(group) - 1} more hours"
        said.append(f"{group[0].why}{f' (And {hours} alike.)' if group[1:] else ''} {remedy}")
    more = f" (And {len(alike) - 3} more reasons.)" if len(alike) > 3 else ""
    return f"{where} {' '.join(said)}{more}"


def _unfinished_table(unfinished: Sequence[UnfinishedHour]) -> str:
    rows = [f"| {hour_key(e.hour)} | {e.why} | {e.remedy} |" for e in unfinished[:100]]
    return "\n".join(["| hour | why | what to do |", "|---|---|---|", *rows])


@dataclass(frozen=True)
class HourCheckResult:
    """What a check says of one hour."""

    passed: bool
    description: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    metadata: Mapping[str, Any] = field(default_factory=dict)


def hourly_check(
    asset: str,
    name: str,
    description: str,
    hourly: dg.HourlyPartitionsDefinition,
    judge: Callable[[Sequence[datetime], datetime], Mapping[datetime, HourCheckResult]],
) -> dg.AssetChecksDefinition:
    """A check with a verdict per hour, also in a run over a range.

    `judge(hours, now)` returns the verdicts. In a range run Dagster's own check result loses
    its partition, so one evaluation per hour is recorded with the materialization it speaks of.
    """

    @dg.asset_check(
        asset=asset,
        name=name,
        description=description,
        partitions_def=hourly,
    )
    def check(context: dg.AssetCheckExecutionContext, clock: ClockResource) -> Any:
        for hour, verdict in judge(hours_of(context), clock.now()).items():
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset),
                check_name=name,
                passed=verdict.passed,
                severity=verdict.severity,
                description=verdict.description,
                metadata=dict(verdict.metadata),
                partition=hour_key(hour),
                target_materialization_data=latest_materialization(context.instance, asset, hour),
            )
        yield dg.Output(None, output_name=context.op_execution_context.op_def.output_defs[0].name)

    return check


def latest_materialization(
    instance: dg.DagsterInstance,
    asset: str,
    hour: datetime | None = None,
    *,
    partition: str | None = None,
) -> AssetCheckEvaluationTargetMaterializationData | None:
    """What a check of an asset, of one of its hours, or of another partition speaks of; None
    before the first."""
    key = hour_key(hour) if hour is not None else partition
    keys = [key] if key is not None else None
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=keys), limit=1
    ).records
    if not found:
        return None
    record = found[0]
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )
