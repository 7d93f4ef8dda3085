"""The sample shop: the same rows for ever, people who come back, and planted faults that count."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.sandbox.shop.countries import COUNTRIES
from capi_assets.sandbox.shop.customers import People
from capi_assets.sandbox.shop.keyed_random import HEX, KeyedRandom
from capi_assets.sandbox.shop.shop import Shop
from tests.helpers.shop_truth import origins, truth

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def ask(sql: str, **tables: Any) -> list[Any]:
    """The rows of a query over these tables."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def week() -> tuple[Shop, Any, Any]:
    shop = Shop(seed=3, visits_per_day=4_000, conversion_rate=0.1, opened=MONDAY)
    return shop, shop.visits(MONDAY, MONDAY + 7 * DAY), shop.orders(MONDAY, MONDAY + 7 * DAY)


# --- the same rows for ever


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    visits_per_day=st.integers(1, 3_000),
    hour=st.integers(0, 24 * 400),
    others=st.integers(1, 4),
)
def test_an_hour_is_the_same_alone_and_within_any_range(
    seed: int, visits_per_day: int, hour: int, others: int
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC) + hour * HOUR
    shop, again = (Shop(seed, visits_per_day, conversion_rate=0.3) for _ in range(2))
    for make, make_again in ((shop.visits, again.visits), (shop.orders, again.orders)):
        together = make(start - others * HOUR, start + 2 * HOUR)
        inside = pc.and_(
            pc.greater_equal(together["occurred_at"], pa.scalar(start)),
            pc.less(together["occurred_at"], pa.scalar(start + HOUR)),
        )
        assert make_again(start, start + HOUR).equals(together.filter(inside))


def test_blocks_do_not_show_in_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(1, 5_000)
    whole = shop.visits(MONDAY, MONDAY + DAY)
    monkeypatch.setattr("capi_assets.sandbox.shop.shop._BLOCK", 300)
    assert shop.visits(MONDAY, MONDAY + DAY).equals(whole)


