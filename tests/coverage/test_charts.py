"""Pictures are well-formed for any table, say its very numbers, and ask for nothing elsewhere."""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.coverage.buckets import buckets_of
from capi_assets.coverage.charts import (
    GapBand,
    coverage_picture,
    freshness_picture,
    hour_picture,
    match_keys_picture,
    waterfall_picture,
)
from capi_assets.coverage.charts.svg import NARROW, WIDE
from capi_assets.coverage.formatting import amount
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.labels import MATCH_KEY_LABELS, STAGE_LABELS, reason_label
from capi_assets.coverage.late_orders import LATE
from capi_assets.coverage.match_key_shares import match_key_counts, match_key_shares
from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from tests.helpers.order_records import H, OrderRecords, health_row, hour

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])
NOW = hour(80)


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


def row(at: Any, currency: str | None = "EUR", price: float = 10.0, **stages: int) -> dict:
    """A row that closes, with `price` for every order."""
    orders = sum(stages.values())
    return health_row(
        at, currency=currency, orders=orders, value_orders=orders * price,
        eligible=orders - stages.get("withheld", 0), **stages,
        **{f"value_{stage}": count * price for stage, count in stages.items()},
    )  # fmt: skip


def health(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=ATTRIBUTION_HEALTH)


def late(*counts: tuple[Any, int]) -> pa.Table:
    return pa.Table.from_pylist([{"hour": h, "orders": n} for h, n in counts], schema=LATE)


stage_counts = st.dictionaries(st.sampled_from(STAGES), st.integers(0, 10**7))
any_rows = st.lists(
    st.builds(
        lambda n, currency, price, stages: row(hour(n), currency, price, **stages),
        st.integers(0, 70),
        st.none() | st.sampled_from(["EUR", "USD", "JPY", "KWD"]) | st.text(max_size=6),
        st.floats(-1e6, 1e6),
        stage_counts,
    ),
    max_size=12,
)


def test_every_stage_has_words() -> None:
    assert set(STAGE_LABELS) == {"orders", *STAGES}


@WIDTHS
@settings(max_examples=25, deadline=None)
@given(rows=any_rows)
def test_the_waterfall_says_the_sums_of_any_table(width: int, rows: list[dict]) -> None:
    root = parsed(waterfall_picture(health(*rows), width=width))
    sold: Counter[str] = Counter()
    for r in rows:
        sold[r["currency"] or ""] += r["orders"]
    shown = [texts for texts in lines(root).values() if len(texts) > 1 and texts[0] != "orders"]
    for stage, words in STAGE_LABELS.items():
        total = sum(r[stage] for r in rows)
        # Where amounts are broad, a name is cut: it still begins as it should.
        told = next((t for t in shown if words.startswith(t[0].removesuffix("…"))), None)
        if not total and stage not in ("orders", "withheld", "delivered"):
            assert told is None
            continue
        assert told is not None
        assert told[1] == f"{total:,}"
        money = [
            sum(r[f"value_{stage}"] for r in rows if (r["currency"] or "") == currency)
            for currency in sold
        ]
        amounts = {
            amount(currency, value).lstrip("-") for currency, value in zip(sold, money, strict=True)
        }
        for cell in told[2:]:
            assert any(_near(cell, a) for a in amounts)


def _near(one: str, other: str) -> bool:
    """Equal but for the last digit of a float that was added up in another order."""
    a, b = (abs(float(text.replace(",", ""))) for text in (one, other))
    return a == pytest.approx(b, rel=1e-9, abs=0.011)


@WIDTHS
def test_the_bars_of_the_waterfall_are_as_long_as_its_numbers(width: int) -> None:
    stages = {"withheld": 100, "invalid": 50, "pending": 250, "delivered": 600}
    root = parsed(waterfall_picture(health(row(H, **stages)), width=width))
    bars = [float(r.attrib["width"]) for r in root.findall(f"{SVG}rect")][1:]
    lefts = [float(r.attrib["x"]) for r in root.findall(f"{SVG}rect")[1:]]
    whole = bars[0]
    assert [b / whole for b in bars] == pytest.approx([1, 0.1, 0.05, 0.25, 0.6], abs=0.002)
    # Each loss ends where the one above it began, and what is left is what was delivered.
    begins = [(x - lefts[0]) / whole for x in lefts]
    assert begins == pytest.approx([0, 0.9, 0.85, 0.6, 0], abs=0.002)


