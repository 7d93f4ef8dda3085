"""What can still be saved, and until when, is exact to the event."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
from books import Books, H, hour
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.coverage.recovery_clock import recovery_clock, savable

WINDOW = timedelta(days=7)


def waiting() -> pa.Table:
    books = Books()
    for n, status in enumerate(("pending", "unknown", "not_yet", "delivered", "rejected")):
        books.order(
            status=status, value=2.0**n, deliver_until=hour(n) + WINDOW + timedelta(minutes=7)
        )
    books.order(status="pending", currency="USD", value=100, deliver_until=hour(1) + WINDOW)
    return books.tables()[1]


def test_the_clock_tells_what_is_left_at_every_hour_of_deadline() -> None:
    rows = recovery_clock(waiting(), H).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (H + WINDOW, "EUR", 1, 1.0, 3, 7.0),
        (hour(1) + WINDOW, "EUR", 1, 2.0, 2, 6.0),
        (hour(1) + WINDOW, "USD", 1, 100.0, 1, 100.0),
        (hour(2) + WINDOW, "EUR", 1, 4.0, 1, 4.0),
    ]


def test_what_can_be_saved_shrinks_at_the_very_deadline() -> None:
    first = H + WINDOW + timedelta(minutes=7)
    before = savable(waiting(), first - timedelta(microseconds=1))
    after = savable(waiting(), first)
    assert (before.orders, before.money, before.first_deadline) == (
        4,
        {"EUR": 7.0, "USD": 100.0},
        first,
    )
    assert (after.orders, after.money["EUR"]) == (3, 6.0)
    assert after.left(first) == timedelta(minutes=53)


def test_nothing_waits_nothing_can_be_saved() -> None:
    nothing = savable(waiting(), H + timedelta(days=30))
    assert (nothing.orders, nothing.money, nothing.first_deadline) == (0, {}, None)
    assert nothing.left(H) is None
    assert recovery_clock(waiting(), H + timedelta(days=30)).num_rows == 0


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1e6), st.sampled_from(["EUR", None]))),
    st.integers(0, 400),
)
def test_the_clock_and_the_moment_agree(
    events: list[tuple[int, float, str | None]], minutes: int
) -> None:
    books = Books()
    for late, value, currency in events:
        books.order(
            status="pending",
            value=value,
            currency=currency,
            deliver_until=H + timedelta(minutes=late),
        )
    at = H + timedelta(minutes=minutes)
    results = books.tables()[1]
    rows = recovery_clock(results, at).to_pylist()
    now = savable(results, at)
    assert sum(r["orders"] for r in rows) == now.orders
    for currency in ("EUR", None):
        left = [r["value_left"] for r in rows if r["currency"] == currency]
        assert (left[0] if left else 0) == now.money.get(currency or "", 0)
        assert left == sorted(left, reverse=True)
