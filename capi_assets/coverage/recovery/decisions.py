"""Automatic recovery: which hours to materialize again, when, and when to stop.

Pure functions of the remembered state and the time: `note_blocks` says which datasets are left
alone, `datasets_to_ask` which need a preflight, `decide_recovery` which hours to launch. Only hours
whose cause lies outside the data are launched, and where Meta or the token is the cause, only after
the preflight (meta/graph/preflight.py) has passed.

A dataset that Meta has blocked (`Cause.BLOCKED`) is neither asked nor launched, because further
calls prolong a block that only a person can end. What counts as a person's change is a delivery
that succeeded afterwards: an event accepted for an hour that ended after the block became known,
sent by a schedule or by a person's own materialization.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.recovery.state import LaunchRecord, PreflightRecord, RecoveryState
from capi_assets.delivery.causes import Cause, EndedBy
from capi_assets.hours import HOUR, key_ranges

NEEDS_PREFLIGHT = frozenset(
    {Cause.BLOCKED}
    | {cause for cause in Cause if cause.ended_by in (EndedBy.WAITING, EndedBy.SETUP)}
)
"""Causes that are over only when Meta accepts events again."""

ONLY_LAUNCH = frozenset(cause for cause in Cause if cause.ended_by is EndedBy.RUN)
"""Causes that a run alone fixes. All others need corrected input, or a person."""


SETTLE = timedelta(minutes=30)
"""An hour is left to its schedules for this long after its end, their retries included."""

COOL_DOWN = timedelta(minutes=15)
"""The least time between two launches of an hour, longer than a usual run; doubles with each one
that delivered nothing."""

MAX_LAUNCHES = 4
"""Launches of an hour that deliver nothing before recovery stops: after almost two hours a person
should look."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=30)
"""Between two preflights of a dataset; doubles from one to the other, since calls prolong a block,
and half an hour is little of Meta's seven days."""

MAX_RANGES_PER_TICK = 5
"""Ranges launched per tick, so that a long outage does not fill the run queue."""


