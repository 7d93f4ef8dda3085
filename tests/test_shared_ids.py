"""Ids that too many people share find no visit, whatever hours are matched together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import duckdb
import pytest

from capi_assets.shared_ids import MOST_ADDRESSES, MOST_CONTACTS
from tests.helpers.factories import HOUR, Row, at, digest
from tests.helpers.matcher import KEYS, Matcher

ONE_TILL = {"external_id": "till-7"}


@pytest.fixture
def matcher(connection: duckdb.DuckDBPyConnection) -> Matcher:
    return Matcher(connection)


def people(count: int, **values: Any) -> list[Row]:
    """Rows of as many people, each with an e-mail address of their own."""
    return [{"em": digest(f"{n}@example.com"), **values} for n in range(count)]


def found(rows: list[dict[str, Any]]) -> set[tuple[str | None, str | None]]:
    return {(row["matched_by"], row["shared_keys"]) for row in rows}


@pytest.mark.parametrize("key", ["external_id", "fbp", "fbclid", "ph", "em"])
def test_an_id_of_many_visitors_finds_no_visit_and_is_named(matcher: Matcher, key: str) -> None:
    strangers = [
        {**KEYS[key], "client_ip_address": f"203.0.113.{n}"} for n in range(MOST_ADDRESSES + 1)
    ]
    assert found(matcher([KEYS[key]], strangers)) == {(None, key)}
    assert found(matcher([KEYS[key]], strangers[1:])) == {(key, None)}


def test_an_id_of_many_buyers_finds_no_visit(matcher: Matcher) -> None:
    visit = {**ONE_TILL, "em": digest("ana@example.com")}
    buyers = people(MOST_CONTACTS + 1, **ONE_TILL)
    assert found(matcher(buyers, [visit])) == {(None, "external_id")}
    assert found(matcher(buyers[1:], [visit])) == {("external_id", None)}


def test_the_visit_that_many_orders_name_is_not_theirs(matcher: Matcher) -> None:
    assert found(matcher(people(MOST_CONTACTS + 1, visit_id="v1"), [{}])) == {(None, "visit_id")}


def test_another_key_still_finds_the_visit(matcher: Matcher) -> None:
    visits = people(MOST_CONTACTS + 1, **ONE_TILL)
    (row,) = matcher([{**ONE_TILL, "em": digest("3@example.com")}], visits)
    assert (row["matched_by"], row["shared_keys"], row["visit_id"]) == ("em", "external_id", "v4")


def test_one_person_on_many_pages_is_no_crowd(matcher: Matcher) -> None:
    pages = [{**ONE_TILL, "em": digest("ana@example.com"), "client_ip_address": "203.0.113.7"}] * 60
    assert found(matcher([ONE_TILL], pages)) == {("external_id", None)}


def test_hours_are_judged_alone_and_together_alike(matcher: Matcher) -> None:
    crowd = people(MOST_CONTACTS + 1, **ONE_TILL, occurred_at=at(20) - 3 * HOUR)
    visits = [*crowd, {**ONE_TILL, "occurred_at": at(10)}]
    orders = [
        {**ONE_TILL, "occurred_at": at(30) - hours * HOUR, "order_id": f"o{hours}"}
        for hours in (0, 3, 5)
    ]
    lookback = timedelta(hours=24)
    together = {row["order_id"]: found([row]) for row in matcher(orders, visits, lookback)}
    alone = {o["order_id"]: found(matcher([o], visits, lookback)) for o in orders}
    assert together == alone
    assert together["o0"] == {(None, "external_id")}
    short = matcher(orders[:1], visits, timedelta(hours=1))
    assert found(short) == {("external_id", None)}