def test_money_is_shown_per_currency_with_that_of_most_orders_first() -> None:
    table = health(
        row(H, "USD", delivered=3, price=1000.0), row(H, "EUR", delivered=7),
        row(H, "JPY", delivered=2), row(H, "CHF", delivered=1), row(H, None, 0.0, delivered=50),
    )  # fmt: skip
    wide = lines(parsed(waterfall_picture(table)))
    assert ["orders", "EUR", "USD", "JPY"] in wide.values()
    assert any("CHF" in texts[0] for texts in wide.values())
    narrow = lines(parsed(waterfall_picture(table, width=NARROW)))
    assert ["orders", "EUR"] in narrow.values()


@WIDTHS
def test_the_coverage_picture_says_each_hours_numbers(width: int) -> None:
    rows = [row(hour(n), delivered=20 + n, pending=n % 5, withheld=3) for n in range(72)]
    buckets = buckets_of([hour(n) for n in range(72)], 96)
    svg = coverage_picture(health(*rows), late((hour(7), 9)), [], buckets, NOW, width=width)
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
    svg = coverage_picture(health(*rows), late(), [], buckets, NOW)
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
    svg = coverage_picture(table, late(), [], buckets_of(hours, 96), NOW)
    assert [t for t in titles(parsed(svg)) if "Not materialized" in t] == [
        "Not materialized: 4 h, orders unknown"
    ]


@WIDTHS
def test_gaps_are_shaded_where_they_were_with_their_deadlines(width: int) -> None:
    hours = [hour(n) for n in range(100)]
    shades = [
        GapBand("1", hour(10), hour(19), over=True),
        GapBand("2", hour(50), hour(59), deadline=hour(90)),
        GapBand("3", hour(70), hour(70), deadline=hour(230)),
    ]
    table = health(*(row(h, delivered=2) for h in hours))
    root = parsed(coverage_picture(table, late(), shades, buckets_of(hours, 96), NOW, width=width))
    bands = [
        (float(g[0].attrib["x"]), float(g[0].attrib["width"]))
        for g in root.findall(f"{SVG}g")
        if "opacity" in g.attrib and float(g[0].attrib["height"]) > 100
    ]
    axis = (width - 16) - 48
    assert [x for x, _ in bands] == pytest.approx(
        [48 + axis * n / 100 for n in (10, 50, 70)], abs=1
    )
    assert bands[0][1] == pytest.approx(axis / 10, abs=2)
    assert bands[2][1] >= 3
    assert "Gap 2: the first order is lost from here" in titles(root)
    said = [texts[0] for texts in lines(root).values()]
    clocks = [words for words in said if words.startswith("Gap ")]
    assert clocks == [
        "Gap 2: until 2026-11-24 07:00 UTC (in 10 h)",
        "Gap 3: until 2026-11-30 03:00 UTC (in 6 d 6 h)",
    ]


def with_keys(books: OrderRecords, at: Any, keys: str | None, times: int = 1, **order: Any) -> None:
    for _ in range(times):
        books.order(at, **order)
        books.events[-1]["match_keys"] = keys


