"""Consecutive flagged hours of one cause are one gap, with its range, money and deadlines."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import Gap, gaps, merged
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import H, OrderRecords, hour

NEXT_DAY = hour(24)


def gaps_of(books: OrderRecords, now: datetime = NEXT_DAY, *expected: datetime) -> list[Gap]:
    hours = [hour(n) for n in range(24) if hour(n) not in expected]
    return gaps(flag_hours(books.health(*hours), CoveragePolicy(), now, expected_hours=expected))


def lost(books: OrderRecords, at: datetime, reason: str = "token_expired", times: int = 4) -> None:
    books.order(at, status="pending", reason=reason, times=times)


def test_consecutive_hours_of_one_cause_are_one_gap() -> None:
    books = OrderRecords()
    for n in (3, 4, 5):
        lost(books, hour(n), times=n)
    (gap,) = gaps_of(books)
    assert gap.id == "token-2026-11-20T16"
    assert (gap.cause, gap.hours, gap.orders) == (Cause.TOKEN, 3, 12)
    assert gap.money == {"EUR": 120.0} == gap.recoverable_money
    assert gap.partition_range == "2026-11-20-16:00...2026-11-20-18:00"
    window = timedelta(days=6, hours=23, minutes=30)
    assert (gap.first_deadline, gap.last_deadline) == (hour(3) + window, hour(5) + window)
    assert gap.reasons == {"token_expired": 12}
    assert gap.severity == "error"


def test_another_cause_and_a_good_hour_break_a_gap() -> None:
    books = OrderRecords()
    for n, reason in ((3, "token_expired"), (4, "throttled"), (5, "throttled"), (7, "throttled")):
        lost(books, hour(n), reason)
    books.order(hour(6), times=5)
    assert [(g.cause, g.first_hour, g.last_hour) for g in gaps_of(books)] == [
        (Cause.TOKEN, hour(3), hour(3)),
        (Cause.THROTTLED, hour(4), hour(5)),
        (Cause.THROTTLED, hour(7), hour(7)),
    ]


def test_an_hour_with_nothing_to_lose_does_not_break_a_gap_nor_end_in_it() -> None:
    books = OrderRecords()
    lost(books, hour(3))
    lost(books, hour(6))
    (gap,) = gaps_of(books)
    assert (gap.first_hour, gap.last_hour, gap.hours) == (hour(3), hour(6), 2)


def test_hours_nobody_looked_at_break_a_gap() -> None:
    books = OrderRecords()
    lost(books, hour(3))
    lost(books, hour(6))
    flags = flag_hours(books.health(hour(3), hour(6)), CoveragePolicy(), hour(24))
    assert len(gaps(flags)) == 2


def test_hours_that_were_never_materialized_are_a_gap_of_unknown_size() -> None:
    (gap,) = gaps_of(OrderRecords(), hour(24), hour(8), hour(9))
    assert (gap.cause, gap.hours, gap.orders, gap.unknown_hours) == (
        Cause.NOT_MATERIALIZED,
        2,
        0,
        2,
    )
    assert gap.savable


def test_a_gap_past_its_deadlines_cannot_be_saved() -> None:
    books = OrderRecords()
    lost(books, hour(3))
    (gap,) = gaps_of(books, H + timedelta(days=9))
    assert (gap.orders, gap.recoverable, gap.savable) == (4, 0, False)


def test_the_same_flags_give_the_same_gaps_in_any_order_of_rows() -> None:
    books = OrderRecords()
    for n in (3, 4, 9):
        lost(books, hour(n))
    flags = flag_hours(books.health(*(hour(n) for n in range(12))), CoveragePolicy(), hour(24))
    assert gaps(flags) == gaps(flags.take(list(reversed(range(flags.num_rows)))))


def test_merged_gaps_lose_nothing() -> None:
    books = OrderRecords()
    for n in (3, 4, 9):
        lost(books, hour(n))
    books.order(hour(6), times=5)
    one, two = gaps_of(books)
    both = merged([two, one])
    assert (both.id, both.hours, both.orders) == (one.id, 3, one.orders + two.orders)
    assert both.money == {"EUR": pytest.approx(120.0)}
    assert (both.first_deadline, both.last_deadline) == (one.first_deadline, two.last_deadline)


def test_no_flags_no_gaps() -> None:
    assert gaps_of(OrderRecords()) == []
