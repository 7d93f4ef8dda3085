"""All visits that an order could match, by the rules by which one was chosen."""

from __future__ import annotations

import random
from datetime import timedelta

import duckdb

from capi_assets.engine import DuckDBEngine
from capi_assets.matching import candidates, match
from tests.helpers.factories import H, Row, at, digest, orders, visits

LOOKBACK = timedelta(hours=168)


def test_the_first_candidate_is_the_visit_that_was_taken(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    dice = random.Random(5)
    people = [digest(f"p{number}@example.com") for number in range(4)]

    def someone() -> Row:
        return {
            "em": dice.choice([*people, None]),
            "external_id": dice.choice(["u1", "u2", None]),
            "fbp": dice.choice(["fb.1.1700000000000.1", "fb.1.1700000000000.2", None]),
        }

    table = orders(*({"occurred_at": at(30), **someone()} for _ in range(40)))
    seen = visits(*({"occurred_at": at(dice.randint(-9, 45)), **someone()} for _ in range(40)))
    engine = DuckDBEngine(connection)
    taken = match(table, seen, LOOKBACK, engine).column("visit_id").to_pylist()
    found = candidates(table, seen, LOOKBACK, engine).to_pylist()
    first: dict[int, Row] = {}
    for row in found:
        first.setdefault(row["row_number"], row)
    assert [first[n]["visit_id"] if n in first else None for n in range(40)] == taken
    assert len(found) > 2 * len(first)


def test_visits_after_the_order_or_before_its_lookback_are_no_candidates(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    em = digest("ana@example.com")
    order = {"occurred_at": at(30), "em": em}
    early, late = H - timedelta(hours=3), at(31)
    found = candidates(
        orders(order),
        visits(
            {"visit_id": "early", "occurred_at": early, "em": em},
            {"visit_id": "late", "occurred_at": late, "em": em},
            {"visit_id": "in time", "occurred_at": at(30), "em": em},
        ),
        timedelta(hours=2),
        DuckDBEngine(connection),
    )
    assert found.column("visit_id").to_pylist() == ["in time"]
