"""Charts are well-formed for any table, state its very numbers, and load nothing from elsewhere."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.coverage.buckets import buckets_of
from capi_assets.coverage.charts import (
    NARROW,
    WIDE,
    GapBand,
    coverage_chart,
    freshness_chart,
    match_keys_chart,
)
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.labels import reason_label
from capi_assets.coverage.late_orders import LATE
from capi_assets.coverage.match_key_shares import match_key_counts, match_key_shares
from capi_assets.meta.match_keys.key_rules import LABELS
from tests.helpers.health_rows import any_rows, health, row
from tests.helpers.order_records import H, OrderRecords, hour

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])


def parsed(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return root


def lines(root: ElementTree.Element) -> dict[float, list[str]]:
    """The texts of a picture by their baseline, from left to right."""
    found: defaultdict[float, list[tuple[float, str]]] = defaultdict(list)
    for node in root.iter(f"{SVG}text"):
        found[float(node.attrib["y"])].append((float(node.attrib["x"]), node.text or ""))
    return {y: [words for _, words in sorted(texts)] for y, texts in found.items()}


def titles(root: ElementTree.Element) -> list[str]:
    return [node.text or "" for node in root.iter(f"{SVG}title")]


def numbers(words: str) -> list[int]:
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", words)]


def late(*counts: tuple[Any, int]) -> pa.Table:
    return pa.Table.from_pylist([{"hour": h, "orders": n} for h, n in counts], schema=LATE)


@WIDTHS
def test_the_coverage_chart_states_each_hours_numbers(width: int) -> None:
    rows = [row(hour(n), delivered=20 + n, pending=n % 5, withheld=3) for n in range(72)]
    buckets = buckets_of([hour(n) for n in range(72)], 96)
    svg = coverage_chart(health(*rows), late((hour(7), 9)), [], buckets, width=width).svg
    told = [t for t in titles(parsed(svg)) if "reached Meta" in t]
    assert len(told) == 72
    for n, words in enumerate(told):
        start = hour(n)
        assert words.startswith(f"{start:%a} {start.day} {start:%b %Y, %H:00}")
        after = words.split("UTC: ")[1]
        assert numbers(after)[:2] == [20 + n, 20 + n + n % 5]
        assert ("9 of them late" in after) == (n == 7)


def test_a_long_range_is_gathered_without_losing_an_order() -> None:
    hours = [hour(n) for n in range(62 * 24)]
    rows = [row(h, delivered=3, pending=n % 2) for n, h in enumerate(hours)]
    buckets = buckets_of(hours, 192)
    assert (buckets.size, buckets.count) == (8, 186)
    svg = coverage_chart(health(*rows), late(), [], buckets).svg
    pairs = [numbers(t.split("UTC: ")[1])[:2] for t in titles(parsed(svg)) if "reached Meta" in t]
    assert [sum(column) for column in zip(*pairs, strict=True)] == [3 * 1488, 3 * 1488 + 744]
    assert len(svg) < 120_000


@pytest.mark.parametrize("count", [1, 2, 25, 192, 193, 1488, 40_000])
def test_pieces_of_time_cover_the_range_and_fit(count: int) -> None:
    buckets = buckets_of([H + timedelta(hours=n) for n in range(count)], 192)
    assert buckets.count <= 192
    assert buckets.bounds(0)[0] == H
    assert buckets.bounds(buckets.count - 1)[1] == H + timedelta(hours=count)
    assert all(buckets.bounds(i)[1] == buckets.bounds(i + 1)[0] for i in range(buckets.count - 1))


def test_unknown_hours_are_not_drawn_as_zero() -> None:
    hours = [hour(n) for n in range(6)]
    table = health(row(hour(0), delivered=5), row(hour(5), delivered=5))
    svg = coverage_chart(table, late(), [], buckets_of(hours, 96)).svg
    assert [t for t in titles(parsed(svg)) if "Not materialized" in t] == [
        "Not materialized: 4 h, orders unknown"
    ]


@WIDTHS
def test_gaps_are_shaded_where_they_were_with_their_deadlines(width: int) -> None:
    hours = [hour(n) for n in range(100)]
    bands = [
        GapBand("1", hour(10), hour(19), is_over=True),
        GapBand("2", hour(50), hour(59), deadline=hour(90)),
        GapBand("3", hour(70), hour(70), deadline=hour(230)),
    ]
    table = health(*(row(h, delivered=2) for h in hours))
    chart = coverage_chart(table, late(), bands, buckets_of(hours, 96), width=width)
    root = parsed(chart.svg)
    drawn = [
        (float(rect.attrib["x"]), float(rect.attrib["width"]))
        for rect in root.findall(f"{SVG}rect")
        if rect.attrib["class"] in ("open", "recovered")
    ]
    axis = (width - 16) - 48
    assert [x for x, _ in drawn] == pytest.approx(
        [48 + axis * n / 100 for n in (10, 50, 70)], abs=1
    )
    assert drawn[0][1] == pytest.approx(axis / 10, abs=2)
    assert drawn[2][1] >= 3
    assert "Gap 2: the first order becomes too old for Meta here" in titles(root)
    assert [mark for mark, _ in chart.legend][-3:] == ["open", "recovered", "dashed"]


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
    chart = match_keys_chart(shares, buckets)
    texts = list(lines(parsed(chart.svg)).values())
    assert ["E-mail", "75.0 %", "50.0 %"] in texts
    assert ["Click on an ad (fbc)", "37.5 %", "0.0 %"] in texts
    assert "40 events" in chart.headline[0]


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


@WIDTHS
def test_freshness_states_its_percentiles_and_metas_limits(width: int) -> None:
    books = OrderRecords()
    for minutes in (10, 20, 30, 100, 3000):
        books.order(H, delivered_at=H + timedelta(minutes=minutes))
    books.order(hour(1), "pending")
    buckets = buckets_of([H, hour(1)], 96)
    table = freshness(books.tables()[1], buckets)
    whole, piece = table.to_pylist()
    assert whole == {**piece, "bucket": None}
    assert (piece["p50_minutes"], piece["within_1h"], piece["within_2h"]) == (30.0, 3, 4)
    chart = freshness_chart(table, buckets, width=width)
    first, second = chart.headline
    assert first == "Half of 5 orders reached Meta within 30 min"
    assert "60.0 % within 1 h" in second
    for line in ("1 h", "2 h", "24 h"):
        assert any(line in texts for texts in lines(parsed(chart.svg)).values())


@settings(max_examples=15, deadline=None)
@given(rows=any_rows, count=st.integers(1, 300), width=st.sampled_from([WIDE, NARROW]))
def test_every_chart_is_well_formed_and_self_contained(
    rows: list[dict], count: int, width: int
) -> None:
    table, hours = health(*rows), [hour(n) for n in range(count)]
    buckets = buckets_of(hours, 96)
    band = GapBand("<1&>", hour(0), hour(count // 2), deadline=hour(300))
    books = OrderRecords()
    with_keys(books, hour(count - 1), 'em <&"> \x00')
    events, results, _ = books.tables()
    shares = match_key_shares(match_key_counts(events), buckets)
    for chart in (
        coverage_chart(table, late(), [band], buckets, width=width),
        match_keys_chart(shares, buckets, width=width),
        freshness_chart(freshness(results, buckets), buckets, width=width),
    ):
        svg = chart.svg
        root = parsed(svg)
        assert root.attrib["aria-label"]
        outside = svg.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//|@import|href|<script|<image|<foreignObject", outside)
        for node in root.iter(f"{SVG}rect"):
            assert float(node.attrib["width"]) >= 0
            assert float(node.attrib["height"]) >= 0


def test_an_empty_range_is_drawn() -> None:
    buckets = buckets_of([H], 96)
    books = OrderRecords()
    assert parsed(coverage_chart(health(), late(), [], buckets).svg) is not None
    shares = match_key_shares(match_key_counts(books.tables()[0]), buckets)
    keys = match_keys_chart(shares, buckets)
    assert (keys.svg, keys.headline) == ("", ["No events with match keys"])
    none = freshness_chart(freshness(books.tables()[1], buckets), buckets)
    assert parsed(none.svg) is not None
    assert none.headline == ["Nothing was delivered"]


def test_reasons_and_keys_have_labels() -> None:
    assert reason_label("token_expired") == "The access token has expired."
    assert reason_label("some_new_code") == "Some new code."
    assert reason_label(None) == "No reason is recorded."
    assert all(words and "_" not in words for words in LABELS.values())
