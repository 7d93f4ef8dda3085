"""Outages on request: each takes what its name says, from its hours, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.compute as pc
import pytest

from capi_assets.sandbox.shop.outages import Outage
from capi_assets.sandbox.shop.shop import Shop
from tests.helpers.shop_truth import truth

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _with(kind: Any, **more: Any) -> tuple[Shop, Shop]:
    outage = Outage(kind, MONDAY + 10 * HOUR, MONDAY + 12 * HOUR, **more)
    plain = Shop(8, 20_000, conversion_rate=0.2)
    return plain, Shop(8, 20_000, conversion_rate=0.2, outages=(outage,))


def _hours(first: int, last: int) -> tuple[datetime, datetime]:
    return MONDAY + first * HOUR, MONDAY + last * HOUR


@pytest.mark.parametrize(
    "kind",
    ["visits_missing", "orders_missing", "match_keys_lost", "broken_phones", "late_visits",
     "sales_peak"],
)  # fmt: skip
def test_an_outage_leaves_the_other_hours_alone(kind: str) -> None:
    plain, struck = _with(kind)
    for bounds in (_hours(8, 10), _hours(12, 14)):
        assert struck.visits(*bounds).equals(plain.visits(*bounds))
        assert struck.orders(*bounds).equals(plain.orders(*bounds))


def test_missing_visits_and_orders_are_gone_and_nothing_else_is() -> None:
    for kind, lost, kept in (
        ("visits_missing", "visits", "orders"),
        ("orders_missing", "orders", "visits"),
    ):
        plain, struck = _with(kind)
        assert getattr(struck, lost)(*_hours(10, 12)).num_rows == 0
        assert getattr(struck, kept)(*_hours(10, 12)).equals(getattr(plain, kept)(*_hours(10, 12)))
        assert truth(struck, *_hours(9, 13))[lost].gt(0).tolist() == [True, False, False, True]


def test_an_outage_may_begin_within_an_hour() -> None:
    cut = MONDAY + 10 * HOUR + timedelta(minutes=30)
    shop = Shop(8, 20_000, outages=(Outage("visits_missing", cut, cut + HOUR),))
    visits = shop.visits(*_hours(10, 11))
    assert visits.num_rows > 100
    assert pc.max(visits["occurred_at"]).as_py() < cut


def test_lost_match_keys_leave_both_sides_without_them() -> None:
    plain, struck = _with("match_keys_lost")
    for table in ("visits", "orders"):
        rows, whole = (getattr(shop, table)(*_hours(10, 12)) for shop in (struck, plain))
        lost = ("fbclid", "fbc", "fbp", "client_ip_address", "email")
        assert all(rows[key].null_count == rows.num_rows for key in lost)
        untouched = [c for c in rows.column_names if c not in (*lost, "page_url")]
        assert rows.select(untouched).equals(whole.select(untouched))
    assert not pc.any(pc.match_substring(struck.visits(*_hours(10, 12))["page_url"], "?")).as_py()


def test_broken_phones_are_no_numbers() -> None:
    _, struck = _with("broken_phones")
    phones = pc.unique(struck.orders(*_hours(10, 12))["phone"]).to_pylist()
    assert set(phones) <= {"undefined", None}
    assert "undefined" in phones


def test_late_visits_land_late_but_happened_when_they_did() -> None:
    plain, struck = _with("late_visits", delay=timedelta(hours=3))
    bounds = _hours(10, 12)
    assert struck.visits(*bounds, until=MONDAY + 12 * HOUR).num_rows == 0
    some = struck.visits(*bounds, until=MONDAY + 14 * HOUR).num_rows
    assert 0 < some < plain.visits(*bounds).num_rows
    assert struck.visits(*bounds, until=MONDAY + 15 * HOUR).equals(plain.visits(*bounds))


def test_a_sales_peak_multiplies_orders_not_visits() -> None:
    plain, struck = _with("sales_peak", factor=5.0)
    bounds = _hours(10, 12)
    ratio = struck.orders(*bounds).num_rows / plain.orders(*bounds).num_rows
    assert 4.5 < ratio < 5.5
    assert struck.visits(*bounds).equals(plain.visits(*bounds))


def test_an_outage_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown outage"):
        Outage("meteor", MONDAY, MONDAY + HOUR)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start before end"):
        Outage("sales_peak", MONDAY, MONDAY)
