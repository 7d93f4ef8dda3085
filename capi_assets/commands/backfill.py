"""`capi-assets backfill`: the run that the UI's backfill launches, in this process.

    outcomes = backfill(settings, instance, partitions_among(hours, settings, now), print)
    all(outcome.is_finished for outcome in outcomes)

Consecutive hours are one run of the job `deliver_hour`, on the instance whose runs the UI shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
from dagster import DagsterError

from capi_assets.commands.demo.workspace import Workspace
from capi_assets.commands.runs import deliver_hours
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.tables import Table
from capi_assets.defs.automation.active_runs import failure_texts
from capi_assets.defs.dagster_erasure import open_instance
from capi_assets.hours import floor_hour, hour_key, key_hour, key_ranges
from capi_assets.lake import Lake
from capi_assets.settings import Settings

_COUNTS = ("orders", *STAGES)


@dataclass(frozen=True)
class HourOutcome:
    """An hour after its run: `counts` of orders by stage, and why it is not finished, if so."""

    hour: datetime
    is_finished: bool
    counts: Mapping[str, int]
    why: str | None


class InstanceError(RuntimeError):
    """There is no Dagster instance to run on; the message says how to get one."""


def instance_of(workspace: Workspace | None) -> dg.DagsterInstance:
    """The instance of a demo, or of DAGSTER_HOME, or of the `dagster.yaml` of this folder.

    Raises:
        InstanceError: there is none, or its configuration is not valid.
    """
    if workspace is not None:
        return workspace.instance()
    try:
        instance = open_instance()
    except DagsterError as error:
        raise InstanceError(f"Dagster's instance cannot be opened: {error}") from None
    if instance is None:
        raise InstanceError(
            "There is no Dagster instance: set DAGSTER_HOME, or run this in a folder with a"
            " dagster.yaml (`capi-assets init` writes one)."
        )
    return instance


def partitions_among(
    hours: Sequence[datetime], settings: Settings, now: datetime
) -> list[datetime]:
    """Those of `hours` that have a partition: from CAPI_START_DATE to the current hour."""
    return [hour for hour in hours if settings.start_date <= hour <= floor_hour(now)]


def backfill(
    settings: Settings,
    instance: dg.DagsterInstance,
    hours: Sequence[datetime],
    on_range: Callable[[str, str], None],
) -> list[HourOutcome]:
    """Materializes `hours`; calls `on_range` with the first and last key before each run.

    Raises:
        KeyboardInterrupt: the run was interrupted; what was sent is in the ledger.
        LakeError: an evaluated hour cannot be read.
    """
    finished: set[datetime] = set()
    for first, last in key_ranges(hours):
        on_range(first, last)
        finished |= deliver_hours(instance, settings, key_hour(first), key_hour(last))
    unfinished = [hour for hour in hours if hour not in finished]
    failures = failure_texts(instance, settings, unfinished)
    schema = arrow_schema(AttributionHealth)
    rows = Lake(settings.lake).read(
        "attribution_health", hours, schema, ["hour", "main_reason", *_COUNTS]
    )
    by_hour: dict[datetime, list[dict[str, Any]]] = {hour: [] for hour in hours}
    for row in rows.to_pylist():
        by_hour[row["hour"]].append(row)
    return [
        HourOutcome(
            hour,
            hour in finished,
            {name: sum(row[name] for row in of_hour) for name in _COUNTS},
            None if hour in finished else _why(of_hour, failures.get(hour)),
        )
        for hour, of_hour in by_hour.items()
    ]


def _why(rows: Sequence[Mapping[str, Any]], failure: str | None) -> str:
    """The reason of most undelivered orders, else the run's failure."""
    reasons = dict.fromkeys(row["main_reason"] for row in rows if row["main_reason"])
    return (
        ", ".join(reason.replace("_", " ") for reason in reasons) or failure or "not materialized"
    )


def as_table(outcomes: Sequence[HourOutcome]) -> Table:
    """A row per hour; stages without orders are left out."""
    stages = [
        name
        for name in _COUNTS
        if name in ("orders", "delivered") or any(outcome.counts[name] for outcome in outcomes)
    ]
    body: list[list[str | int | float | None]] = [
        [
            hour_key(outcome.hour),
            *(outcome.counts[name] for name in stages),
            "finished" if outcome.is_finished else f"not finished: {outcome.why}",
        ]
        for outcome in outcomes
    ]
    if len(outcomes) > 1:
        sums = [sum(outcome.counts[name] for outcome in outcomes) for name in stages]
        finished = sum(outcome.is_finished for outcome in outcomes)
        body.append(["total", *sums, f"{finished} of {len(outcomes)} finished"])
    return Table(["hour", *(name.replace("_", " ") for name in stages), "outcome"], body)


def as_json(outcomes: Sequence[HourOutcome]) -> dict[str, Any]:
    """The outcome for programs."""
    return {
        "finished": all(outcome.is_finished for outcome in outcomes),
        "hours": {
            hour_key(outcome.hour): {
                "finished": outcome.is_finished,
                "why": outcome.why,
                **outcome.counts,
            }
            for outcome in outcomes
        },
    }