def test_match_keys_are_counted_per_hour_and_said_in_words() -> None:
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
    found = lines(parsed(match_keys_picture(shares, buckets)))
    assert ["E-mail", "75.0 %", "50.0 %"] in found.values()
    assert ["Click on an ad (fbc)", "37.5 %", "0.0 %"] in found.values()
    assert "40 events" in found[28.0][0]


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
def test_freshness_says_its_percentiles_and_metas_lines(width: int) -> None:
    books = OrderRecords()
    for minutes in (10, 20, 30, 100, 3000):
        books.order(H, delivered_at=H + timedelta(minutes=minutes))
    books.order(hour(1), "pending")
    buckets = buckets_of([H, hour(1)], 96)
    table = freshness(books.tables()[1], buckets)
    whole, piece = table.to_pylist()
    assert whole == {**piece, "bucket": None}
    assert (piece["p50_minutes"], piece["within_1h"], piece["within_2h"]) == (30.0, 3, 4)
    root = parsed(freshness_picture(table, buckets, width=width))
    said = " ".join(words for texts in lines(root).values() for words in texts)
    assert "Half of 5 orders reached Meta within 30 min" in said
    assert "60.0\N{NO-BREAK SPACE}% within 1 h" in said.replace(" %", "\N{NO-BREAK SPACE}%")
    for line in ("1 h", "2 h", "24 h"):
        assert any(line in texts for texts in lines(root).values())


@settings(max_examples=15, deadline=None)
@given(rows=any_rows, count=st.integers(1, 300), width=st.sampled_from([WIDE, NARROW]))
def test_every_picture_is_well_formed_and_self_contained(
    rows: list[dict], count: int, width: int
) -> None:
    table, hours = health(*rows), [hour(n) for n in range(count)]
    buckets = buckets_of(hours, 96)
    shade = GapBand("<1&>", hour(0), hour(count // 2), deadline=hour(300))
    books = OrderRecords()
    with_keys(books, hour(count - 1), 'em <&"> \x00')
    events, results, _ = books.tables()
    shares = match_key_shares(match_key_counts(events), buckets)
    for svg in (
        waterfall_picture(table, width=width),
        coverage_picture(table, late(), [shade], buckets, NOW, width=width),
        match_keys_picture(shares, buckets, width=width),
        freshness_picture(freshness(results, buckets), buckets, width=width),
    ):
        root = parsed(svg)
        assert root.attrib["aria-label"]
        outside = svg.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//|@import|href|<script|<image|<foreignObject", outside)
        assert set(re.findall(r"url\(([^)]*)\)", svg)) <= {
            f"#{node.attrib['id']}" for node in root.iter() if "id" in node.attrib
        }
        for node in root.iter(f"{SVG}rect"):
            assert float(node.attrib["width"]) >= 0
            assert float(node.attrib["height"]) >= 0


def test_an_empty_range_is_drawn_without_a_fuss() -> None:
    buckets = buckets_of([H], 96)
    table, books = health(row(H, None)), OrderRecords()
    assert lines(parsed(waterfall_picture(table)))[28.0] == ["No orders"]
    assert parsed(coverage_picture(health(), late(), [], buckets, NOW)) is not None
    shares = match_key_shares(match_key_counts(books.tables()[0]), buckets)
    assert "No events" in lines(parsed(match_keys_picture(shares, buckets)))[28.0][0]
    none = freshness(books.tables()[1], buckets)
    assert lines(parsed(freshness_picture(none, buckets)))[28.0] == ["Nothing was delivered"]


@settings(max_examples=25, deadline=None)
@given(rows=any_rows)
def test_an_hours_picture_is_markdown_of_less_than_six_kilobytes(rows: list[dict]) -> None:
    markdown = hour_picture(health(*rows))
    if not any(r["orders"] for r in rows):
        assert markdown == ""
        return
    assert len(markdown) < 6_000
    alt, data = re.fullmatch(
        r"!\[([^\]]*)\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", markdown
    ).groups()
    root = parsed(b64decode(data).decode())
    assert lines(root)[28.0] == [alt.replace(" %", "\N{NO-BREAK SPACE}%")]


def test_an_hours_picture_keeps_its_size_at_its_worst() -> None:
    stages = dict.fromkeys(STAGES, 10**9 + 7)
    rows = [row(H, "<" * n, 1e5 + 0.77, **stages) for n in range(40, 50)]
    assert len(hour_picture(health(*rows))) < 6_000


def test_reasons_and_keys_are_said_in_words() -> None:
    assert reason_label("token_expired") == "The access token has expired."
    assert reason_label("some_new_code") == "Some new code."
    assert reason_label(None) == "No reason is recorded."
    assert all(words and "_" not in words for words in MATCH_KEY_LABELS.values())