@dataclass(frozen=True, slots=True)
class SavableHour:
    """An hour of which a materialization can still deliver orders.

    Attributes:
        orders: how many; None if they are not counted yet.
        datasets: the datasets of these orders.
        gap: the id of its gap; None if it misses too few orders to be flagged.
    """

    hour: datetime
    cause: Cause
    orders: int | None
    deadline: datetime
    datasets: frozenset[str] = frozenset()
    gap: str | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """Hours to materialize now; `gap` as in `SavableHour`."""

    gap: str | None
    cause: Cause
    hours: tuple[datetime, ...]

    @property
    def ranges(self) -> list[tuple[str, str]]:
        """First and last key of consecutive hours: one Dagster run each."""
        return key_ranges(self.hours)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The answer of `decide_recovery`: launched and stopped hours by gap, most urgent first."""

    launches: tuple[Launch, ...]
    stopped: tuple[Launch, ...]
    state: RecoveryState


def savable_hours(
    flags: pa.Table, gaps: Sequence[Gap], health: pa.Table, now: datetime
) -> list[SavableHour]:
    """The hours of which a materialization can still deliver orders, for any cause.

    Args:
        flags: the table of `flags.flag_hours`.
        gaps: the gaps among them.
        health: `attribution_health` of the same hours: which datasets orders wait for, and, of
            hours that lose too few orders to be flagged, why.
    """
    names = {hour: gap.id for gap in gaps for hour in gap.missing}
    waiting = _waiting(health)
    found = []
    for row in flags.to_pylist():
        hour, deadline = row["hour"].astimezone(UTC), row["first_deadline"]
        if not row["judged"] or deadline is None or deadline <= now:
            continue
        # Of several causes the first that a run can end.
        causes_found = [_cause(finding["cause"]) for finding in row["findings"] or ()]
        cause = next(
            (c for c in causes_found if c in NEEDS_PREFLIGHT | ONLY_LAUNCH), _cause(row["cause"])
        )
        orders = row["recoverable"]
        datasets = frozenset(dataset for dataset, _ in waiting.get(hour, ()))
        if not row["flagged"]:
            causes = sorted({name for _, name in waiting.get(hour, ())})
            cause = next(
                (c for c in map(_cause, causes) if c in NEEDS_PREFLIGHT | ONLY_LAUNCH), None
            )
        elif hour not in names:
            continue
        if cause is not None and orders != 0:
            found.append(
                SavableHour(
                    hour, cause, orders, deadline.astimezone(UTC), datasets, names.get(hour)
                )
            )
    return found


def note_blocks(
    state: RecoveryState, savable: Sequence[SavableHour], health: pa.Table, now: datetime
) -> RecoveryState:
    """`state` with what is known of datasets that Meta has blocked; call it before the others.

    Args:
        health: `attribution_health` of the same hours: whose events are blocked, and which hours
            were delivered since.
    """
    still = {hour.hour for hour in savable}
    seen = {
        dataset
        for hour, waiting in _waiting(health).items()
        for dataset, cause in waiting
        if hour in still and cause == Cause.BLOCKED
    }
    delivered: dict[str, datetime] = {}
    for row in health.select(["hour", "dataset_id", "delivered"]).to_pylist():
        if row["delivered"]:
            end = row["hour"].astimezone(UTC) + HOUR
            delivered[row["dataset_id"]] = max(end, delivered.get(row["dataset_id"], end))
    blocked: dict[str, datetime | None] = {}
    for name in seen | state.left_alone:
        since = state.blocked.get(name, now)
        changed = since is None or delivered.get(name, since) > since
        blocked[name] = None if changed else since
    return replace(state, blocked={n: at for n, at in blocked.items() if at or n in seen})


def _waiting(health: pa.Table) -> dict[datetime, list[tuple[str, str]]]:
    """Per hour the datasets with waiting orders, each with the cause of its main reason."""
    found: dict[datetime, list[tuple[str, str]]] = defaultdict(list)
    columns = ["hour", "dataset_id", "pending", "unknown", "future_dated", "main_reason_kind"]
    for row in health.select(columns).to_pylist():
        if row["pending"] + row["unknown"] + row["future_dated"]:
            of_hour = found[row["hour"].astimezone(UTC)]
            of_hour.append((row["dataset_id"], row["main_reason_kind"] or ""))
    return found


def _cause(name: str | None) -> Cause | None:
    try:
        return Cause(name or "")
    except ValueError:
        return None


def datasets_to_ask(
    state: RecoveryState,
    savable: Sequence[SavableHour],
    now: datetime,
    under_way: Collection[datetime],
) -> list[str]:
    """The datasets that need a preflight now; one that failed lately is not tried yet."""
    due = _due(state, savable, now, under_way)
    asked = {name for hour in due if hour.cause in NEEDS_PREFLIGHT for name in hour.datasets}
    return sorted(
        name
        for name in asked - state.left_alone
        if name not in state.probes or state.probes[name].again_at <= now
    )


def decide_recovery(
    state: RecoveryState,
    savable: Sequence[SavableHour],
    now: datetime,
    preflights: Mapping[str, Cause | None],
    under_way: Collection[datetime],
) -> Recovery:
    """What to launch now, and what to remember. Called by defs/automation/auto_recovery.py.

    Args:
        state: the state that the previous call returned.
        savable: the answer of `savable_hours`; an hour that is missing is recovered, or lost.
        now: timezone-aware.
        preflights: per dataset of `datasets_to_ask`, what stands in the way: None if its preflight
            passed; a missing dataset counts as failed.
        under_way: hours of active or queued runs.
    """
    state = _kept(state, savable, now)
    tries = dict(state.hours)
    due = _due(state, savable, now, under_way)
    stopped = [hour for hour in due if _without_progress(tries, hour) >= MAX_LAUNCHES]
    for hour in stopped:
        tries[hour.hour] = replace(tries[hour.hour], stopped=True)
    passed = {name for name, cause in preflights.items() if cause is None}
    ready = [
        hour
        for hour in due
        if hour not in stopped and (hour.cause in ONLY_LAUNCH or hour.datasets & passed)
    ]
    launches = _grouped(ready, MAX_RANGES_PER_TICK)
    launched = {hour for launch in launches for hour in launch.hours}
    for hour in ready:
        if hour.hour in launched:
            launches_without_progress = _without_progress(tries, hour) + 1
            tries[hour.hour] = LaunchRecord(launches_without_progress, now, hour.cause, hour.orders)
    blocked = {name: now for name, cause in preflights.items() if cause is Cause.BLOCKED}
    after = RecoveryState(
        tries, _asked(state.probes, preflights, now), {**state.blocked, **blocked}
    )
    return Recovery(tuple(launches), tuple(_grouped(stopped, len(stopped))), after)


def _due(
    state: RecoveryState,
    savable: Sequence[SavableHour],
    now: datetime,
    under_way: Collection[datetime],
) -> list[SavableHour]:
    """Hours that may be launched if their dataset's preflight passes, most urgent first."""
    due = []
    for hour in savable:
        if hour.cause not in NEEDS_PREFLIGHT | ONLY_LAUNCH or hour.deadline <= now:
            continue
        if hour.hour in under_way or now < hour.hour + HOUR + SETTLE:
            continue
        # An hour that nobody has counted yet may hold events of a blocked dataset.
        if state.left_alone and (not hour.datasets or hour.datasets & state.left_alone):
            continue
        last = state.hours.get(hour.hour)
        if last:
            launches_without_progress = _without_progress(state.hours, hour)
            if last.stopped and launches_without_progress >= MAX_LAUNCHES:
                continue
            if now - last.at < COOL_DOWN * 2 ** max(0, launches_without_progress - 1):
                continue
        due.append(hour)
    return sorted(due, key=lambda hour: (hour.deadline, hour.hour))


