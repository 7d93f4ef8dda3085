"""Each hour's signals in one row: volumes, match rate, freshness inside Meta's lines, keys."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import conform
from capi_assets.coverage.signals import SIGNALS, signals
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from tests.helpers.order_records import H, OrderRecords, hour


def carrying(books: OrderRecords, *keys: str | None) -> OrderRecords:
    """Gives the latest orders these match keys."""
    for event, text in zip(books.events[-len(keys) :], keys, strict=True):
        event["match_keys"] = text
    return books


def test_an_hour_is_one_row_over_all_datasets_and_event_names() -> None:
    books = OrderRecords().visit(H, 40).order(times=2).order(name="Lead", visit=None)
    books.order(dataset="d2", currency="USD", status="pending")
    (row,) = signals(books.health(), books.tables()[1]).to_pylist()
    assert (row["visits"], row["orders"], row["delivered"]) == (40, 4, 3)
    assert (row["coverage"], row["match_rate"]) == (0.75, 0.75)


def test_match_rate_is_of_orders_that_can_be_matched() -> None:
    books = (
        OrderRecords().order().order(visit=None).quarantine(dataset_id="d1", event_name="Purchase")
    )
    books.order(status="withheld", verdict="withheld", visit=None, times=7)
    (row,) = signals(books.health(), books.tables()[1]).to_pylist()
    assert row["match_rate"] == 0.5


def test_freshness_is_shared_out_by_metas_lines() -> None:
    books = OrderRecords()
    for minutes in (59, 60, 61, 121, 24 * 60 + 1):
        books.order(delivered_at=H + timedelta(minutes=minutes))
    books.order(status="pending")
    (row,) = signals(books.health(), books.tables()[1]).to_pylist()
    assert (row["within_1h"], row["within_2h"], row["within_24h"]) == (0.4, 0.6, 0.8)
    assert row["freshness_p50_minutes"] == 61


def test_two_orders_that_share_an_event_id_are_told() -> None:
    books = OrderRecords().order(times=4).order(hour(1), times=2)
    for table in (books.events, books.results):
        table[1]["event_id"] = table[0]["event_id"]
    rows = signals(books.health(), books.tables()[1]).to_pylist()
    assert [row["order_supplied_event_ids"] for row in rows] == [0.5, 1.0]


def test_an_hour_without_orders_shares_nothing() -> None:
    books = OrderRecords().visit(H, 3)
    (row,) = signals(books.health(H), books.tables()[1]).to_pylist()
    assert (row["visits"], row["orders"], row["match_rate"], row["within_1h"]) == (3, 0, None, None)


def test_keys_are_counted_among_orders_that_can_carry_them() -> None:
    books = carrying(OrderRecords().order(times=3), "em ph", "em", None)
    carrying(books.order(status="invalid", verdict="invalid", subcode=2804050), "ph")
    carrying(books.order(status="withheld", verdict="withheld"), "em ph fbc")
    carrying(books.order(hour(1), currency="USD"), "fbp")
    rows = books.health().to_pylist()
    assert [(r["hour"], r["match_keys"], r["eligible"] - r["quarantined"]) for r in rows] == [
        (H, '{"em":2,"ph":2}', 4),
        (hour(1), '{"fbp":1}', 1),
    ]


def test_keys_are_counted_per_dataset_and_currency() -> None:
    books = carrying(OrderRecords().order(), "em")
    carrying(books.order(dataset="d2", currency="USD"), "em ph")
    health = books.health()
    assert health["match_keys"].to_pylist() == ['{"em":1}', '{"em":1,"ph":1}']
    assert conform(health, AttributionHealth).num_rows == 2


def test_hours_of_an_older_version_are_read_without_their_keys() -> None:
    health = OrderRecords().order(times=2).order(visit=None).health()
    for name in ("matched_eligible", "match_keys"):
        place = ATTRIBUTION_HEALTH.get_field_index(name)
        field = ATTRIBUTION_HEALTH.field(name)
        nothing = pa.nulls(health.num_rows, field.type)
        health = health.set_column(place, field, nothing)
    (row,) = signals(health, OrderRecords().tables()[1]).to_pylist()
    assert row["match_rate"] == pytest.approx(2 / 3)


def test_nothing_in_nothing_out() -> None:
    empty = ATTRIBUTION_HEALTH.empty_table()
    assert signals(empty, OrderRecords().tables()[1]).equals(SIGNALS.empty_table())
