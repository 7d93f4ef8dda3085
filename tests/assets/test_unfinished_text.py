"""A failed run says which hours are not finished and what to do, each thing once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from capi_assets.defs.hourly_reporting import UnfinishedHour, unfinished_text

H = datetime(2026, 11, 20, 13, tzinfo=UTC)


def waiting(hour: int, events: int, remedy: str = "Renew the token.") -> UnfinishedHour:
    return UnfinishedHour(H + timedelta(hours=hour), f"{events} events wait.", remedy)


def test_one_hour_of_one_is_no_range() -> None:
    assert unfinished_text([waiting(0, 3)], 1) == (
        "The hour 2026-11-20-13:00 is not finished. 3 events wait. Renew the token."
    )


def test_one_hour_of_several_says_that_the_others_are() -> None:
    assert unfinished_text([waiting(2, 3)], 5).startswith(
        "1 of 5 hours is not finished, 2026-11-20-15:00; the others are. 3 events wait."
    )


def test_hours_that_all_failed_have_no_others() -> None:
    assert unfinished_text([waiting(0, 3), waiting(1, 3)], 2).startswith(
        "2 of 2 hours are not finished, between 2026-11-20-13:00 and 2026-11-20-14:00. 3 events"
    )


def test_a_remedy_is_said_once_however_many_events_wait() -> None:
    text = unfinished_text([waiting(n, n + 2) for n in range(4)], 9)
    assert text.count("Renew the token.") == 1
    assert "2 events wait. (3 more hours with the same reason.) Renew the token." in text


def test_many_reasons_are_counted() -> None:
    text = unfinished_text([waiting(n, 2, f"Remedy {n}.") for n in range(6)], 6)
    assert "Remedy 2." in text
    assert "Remedy 3." not in text
    assert text.endswith("(3 more reasons.)")
