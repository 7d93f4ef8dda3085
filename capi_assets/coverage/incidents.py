"""Incidents: gaps that tell one story, with their causes in turn.

A gap (gaps.py) ends with its cause and with every good hour between; an incident goes on. Gaps are
one incident if they are near each other in time and share an evidence: their cause, the way that
their orders take, or their streams. Alerts, the check `open_gaps`, `capi-assets gaps` and the
report list incidents. What was reported of them is in alerting/alert_state.py.

    [incident] = incidents(find_gaps(lake, policy, now).gaps)
    [turn.cause for turn in incident.causes]  # [Cause.META_DOWN, Cause.THROTTLED]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from capi_assets.coverage.anomalies.anomaly import Stream
from capi_assets.coverage.gaps import Gap, merged
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.delivery.causes import Cause, EndedBy
from capi_assets.hours import HOUR, hour_key

QUIET = timedelta(hours=3)
"""An incident is over once this long after its last flagged hour nothing was flagged: while half of
the hours fail, three good ones in a row are chance in one of eight cases."""

SAME_CAUSE = timedelta(hours=24)
"""Gaps of one cause are one incident with up to this long between them: what is at fault by day is
often not seen at night, when there are too few orders."""

_WHAT_LANDS = frozenset(
    ("visits_missing", "match_keys_lost", "orders_missing", "landing_stopped", "time_shift")
)
"""Causes that follow from one another: a tracker that stops costs visits, then match keys."""


class Evidence(Protocol):
    """Flagged hours with a cause: a gap, or a cause that was reported."""

    @property
    def cause(self) -> Cause: ...
    @property
    def first_hour(self) -> datetime: ...
    @property
    def last_hour(self) -> datetime: ...
    @property
    def streams(self) -> tuple[Stream, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseInTurn:
    """A cause of an incident, with the hours (start, UTC) that it flagged first and last."""

    cause: Cause
    headline: str
    first_hour: datetime
    last_hour: datetime
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """Gaps that share an evidence.

    Attributes:
        gaps: in time order; their hours may overlap.
        causes: each cause once, in the order of its first hour.
        total: all gaps as one, with the id of the first, and the cause that costs most of those
            that something can be done about.
    """

    gaps: tuple[Gap, ...]
    causes: tuple[CauseInTurn, ...]
    total: Gap

    @property
    def ranges(self) -> tuple[str, ...]:
        """The partition ranges of its gaps; those that overlap or touch are one."""
        spans: list[tuple[datetime, datetime]] = []
        for gap in self.gaps:
            if spans and gap.first_hour <= spans[-1][1] + HOUR:
                spans[-1] = spans[-1][0], max(spans[-1][1], gap.last_hour)
            else:
                spans.append((gap.first_hour, gap.last_hour))
        return tuple(f"{hour_key(first)}...{hour_key(last)}" for first, last in spans)

    def is_over(self, policy: CoveragePolicy, now: datetime, quiet: timedelta = QUIET) -> bool:
        """Whether nothing can be done and no hour was flagged lately: it will not change."""
        return is_past_help(self.total) and now >= quiet_at(self.causes, policy, quiet)


def incidents(gaps: Iterable[Gap]) -> list[Incident]:
    """The incidents among `gaps`, of any causes, in the order of their first hour."""
    ordered = sorted(gaps, key=lambda gap: (gap.first_hour, gap.cause))
    return [incident(group) for group in grouped(ordered, is_related)]


def open_and_closed(
    gaps: Iterable[Gap], policy: CoveragePolicy, now: datetime
) -> tuple[list[Incident], list[Incident]]:
    """The incidents that can still change, and those that ended without being fixed."""
    found = incidents(gaps)
    closed = [incident for incident in found if incident.is_over(policy, now)]
    return [incident for incident in found if incident not in closed], closed


def incident(gaps: Sequence[Gap]) -> Incident:
    """These gaps (at least one) as one incident."""
    gaps = sorted(gaps, key=lambda gap: (gap.first_hour, gap.cause))
    by_cause = [
        merged([gap for gap in gaps if gap.cause is cause])
        for cause in dict.fromkeys(gap.cause for gap in gaps)
    ]
    causes = tuple(
        CauseInTurn(
            cause=part.cause,
            headline=part.headline,
            first_hour=part.first_hour,
            last_hour=part.last_hour,
            streams=part.streams,
        )
        for part in by_cause
    )
    main = max(
        by_cause,
        key=lambda part: (not is_past_help(part), size(part), part.unknown_hours, part.last_hour),
    )
    return Incident(tuple(gaps), causes, replace(_sum(gaps), cause=main.cause))


def _sum(gaps: Sequence[Gap]) -> Gap:
    """All gaps as one; hours that several of them have miss the orders of all."""
    total = merged(gaps)
    if sum(gap.hours for gap in gaps) == total.hours:
        return total
    missing: dict[datetime, int | None] = {}
    for gap in gaps:
        for hour, number in gap.missing.items():
            known = missing.get(hour)
            missing[hour] = number if known is None else known + (number or 0)
    return replace(total, missing=missing)


def is_past_help(gap: Gap) -> bool:
    """Whether nothing that is missing can be delivered any more, not even when corrected."""
    return not (gap.savable or gap.correctable)


def size(gap: Gap) -> int:
    """Orders missing, never arrived, or not as usual, whichever is most."""
    return max(gap.orders, gap.estimated_orders)


def quiet_at(causes: Iterable[CauseInTurn], policy: CoveragePolicy, quiet: timedelta) -> datetime:
    """When `quiet` has passed since the last flagged hour, and its hours have been evaluated."""
    return max(c.last_hour + HOUR + quiet + policy.wait(c.cause) for c in causes)


def is_related(one: Evidence, other: Evidence) -> bool:
    """Whether two gaps belong to one incident."""
    earlier, later = sorted((one, other), key=lambda part: part.first_hour)
    pause = later.first_hour - earlier.last_hour - HOUR
    if one.cause is other.cause:
        return pause <= SAME_CAUSE
    if one.streams and other.streams:
        shared = set(one.streams) & set(other.streams)
        if not shared:
            return False
        if set(one.streams) == set(other.streams) and pause <= timedelta(0):
            return True
    return _way(one.cause) == _way(other.cause) and pause <= QUIET


def _way(cause: Cause) -> str:
    """Causes with the same way are told as one: all that happens between the lake and Meta, and
    all that happens before data lands. What is wrong with single orders has a way of its own."""
    if cause in _WHAT_LANDS:
        return "landing"
    own = cause.ended_by in (EndedBy.DATA, EndedBy.NOTHING)
    return str(cause) if own else "delivery"


T = TypeVar("T")


def grouped(items: Iterable[T], related: Callable[[T, T], bool]) -> list[list[T]]:
    """The items in groups, so that related ones are in one; groups and items keep their order."""
    groups: list[list[T]] = []
    for item in items:
        met = [group for group in groups if any(related(item, other) for other in group)]
        if not met:
            groups.append([item])
            continue
        for other in met[1:]:
            met[0].extend(other)
            groups.remove(other)
        met[0].append(item)
    return groups
