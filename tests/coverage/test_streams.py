"""A stream that stops is found beside large ones that go on, with its name and its own money."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from tests.helpers.order_records import HOUR
from tests.helpers.regular_weeks import flagged, hour_of, is_night, weeks

NOON = hour_of(4, 2, 12)
PRICE = 40.0
VISITS = 6_000
LARGE = {"dataset_id": "1", "event_name": "Purchase"}


def stream(orders: int, left: float = 1.0, hours: int = 0, **names: str) -> pa.Table:
    """Orders of one dataset and event name, of which `left` arrive in `hours` from NOON on."""

    def counts(at: datetime) -> dict[str, Any]:
        usual = max(1, orders // 20) if is_night(at) else orders
        seen = round(usual * left) if NOON <= at < NOON + hours * HOUR else usual
        visits = VISITS // 20 if is_night(at) else VISITS
        return {"orders": seen, "visits": visits, "currency": "EUR", **names} | dict.fromkeys(
            ("value_orders", "value_delivered"), seen * PRICE
        )

    return weeks(5, counts)


def found(*tables: pa.Table) -> dict[datetime, dict[str, Any]]:
    return flagged(pa.concat_tables(tables).sort_by("hour"))


@pytest.mark.parametrize(
    ("orders", "names", "told"),
    [
        # 3 % of all orders, the only event name of its dataset
        (6, {"dataset_id": "2", "event_name": "Purchase"}, ("2", "")),
        (60, {"dataset_id": "1", "event_name": "Lead"}, ("1", "Lead")),
    ],
)
def test_a_stream_that_stops_is_found_with_its_name_and_its_money(
    orders: int, names: dict[str, str], told: tuple[str, str]
) -> None:
    hours = found(stream(200, **LARGE), stream(orders, 0.0, 24, **names))
    assert hours
    assert all(NOON <= at < NOON + 24 * HOUR for at in hours)
    for row in hours.values():
        assert row["cause"] == "orders_missing"
        (named,) = row["streams"]
        assert (named["dataset_id"], named["event_name"]) == told
    at = max(hours, key=lambda hour: hours[hour]["orders_expected_missing"])
    ((currency, money),) = hours[at]["estimated_money"]
    lost = hours[at]["orders_expected_missing"]
    assert (currency, lost) == ("EUR", orders)
    assert money["low"] <= lost * PRICE <= money["high"]
    assert money["expected"] == pytest.approx(lost * PRICE)


def test_all_streams_that_stop_are_told_once_as_the_whole_shop() -> None:
    hours = found(
        stream(200, 0.0, 3, **LARGE), stream(60, 0.0, 3, dataset_id="1", event_name="Lead")
    )
    assert {(row["cause"], len(row["findings"])) for row in hours.values()} == {
        ("orders_missing", 1)
    }
    for row in hours.values():
        assert {stream["event_name"] for stream in row["streams"]} in ({"Lead", "Purchase"}, set())
    assert hours[NOON]["orders_expected_missing"] == 260


def test_a_stream_that_grows_hides_no_other_and_is_no_fault() -> None:
    campaign = stream(200, 1.6, 6, **LARGE)
    assert found(campaign, stream(60, dataset_id="1", event_name="Lead")) == {}
    hours = found(campaign, stream(60, 0.0, 6, dataset_id="1", event_name="Lead"))
    assert [row["streams"][0]["event_name"] for row in hours.values()] == ["Lead"] * 6
