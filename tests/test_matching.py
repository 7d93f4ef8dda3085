"""An order finds the best visit: strongest key, then most recent, then smallest id."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MATCHED_BY
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.lake import Lake
from capi_assets.matching import VISIT_SUPPLIED_COLUMNS, best_sql, candidate_visits_sql, match
from tests.helpers.factories import HOUR, H, Row, at, digest, orders, visits
from tests.helpers.matcher import EM, KEYS, LOOKBACK, OCCURRED, PH, Matcher


@pytest.fixture(scope="module")
def matcher(connection: duckdb.DuckDBPyConnection) -> Matcher:
    return Matcher(connection)


@pytest.mark.parametrize("key", MATCHED_BY)
def test_each_key_finds_its_visit(matcher: Matcher, key: str) -> None:
    found = matcher.one(KEYS[key], {"visit_id": "v1", **KEYS[key]}, {"visit_id": "stranger"})
    assert (found["visit_id"], found["matched_by"]) == ("v1", key)
    assert found["visit_age_seconds"] == 25 * 60


@pytest.mark.parametrize("key", MATCHED_BY)
def test_another_value_finds_nothing(matcher: Matcher, key: str) -> None:
    other = {name: value[:-1] + "9" for name, value in KEYS[key].items()}
    found = matcher.one(other, {"visit_id": "v1", **KEYS[key]})
    assert (found["visit_id"], found["matched_by"], found["lent"]) == (None, None, None)


@pytest.mark.parametrize("key", MATCHED_BY[1:])
def test_what_both_lack_is_no_key(matcher: Matcher, key: str) -> None:
    nothing = dict.fromkeys(KEYS[key])
    assert matcher.one(nothing, nothing)["visit_id"] is None


@pytest.mark.parametrize("half", KEYS["ip_user_agent"])
def test_an_address_alone_is_no_key(matcher: Matcher, half: str) -> None:
    alone = {half: KEYS["ip_user_agent"][half]}
    assert matcher.one(alone, alone)["visit_id"] is None


@pytest.mark.parametrize(("strong", "weak"), list(pairwise(MATCHED_BY)))
def test_the_stronger_key_wins_over_the_more_recent_visit(
    matcher: Matcher, strong: str, weak: str
) -> None:
    order = {**KEYS[strong], **KEYS[weak]}
    old = {"visit_id": "v1", "occurred_at": at(-600), **KEYS[strong]}
    new = {"visit_id": "v2", "occurred_at": at(29), **KEYS[weak]}
    found = matcher.one(order, new, old)
    assert (found["visit_id"], found["matched_by"]) == ("v1", strong)


def test_of_equal_keys_the_most_recent_visit_wins_and_then_the_smallest_id(
    matcher: Matcher,
) -> None:
    rows = [
        {"visit_id": "v3", "occurred_at": at(10), "em": EM},
        {"visit_id": "v2", "occurred_at": at(20), "em": EM},
        {"visit_id": "v1", "occurred_at": at(20), "em": EM},
    ]
    assert matcher.one({"em": EM}, *rows)["visit_id"] == "v1"


@pytest.mark.parametrize(
    ("visited", "counts"),
    [
        (OCCURRED, True),
        (OCCURRED + timedelta(microseconds=1), False),
        (OCCURRED - LOOKBACK, True),
        (OCCURRED - LOOKBACK - timedelta(microseconds=1), False),
    ],
)
def test_a_visit_counts_from_the_lookback_to_the_moment_of_the_order(
    matcher: Matcher, visited: datetime, counts: bool
) -> None:
    order = {"visit_id": "v1", "occurred_at": OCCURRED}
    found = matcher.one(order, {"visit_id": "v1", "occurred_at": visited})
    assert (found["matched_by"] == "visit_id") == counts


def test_each_order_has_its_own_lookback(matcher: Matcher) -> None:
    rows = [{"em": EM, "occurred_at": H}, {"em": EM, "occurred_at": H + 3 * HOUR}]
    visit = {"em": EM, "occurred_at": H - HOUR}
    found = matcher(rows, [visit], timedelta(hours=2))
    assert [row["visit_id"] for row in found] == ["v1", None]


def test_the_first_of_several_digests_is_joined_with_or_without_an_appendix(
    matcher: Matcher,
) -> None:
    several = f"{EM} {digest('b')}"
    appended = f"{EM}.AQICAQMC"
    for order, visit in [(several, EM), (EM, several), (appended, EM), (EM, appended)]:
        assert matcher.one({"em": order}, {"em": visit})["matched_by"] == "em"
        assert matcher.one({"ph": order}, {"ph": visit})["matched_by"] == "ph"
    assert matcher.one({"em": f"{digest('b')} {EM}"}, {"em": EM})["matched_by"] is None


def test_click_ids_differ_by_case(matcher: Matcher) -> None:
    assert matcher.one({"fbclid": "IwARx"}, {"fbclid": "IwARX"})["matched_by"] is None


def test_a_visit_may_serve_several_orders_and_an_order_has_one_visit(matcher: Matcher) -> None:
    found = matcher([{"em": EM}] * 3, [{"em": EM}] * 4)
    assert [row["order_id"] for row in found] == ["o1", "o2", "o3"]
    assert {row["visit_id"] for row in found} == {"v1"}


def test_a_visit_id_that_comes_in_two_hours_is_two_visits(matcher: Matcher) -> None:
    twice = [{"visit_id": "v1", "occurred_at": at(m), "fbp": f"at {m}"} for m in (-120, 5)]
    found = matcher([{"visit_id": "v1"}], twice)
    assert [(row["fbp"], row["visit_age_seconds"]) for row in found] == [("at 5", 25 * 60)]


@pytest.mark.parametrize(("order_rows", "visit_rows"), [([], [{}]), ([{}], []), ([], [])])
def test_without_orders_or_visits_there_is_nothing_to_find(
    matcher: Matcher, order_rows: list[Row], visit_rows: list[Row]
) -> None:
    found = matcher(order_rows, visit_rows)
    assert len(found) == len(order_rows)
    assert all(row["visit_id"] is None and row["lent"] is None for row in found)


def test_the_result_has_the_columns_of_orders_and_four_more(matcher: Matcher) -> None:
    for table in (orders({"em": EM}), orders()):
        found = match(table, visits({"em": EM}), LOOKBACK, matcher.engine)
        more = ["matched_by", "visit_age_seconds", "lent", "shared_keys"]
        assert found.column_names == [*arrow_schema(Orders).names, *more]
        for field in arrow_schema(Orders):
            assert found.schema.field(field.name).type == field.type
        assert found.schema.field("visit_age_seconds").type == pa.int64()


def test_files_of_the_lake_give_what_the_table_gives(matcher: Matcher, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    tables = [visits({"em": EM, "occurred_at": at(-60 * n)}) for n in range(3)]
    for n, table in enumerate(tables):
        lake.write("visits", H - n * HOUR, table)
    files = lake.paths("visits", [H - n * HOUR for n in range(168)])
    from_files = match(orders({"em": EM}), files, LOOKBACK, matcher.engine)
    assert from_files == match(
        orders({"em": EM}), pa.concat_tables(tables), LOOKBACK, matcher.engine
    )
    assert (
        match(orders({"em": EM}), [], LOOKBACK, matcher.engine).column("visit_id").null_count == 1
    )


def test_files_from_before_a_column_was_added_still_match(matcher: Matcher, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("visits", H, visits({"em": EM}).drop_columns(["consent", "referrer_url", "fbc"]))
    found = match(orders({"em": EM}), lake.paths("visits", [H]), LOOKBACK, matcher.engine)
    assert found.column("matched_by").to_pylist() == ["em"]


def test_the_statements_are_the_same_text_every_time() -> None:
    assert (candidate_visits_sql(), best_sql()) == (candidate_visits_sql(), best_sql())


@pytest.mark.parametrize("sql", [candidate_visits_sql(), best_sql()], ids=["near", "best"])
def test_the_statements_speak_no_dialect(sql: str) -> None:
    words = "QUALIFY|ASOF|LATERAL|LIST|STRUCT|EXCLUDE|REPLACE|PIVOT|DISTINCT ON|GROUP BY ALL"
    assert not re.search(rf"\b({words})\b|::|:=|\[", sql, re.IGNORECASE)
    called = {name.lower() for name in re.findall(r"\b(\w+)\(", sql)}
    assert called - {"over", "in", "as"} <= {"substr", "split_part", "row_number", "max"}


def test_near_keeps_only_visits_that_share_a_key(matcher: Matcher) -> None:
    match(orders({"em": EM}), visits({"em": EM}, {"em": PH}, {}), LOOKBACK, matcher.engine)
    assert matcher.engine.query("SELECT visit_id FROM near").to_pylist() == [{"visit_id": "v1"}]


def test_every_column_that_a_visit_may_lend_is_a_column_of_visits() -> None:
    assert set(VISIT_SUPPLIED_COLUMNS.values()) <= set(arrow_schema(Visits).names)


def test_near_has_no_visit_with_the_address_of_one_order_and_the_browser_of_another(
    matcher: Matcher,
) -> None:
    def browser(address: str, agent: str) -> Row:
        return {"client_ip_address": address, "client_user_agent": agent}

    placed = orders(browser("85.1.2.3", "A"), browser("85.1.2.4", "B"))
    match(placed, visits(browser("85.1.2.3", "B")), LOOKBACK, matcher.engine)
    assert matcher.engine.query("SELECT visit_id FROM near").num_rows == 0
