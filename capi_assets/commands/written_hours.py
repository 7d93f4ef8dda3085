"""Hours as people write them, for every command that takes a RANGE.

    written_hours("yesterday", now)
    written_hours("[2026-11-27-16:00...2026-11-28-23:00]", now)   # as alerts and the UI write it
    written_hours("2026-11-19T19:00+01:00...today", now)

Days are UTC, as partitions are. A time needs its zone: local hours repeat or vanish when clocks
change.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from capi_assets.hours import HOUR, floor_hour, hours_between, key_hour

FORMS = (
    "write an hour like 2026-11-19-19:00 or 2026-11-19T19:00Z, a day like 2026-11-19, today or"
    " yesterday, and a range like A...B, or several with commas"
)
_DAY = timedelta(days=1)
_SPAN = re.compile(r"([1-9]\d{0,3}) ?(h|hours?|d|days?)", re.IGNORECASE)


def written_hours(text: str, now: datetime) -> list[datetime]:
    """The hours of one or more ranges, in time order; `today` ends with the current hour.

    Raises:
        ValueError: the text is no range, or a range ends before it begins.
    """
    hours: set[datetime] = set()
    for part in text.split(","):
        first, dots, last = part.strip().removeprefix("[").removesuffix("]").partition("...")
        start, end = _span_of(first.strip(), now)
        if dots:
            end = _span_of(last.strip(), now)[1]
        if end <= start:
            raise ValueError("its last hour is before its first")
        hours.update(hours_between(start, end))
    return sorted(hours)


def last_hours(text: str, now: datetime) -> list[datetime]:
    """The last hours up to and including the current one: `72h`, `3d`.

    Raises:
        ValueError: the text is no span.
    """
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a span like 72h or 3d")
    count = int(match[1]) * (24 if match[2].lower().startswith("d") else 1)
    end = floor_hour(now) + HOUR
    return hours_between(end - count * HOUR, end)


def _span_of(text: str, now: datetime) -> tuple[datetime, datetime]:
    """The start and end of what a person wrote: an hour, or a day up to the current hour."""
    current, today = floor_hour(now), now.astimezone(UTC).date()
    if text.lower() == "now":
        return current, current + HOUR
    try:
        start = key_hour(text)
        return floor_hour(start), floor_hour(start) + HOUR
    except ValueError:
        pass
    days = {"today": today, "yesterday": today - _DAY}
    try:
        if day := days.get(text.lower()) or _day(text):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return start, max(min(start + _DAY, current + HOUR), start + HOUR)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(FORMS) from None
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone: 2026-11-19T19:00Z or 2026-11-19T20:00+01:00")
    return floor_hour(moment), floor_hour(moment) + HOUR


def _day(text: str) -> datetime | None:
    is_day = re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if is_day else None
