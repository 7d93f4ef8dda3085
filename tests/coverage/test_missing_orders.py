"""The open list names missing orders by id, and its query lists all of them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from capi_assets.commands.sql import query_lake
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import conform
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import Gap, gaps
from capi_assets.coverage.missing_orders import NAMED, missing_orders
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.tables import missing_orders_table
from capi_assets.lake import Lake
from tests.helpers.order_records import H, OrderRecords, hour

NOW = hour(12)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def stored(lake: Lake, books: OrderRecords, *hours: datetime) -> list[Gap]:
    """The books' rows in the lake, hour by hour, and the gaps that they have."""
    for name, rows in zip(
        ("matched_events", "delivery_results", "quarantined_orders"), books.tables(), strict=True
    ):
        column = "hour" if name == "quarantined_orders" else "occurred_at"
        of = rows[column].to_pylist()
        for at in hours:
            kept = rows.filter(pa.array([moment == at for moment in of], pa.bool_()))
            if kept.num_rows:
                lake.write(name, at, kept)
    health = conform(books.health(*hours), AttributionHealth)
    return gaps(flag_hours(health, CoveragePolicy(), NOW))


def listed(lake: Lake, query: str) -> list[tuple[str | None, str]]:
    return [(row["order_id"], row["stage"]) for row in query_lake(lake, query).to_pylist()]


def test_the_query_lists_exactly_the_missing_orders_of_flagged_hours(lake: Lake) -> None:
    books = OrderRecords()
    books.order(H, times=3).order(H, "pending", "token_expired", times=5)
    books.order(H, "withheld", verdict="withheld", reason="no_consent")
    books.order(hour(1), times=9)
    books.order(hour(2), None, times=4).order(hour(2), "covered_by_pixel")
    books.quarantine(hour(2), row_id="broken", reasons="value:not_a_number")
    books.quarantine(hour(2), reasons="order_id:missing")
    found = stored(lake, books, H, hour(1), hour(2))

    orders = missing_orders(lake, found)
    assert orders.query is not None
    every = listed(lake, orders.query)
    # The two refused rows are too few to be a gap of their own, and missing all the same.
    assert (len(every), sum(gap.orders for gap in found)) == (11, 9)
    assert sorted(every, key=str) == sorted(
        ((row["order_id"], row["stage"]) for row in orders.first), key=str
    )
    assert {row["order_id"] for row in orders.first} >= {"o3", "o7", "broken"}
    assert "no valid order_id" in {row[0] for row in missing_orders_table(orders).rows}


def test_the_first_are_named_and_the_others_counted_by_the_query(lake: Lake) -> None:
    books = OrderRecords()
    for n in range(4):
        books.order(hour(n), "pending", "token_expired", times=7)
    orders = missing_orders(lake, stored(lake, books, *map(hour, range(4))))
    assert [row["order_id"] for row in orders.first] == sorted(
        (f"o{n}" for n in range(NAMED)), key=lambda name: (int(name[1:]) // 7, name)
    )
    assert orders.query is not None
    assert orders.query.count("BETWEEN") == 1
    assert len(listed(lake, orders.query)) == 28


def test_hours_without_counted_orders_name_none(lake: Lake) -> None:
    books = OrderRecords().order(H, times=5)
    orders = missing_orders(lake, stored(lake, books, H))
    assert (list(orders.first), orders.query, orders.command) == ([], None, None)


def test_what_an_older_version_stored_has_outcomes_too(lake: Lake) -> None:
    books = OrderRecords().order(H, "pending", times=2)
    events, results, _ = books.tables()
    lake.write("matched_events", H, events.drop_columns(["action_source", "person"]))
    lake.write("delivery_results", H, results)
    assert listed(lake, "SELECT * FROM order_outcomes") == [("o0", "pending"), ("o1", "pending")]
