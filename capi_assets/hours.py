"""Hours: their starts, partition keys (`2026-11-20-13:00`) and ranges, always in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

KEY_FORMAT = "%Y-%m-%d-%H:%M"
HOUR = timedelta(hours=1)


def floor_hour(moment: datetime) -> datetime:
    """The start of the UTC hour of `moment`."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hour_key(moment: datetime) -> str:
    """The partition key of the UTC hour of `moment`."""
    return floor_hour(moment).strftime(KEY_FORMAT)


def key_hour(key: str) -> datetime:
    """The start of the hour of a partition key, timezone-aware UTC."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)


def hours_between(start: datetime, end: datetime) -> list[datetime]:
    """The hours of `[start, end)`, both rounded down to the hour."""
    first, last = floor_hour(start), floor_hour(end)
    return [first + i * HOUR for i in range(int((last - first) / HOUR))]


def key_ranges(hours: Iterable[datetime]) -> list[tuple[str, str]]:
    """Runs of consecutive hours as inclusive (first key, last key) pairs, in time order."""
    ranges: list[list[datetime]] = []
    for hour in sorted(set(hours)):
        if ranges and hour - ranges[-1][1] == HOUR:
            ranges[-1][1] = hour
        else:
            ranges.append([hour, hour])
    return [(hour_key(first), hour_key(last)) for first, last in ranges]


def hour_range(hours: Sequence[datetime]) -> tuple[datetime, datetime]:
    """The range `[start, end)` of all `hours`."""
    return min(hours), max(hours) + HOUR