def _without_progress(tries: Mapping[datetime, LaunchRecord], hour: SavableHour) -> int:
    """Launches in a row that delivered nothing."""
    last = tries.get(hour.hour)
    if last is None or last.cause != hour.cause:
        return 0
    if last.orders is None:
        return last.launches_without_progress if hour.orders is None else 0
    return (
        last.launches_without_progress if hour.orders is None or hour.orders >= last.orders else 0
    )


def _kept(state: RecoveryState, savable: Iterable[SavableHour], now: datetime) -> RecoveryState:
    """The state without hours that are recovered or lost."""
    still = {hour.hour for hour in savable if hour.deadline > now}
    return replace(state, hours={hour: t for hour, t in state.hours.items() if hour in still})


def _asked(
    probes: Mapping[str, PreflightRecord],
    preflights: Mapping[str, Cause | None],
    now: datetime,
) -> dict[str, PreflightRecord]:
    kept = {name: probe for name, probe in probes.items() if name not in preflights}
    for name, cause in preflights.items():
        if cause is not None:
            failed = probes[name].failed if name in probes else 0
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failed, 16))
            kept[name] = PreflightRecord(failed + 1, now + pause)
    return kept


def _grouped(hours: Sequence[SavableHour], at_most: int) -> list[Launch]:
    """Launches by gap, most urgent first, of `at_most` ranges in total."""
    by_gap: dict[tuple[str, str | None], list[SavableHour]] = defaultdict(list)
    for hour in hours:
        by_gap[hour.cause if hour.gap else "", hour.gap].append(hour)
    launches, left = [], at_most
    for (_, gap), group in by_gap.items():
        ranges = _ranges(group)[:left]
        left -= len(ranges)
        if ranges:
            launched = tuple(sorted(hour for part in ranges for hour in part))
            launches.append(Launch(gap, group[0].cause, launched))
    return launches


def _ranges(group: Sequence[SavableHour]) -> list[list[datetime]]:
    """Ranges of consecutive hours, the one with the earliest deadline first."""
    deadlines = {hour.hour: hour.deadline for hour in group}
    runs: list[list[datetime]] = []
    for hour in sorted(deadlines):
        if runs and hour - runs[-1][-1] == HOUR:
            runs[-1].append(hour)
        else:
            runs.append([hour])
    return sorted(runs, key=lambda run: min(deadlines[hour] for hour in run))
