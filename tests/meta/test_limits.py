from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from capi_assets.meta import limits
from capi_assets.meta.limits import deliver_until

PLACED = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)


def until(times: list[int | None], sources: list[str | None]) -> list[datetime | None]:
    found = deliver_until(pa.array(times, pa.int64()), pa.array(sources, pa.string()))
    assert found.type == pa.timestamp("us", tz="UTC")
    return found.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("source", sorted(limits.ACTION_SOURCES - {"physical_store"}))
def test_an_event_may_be_sent_for_seven_days_less_the_margin(source: str) -> None:
    (found,) = until([int(PLACED.timestamp())], [source])
    assert found == PLACED + timedelta(days=7) - timedelta(minutes=30)


def test_a_sale_in_a_shop_may_be_sent_for_sixty_two_days_less_the_margin() -> None:
    (found,) = until([int(PLACED.timestamp())], ["physical_store"])
    assert found == PLACED + timedelta(days=62) - timedelta(minutes=30)


def test_an_unknown_source_gets_the_short_window_and_no_time_gets_none() -> None:
    seconds = int(PLACED.timestamp())
    short = PLACED + timedelta(days=7) - timedelta(minutes=30)
    assert until([seconds, seconds, None], [None, "offline", "website"]) == [short, short, None]


def test_absurd_times_do_not_raise() -> None:
    times = pa.array([2**63 - 1, -(2**63), 0], pa.int64())
    found = deliver_until(times, pa.array(["website", "physical_store", "app"]))
    assert found.null_count == 0


def test_columns_in_chunks_are_taken_as_they_are() -> None:
    seconds = int(PLACED.timestamp())
    times = pa.chunked_array([[seconds], [seconds]])
    found = deliver_until(times, pa.chunked_array([["website"], ["physical_store"]]))
    assert (found[1].as_py() - found[0].as_py()) == timedelta(days=55)


def test_offline_is_no_action_source() -> None:
    assert len(limits.ACTION_SOURCES) == 9
    assert "offline" not in limits.ACTION_SOURCES


def test_the_enums_have_the_sizes_of_metas_pages() -> None:
    assert len(limits.STANDARD_EVENTS - {"PageView"}) == 17
    assert len(limits.CUSTOMER_SEGMENTATIONS) == 9
    assert "existing_customer_to_product_area" in limits.CUSTOMER_SEGMENTATIONS
    assert set(limits.LDU_STATES) == {0, *range(1000, 1014)}


@pytest.mark.parametrize("code", ["EUR", "USD", "JPY", "XAF", "XCG"])
def test_iso_currencies_are_taken(code: str) -> None:
    assert code in limits.CURRENCIES


@pytest.mark.parametrize("code", ["MRU", "ZZZ", "usd", "XXX", "XTS", ""])
def test_refused_and_unknown_currencies_are_not(code: str) -> None:
    assert code not in limits.CURRENCIES
