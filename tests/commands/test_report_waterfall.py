"""The report's waterfall shows the sums of any table, and bars as long as its numbers."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings

from capi_assets.commands.report.waterfall import (
    waterfall_bars,
    waterfall_headline,
    waterfall_totals,
)
from capi_assets.coverage.formatting import amount
from capi_assets.coverage.labels import STAGE_LABELS
from capi_assets.coverage.outcomes import STAGES
from tests.helpers.health_rows import any_rows, health, row
from tests.helpers.order_records import H


def test_every_stage_has_a_label() -> None:
    assert set(STAGE_LABELS) == {"orders", *STAGES}


@settings(max_examples=50, deadline=None)
@given(rows=any_rows)
def test_the_waterfall_shows_the_sums_of_any_table(rows: list[dict]) -> None:
    bars = waterfall_bars(waterfall_totals(health(*rows)))
    sold: Counter[str] = Counter()
    for r in rows:
        sold[r["currency"] or ""] += r["orders"]
    shown = {bar.label: bar for bar in bars.rows}
    for stage, label in STAGE_LABELS.items():
        total = sum(r[stage] for r in rows)
        if not total and stage not in ("orders", "withheld", "delivered"):
            assert label not in shown
            continue
        orders, *values = shown[label].cells
        assert orders == f"{total:,}"
        assert len(values) == len(bars.header) - 1
        for currency, value in zip(bars.header[1:], values, strict=True):
            code = "" if currency == "no currency" else currency
            exact = sum(r[f"value_{stage}"] for r in rows if (r["currency"] or "") == code)
            assert _number(value) == pytest.approx(
                _number(amount(currency, exact)), rel=1e-9, abs=0.011
            )


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def test_the_bars_are_as_long_as_their_numbers() -> None:
    stages = {"withheld": 100, "invalid": 50, "pending": 250, "delivered": 600}
    bars = waterfall_bars(waterfall_totals(health(row(H, **stages)))).rows
    assert [bar.length for bar in bars] == [100, 10, 5, 25, 60]
    # Each loss ends where the one above it begins, and what is left is what was delivered.
    assert [bar.start for bar in bars] == [0, 90, 85, 60, 0]
    assert [bar.mark for bar in bars] == ["other", "other", "lost", "waiting", "main"]


def test_values_are_shown_per_currency_with_that_of_most_orders_first() -> None:
    table = health(
        row(H, "USD", delivered=3, price=1000.0), row(H, "EUR", delivered=7),
        row(H, "JPY", delivered=2), row(H, "CHF", delivered=1), row(H, None, 0.0, delivered=50),
    )  # fmt: skip
    totals = waterfall_totals(table)
    assert waterfall_bars(totals).header == ["orders", "EUR", "USD", "JPY"]
    assert "CHF" in waterfall_headline(totals)[1]


def test_a_range_without_orders_says_so() -> None:
    assert waterfall_headline(waterfall_totals(health(row(H, None)))) == ["No orders"]
