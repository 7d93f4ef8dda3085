"""A gap is told from its start: what was lost, recovered, can be saved, and is gone for good."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gap_history import GapHistory, gap_histories
from capi_assets.coverage.late_orders import LateCause, late_causes, late_events, late_orders
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.delivery.causes import Cause
from capi_assets.delivery.ledger.schema import ATTEMPT
from tests.helpers.order_records import H, OrderRecords, hour

POLICY = CoveragePolicy()
LATER = timedelta(hours=30)


def attempts(books: OrderRecords, **answer: Any) -> pa.Table:
    """One failed attempt for each event that was sent more than once."""
    rows = [
        {"event_name": r["event_name"], "event_id": r["event_id"], "dataset_id": r["dataset_id"],
         "attempt": n, **answer}
        for n, r in enumerate(books.results) if r.get("attempts", 0) > 1
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=ATTEMPT)


def histories(
    books: OrderRecords, now: datetime, tried: pa.Table | None = None, hours: int = 6
) -> list[GapHistory]:
    results = books.tables()[1]
    late = late_orders(results, POLICY)
    events = late_events(results, late, POLICY)
    why = late_causes(late, events, ATTEMPT.empty_table() if tried is None else tried)
    flags = flag_hours(books.health(*(hour(n) for n in range(hours))), POLICY, now)
    return gap_histories(flags, late, why)


def recovered(books: OrderRecords, at: datetime, times: int, **order: Any) -> None:
    books.order(at, times=times, delivered_at=at + LATER, attempts=2, **order)


EXPIRED = {"outcome": "refused", "reason": "token_expired", "http_status": 401, "code": 190,
           "subcode": 463}  # fmt: skip


def test_an_outage_that_was_recovered_is_told_with_its_cause() -> None:
    books = OrderRecords().order(hour(0), times=20)
    recovered(books, hour(1), 10)
    recovered(books, hour(2), 5, currency="USD", value=3.0)
    books.order(hour(3), times=20)
    (history,) = histories(books, hour(48), attempts(books, **EXPIRED))
    assert (history.gap.cause, history.gap.first_hour, history.gap.last_hour) == (
        Cause.TOKEN, hour(1), hour(2),
    )  # fmt: skip
    assert (
        history.missing_at_first,
        history.recovered,
        history.unrecoverable,
        history.is_over,
    ) == (15, 15, 0, True)
    assert history.recovered_money == {"EUR": 100.0, "USD": 15.0} == history.missing_at_first_money
    assert history.recovered_at == hour(32)
    assert history.least_time_left == timedelta(days=6, hours=23, minutes=30) - LATER
    assert history.reasons == {"token_expired": 15}


def test_half_a_recovery_and_what_is_left_are_one_history() -> None:
    books = OrderRecords()
    recovered(books, hour(0), 10)
    books.order(hour(1), "pending", "token_expired", times=4)
    (history,) = histories(books, hour(40), attempts(books, **EXPIRED))
    assert (
        history.missing_at_first,
        history.recovered,
        history.gap.orders,
        history.unrecoverable,
    ) == (14, 10, 4, 0)
    assert (history.gap.recoverable, history.is_over) == (4, False)
    assert history.missing_at_first_money == {"EUR": 140.0}


def test_what_nobody_can_save_any_more_is_gone() -> None:
    books = OrderRecords().order(H, "expired", "token_expired", times=6)
    (history,) = histories(books, hour(24 * 9))
    assert (history.missing_at_first, history.recovered, history.unrecoverable) == (6, 0, 6)
    assert history.unrecoverable_money == {"EUR": 60.0}
    assert not history.is_over


def test_what_corrected_input_can_save_is_not_gone() -> None:
    books = OrderRecords().order(H, "rejected", "missing_value", times=6, subcode=2804009)
    (history,) = histories(books, hour(5))
    assert (history.gap.correctable, history.unrecoverable, history.unrecoverable_money) == (
        6,
        0,
        {},
    )


def test_stragglers_are_no_gap() -> None:
    books = OrderRecords().order(H, times=99)
    recovered(books, H, 1)
    assert histories(books, hour(40)) == []


def test_an_hour_that_ran_late_without_a_failure_was_not_materialized_in_time() -> None:
    books = OrderRecords().order(H, times=5, delivered_at=H + LATER, attempts=1)
    (history,) = histories(books, hour(48))
    assert (history.gap.cause, history.recovered) == (Cause.NOT_MATERIALIZED, 5)


def test_hours_between_two_causes_separate_their_gaps() -> None:
    books = OrderRecords()
    for n in range(3):
        recovered(books, hour(n), 5)
    results = books.tables()[1]
    late = late_orders(results, POLICY)
    flags = flag_hours(books.health(*(hour(n) for n in range(3))), POLICY, hour(48))
    why = {hour(n): LateCause(Cause.META_DOWN if n == 1 else Cause.THROTTLED, {}) for n in range(3)}
    found = gap_histories(flags, late, why)
    assert [(s.gap.cause, s.gap.first_hour, s.recovered) for s in found] == [
        (Cause.THROTTLED, hour(0), 5), (Cause.META_DOWN, hour(1), 5), (Cause.THROTTLED, hour(2), 5),
    ]  # fmt: skip


def test_withheld_orders_are_neither_late_nor_lost() -> None:
    books = OrderRecords().order(H, "withheld", verdict="withheld", times=50)
    books.order(H, times=50)
    assert histories(books, hour(40)) == []
