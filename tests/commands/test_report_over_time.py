"""The report's rows over time state the very numbers of any table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.commands.report.over_time import coverage_bars, freshness_bars, match_key_bars
from capi_assets.commands.report.waterfall import BarRow
from capi_assets.coverage.buckets import Buckets, buckets_of
from capi_assets.coverage.flags import CoveragePolicy, flag_hours
from capi_assets.coverage.freshness import FRESHNESS, freshness
from capi_assets.coverage.gap_history import GapHistory, gap_histories
from capi_assets.coverage.labels import reason_label
from capi_assets.coverage.late_orders import LATE
from capi_assets.coverage.match_key_shares import match_key_counts, match_key_shares
from capi_assets.meta.match_keys.key_rules import LABELS
from tests.helpers.health_rows import any_rows, health, row
from tests.helpers.order_records import H, OrderRecords, hour


def late(*counts: tuple[Any, int]) -> pa.Table:
    return pa.Table.from_pylist([{"hour": h, "orders": n} for h, n in counts], schema=LATE)


def coverage(
    rows: list[dict],
    buckets: Buckets,
    late_orders: pa.Table | None = None,
    delays: pa.Table | None = None,
    histories: list[GapHistory] | None = None,
) -> tuple[list[BarRow], list[str]]:
    bars, notes = coverage_bars(
        health(*rows), late_orders or late(), delays or FRESHNESS.empty_table(), histories or [],
        buckets,
    )  # fmt: skip
    return bars.rows if bars else [], notes


def test_each_row_states_its_hours_numbers() -> None:
    hours = [hour(n) for n in range(36)]
    rows = [row(h, delivered=20 + n, pending=n % 5, withheld=3) for n, h in enumerate(hours)]
    bars, notes = coverage(rows, buckets_of(hours, 36), late((hour(7), 9)))
    assert (len(bars), notes) == (36, [])
    for n, bar in enumerate(bars):
        start = hours[n]
        assert bar.label == f"{start:%a} {start.day} {start:%b %H:%M}"
        assert bar.length == pytest.approx(100 * (20 + n) / (20 + n + n % 5), abs=0.01)
        waiting = f"{n % 5}" if n % 5 else ""
        orders = f"{23 + n + n % 5}"
        assert bar.cells[1:5] == [orders, waiting, "", "9" if n == 7 else ""]


def test_a_long_range_is_gathered_without_losing_an_order() -> None:
    hours = [hour(n) for n in range(62 * 24)]
    rows = [row(h, delivered=3, pending=n % 2) for n, h in enumerate(hours)]
    buckets = buckets_of(hours, 36)
    assert (buckets.size, buckets.count) == (48, 31)
    bars, _ = coverage(rows, buckets)
    assert sum(int(bar.cells[1].replace(",", "")) for bar in bars) == 3 * 1488 + 744
    assert sum(int(bar.cells[2]) for bar in bars) == 744


@pytest.mark.parametrize("count", [1, 2, 25, 192, 193, 1488, 40_000])
def test_pieces_of_time_cover_the_range_and_fit(count: int) -> None:
    buckets = buckets_of([H + timedelta(hours=n) for n in range(count)], 192)
    assert buckets.count <= 192
    assert buckets.bounds(0)[0] == H
    assert buckets.bounds(buckets.count - 1)[1] == H + timedelta(hours=count)
    assert all(buckets.bounds(i)[1] == buckets.bounds(i + 1)[0] for i in range(buckets.count - 1))


def test_unknown_hours_are_not_shown_as_zero() -> None:
    rows = [row(hour(0), delivered=5), row(hour(5), delivered=5)]
    bars, notes = coverage(rows, buckets_of([hour(n) for n in range(6)], 36))
    assert [bar.cells[0] for bar in bars] == ["100.0 %", *["not known"] * 4, "100.0 %"]
    assert [bar.mark for bar in bars] == ["main", *["unknown"] * 4, "main"]
    assert notes == ["4 hours are not materialized yet; their orders are unknown."]
    assert coverage([], buckets_of([H], 36)) == ([], [])


def test_rows_name_the_gaps_of_their_hours() -> None:
    hours = [hour(n) for n in range(10)]
    rows = [
        row(h, **{"pending" if n in (2, 3, 7) else "delivered": 9}) for n, h in enumerate(hours)
    ]
    now = hour(20)
    flags = flag_hours(health(*rows), CoveragePolicy(), now, expected_hours=hours)
    histories = gap_histories(flags, late(), {})
    bars, _ = coverage(rows, buckets_of(hours, 36), histories=histories)
    assert [n for n, bar in enumerate(bars) if bar.cells[-1] == "1"] == [2, 3]
    assert [n for n, bar in enumerate(bars) if bar.cells[-1] == "2"] == [7]
    halves, _ = coverage(rows, buckets_of(hours, 2), histories=histories)
    assert [bar.cells[-1] for bar in halves] == ["1", "2"]


def with_keys(books: OrderRecords, at: Any, keys: str | None, times: int = 1, **order: Any) -> None:
    for _ in range(times):
        books.order(at, **order)
        books.events[-1]["match_keys"] = keys


def test_match_keys_are_counted_per_hour_and_named() -> None:
    books = OrderRecords()
    with_keys(books, hour(0), "em fbc", 15)
    with_keys(books, hour(0), "em", 5)
    with_keys(books, hour(2), "em", 10)
    with_keys(books, hour(2), None, 10)
    with_keys(books, hour(2), None, 99, status="withheld", verdict="withheld")
    counts = match_key_counts(books.tables()[0])
    buckets = buckets_of([hour(n) for n in range(3)], 96)
    shares = match_key_shares(counts, buckets)
    assert [tuple(r.values()) for r in shares.to_pylist()] == [
        (0, "em", 20, 20), (0, "fbc", 20, 15), (2, "em", 20, 10), (2, "fbc", 20, 0),
    ]  # fmt: skip
    bars, headline = match_key_bars(shares, buckets)
    assert bars is not None
    at = f"{hour(2):%a} {hour(2).day} {hour(2):%b %H:%M}"
    assert [(bar.label, bar.cells) for bar in bars.rows] == [
        ("E-mail", ["75.0 %", "50.0 %", at]),
        ("Click on an ad (fbc)", ["37.5 %", "0.0 %", at]),
    ]
    assert [bar.length for bar in bars.rows] == [75, 37.5]
    assert "40 events" in headline[0]


def test_match_keys_of_several_days_may_be_joined() -> None:
    books, parts = OrderRecords(), []
    with_keys(books, hour(0), "em", 4)
    parts.append(match_key_counts(books.tables()[0]))
    books = OrderRecords()
    with_keys(books, hour(30), None, 4)
    parts.append(match_key_counts(books.tables()[0]))
    buckets = buckets_of([hour(n) for n in range(48)], 2)
    shares = match_key_shares(pa.concat_tables(parts), buckets).to_pylist()
    assert [(r["bucket"], r["events"], r["carried"]) for r in shares] == [(0, 4, 4), (1, 4, 0)]


def test_freshness_states_its_percentiles_and_metas_limits() -> None:
    books = OrderRecords()
    for minutes in (10, 20, 30, 100, 3000):
        books.order(H, delivered_at=H + timedelta(minutes=minutes))
    books.order(hour(1), "pending")
    buckets = buckets_of([H, hour(1)], 36)
    table = freshness(books.tables()[1], buckets)
    whole, piece = table.to_pylist()
    assert whole == {**piece, "bucket": None}
    assert (piece["p50_minutes"], piece["within_1h"], piece["within_2h"]) == (30.0, 3, 4)
    bars, headline = freshness_bars(table)
    assert bars is not None
    assert headline[0].startswith("Half of 5 orders reached Meta within 30 min")
    assert [(bar.label, bar.length, bar.cells) for bar in bars.rows] == [
        ("within 1 h", 60, ["60.0 %"]),
        ("within 2 h", 80, ["80.0 %"]),
        ("within 24 h", 80, ["80.0 %"]),
    ]
    rows, _ = coverage([row(H, delivered=5), row(hour(1), pending=1)], buckets, delays=table)
    assert [bar.cells[5] for bar in rows] == ["30 min", ""]


@settings(max_examples=30, deadline=None)
@given(rows=any_rows, count=st.integers(1, 300))
def test_the_rows_of_any_table_fit_their_track(rows: list[dict], count: int) -> None:
    bars, _ = coverage(rows, buckets_of([hour(n) for n in range(count)], 36))
    assert all(0 <= bar.length <= 100 and len(bar.cells) == 7 for bar in bars)


def test_a_range_without_events_is_told() -> None:
    books, buckets = OrderRecords(), buckets_of([H], 36)
    shares = match_key_shares(match_key_counts(books.tables()[0]), buckets)
    assert match_key_bars(shares, buckets) == (None, ["No events with match keys"])
    none = freshness(books.tables()[1], buckets)
    assert freshness_bars(none) == (None, ["Nothing was delivered"])


def test_reasons_and_keys_have_labels() -> None:
    assert reason_label("token_expired") == "The access token has expired."
    assert reason_label("some_new_code") == "Some new code."
    assert reason_label(None) == "No reason is recorded."
    assert all(words and "_" not in words for words in LABELS.values())
