"""The waterfall adds up, says where every order went, and repeats itself to the byte."""

from __future__ import annotations

from datetime import timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import conform
from capi_assets.coverage.outcomes import QUARANTINED_ORDERS, STAGES, losses
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH, unbalanced_rows, waterfall
from tests.helpers.order_records import EVENTS, RESULTS, VISITS, H, OrderRecords, hour


def only(table: pa.Table) -> dict:
    (row,) = table.to_pylist()
    return row


def test_every_stage_is_counted_once_with_its_money() -> None:
    books = OrderRecords()
    for n, status in enumerate(("delivered", "pending", "unknown", "rejected", "expired")):
        books.order(status=status, value=10.0 * 2**n)
    books.order(status="future_dated", value=0.01).order(status="covered_by_pixel", value=0.02)
    books.order(status="withheld", verdict="withheld", value=0.03)
    books.order(status="invalid", verdict="invalid", value=0.04)
    books.quarantine(dataset_id="d1", event_name="Purchase", currency="eur", value=0.05)
    row = only(books.health())
    counts = {name: row[name] for name in ("orders", "withheld", "eligible", "delivered")}
    assert counts == {"orders": 10, "withheld": 2, "eligible": 8, "delivered": 1}
    assert row["value_withheld"] == 0.05
    assert row["value_orders"] == pytest.approx(310.15, abs=1e-9)
    assert row["coverage"] == 1 / 8
    assert row["coverage_value"] == pytest.approx(10 / 310.10)
    assert unbalanced_rows(books.health()).num_rows == 0


def test_the_table_keeps_the_contract_of_attribution_health() -> None:
    books = OrderRecords().order().order(status="pending", currency=None, name="Lead", value=None)
    books.quarantine(H).visit(H, 12)
    health = books.health(H, hour(1))
    assert health.schema.names == ATTRIBUTION_HEALTH.names
    assert conform(health, AttributionHealth).num_rows == health.num_rows


def test_an_hour_without_orders_is_still_visible() -> None:
    books = OrderRecords().order().visit(hour(1), 40)
    row = only(books.health(hour(1)))
    assert (row["hour"], row["dataset_id"], row["event_name"]) == (hour(1), "", "")
    assert (row["visits"], row["orders"], row["coverage"]) == (40, 0, None)
    assert row["value_orders"] == 0


def test_orders_of_other_hours_are_left_out() -> None:
    books = OrderRecords().order(hour(-1)).order(hour(0), times=2).order(hour(1), times=4)
    assert only(books.health(H))["orders"] == 2


def test_datasets_events_and_currencies_stand_apart() -> None:
    books = OrderRecords().order().order(currency="USD").order(dataset="d2").order(name="Lead")
    books.order(currency=None)
    rows = books.health(H).to_pylist()
    assert [(r["dataset_id"], r["event_name"], r["currency"], r["orders"]) for r in rows] == [
        ("d1", "Lead", "EUR", 1),
        ("d1", "Purchase", None, 1),
        ("d1", "Purchase", "EUR", 1),
        ("d1", "Purchase", "USD", 1),
        ("d2", "Purchase", "EUR", 1),
    ]


def test_an_event_without_a_result_stands_at_its_verdict() -> None:
    books = OrderRecords().order(status=None)
    books.order(status=None, verdict="withheld", reason="no_consent")
    books.order(status=None, verdict="invalid", reason="missing_value")
    row = only(books.health())
    assert (row["pending"], row["withheld"], row["invalid"]) == (1, 1, 1)
    reasons = {(r["stage"], r["reason"], r["kind"]) for r in losses(*books.tables()).to_pylist()}
    assert reasons == {
        ("pending", "not_planned", "not_materialized"),
        ("withheld", "no_consent", None),
        ("invalid", "missing_value", "payload"),
    }


def test_a_status_of_a_later_version_counts_as_unknown() -> None:
    health = OrderRecords().order(status="parked").health()
    assert only(health)["unknown"] == 1
    assert unbalanced_rows(health).num_rows == 0


def test_two_results_of_one_event_count_once_and_the_latest_wins() -> None:
    books = OrderRecords().order(status="pending", last_attempt_at=H)
    books.results.append(
        {**books.results[0], "status": "delivered", "last_attempt_at": H + timedelta(minutes=5)}
    )
    row = only(books.health())
    assert (row["orders"], row["delivered"], row["pending"]) == (1, 1, 0)


def test_the_main_reason_is_the_most_frequent_among_the_lost_not_the_withheld() -> None:
    books = OrderRecords().order(
        status="withheld", verdict="withheld", reason="no_consent", times=9
    )
    books.order(status="pending", reason="token_expired", times=3, code=190, subcode=463)
    books.order(status="pending", reason="throttled", times=2)
    row = only(books.health())
    assert (row["main_reason"], row["main_reason_kind"]) == ("token_expired", "token")


