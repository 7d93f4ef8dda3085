"""Orders as they stand in the books: the latest status, hashed, with every loss accounted for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capi_assets.contracts.base import conform
from capi_assets.contracts.orders import Orders
from tests.helpers.factories import DATASET, HOUR, H, at, digest, fbc, land, landed_order
from tests.helpers.ingest_harness import IngestHarness


def test_an_order_needs_no_more_than_its_required_columns(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order()])
    (order,) = harness.rows("orders")
    given = {name: value for name, value in order.items() if value is not None}
    assert given == {
        "order_id": "o1",
        "occurred_at": at(),
        "event_name": "Purchase",
        "event_id": "Purchase:o1",
        "action_source": "website",
        "status": "confirmed",
        "value": 49.9,
        "currency": "EUR",
        "dataset_id": DATASET,
    }


def test_contacts_are_stored_as_digests(harness: IngestHarness) -> None:
    row = landed_order(
        email="Ana@Example.com",
        phone="(21) 91234-5678",
        first_name=" Ana ",
        last_name="da Silva",
        date_of_birth="1990-01-31",
        gender="F",
        city="São Paulo",
        state="SP",
        zip="01310-100",
        country="Brazil",
        external_id="u1",
    )
    land(harness.landing, "orders", "a.csv", [row])
    (order,) = harness.rows("orders")
    assert order["dropped_fields"] is None
    assert order["em"] == digest("ana@example.com")
    assert order["ph"] == digest("5521912345678")
    assert order["fn"] == digest("ana")
    assert order["db"] == digest("19900131")
    assert order["ge"] == digest("f")
    assert order["country"] == digest("br")
    assert order["external_id"] == digest("u1")
    for key in ("ln", "ct", "st", "zp"):
        assert len(order[key]) == 64


def test_nobody_is_born_after_the_day_of_the_order(harness: IngestHarness) -> None:
    rows = [
        landed_order(order_id="o1", date_of_birth="2026-11-20"),
        landed_order(order_id="o2", date_of_birth="2026-11-21"),
    ]
    land(harness.landing, "orders", "a.csv", rows)
    first, second = harness.rows("orders")
    assert first["db"] == digest("20261120")
    assert (second["db"], second["dropped_fields"]) == (None, "date_of_birth:year_out_of_range")


def test_a_birth_date_is_judged_by_its_own_orders_day_in_any_range(harness: IngestHarness) -> None:
    hours = [H + 12 * n * HOUR for n in range(4)]
    for n, hour in enumerate(hours):
        row = landed_order(order_id=f"o{n}", occurred_at=at(5, hour).isoformat())
        land(harness.landing, "orders", "a.csv", [{**row, "date_of_birth": "2026-11-21"}], hour)
    alone = [harness.hour("orders", hours=[hour]).rows for hour in hours]
    assert [rows.column("db").null_count for rows in alone] == [1, 0, 0, 0]
    deliver_hourly = [H + n * HOUR for n in range(37)]
    within = {h.hour: h.rows for h in harness.ingest("orders", deliver_hourly).hours}
    assert [within[hour] for hour in hours] == alone


# The latest status


def test_the_status_that_landed_last_counts(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "1.csv", [landed_order(), landed_order(order_id="o2")])
    land(harness.landing, "orders", "2.jsonl", [landed_order(status="refunded")])
    hour = harness.hour("orders")
    assert hour.repeats == 1
    assert {row["order_id"]: row["status"] for row in hour.rows.to_pylist()} == {
        "o1": "refunded",
        "o2": "confirmed",
    }


def test_within_a_file_the_later_line_counts(harness: IngestHarness) -> None:
    rows = [landed_order(status=status) for status in ("pending", "confirmed", "cancelled")]
    land(harness.landing, "orders", "a.csv", rows)
    hour = harness.hour("orders")
    assert (hour.rows.column("status").to_pylist(), hour.repeats) == (["cancelled"], 2)


def test_identical_repeats_are_counted_and_not_kept(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order()] * 5)
    hour = harness.hour("orders")
    assert (hour.rows.num_rows, hour.repeats) == (1, 4)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-20 08:05:00 -0500",
        "2026-11-20 13:05:00 +00:00",
        "2026-11-20 14:05:00.0000000 +01:00",
        "2026-11-20 13:05:00 UTC",
    ],
)
def test_times_as_shops_and_warehouses_write_them_are_read(
    harness: IngestHarness, written: str
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(occurred_at=written)])
    (order,) = harness.rows("orders")
    assert order["occurred_at"] == at(5)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("2026-11-20 13:05:00 BST", "ambiguous_zone"),
        ("2026-11-20 13:05:00 CST", "ambiguous_zone"),
        ("20261120", "not_a_time_date_only"),
        ("46353.29", "not_a_time_excel_serial"),
    ],
)
def test_a_time_that_would_be_guessed_is_refused_with_its_reason(
    harness: IngestHarness, written: str, reason: str
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(occurred_at=written)])
    (refused,) = harness.refused("orders")
    assert refused["reasons"] == f"occurred_at:{reason}"


def test_a_flag_that_a_spreadsheet_made_a_number_is_read(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(consent="1.0", opt_out="0.0")])
    (order,) = harness.rows("orders")
    assert (order["consent"], order["opt_out"]) == (True, False)


def test_a_json_array_is_read(harness: IngestHarness) -> None:
    rows = [landed_order(order_id="o1"), landed_order(order_id="o2")]
    land(harness.landing, "orders", "a.json", json.dumps(rows).encode())
    assert [row["order_id"] for row in harness.rows("orders")] == ["o1", "o2"]


def test_events_and_datasets_keep_their_own_orders(harness: IngestHarness) -> None:
    rows = [landed_order(), landed_order(event_name="Lead"), landed_order(dataset_id="999")]
    land(harness.landing, "orders", "a.csv", rows)
    hour = harness.hour("orders")
    assert (hour.rows.num_rows, hour.repeats) == (3, 0)


def test_a_broken_later_row_does_not_replace_a_good_one(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(), landed_order(status="gone")])
    hour = harness.hour("orders")
    assert hour.rows.column("status").to_pylist() == ["confirmed"]
    assert hour.quarantine.num_rows == 1


def test_an_order_may_come_again_in_another_hour(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order()])
    later = landed_order(occurred_at=at(5, H + HOUR).isoformat())
    land(harness.landing, "orders", "a.csv", [later], H + HOUR)
    assert [h.rows.num_rows for h in harness.ingest("orders", [H, H + HOUR]).hours] == [1, 1]


# Required and binding columns


@pytest.mark.parametrize(
    ("row", "reasons"),
    [
        ({"value": ""}, "value:missing"),
        ({"currency": ""}, "currency:missing"),
        ({"value": None, "currency": None}, "currency:missing value:missing"),
        ({"value": "12,50"}, "value:not_a_number"),
        ({"value": "-1"}, "value:negative"),
        ({"value": "1e12"}, "value:too_large"),
        ({"currency": "euro"}, "currency:not_allowed"),
        ({"currency": "XXX"}, "currency:not_allowed"),
        ({"order_id": ""}, "order_id:missing"),
        ({"occurred_at": "13:05"}, "occurred_at:not_a_time"),
        ({"action_source": "web"}, "action_source:not_allowed"),
        ({"status": "paid"}, "status:not_allowed"),
        ({"event_name": "x" * 51}, "event_name:wrong_length"),
        ({"order_id": "o\0 1"}, "order_id:nul_character"),
        ({"event_name": "Pur\0chase"}, "event_name:nul_character"),
        ({"event_name": "Lead", "status": "paid", "value": "free"}, "status:not_allowed"),
        ({"consent": "perhaps"}, "consent:not_true_or_false"),
        ({"opt_out": "maybe"}, "opt_out:not_true_or_false"),
        ({"data_processing_options": "LDU"}, "data_processing_options:not_json"),
        ({"data_processing_options": '"LDU"'}, "data_processing_options:not_a_list"),
        (
            {"data_processing_options_country": "USA"},
            "data_processing_options_country:not_a_whole_number",
        ),
        (
            {"order_id": "", "value": "x", "status": "?", "currency": "??"},
            "currency:not_allowed order_id:missing status:not_allowed value:not_a_number",
        ),
    ],
)
def test_a_broken_order_is_quarantined_with_every_reason(
    harness: IngestHarness, row: dict[str, Any], reasons: str
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(order_id="fine"), landed_order(**row)])
    hour = harness.hour("orders")
    assert hour.rows.column("order_id").to_pylist() == ["fine"]
    (refused,) = hour.quarantine.to_pylist()
    assert (refused["reasons"], refused["line"]) == (reasons, 3)
    assert refused["source"] == "orders/2026-11-20/13/a.csv"


def test_no_value_column_at_all_quarantines_every_purchase_and_no_lead(
    harness: IngestHarness,
) -> None:
    lead = {"order_id": "o2", "occurred_at": at().isoformat(), "event_name": "Lead"}
    land(
        harness.landing, "orders", "a.jsonl", [{**lead, "order_id": "o1", "event_name": None}, lead]
    )
    hour = harness.hour("orders")
    assert hour.rows.column("order_id").to_pylist() == ["o2"]
    assert [r["reasons"] for r in hour.quarantine.to_pylist()] == ["currency:missing value:missing"]


# Optional columns


@pytest.mark.parametrize(
    ("row", "dropped"),
    [
        ({"email": "ana at example"}, "email:not_an_address"),
        ({"num_items": "two"}, "num_items:not_a_whole_number"),
        ({"num_items": "-1"}, "num_items:negative"),
        ({"content_type": "thing"}, "content_type:not_allowed"),
        ({"contents": "A,B"}, "contents:not_json"),
        ({"contents": "{}"}, "contents:not_a_list"),
        ({"custom_data": "[]"}, "custom_data:not_an_object"),
        ({"user_data": '{"em": "ana@example.com"}'}, "user_data.em:key_removed"),
        ({"event_id": "x" * 257}, "event_id:wrong_length"),
        ({"event_id": "e\0"}, "event_id:nul_character"),
        ({"event_source_url": "x" * 9000}, "event_source_url:wrong_length"),
        ({"pixel_reported_at": "later"}, "pixel_reported_at:not_a_time"),
        ({"client_ip_address": "not an ip"}, "client_ip_address:not_an_ip"),
        ({"event_name": "Lead", "value": "free"}, "value:not_a_number"),
        ({"event_name": "Lead", "value": "5", "currency": ""}, "value:no_currency"),
        (
            {"event_name": "Lead", "value": "5", "currency": "?"},
            "currency:not_allowed value:no_currency",
        ),
    ],
)
def test_a_broken_optional_field_costs_the_field(
    harness: IngestHarness, row: dict[str, Any], dropped: str
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(**row)])
    (order,) = harness.rows("orders")
    assert order["dropped_fields"] == dropped


def test_extra_match_keys_are_kept_and_raw_contacts_among_them_are_not_stored(
    harness: IngestHarness,
) -> None:
    known = {"ctwa_clid": "abc", "page_id": 12}
    rows = [
        landed_order(order_id="known", user_data=known),
        landed_order(order_id="raw", user_data={**known, "email": "ana@example.com"}),
    ]
    land(harness.landing, "orders", "a.csv", rows)
    stored = {row["order_id"]: row["user_data"] for row in harness.rows("orders")}
    assert json.loads(stored["raw"]) == json.loads(stored["known"]) == known


def test_a_dropped_event_id_gives_way_to_the_default(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(event_id="x" * 300)])
    (order,) = harness.rows("orders")
    assert order["event_id"] == "Purchase:o1"


def test_several_dropped_fields_are_all_named_and_neighbours_lose_nothing(
    harness: IngestHarness,
) -> None:
    bad = landed_order(order_id="bad", num_items="two", email="@", contents="[", city="Faro")
    land(harness.landing, "orders", "a.csv", [bad, landed_order(order_id="good", email="a@x.pt")])
    kept = {row["order_id"]: row for row in harness.rows("orders")}
    names = [entry.split(":")[0] for entry in kept["bad"]["dropped_fields"].split()]
    assert names == ["contents", "num_items", "email"]
    assert kept["bad"]["ct"] == digest("faro")
    assert kept["good"]["dropped_fields"] is None
    assert kept["good"]["em"] == digest("a@x.pt")


def test_whole_numbers_from_a_spreadsheet_are_whole(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(num_items="3.0", value="5")])
    (order,) = harness.rows("orders")
    assert (order["num_items"], order["value"]) == (3, 5.0)


# Clicks


def test_an_order_keeps_its_cookie_and_a_bare_click_id_waits_for_its_visit(
    harness: IngestHarness,
) -> None:
    cookie = fbc("IwAR1", at(-60))
    rows = [
        landed_order(order_id="cookie", fbc=cookie),
        landed_order(order_id="named", fbclid="IwAR2"),
        landed_order(order_id="in url", event_source_url="https://s.example/?fbclid=IwAR3"),
        landed_order(order_id="bare", fbc="IwAR4"),
        landed_order(order_id="both", fbc=cookie, fbclid="IwAR5"),
        landed_order(order_id="same", fbc=cookie, fbclid="IwAR1"),
    ]
    land(harness.landing, "orders", "a.csv", rows)
    assert {row["order_id"]: (row["fbc"], row["fbclid"]) for row in harness.rows("orders")} == {
        "cookie": (cookie, "IwAR1"),
        "named": (None, "IwAR2"),
        "in url": (None, "IwAR3"),
        "bare": (None, "IwAR4"),
        "both": (cookie, "IwAR5"),
        "same": (cookie, "IwAR1"),
    }


def test_what_is_stored_keeps_the_contract(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(email="a@x.pt", fbclid="IwAR1")])
    rows = harness.hour("orders").rows
    assert conform(rows, Orders) == rows


def test_an_order_id_that_is_a_placeholder_is_missing(harness: IngestHarness) -> None:
    rows = [landed_order(order_id=word) for word in ("null", "(not set)", "{{order.id}}", "o1")]
    land(harness.landing, "orders", "a.jsonl", rows)
    hour = harness.hour("orders")
    assert hour.rows.column("order_id").to_pylist() == ["o1"]
    assert hour.quarantine.column("reasons").to_pylist() == ["order_id:missing"] * 3
