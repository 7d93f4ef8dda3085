"""Hours as people, alerts and the UI write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from capi_assets.commands.written_hours import last_hours, written_hours
from capi_assets.hours import hour_key

NOW = datetime(2026, 11, 20, 13, 40, tzinfo=UTC)


def ends(text: str) -> tuple[str, str, int]:
    hours = written_hours(text, NOW)
    return hour_key(hours[0]), hour_key(hours[-1]), len(hours)


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("2026-11-19-19:00", "2026-11-19-19:00", "2026-11-19-19:00", 1),
        ("2026-11-19-19:00...2026-11-20-03:00", "2026-11-19-19:00", "2026-11-20-03:00", 9),
        ("[2026-11-19-19:00...2026-11-20-03:00]", "2026-11-19-19:00", "2026-11-20-03:00", 9),
        ("2026-11-19T19:30Z", "2026-11-19-19:00", "2026-11-19-19:00", 1),
        ("2026-11-19T20:00+01:00", "2026-11-19-19:00", "2026-11-19-19:00", 1),
        ("2026-11-19T20:00+05:30", "2026-11-19-14:00", "2026-11-19-14:00", 1),
        ("2026-11-19 19:00Z", "2026-11-19-19:00", "2026-11-19-19:00", 1),
        ("2026-11-19", "2026-11-19-00:00", "2026-11-19-23:00", 24),
        ("2026-11-18...2026-11-19", "2026-11-18-00:00", "2026-11-19-23:00", 48),
        ("yesterday", "2026-11-19-00:00", "2026-11-19-23:00", 24),
        ("Yesterday", "2026-11-19-00:00", "2026-11-19-23:00", 24),
        ("today", "2026-11-20-00:00", "2026-11-20-13:00", 14),
        ("2026-11-20", "2026-11-20-00:00", "2026-11-20-13:00", 14),
        ("yesterday...now", "2026-11-19-00:00", "2026-11-20-13:00", 38),
        ("2026-11-19T22:00Z...today", "2026-11-19-22:00", "2026-11-20-13:00", 16),
        ("[2026-11-19-01:00...2026-11-19-02:00], 2026-11-19-09:00",
         "2026-11-19-01:00", "2026-11-19-09:00", 3),
    ],
)  # fmt: skip
def test_a_range_is_read_as_it_is_written(text: str, first: str, last: str, count: int) -> None:
    assert ends(text) == (first, last, count)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write an hour like"),
        ("soon", "write an hour like"),
        ("2026-13-01", "write an hour like"),
        ("2026-11-19...", "write an hour like"),
        ("2026-11-19T19:00", "needs its zone"),
        ("today...yesterday", "before its first"),
        ("2026-11-20-03:00...2026-11-19-19:00", "before its first"),
    ],
)
def test_what_is_no_range_is_refused_with_the_remedy(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        written_hours(text, NOW)


@pytest.mark.parametrize(
    ("text", "count"), [("72h", 72), ("3d", 72), ("1 hour", 1), ("2 days", 48)]
)
def test_the_last_hours_end_with_the_current_one(text: str, count: int) -> None:
    hours = last_hours(text, NOW)
    assert (len(hours), hour_key(hours[-1])) == (count, "2026-11-20-13:00")


@pytest.mark.parametrize("text", ["0h", "h", "72", "-3h", "3w", "99999h"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="72h or 3d"):
        last_hours(text, NOW)
