"""SQL finds what a plain search through all visits finds, in whatever order rows come."""

from __future__ import annotations

import random
from datetime import timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.matched_events import MATCHED_BY
from tests.helpers.factories import Row, at, digest, fbc, visits
from tests.helpers.matcher import Matcher


@pytest.fixture(scope="module")
def matcher(connection: duckdb.DuckDBPyConnection) -> Matcher:
    return Matcher(connection)


ids = st.sampled_from([None, "a", "b", "c"])
moments = st.integers(-8, 8).map(lambda n: at(30 + 20 * n))
clicks = st.none() | st.builds(
    lambda click, n: fbc(click, at(n)), st.sampled_from(["X", "Y", "Z"]), st.integers(-60, 10)
)
shared_keys = {
    "external_id": ids,
    "em": ids.map(lambda v: v and digest(v)),
    "ph": ids.map(lambda v: v and digest(v)),
    "fbp": ids,
    "client_ip_address": ids,
    "client_user_agent": ids,
}


def _with_click(row: Row) -> Row:
    return {**row, "fbclid": row["fbc"].split(".")[3] if row["fbc"] else None}


visit_rows = st.fixed_dictionaries(
    {"occurred_at": moments, "fbc": clicks, "consent": st.none() | st.booleans(), **shared_keys}
).map(_with_click)
order_rows = st.fixed_dictionaries(
    {
        "occurred_at": moments,
        "visit_id": st.sampled_from([None, "v1", "v2", "v3", "v9"]),
        "fbc": clicks,
        "consent": st.none() | st.booleans(),
        "fbclid": st.sampled_from([None, "X", "Y", "W"]),
        **shared_keys,
    }
)
LOOK = timedelta(minutes=100)


def reference(order: Row, visit_table: list[Row], lookback: timedelta) -> Row:
    """What a person would do with a list of visits and a pencil."""
    conditions = {
        "visit_id": ["visit_id"],
        **{key: [key] for key in ("external_id", "em", "ph", "fbclid", "fbp")},
        "ip_user_agent": ["client_ip_address", "client_user_agent"],
    }
    candidates = [
        (rank, visit)
        for rank, names in enumerate(conditions.values())
        for visit in visit_table
        if all(order[name] is not None and order[name] == visit[name] for name in names)
        and order["occurred_at"] - lookback <= visit["occurred_at"] <= order["occurred_at"]
    ]
    if not candidates:
        best, rank = dict.fromkeys(visit_table[0]) if visit_table else {}, None
    else:
        rank, best = min(
            candidates,
            key=lambda c: (c[0], -c[1]["occurred_at"].timestamp(), c[1]["visit_id"]),
        )
    lending = [v for r, v in candidates if v["fbc"] and (r < 6 or rank == 6)]
    sightings: dict[str, str] = {}
    for cookie in sorted(v["fbc"] for v in lending):
        _, _, made, click = cookie.split(".")
        if click not in sightings or made < sightings[click].split(".")[2]:
            sightings[click] = cookie
    known = [] if order["fbc"] is None else [order["fbc"]]
    named = order["fbclid"]
    if named and not (known and known[0].split(".")[3] == named):
        known.append(sightings.get(named, fbc(named, order["occurred_at"])))
    own = _latest(known)
    newest = _latest(sorted(sightings.values(), key=lambda c: c.split(".")[3]))
    if newest and (not own or newest.split(".")[3] != own.split(".")[3]):
        own = _latest([c for c in (own, newest) if c])
    return {
        "visit_id": best.get("visit_id"),
        "matched_by": None if rank is None else MATCHED_BY[rank],
        "fbc": own,
        "consent": best.get("consent") if order["consent"] is None else order["consent"],
        **{
            name: best.get(name) if order[name] is None else order[name]
            for name in ("fbp", "client_ip_address", "client_user_agent", "external_id")
        },
    }


def _latest(cookies: list[str]) -> str | None:
    """The latest click; of equal ones the first."""
    best: str | None = None
    for cookie in cookies:
        if best is None or cookie.split(".")[2] > best.split(".")[2]:
            best = cookie
    return best


@given(st.lists(order_rows, max_size=4), st.lists(visit_rows, max_size=7))
@settings(max_examples=100, deadline=None)
def test_sql_finds_what_a_plain_search_finds(
    matcher: Matcher, some_orders: list[Row], some_visits: list[Row]
) -> None:
    table = visits(*some_visits).to_pylist()
    found = matcher(some_orders, some_visits, LOOK)
    for row, order in zip(found, some_orders, strict=True):
        expected = reference(order, table, LOOK)
        assert {name: row[name] for name in expected} == expected


@given(
    st.lists(order_rows, min_size=1, max_size=4),
    st.lists(visit_rows, min_size=1, max_size=7),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_rows_changes_nothing(
    matcher: Matcher, some_orders: list[Row], some_visits: list[Row], dice: random.Random
) -> None:
    named_orders = [{"order_id": f"o{n}", **row} for n, row in enumerate(some_orders)]
    named_visits = [{"visit_id": f"v{n}", **row} for n, row in enumerate(some_visits)]
    expected = {row["order_id"]: row for row in matcher(named_orders, named_visits, LOOK)}
    dice.shuffle(named_orders)
    dice.shuffle(named_visits)
    again = matcher(named_orders, named_visits, LOOK)
    assert [row["order_id"] for row in again] == [row["order_id"] for row in named_orders]
    assert {row["order_id"]: row for row in again} == expected


@given(st.lists(visit_rows, max_size=6), order_rows)
@settings(max_examples=25, deadline=None)
def test_an_order_is_matched_alone_as_among_others(
    matcher: Matcher, some_visits: list[Row], order: Row
) -> None:
    alone = matcher([{"order_id": "it", **order}], some_visits, LOOK)
    others: list[Row] = [{"em": digest("a")}, {"external_id": "b"}, {"fbp": "c"}]
    among = matcher([*others, {"order_id": "it", **order}], some_visits, LOOK)
    assert among[-1:] == alone