def test_another_seed_is_another_shop() -> None:
    ids = [set(Shop(seed).visits(MONDAY, MONDAY + HOUR)["visit_id"].to_pylist()) for seed in (1, 2)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_later_look_at_the_open_hour_shows_the_same_rows_and_more() -> None:
    shop = Shop(5, 40_000, conversion_rate=0.2)
    for make in (shop.visits, shop.orders):
        looks = [make(MONDAY, MONDAY + HOUR, MONDAY + timedelta(minutes=m)) for m in (10, 35, 59)]
        assert 0 < looks[0].num_rows < looks[1].num_rows < looks[2].num_rows
        for early, late in pairwise(looks):
            assert late.slice(0, early.num_rows).equals(early)
        assert pc.max(looks[0]["occurred_at"]).as_py() <= MONDAY + timedelta(minutes=10)


def test_rows_keep_the_bounds_asked_for() -> None:
    shop = Shop(5, 20_000)
    start, end = MONDAY + timedelta(minutes=50), MONDAY + timedelta(minutes=70)
    visits = shop.visits(start, end)
    assert visits.num_rows > 50
    assert start <= pc.min(visits["occurred_at"]).as_py()
    assert pc.max(visits["occurred_at"]).as_py() < end
    assert shop.visits(MONDAY, MONDAY).num_rows == 0


def test_a_shop_without_visitors_still_has_its_columns() -> None:
    shop = Shop(1, visits_per_day=0)
    assert shop.visits(MONDAY, MONDAY + DAY).schema == Shop(2).visits(MONDAY, MONDAY + HOUR).schema
    assert shop.orders(MONDAY, MONDAY + DAY).schema == Shop(2).orders(MONDAY, MONDAY + HOUR).schema
    assert truth(shop, MONDAY, MONDAY + DAY).to_numpy().sum() == 0


def test_a_shop_of_a_million_visits_a_day_has_its_busy_hour() -> None:
    shop = Shop(1, visits_per_day=1_000_000)
    visits = shop.visits(MONDAY + 20 * HOUR, MONDAY + 21 * HOUR)
    assert visits.num_rows > 50_000


def test_dice_are_fair_and_independent_of_what_is_thrown_beside_them() -> None:
    dice, keys = KeyedRandom(9), np.arange(100_000)
    unit = dice.unit("a", keys)
    assert abs(unit.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(unit, dice.unit("b", keys))[0, 1]) < 0.02
    assert abs(dice.normal("a", keys).std() - 1) < 0.02
    assert (dice.unit("a", keys[500:501]) == unit[500:501]).all()
    letters = "".join(dice.letters(HEX, 40, "a", keys[:2_000]).to_pylist())
    assert np.ptp([letters.count(chr(letter)) for letter in HEX]) < 500


# --- a week in the shop


def test_days_have_a_rhythm(week: tuple[Shop, Any, Any]) -> None:
    _, visits, _ = week
    hours = pd.Series(1, index=visits["occurred_at"].to_pandas()).resample("h").sum()
    by_hour = hours.groupby(hours.index.hour).mean()
    assert by_hour.idxmin() in (2, 3, 4)
    assert by_hour.idxmax() in (19, 20)
    assert by_hour.max() > 5 * by_hour.min()
    by_day = hours.resample("D").sum()
    assert by_day.idxmax().day_name() == "Sunday"
    assert abs(by_day.mean() - 4_000) < 250


def test_every_order_comes_after_its_visit(week: tuple[Shop, Any, Any]) -> None:
    shop, visits, orders = week
    true_origins = origins(shop, MONDAY, MONDAY + 7 * DAY)
    [(found, waits)] = ask(
        """
        SELECT count(*), list(epoch(o.occurred_at - v.occurred_at))
        FROM origins JOIN visits AS v USING (visit_id)
        JOIN (SELECT order_id, min(occurred_at) AS occurred_at FROM orders GROUP BY 1) AS o
        USING (order_id)
        """,
        origins=true_origins,
        visits=visits,
        orders=orders,
    )
    known = len(set(orders["order_id"].to_pylist()) - {None})
    assert found >= 0.99 * known
    assert min(waits) >= 30
    assert 1_200 < np.median(waits) < 3_600
    assert max(waits) < 6 * 86_400
    # What an order says of its visit is true.
    named = orders.filter(pc.is_valid(orders["visit_id"]))
    true = ask(
        "SELECT count(*) FROM named JOIN origins USING (order_id)"
        " WHERE named.visit_id = origins.visit_id",
        named=named,
        origins=true_origins,
    )
    assert named.num_rows > 1_000
    assert true == [(named.num_rows - named["order_id"].null_count,)]


def test_people_come_back_with_their_cookies_and_their_click(week: tuple[Shop, Any, Any]) -> None:
    _, visits, _ = week
    again = "SELECT count(*) FROM (SELECT fbp FROM visits GROUP BY 1 HAVING count(*) > 1)"
    assert ask(again, visits=visits) > [(1_000,)]
    carried = ask(
        """
        SELECT later.occurred_at > click.occurred_at,
               epoch_ms(click.occurred_at) - split_part(later.fbc, '.', 3)::BIGINT
        FROM visits AS later
        JOIN visits AS click ON split_part(later.fbc, '.', 4) = click.fbclid
        """,
        visits=visits,
    )
    assert sum(returned for returned, _ in carried) > 300
    assert all(0 <= before < 1_000 for _, before in carried)
    # Every click id that a cookie carries was once in an address.
    unknown = ask(
        "SELECT count(*) FROM visits WHERE fbc IS NOT NULL"
        " AND split_part(fbc, '.', 4) NOT IN (SELECT fbclid FROM visits WHERE fbclid IS NOT NULL)",
        visits=visits,
    )
    assert unknown == [(0,)]


def test_ad_landings_carry_their_click_id_in_the_address(week: tuple[Shop, Any, Any]) -> None:
    _, visits, _ = week
    wrong = ask(
        "SELECT count(*) FROM visits WHERE fbclid IS DISTINCT FROM"
        " nullif(regexp_extract(page_url, '[?&]fbclid=([^&]+)', 1), '')",
        visits=visits,
    )
    assert wrong == [(0,)]
    assert 0.25 < 1 - visits["fbclid"].null_count / visits.num_rows < 0.45


def test_nobody_who_refuses_has_cookies(week: tuple[Shop, Any, Any]) -> None:
    _, visits, orders = week
    for rows in (visits, orders):
        refused = rows.filter(pc.invert(rows["consent"]))
        assert 0.08 < refused.num_rows / rows.num_rows < 0.16
        assert refused["fbp"].null_count == refused["fbc"].null_count == refused.num_rows


def test_addresses_are_nobodys_and_public(week: tuple[Shop, Any, Any]) -> None:
    _, visits, orders = week
    mailed = pc.drop_null(pa.chunked_array([*visits["email"].chunks, *orders["email"].chunks]))
    at_example = pc.match_substring_regex(mailed, r"(?i)@(mail\.)?example\.(com|net|org)\s*$")
    broken = mailed.filter(pc.invert(at_example)).to_pylist()
    assert set(broken) <= {"n/a", "none@", "mail.example.com", "a b@example"}
    seen = pc.unique(pc.drop_null(visits["client_ip_address"])).to_pylist()
    addresses = [ipaddress.ip_address(text.split(",")[0]) for text in seen]
    assert all(address.is_global for address in addresses)
    assert {address.version for address in addresses} == {4, 6}
    assert any("," in text for text in seen)


def test_a_visits_phone_needs_no_country(week: tuple[Shop, Any, Any]) -> None:
    _, visits, _ = week
    phones = pc.drop_null(visits["phone"]).to_pylist()
    assert len(phones) > 50
    assert all(phonenumbers.is_possible_number(phonenumbers.parse(text)) for text in phones)


def test_phones_are_real_numbers_of_their_country_however_typed() -> None:
    people = People(KeyedRandom(4), np.arange(6_000))
    style = np.random.default_rng(1).random(6_000)
    typed = people.phone(style).to_pylist()
    codes = [COUNTRIES[position].code for position in people.country]
    numbers = [
        phonenumbers.parse(text, code)
        for text, code in zip(typed, codes, strict=True)
        if text is not None
    ]
    assert len(numbers) > 4_000
    assert all(phonenumbers.is_possible_number(number) for number in numbers)
    assert len({text.strip("0123456789") for text in typed if text}) > 20
    # One person, one number: another way to type it is the same number.
    other = People(KeyedRandom(4), np.arange(6_000)).phone(np.roll(style, 1)).to_pylist()
    for first, second, code in list(zip(typed, other, codes, strict=True))[:2_000]:
        assert (first is None) == (second is None)
        if first is not None:
            assert phonenumbers.parse(first, code) == phonenumbers.parse(second, code)


def test_contents_add_up_to_the_value_in_the_countrys_currency(
    week: tuple[Shop, Any, Any],
) -> None:
    _, _, orders = week
    off = ask(
        """
        SELECT count(*) FROM orders
        WHERE TRY_CAST(value AS DOUBLE) IS NOT NULL AND abs(value::DOUBLE - list_sum(
            list_transform(contents::JSON[], lambda item:
                (item->>'quantity')::INT * (item->>'item_price')::DOUBLE))) > 0.001
        """,
        orders=orders,
    )
    assert off == [(0,)]
    currencies = pc.unique(pc.drop_null(pc.utf8_upper(orders["currency"]))).to_pylist()
    assert {"EUR", "USD", "GBP", "JPY", "SEK"} <= set(currencies)


def test_truth_is_what_the_rows_say(week: tuple[Shop, Any, Any]) -> None:
    shop, visits, orders = week
    counted = truth(shop, MONDAY, MONDAY + 7 * DAY)
    total = counted.sum()
    assert len(counted) == 7 * 24
    assert total["visits"] == visits.num_rows
    assert total["orders"] + total["repeats"] == orders.num_rows
    assert total["orders"] == total[["broken", "unconfirmed", "unconsented", "weak", "sound"]].sum()
    assert (total[["repeats", "broken", "weak", "broken_email", "impossible_phone"]] > 0).all()

    frame = orders.to_pandas()
    number = pd.to_numeric(frame["value"], errors="coerce")
    purchase = frame["event_name"] == "Purchase"
    breaks = (
        frame["order_id"].isna()
        | ~frame["action_source"].isin(["website", "physical_store", "phone_call"])
        | (purchase & (number.isna() | frame["currency"].isna()))
    )
    assert breaks.sum() == total["broken"]
    latest = frame[~breaks].drop_duplicates("order_id", keep="last")
    confirmed = latest["status"] == "confirmed"
    assert (~confirmed).sum() == total["unconfirmed"]
    assert (confirmed & ~latest["consent"]).sum() == total["unconsented"]
    weak = confirmed & latest["consent"] & latest["last_name"].isna()
    assert weak.sum() == total["weak"]
    per_hour = latest.groupby(latest["occurred_at"].dt.floor("h")).size()
    assert (counted["orders"] - counted["broken"]).to_dict() == per_hour.reindex(
        counted.index, fill_value=0
    ).to_dict()


def test_a_repeated_order_is_the_same_order_in_a_later_status(week: tuple[Shop, Any, Any]) -> None:
    _, _, orders = week
    frame = orders.to_pandas().dropna(subset="order_id")
    repeated = frame[frame.duplicated("order_id", keep=False)]
    rest = repeated.drop(columns="status").drop_duplicates()
    assert rest["order_id"].is_unique
    steps = repeated.groupby("order_id")["status"].agg(tuple).value_counts()
    assert set(steps.index) == {
        ("pending", "confirmed"),
        ("confirmed", "cancelled"),
        ("confirmed", "refunded"),
        ("confirmed", "confirmed"),
    }
