"""`capi-assets backfill`: the run that the UI's backfill launches, in this process.

    outcomes = backfill(settings, instance, partitions_among(hours, settings, now), print)
    all(outcome.is_finished for outcome in outcomes)

Consecutive hours are one run of the job `deliver_hour`, on the instance whose runs the UI shows; a
long range is several, one after the other. A backfill that was killed continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import dagster as dg
from dagster import DagsterError

from capi_assets.commands.demo.workspace import Workspace
from capi_assets.commands.runs import deliver_hours
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.tables import Table
from capi_assets.defs.automation.active_runs import done_at, failure_texts
from capi_assets.defs.dagster_erasure import open_instance
from capi_assets.defs.names import HOURLY_ASSETS, asset_key
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between, key_hour, key_ranges
from capi_assets.lake import Lake
from capi_assets.settings import Settings

_COUNTS = ("orders", *STAGES)

HOURS_PER_RUN = 168
"""Hours of one run, unless CAPI_HOURS_PER_RUN is set. A run looks back a week for visits: shorter
runs read most of them twice, longer ones save little and lose more when they are killed."""

_CONTINUED_WITHIN = timedelta(days=1)
"""After a longer pause a backfill starts anew: landing files may have changed since."""

_HOURS_TAG, _BEGAN_TAG = "capi_assets/backfill_hours", "capi_assets/backfill_began"


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
    say: Callable[[str], None],
    *,
    from_start: bool = False,
) -> list[HourOutcome]:
    """Materializes `hours`, a run after the other; calls `say` with the range of each before it.

    If an earlier backfill of the same hours left runs unfinished, because it was killed or events
    stayed pending, the finished runs are not repeated, unless `from_start`.

    Raises:
        KeyboardInterrupt: the run was interrupted; what was sent is in the ledger.
        LakeError: an evaluated hour cannot be read.
    """
    pieces = in_pieces(hours, settings.hours_per_run or HOURS_PER_RUN)
    began, finished = datetime.now(UTC), set[datetime]()
    if not from_start and (earlier := _began(instance, settings, hours)):
        done = _finished_since(instance, settings, hours, earlier)
        left = [piece for piece in pieces if not done.issuperset(piece)]
        if 0 < len(left) < len(pieces):
            say(
                f"Continues the backfill of {earlier:%Y-%m-%d %H:%M} UTC: {len(pieces) - len(left)}"
                f" of {len(pieces)} runs are finished. --from-start repeats them."
            )
            began, finished, pieces = earlier, done.difference(*left), left
    tags = {_HOURS_TAG: _digest(hours), _BEGAN_TAG: began.isoformat()}
    for piece in pieces:
        say(f"{hour_key(piece[0])}...{hour_key(piece[-1])} runs")
        finished |= deliver_hours(instance, settings, piece[0], piece[-1], tags)
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


def in_pieces(hours: Sequence[datetime], hours_per_run: int) -> list[list[datetime]]:
    """The hours of each run: consecutive ones, at most so many."""
    return [
        span[start : start + hours_per_run]
        for first, last in key_ranges(hours)
        for span in [hours_between(key_hour(first), key_hour(last) + HOUR)]
        for start in range(0, len(span), hours_per_run)
    ]


def _digest(hours: Sequence[datetime]) -> str:
    return sha256(" ".join(map(hour_key, hours)).encode()).hexdigest()


def _began(
    instance: dg.DagsterInstance, settings: Settings, hours: Sequence[datetime]
) -> datetime | None:
    """When the last backfill of the same hours began, if it ran lately."""
    runs = instance.get_runs(
        dg.RunsFilter(
            job_name=settings.prefixed("deliver_hour"),
            tags={_HOURS_TAG: _digest(hours)},
            created_after=datetime.now(UTC) - _CONTINUED_WITHIN,
        ),
        limit=1,
    )
    return datetime.fromisoformat(runs[0].tags[_BEGAN_TAG]) if runs else None


def _finished_since(
    instance: dg.DagsterInstance, settings: Settings, hours: Sequence[datetime], since: datetime
) -> set[datetime]:
    """The hours that every asset materialized since a time."""
    by_asset = [
        done_at(instance, asset_key(settings, name), hours).items() for name in HOURLY_ASSETS
    ]
    return set.intersection(
        *({hour for hour, (moment, _) in done if moment >= since} for done in by_asset)
    )


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
