"""Ids that are contact data: the advertiser's own are hashed, those of Meta are removed."""

from __future__ import annotations

import pytest

from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.pii_scan import stored_id
from tests.helpers.factories import digest, land, landed_order, landed_visit
from tests.helpers.ingest_harness import IngestHarness

ANA = "ana.silva@example.com"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (ANA, ANA),
        (" Ana.Silva@Example.com ", ANA),
        (f"web-{ANA}-17", f"web-{ANA}-17"),
        ("ana.silva%40example.com", "ana.silva%40example.com"),
        ("+351 912 345 678", "+351 912 345 678"),
        ("web +351912345678", "web +351912345678"),
        ("Ana Silva", "ana silva"),
        ("YILMAZ, Ayşe 17", "yilmaz, ayşe 17"),
    ],
)
def test_an_id_with_contact_data_is_stored_as_its_digest(given: str, text: str) -> None:
    assert stored_id(given) == digest(text)
    assert stored_id(stored_id(given)) == digest(text)


@pytest.mark.parametrize(
    "given",
    [
        "17",
        "#1001",
        "A+17",
        "351912345678",
        "gid://shopify/Order/5",
        "a@b",
        "+17",
        "x@1",
        "web order 17",
        "INV 2026 17",
        "Order 17",
    ],
)
def test_any_other_id_stays(given: str) -> None:
    assert stored_id(given) == given


def test_own_ids_are_hashed_in_orders_and_the_default_event_id_follows(
    harness: IngestHarness,
) -> None:
    row = landed_order(order_id="Ana.Silva@example.com", visit_id=ANA, subscription_id=ANA)
    land(harness.landing, "orders", "a.csv", [row])
    (order,) = harness.rows("orders")
    assert order["order_id"] == order["visit_id"] == order["subscription_id"] == digest(ANA)
    assert order["event_id"] == f"Purchase:{digest(ANA)}"
    assert set(order["dropped_fields"].split()) == {
        "order_id:contact_hashed",
        "visit_id:contact_hashed",
        "subscription_id:contact_hashed",
    }


def test_an_event_id_is_hashed_too(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(event_id=f"Purchase:{ANA}")])
    (order,) = harness.rows("orders")
    assert (order["order_id"], order["event_id"]) == ("o1", digest(f"purchase:{ANA}"))
    assert order["dropped_fields"] == "event_id:contact_hashed"


def test_visits_get_the_same_digest_as_their_orders(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.csv", [landed_visit(visit_id=ANA)])
    (visit,) = harness.rows("visits")
    assert visit["visit_id"] == digest(ANA)


def test_repeats_of_an_order_in_other_letters_stay_one_order(harness: IngestHarness) -> None:
    rows = [landed_order(order_id=ANA), landed_order(order_id=ANA.upper(), value="50")]
    land(harness.landing, "orders", "a.csv", rows)
    hour = harness.hour("orders")
    assert (hour.rows.column("value").to_pylist(), hour.repeats) == ([50.0], 1)


@pytest.mark.parametrize(
    "column", ["lead_id", "fb_login_id", "anon_id", "madid", "client_user_agent"]
)
def test_contact_data_is_no_id_of_meta(harness: IngestHarness, column: str) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(**{column: ANA})])
    (order,) = harness.rows("orders")
    assert (order[column], order["dropped_fields"]) == (None, f"{column}:contact_removed")


@pytest.mark.parametrize(
    ("column", "given", "stored"),
    [
        ("content_ids", f'["A","{ANA}"]', '["A"]'),
        ("contents", f'[{{"id":"{ANA}","quantity":1}}]', "[]"),
        ("app_data", f'{{"vendor_id":"{ANA}","extinfo":["a2"]}}', '{"extinfo":["a2"]}'),
        ("user_data", f'{{"page_id":"{ANA}","ctwa_clid":"x1"}}', '{"ctwa_clid":"x1"}'),
    ],
)
def test_ids_in_json_lose_contact_data(
    harness: IngestHarness, column: str, given: str, stored: str
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(**{column: given})])
    (order,) = harness.rows("orders")
    assert order[column] == stored
    assert order["dropped_fields"].startswith(f"{column}.")
    assert order["dropped_fields"].endswith(":contact_removed")


def test_an_external_id_that_is_sent_unhashed_is_hashed_if_it_is_an_address(
    harness: IngestHarness,
) -> None:
    rows = [
        landed_order(external_id="Ana@Example.com"),
        landed_order(order_id="o2", external_id="U1"),
    ]
    land(harness.landing, "orders", "a.csv", rows)
    first, second = harness.rows("orders", policy=HashPolicy(hash_external_id=False))
    assert first["external_id"] == digest("ana@example.com")
    assert first["dropped_fields"] == "external_id:contact_hashed"
    assert (second["external_id"], second["dropped_fields"]) == ("U1", None)


def test_an_id_with_contact_data_is_not_shown_in_the_quarantine(harness: IngestHarness) -> None:
    rows = [landed_order(order_id=text, value="x") for text in (ANA, "+351 912 345 678")]
    land(harness.landing, "orders", "a.csv", rows)
    assert [row["row_id"] for row in harness.refused("orders")] == [None, None]