def test_the_first_deadline_is_that_of_what_still_waits() -> None:
    soon, sooner = H + timedelta(days=2), H + timedelta(days=1)
    books = OrderRecords().order(status="delivered", deliver_until=sooner)
    books.order(status="unknown", deliver_until=soon)
    books.order(status="pending", deliver_until=soon + timedelta(hours=1))
    assert only(books.health())["first_deadline"] == soon


def test_freshness_is_minutes_from_order_to_acceptance() -> None:
    books = OrderRecords()
    for minutes in (10, 20, 90):
        books.order(delivered_at=H + timedelta(minutes=minutes))
    books.order(status="pending")
    row = only(books.health())
    assert row["freshness_p50_minutes"] == 20
    assert row["freshness_p95_minutes"] == pytest.approx(83)


def test_orders_that_found_a_visit_are_counted_whatever_became_of_them() -> None:
    books = OrderRecords().order().order(status="pending").order(visit=None)
    assert only(books.health())["matched"] == 2


def test_a_cleaned_currency_joins_its_row_and_rubbish_gets_none() -> None:
    books = OrderRecords().quarantine(currency=" eur ").quarantine(currency="euros & cents")
    rows = books.health(H).to_pylist()
    assert [(r["currency"], r["quarantined"]) for r in rows] == [(None, 1), ("EUR", 1)]


def test_money_sums_do_not_depend_on_the_order_of_rows() -> None:
    values = [8.29, 0.1, 0.2, 0.3, 1e9, 0.7, 1e-4, 123456.78]
    forth, back = OrderRecords(), OrderRecords()
    for value in values:
        forth.order(value=value)
    for value in reversed(values):
        back.order(value=value)
    assert forth.health().equals(back.health())
    assert only(forth.health())["value_orders"] == 1000123466.3701


def test_hours_that_are_no_hours_are_refused() -> None:
    for wrong in (H + timedelta(minutes=1), H.replace(tzinfo=None)):
        with pytest.raises(ValueError, match=r"start of an hour|time zone"):
            OrderRecords().health(wrong)


def test_an_hour_given_in_another_zone_is_the_same_hour() -> None:
    berlin = H.astimezone(timezone(timedelta(hours=1)))
    assert only(OrderRecords().order().health(berlin))["hour"] == H


def test_a_leak_is_found() -> None:
    health = OrderRecords().order(times=3).health()
    fewer = health.set_column(
        health.schema.get_field_index("delivered"), "delivered", pa.array([2], pa.int64())
    )
    cents = health.set_column(
        health.schema.get_field_index("value_orders"), "value_orders", pa.array([30.01])
    )
    assert [(r["measure"], r["total"], r["parts"]) for r in unbalanced_rows(fewer).to_pylist()] == [
        ("orders", 3, 2)
    ]
    assert [r["measure"] for r in unbalanced_rows(cents).to_pylist()] == ["value"]


