"""A small part of the labelled weeks: outages are found and named, oddities are left alone.

The whole set, with figures per kind, is `python -m benchmarks.labelled_weeks`.
"""

from __future__ import annotations

import pytest

from benchmarks.labelled_weeks import (
    FALSE_PER_HOURS,
    SIZES,
    ceiling,
    odd,
    open_shop,
    report,
    troubled,
)
from benchmarks.weeks import ODDITIES, TROUBLE
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import conform
from capi_assets.coverage.waterfall import unbalanced_rows

# Half of the orders of few hours cannot always be told from chance: see the benchmark.
SURE = [name for name in TROUBLE if name not in ("order feed by half", "tracker half dead")]


def test_the_set_is_as_large_as_it_claims() -> None:
    assert len(TROUBLE) >= 12
    assert len(ODDITIES) >= 12


@pytest.mark.parametrize("name", SURE)
def test_an_outage_of_a_big_shop_is_found_within_two_hours_and_named(name: str) -> None:
    outage, after = troubled(name, "big shop", 3, seed=7)
    assert outage.is_target
    assert outage.found_after in (0, 1)
    assert outage.cause_is_right
    assert after.flagged * 100 <= len(after.hours)


def test_oddities_are_left_alone() -> None:
    quiet = [odd(name, seed=7) for name in ODDITIES]
    hours = sum(len(q.hours) for q in quiet)
    false = {q.kind: q.false for q in quiet if q.false}
    assert sum(q.flagged for q in quiet) * FALSE_PER_HOURS <= hours, false


@pytest.mark.parametrize("name", ["tracker dead", "column renamed", "token death", "late data"])
def test_simulated_shops_keep_the_contract_and_add_up(name: str) -> None:
    books = open_shop(SIZES["shop"], seed=3)
    TROUBLE[name].strike(books, slice(700, 712))
    health = books.health()
    assert unbalanced_rows(health).num_rows == 0
    assert conform(health, AttributionHealth).num_rows == books.hours


def test_the_report_names_what_was_missed() -> None:
    outages, quiet = zip(
        *(troubled(name, "boutique", 1, seed=1) for name in ("token death", "late data")),
        strict=True,
    )
    text = report(list(outages), [*quiet, odd("bots", seed=1)])
    assert "token death" in text
    assert "per 500 hours" in text


def test_no_method_sees_a_fifth_of_thirty_orders_that_never_came() -> None:
    assert ceiling(30, 0.2) < 0.05 < 0.5 < ceiling(30, 0.5) < ceiling(60, 0.5) < 1.0
    assert ceiling(30, 1.0 - 1e-9) > 0.999
