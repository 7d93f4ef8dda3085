"""Orders that arrived and are not as usual are told by stream, with cause, numbers and money."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.unusual_shares import unusual_orders
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from capi_assets.delivery.causes import Cause
from tests.helpers.order_records import health_row

START = datetime(2026, 10, 5, tzinfo=UTC)
WEEK = 168
FAULT = 4 * WEEK + 2 * 24 + 10
"""The position of an hour, Wednesday from 10:00, with four weeks before it."""
HOUR = timedelta(hours=1)
Change = Callable[[int], dict[str, Any]]
PRICE = 50.0


def shop(
    change: Change = lambda at: {}, *, hours: int = FAULT + 14, orders: int = 40, seed: int = 5,
    **names: str,
) -> pa.Table:  # fmt: skip
    """`attribution_health` of one stream; `change` gives counts that are different in an hour:
    of `total`, `no_consent`, `not_confirmed`, `copies`, `zero`, `shared`, and columns."""
    rng = np.random.default_rng(seed)
    rows = []
    for at in range(hours):
        usual = orders if 7 <= at % 24 < 23 else orders / 10
        total = int(rng.poisson(usual))
        counts = {"total": total, "visits": int(rng.poisson(30 * usual))}
        counts |= {"no_consent": int(rng.binomial(total, 0.08)), "copies": int(rng.random() < 0.05)}
        counts |= {"not_confirmed": int(rng.random() < 0.2), "zero": int(rng.random() < 0.1)}
        median = PRICE * float(np.exp(rng.normal(0, 0.9 / np.sqrt(max(total, 1)))))
        rows.append(_row(at, {**counts, "shared": 0, "value_p50": median, **change(at)}, {**names}))
    return pa.Table.from_pylist(rows, schema=ATTRIBUTION_HEALTH)


def _row(at: int, of: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    total = of.pop("total") + of.pop("more", 0)
    consent, status = min(of.pop("no_consent"), total), of.pop("not_confirmed")
    withheld = min(consent + status, total)
    sendable = total - withheld
    counted = {"lookalikes": "copies", "zero_value": "zero", "shared_event_id": "shared"}
    names |= {column: min(of.pop(name), sendable) for column, name in counted.items()}
    return health_row(
        START + at * HOUR,
        **{
            "currency": "EUR", "orders": total, "withheld": withheld, "eligible": sendable,
            "delivered": sendable, "value_orders": total * PRICE, "freshness_p50_minutes": 20.0,
            "value_withheld": withheld * PRICE, "value_delivered": sendable * PRICE,
            "withheld_reasons": json.dumps({"no_consent": consent, "not_confirmed": status}),
            "action_sources": "{}", **names, **of,
        },
    )  # fmt: skip


def during(hours: int, first: int = FAULT, **counts: Any) -> Change:
    return lambda at: dict(counts) if first <= at < first + hours else {}


def found(*tables: pa.Table, last: int = 5 * WEEK) -> dict[int, list[Anomaly]]:
    by_hour = unusual_orders(tables, START + last * HOUR, 0.95)
    return {int((hour - START) / HOUR): anomalies for hour, anomalies in by_hour.items()}


def causes(*tables: pa.Table) -> dict[int, set[Cause]]:
    return {at: {a.cause for a in anomalies} for at, anomalies in found(*tables).items()}


THREE = [FAULT, FAULT + 1, FAULT + 2]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"no_consent": 99}, Cause.CONSENT_MISSING),
        ({"no_consent": 22, "total": 40}, Cause.CONSENT_MISSING),
        ({"not_confirmed": 99}, Cause.CONFIRMATIONS_MISSING),
        ({"copies": 40, "total": 80}, Cause.ORDERS_DOUBLED),
        ({"zero": 99}, Cause.VALUE_CHANGED),
        ({"value_p50": PRICE * 100}, Cause.VALUE_CHANGED),
        ({"value_p50": PRICE / 100}, Cause.VALUE_CHANGED),
        ({"currency": "USD"}, Cause.VALUE_CHANGED),
        ({"shared": 99}, Cause.PAYLOAD),
    ],
)
def test_a_broken_column_is_found_in_its_first_hour_and_only_while_it_lasts(
    change: dict[str, Any], cause: Cause
) -> None:
    assert causes(shop(during(3, **change))) == {at: {cause} for at in THREE}


@pytest.mark.parametrize("seed", range(6))
def test_a_quiet_shop_has_nothing_unusual(seed: int) -> None:
    assert found(shop(seed=seed), shop(seed=seed + 9, orders=3, dataset_id="d2")) == {}


def test_missing_consent_says_numbers_money_and_what_it_was_compared_with() -> None:
    anomalies = found(shop(during(3, total=40, no_consent=40, not_confirmed=0)))
    (anomaly,) = anomalies[FAULT]
    assert anomaly.evidence.startswith("40 of 40 orders have no consent (usually ")
    assert 34 <= anomaly.orders_affected <= 38
    money = anomaly.estimated_money["EUR"]
    assert money.low < money.expected < money.high
    assert money.expected == pytest.approx(anomaly.orders_affected * PRICE, rel=0.02)
    (compared,) = anomaly.comparisons
    assert (compared.seen, compared.signal) == (1.0, "share of orders without consent")
    assert 0.0 <= compared.expected.low < 0.08 < compared.expected.high < 0.3
    assert set(compared.learned_from) == {
        START + (FAULT - day * 24) * HOUR for day in range(1, FAULT // 24 + 1)
    }


def test_test_orders_beside_the_usual_ones_are_no_outage() -> None:
    burst = during(2, more=45, not_confirmed=45)
    assert found(shop(burst)) == {}
    assert found(shop(burst, orders=8)) == {}


def test_a_sale_without_copies_is_not_doubled_and_copies_need_more_orders() -> None:
    assert found(shop(during(6, total=200, visits=2400))) == {}
    # As many orders as visits promise, only their seconds are rounded: alike, but no copies.
    assert found(shop(during(6, total=40, copies=18, visits=1200))) == {}


def test_doubled_orders_say_how_many_can_still_be_stopped() -> None:
    pending = {"delivered": 0, "pending": 80}
    doubled = {"total": 80, "copies": 40, "no_consent": 0, "not_confirmed": 0, **pending}
    anomaly = found(shop(during(1, **doubled)))[FAULT][0]
    assert anomaly.evidence.endswith("about 40 of them are not sent yet")
    assert anomaly.estimated_money["EUR"].expected == pytest.approx(40 * PRICE, rel=0.05)


def test_a_stream_is_judged_for_itself_and_named() -> None:
    large, small = shop(orders=400), {"dataset_id": "d2", "event_name": "Subscribe"}
    anomalies = found(large, shop(during(3, no_consent=99), orders=25, seed=8, **small))
    assert set(anomalies) == set(THREE)
    for (anomaly,) in anomalies.values():
        assert anomaly.streams == (("d2", "Subscribe", ""),)
    everywhere = found(
        shop(during(3, no_consent=999), orders=400),
        shop(during(3, no_consent=99), orders=25, seed=8, **small),
    )
    assert {a.streams for (a,) in everywhere.values()} == {()}


def test_small_streams_are_found_together() -> None:
    streams = [
        shop(during(3, no_consent=99), orders=2, seed=n, event_name=f"Event{n}") for n in range(12)
    ]
    assert set(found(*streams)) >= set(THREE)


def test_a_new_price_is_usual_after_a_week_and_missing_consent_is_not() -> None:
    last = FAULT + 10 * 24
    priced = found(shop(during(WEEK * 2, value_p50=PRICE * 4), hours=last))
    assert min(priced) == FAULT
    assert max(priced) < FAULT + WEEK + 24
    refused = found(shop(during(WEEK * 2, no_consent=99), hours=last), last=last)
    assert max(refused) == last - 1
    assert {a.cause for (a,) in refused.values()} == {Cause.CONSENT_MISSING}


def test_a_change_of_consent_is_accepted_after_four_weeks() -> None:
    weeks = 10 * WEEK
    refused = found(shop(during(weeks, no_consent=20), hours=weeks), last=weeks)
    assert min(refused) == FAULT
    assert FAULT + 4 * WEEK - 24 < max(refused) < FAULT + 4 * WEEK + 48


def test_late_delivery_needs_three_hours_and_orders_that_are_delivered_late_each_for_itself() -> (
    None
):
    late = found(shop(during(6, freshness_p50_minutes=200.0)))
    assert {at: [a.cause for a in v] for at, v in late.items()} == {
        at: [Cause.LATE_DELIVERY] for at in range(FAULT + 2, FAULT + 6)
    }
    assert "200 minutes" in late[FAULT + 5][0].evidence
    assert found(shop(during(2, freshness_p50_minutes=500.0))) == {}
    after_an_outage: Change = lambda at: (  # noqa: E731
        {"freshness_p50_minutes": 60.0 * (FAULT + 6 - at)} if FAULT <= at < FAULT + 6 else {}
    )
    assert found(shop(after_an_outage)) == {}
    assert found(shop(during(6, freshness_p50_minutes=200.0, delivered=1))) == {}


def test_a_currency_that_is_gone_is_told() -> None:
    euros = shop(seed=3)
    dollars = shop(during(14, total=0, no_consent=0, not_confirmed=0), currency="USD", orders=20)
    anomalies = found(euros, dollars)
    evidence = anomalies[FAULT + 3][0].evidence
    assert "none of" in evidence
    assert "is in USD (usually 3" in evidence


def test_hours_of_a_former_version_are_neither_judged_nor_learned_from() -> None:
    nothing = dict.fromkeys(("withheld_reasons", "zero_value", "lookalikes", "shared_event_id"))
    assert found(shop(during(3, no_consent=99, **nothing))) == {}
    assert found(shop(lambda at: nothing if at < FAULT else {"no_consent": 99})) == {}


def test_no_hours_have_nothing_unusual() -> None:
    assert found(ATTRIBUTION_HEALTH.empty_table()) == {}
    assert found(shop(), last=-1) == {}


@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from(
        [{"no_consent": 99}, {"copies": 40, "total": 80}, {"value_p50": 1.0}, {"zero": 20}]
    ),
    st.integers(1, 30),
    st.integers(0, 40),
)
def test_later_hours_change_no_result(change: dict[str, Any], hours: int, cut: int) -> None:
    table = shop(during(hours, **change), hours=FAULT + 48)
    last = FAULT + cut
    whole = found(table)
    assert found(table, last=last) == {at: a for at, a in whole.items() if at <= last}


@settings(max_examples=6, deadline=None)
@given(st.floats(1e-3, 1e4))
def test_the_unit_of_money_changes_no_verdict(unit: float) -> None:
    table = shop(during(3, value_p50=PRICE * 7))
    median = pa.array([v and v * unit for v in table["value_p50"].to_pylist()], pa.float64())
    scaled = table.set_column(table.schema.get_field_index("value_p50"), "value_p50", median)
    assert causes(scaled) == causes(table)