words = st.sampled_from(["d1", "d2", ""])
moments = st.timedeltas(timedelta(hours=-2), timedelta(hours=2)).map(lambda away: H + away)
amounts = st.none() | st.floats(allow_nan=True, allow_infinity=True)
orders = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["o1", "o2", "o3"]),
        "occurred_at": moments,
        "dataset_id": words,
        "event_name": st.sampled_from(["Purchase", "Lead"]),
        "event_id": st.sampled_from(["e1", "e2"]),
        "value": amounts,
        "currency": st.sampled_from(["EUR", "USD", "", None]),
        "deliver_until": moments,
        "verdict": st.sampled_from(["ready", "withheld", "invalid", "", None]),
        "reason": st.none() | st.text(max_size=5),
        "subcode": st.none() | st.sampled_from([2804050, 2804003, 33, 7]),
    }
)
results = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["o1", "o2", "o3"]),
        "dataset_id": words,
        "event_name": st.sampled_from(["Purchase", "Lead"]),
        "event_id": st.sampled_from(["e1", "e2"]),
        "status": st.sampled_from([*STAGES, "covered_by_pixel", "parked", None]),
        "reason": st.none() | st.text(max_size=5),
        "last_attempt_at": st.none() | moments,
        "delivered_at": st.none() | moments,
        "http_status": st.none() | st.integers(-1, 700),
        "code": st.none() | st.integers(-5, 400),
        "subcode": st.none() | st.integers(0, 3_000_000),
    }
)
refused = st.fixed_dictionaries(
    {
        "hour": moments,
        "dataset_id": words | st.none(),
        "event_name": st.none() | st.text(max_size=60),
        "currency": st.none() | st.text(max_size=4),
        "value": amounts,
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(orders, max_size=8), st.lists(results, max_size=8), st.lists(refused, max_size=5))
def test_the_waterfall_closes_for_any_input(
    events: list[dict], delivered: list[dict], quarantined: list[dict]
) -> None:
    hours = [hour(n) for n in range(-2, 3)]
    tables = (
        pa.Table.from_pylist(events, schema=EVENTS),
        pa.Table.from_pylist(delivered, schema=RESULTS),
        pa.Table.from_pylist(quarantined, schema=QUARANTINED_ORDERS),
    )
    health = waterfall(hours, *tables, VISITS.empty_table())
    assert unbalanced_rows(health).num_rows == 0
    assert sum(health["orders"].to_pylist()) == len(events) + len(quarantined)
    assert set(health["hour"].to_pylist()) == set(hours)
    keys = health.select(["hour", "dataset_id", "event_name", "currency"]).to_pylist()
    assert len({tuple(k.values()) for k in keys}) == health.num_rows
    told = sum(r["orders"] for r in losses(*tables).to_pylist())
    assert told + sum(health["delivered"].to_pylist()) == len(events) + len(quarantined)


def changed(books: OrderRecords, *rows: dict) -> OrderRecords:
    """Gives the latest orders other columns."""
    for event, columns in zip(books.events[-len(rows) :], rows, strict=True):
        event |= columns
    return books


def test_withheld_orders_are_counted_by_reason() -> None:
    books = OrderRecords().order()
    for reason, times in (("no_consent", 3), ("not_confirmed", 1)):
        books.order(status="withheld", verdict="withheld", reason=reason, times=times)
    books.order(status="covered_by_pixel", reason="pixel_reported")
    row = only(books.health())
    expected = '{"no_consent":3,"not_confirmed":1,"pixel_reported":1}'
    assert (row["withheld_reasons"], row["withheld"]) == (expected, 5)


def test_orders_whose_source_could_be_read_are_counted_by_action_source() -> None:
    books = changed(OrderRecords().order(times=3), *[{"action_source": "website"}] * 3)
    changed(books.order(status="withheld", verdict="withheld"), {"action_source": "app"})
    changed(books.order(), {"action_source": "physical_store"})
    sources = only(
        books.quarantine(dataset_id="d1", event_name="Purchase", currency="EUR").health()
    )
    assert sources["action_sources"] == '{"app":1,"physical_store":1,"website":3}'


def test_the_median_value_is_of_orders_that_have_one_and_the_others_are_counted() -> None:
    books = OrderRecords()
    for value in (0.0, None, 10.0, 20.0, 90.0, float("nan")):
        books.order(value=value)
    books.order(value=5000.0, status="withheld", verdict="withheld")
    row = only(books.health())
    assert (row["value_p50"], row["zero_value"]) == (20.0, 3)
    assert only(OrderRecords().order(value=0.0).health())["value_p50"] is None


@pytest.mark.parametrize(
    ("columns", "lookalikes"),
    [
        ([{}, {}], 1),
        ([{}, {}, {}], 2),
        ([{}, {"value": 10.01}], 0),
        ([{}, {"currency": "USD"}], 0),
        ([{}, {"event_name": "Lead"}], 0),
        ([{"person": "ea"}, {"person": "ea", "occurred_at": H + timedelta(minutes=9)}], 1),
        ([{"person": "ea"}, {"person": "eb"}], 0),
        ([{}, {"occurred_at": H + timedelta(seconds=1)}], 0),
        ([{}, {"order_id": "o0", "event_id": "another"}], 0),
        ([{}, {"verdict": "withheld"}], 0),
    ],
)
def test_orders_like_an_earlier_one_are_counted(columns: list[dict], lookalikes: int) -> None:
    books = changed(OrderRecords().order(times=len(columns), status=None), *columns)
    rows = books.health(H).to_pylist()
    assert sum(row["lookalikes"] for row in rows) == lookalikes


def test_a_feed_that_lands_every_order_twice_has_half_of_its_orders_twice() -> None:
    people = [{"person": f"e{n}"} for n in range(20)]
    row = only(changed(OrderRecords().order(times=40), *people, *people).health())
    assert row["lookalikes"] == row["eligible"] / 2 == 20


def test_orders_that_share_an_event_id_are_counted() -> None:
    books = OrderRecords().order(times=5)
    for n in (1, 2):
        books.events[n]["event_id"] = books.events[0]["event_id"]
    assert only(books.health())["shared_event_id"] == 3
