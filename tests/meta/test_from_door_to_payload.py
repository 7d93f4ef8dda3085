"""An order's whole way: as it lands, through the door and its visit, to the bytes Meta gets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.visits import Visits
from capi_assets.delivery.ledger.schema import STATE
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.eligibility import EventPolicy, matched_events_of
from capi_assets.engine import DuckDBEngine
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.orders import ingest_orders
from capi_assets.ingest.visits import ingest_visits
from capi_assets.matching import match
from capi_assets.sandbox.rules.validate import validate_event
from tests.helpers.factories import (
    DATASET,
    HOUR,
    H,
    Row,
    at,
    digest,
    fbc,
    land,
    landed_order,
    landed_visit,
)

Door = Callable[..., pa.Table]

POLICY = HashPolicy()
EMAIL = "John_Smith@gmail.com"
SHA_OF_EMAIL = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"  # Meta's vectors
SHA_OF_PHONE = "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"

EXTINFO = ["a2", "com.shop", "1.0", "1.0 long", "14", "Pixel 8", "de_DE", "CET", *[None] * 8]
PLACED_AT = int(at().timestamp())


@pytest.fixture
def door(landing: Path, connection: duckdb.DuckDBPyConnection) -> Door:
    """`matched_events` of orders that landed now, with these visits before them."""

    def through(
        *orders: Row, visits: tuple[Row, ...] = (), policy: HashPolicy = POLICY
    ) -> pa.Table:
        came = arrow_schema(Visits).empty_table()
        if visits:
            land(landing, "visits", "site.jsonl", visits)
            site = LandingFolder(landing, "visits")
            came = ingest_visits(site, [H], policy, connection).hours[0].rows
        land(landing, "orders", "shop.jsonl", orders)
        shop = LandingFolder(landing, "orders")
        (placed,) = ingest_orders(shop, [H], policy, DATASET, connection).hours
        assert not placed.quarantine.num_rows, placed.quarantine["reasons"].to_pylist()
        matched = match(placed.rows, came, timedelta(days=7), DuckDBEngine(connection))
        return matched_events_of(matched, EventPolicy())

    return through


def all_sent(events: pa.Table) -> list[Row]:
    """The events of orders that are all ready, by order_id; the sandbox has to take each."""
    found = []
    for row in sorted(events.to_pylist(), key=lambda row: row["order_id"]):
        assert row["verdict"] == "ready", row["reason"]
        event: Row = orjson.loads(row["payload"])
        assert validate_event(event, H + HOUR) is None
        assert sorted(event["user_data"]) == row["match_keys"].split()
        found.append(event)
    return found


def sent(events: pa.Table) -> Row:
    """The event of the one order."""
    (event,) = all_sent(events)
    return event


def each(changes: Iterable[Row], **values: Any) -> list[Row]:
    """One order of somebody with an e-mail per change, ids o1 and on."""
    return [of("email", order_id=f"o{n}", **values, **row) for n, row in enumerate(changes, 1)]


def of(source: str, **values: Any) -> Row:
    """An order of this action source, of somebody with an e-mail."""
    return landed_order(**{"action_source": source, "email": EMAIL, **values})


def test_a_website_order_takes_from_its_visit_what_the_browser_knew(door: Door) -> None:
    visit = landed_visit(
        page_url="https://shop.example/shoes?fbclid=IwAR2F4-dbP0",
        referrer_url="https://www.facebook.com/",
        client_ip_address="203.0.113.7, 10.0.0.1",
        client_user_agent="Mozilla/5.0",
        fbp="fb.1.1596403881668.1116446470",
    )
    order = landed_order(visit_id="v1", occurred_at=at(20).isoformat(), email=EMAIL)
    assert sent(door(order, visits=(visit,))) == {
        "event_name": "Purchase",
        "event_time": int(at(20).timestamp()),
        "event_id": "Purchase:o1",
        "action_source": "website",
        "event_source_url": visit["page_url"],
        "referrer_url": visit["referrer_url"],
        "user_data": {
            "em": [SHA_OF_EMAIL],
            "client_ip_address": "203.0.113.7",
            "client_user_agent": "Mozilla/5.0",
            "fbc": fbc("IwAR2F4-dbP0", at()),
            "fbp": "fb.1.1596403881668.1116446470",
        },
        "custom_data": {"order_id": "o1", "value": 49.9, "currency": "EUR"},
    }


def test_a_website_order_without_a_visit_goes_with_what_the_order_has(door: Door) -> None:
    (row,) = (events := door(landed_order(email=EMAIL))).to_pylist()
    assert (row["verdict"], row["without_browser"]) == ("ready", True)
    assert sent(events)["user_data"] == {"em": [SHA_OF_EMAIL]}


def test_without_a_match_key_of_its_own_it_is_too_weak(door: Door) -> None:
    (row,) = door(landed_order(country="gb")).to_pylist()
    assert (row["verdict"], row["reason"]) == ("invalid", "weak_match_keys")


def test_orders_without_a_browser_need_none(door: Door) -> None:
    sources = ("phone_call", "email", "chat", "system_generated", "other")
    orders = [of(s, order_id=s, currency="eur", value="1e2") for s in sources]
    for source, event in zip(sorted(sources), all_sent(door(*orders)), strict=True):
        assert event == {
            "event_name": "Purchase",
            "event_time": PLACED_AT,
            "event_id": f"Purchase:{source}",
            "action_source": source,
            "user_data": {"em": [SHA_OF_EMAIL]},
            "custom_data": {"order_id": source, "value": 100.0, "currency": "EUR"},
        }


def test_a_sale_in_the_shop_keeps_its_goods_and_its_store_and_has_62_days(door: Door) -> None:
    order = of(
        "physical_store",
        phone="(650)555-1212",
        country="United States",
        contents=[{"id": 7, "quantity": 2, "item_price": 24.95, "brand": "B"}],
        custom_data={"store_data": {"store_code": "9"}, "item_number": "1"},
    )
    events = door(order)
    event = sent(events)
    assert "event_source_url" not in event
    assert event["user_data"].items() >= {"ph": [SHA_OF_PHONE], "country": [digest("us")]}.items()
    assert event["custom_data"]["contents"] == [
        {"brand": "B", "id": "7", "item_price": 24.95, "quantity": 2}
    ]
    assert event["custom_data"]["store_data"] == {"store_code": "9"}
    assert events["deliver_until"][0].as_py() == at() + timedelta(days=62, minutes=-30)


def test_an_order_in_the_app_says_what_device_it_was(door: Door) -> None:
    device = {"advertiser_tracking_enabled": False, "extinfo": EXTINFO}
    event = sent(door(of("app", app_data=device, madid="38400000-8cf0-11bd", anon_id="XZ-1")))
    assert event["app_data"] == {
        "advertiser_tracking_enabled": 0,
        "extinfo": [position or "" for position in EXTINFO],
    }
    assert event["user_data"]["madid"] == "38400000-8cf0-11bd"
    assert event["user_data"]["anon_id"] == "XZ-1"


def test_a_sale_in_a_conversation_names_it(door: Door) -> None:
    conversations = {
        "instagram": {"ig_account_id": "1053", "ig_sid": "77"},
        "messenger": {"page_id": "1053", "page_scoped_user_id": "77"},
        "whatsapp": {"ctwa_clid": "ARAkLkA8rmlFeiCktEJQ", "page_id": "1053"},
    }
    orders = [
        landed_order(
            order_id=channel,
            action_source="business_messaging",
            messaging_channel=channel,
            user_data=ids,
        )
        for channel, ids in conversations.items()
    ]
    found = {event["messaging_channel"]: event["user_data"] for event in all_sent(door(*orders))}
    assert found == conversations


def test_a_lead_of_metas_own_form_needs_no_money_and_no_contact(door: Door) -> None:
    order = landed_order(
        event_name="Lead",
        action_source="system_generated",
        lead_id=525645896321548,
        value=None,
        currency=None,
        custom_data={"event_source": "crm", "lead_event_source": "Our CRM"},
    )
    event = sent(door(order))
    assert event["event_id"] == "Lead:o1"
    assert event["user_data"] == {"lead_id": "525645896321548"}
    assert event["custom_data"] == {
        "order_id": "o1",
        "event_source": "crm",
        "lead_event_source": "Our CRM",
    }


def test_a_custom_event_keeps_its_name_letter_by_letter(door: Door) -> None:
    event = sent(door(of("phone_call", event_name="Angebot geprüft", value=None, currency=None)))
    assert (event["event_name"], event["event_id"]) == ("Angebot geprüft", "Angebot geprüft:o1")


def test_limited_data_use_reaches_meta_with_its_place(door: Door) -> None:
    option = "data_processing_options"
    landed = [
        {option: ["LDU"], f"{option}_state": "1000"},
        {option: '["LDU"]', "client_ip_address": "203.0.113.7"},
        {option: []},
        {},
    ]
    assert [
        (event.get(option), event.get(f"{option}_country"), event.get(f"{option}_state"))
        for event in all_sent(door(*each(landed)))
    ] == [(["LDU"], 1, 1000), (["LDU"], 0, 0), ([], None, None), (None, None, None)]


def test_opting_out_of_optimisation_reaches_meta(door: Door) -> None:
    landed = [{"opt_out": flag} for flag in ("yes", False, None)]
    found = [event.get("opt_out") for event in all_sent(door(*each(landed)))]
    assert found == [True, False, None]


def test_an_external_id_is_hashed_unless_the_browser_sends_it_bare(door: Door) -> None:
    order = landed_order(action_source="other", external_id=' Kunde-"7\\A" ')
    assert sent(door(order))["user_data"] == {"external_id": [digest('kunde-"7\\a"')]}
    exact = replace(POLICY, external_id_form="exact")
    assert sent(door(order, policy=exact))["user_data"] == {"external_id": [digest('Kunde-"7\\A"')]}
    bare = replace(POLICY, hash_external_id=False)
    assert sent(door(order, policy=bare))["user_data"] == {"external_id": ['Kunde-"7\\A"']}


def test_a_visit_lends_its_external_id_as_the_setting_has_it(door: Door) -> None:
    visit = landed_visit(external_id="Kunde-7", email=EMAIL)
    for hashed, expected in ((True, digest("kunde-7")), (False, "Kunde-7")):
        policy = replace(POLICY, hash_external_id=hashed)
        event = sent(door(of("phone_call"), visits=(visit,), policy=policy))
        assert event["user_data"] == {"em": [SHA_OF_EMAIL], "external_id": [expected]}


def test_several_addresses_go_out_as_several_digests(door: Door) -> None:
    lists = [f"{EMAIL}; ann@example.com", f'["{EMAIL}", "ann@example.com", "no address"]']
    for event in all_sent(door(*each({"email": landed} for landed in lists))):
        assert event["user_data"] == {"em": [SHA_OF_EMAIL, digest("ann@example.com")]}


def test_what_was_hashed_before_is_not_hashed_again(door: Door) -> None:
    appended = f"{SHA_OF_EMAIL}.AQQCAQIB"
    landed = [SHA_OF_EMAIL, SHA_OF_EMAIL.upper(), f"  {SHA_OF_EMAIL}", appended]
    events = all_sent(door(*each({"email": text} for text in landed)))
    assert [event["user_data"]["em"] for event in events] == [[SHA_OF_EMAIL]] * 3 + [[appended]]


def test_a_broken_field_costs_the_field_and_not_the_conversion(door: Door) -> None:
    order = of("email", phone="123", date_of_birth="02-03-1997", contents="[", opt_out="")
    event = sent(door(order))
    assert event["user_data"] == {"em": [SHA_OF_EMAIL]}
    assert event["custom_data"] == {"order_id": "o1", "value": 49.9, "currency": "EUR"}


def test_nothing_of_a_persons_contact_data_is_in_the_event(door: Door) -> None:
    person = {
        "email": "ines.quijano@example.org",
        "phone": "+351 912 345 678",
        "first_name": "Inesita",
        "last_name": "Quijano",
        "date_of_birth": "1987-04-23",
        "gender": "female",
        "city": "Peniche",
        "state": "Leiria",
        "zip": "2520-294",
        "country": "Portugal",
        "external_id": "cust-90210",
    }
    events = door(landed_order(action_source="phone_call", **person))
    user = sent(events)["user_data"]
    assert len(user) == len(person)
    assert user["db"] == [digest("19870423")]
    assert user["zp"] == [digest("2520294")]
    stored = json.dumps(events.to_pylist(), default=str).lower()
    assert not [value for value in person.values() if value.lower() in stored]


def test_customer_segmentation_stays_in_custom_data_where_it_is_taken(door: Door) -> None:
    segment = {"customer_segmentation": "new_customer_to_business", "predicted_ltv": 300}
    event = sent(door(of("email", custom_data=segment)))
    assert event["custom_data"].items() >= segment.items()
    assert "customer_segmentation" not in event


# Refunds


def test_a_refund_is_an_event_of_its_own_that_names_the_first(door: Door) -> None:
    original = {"event_name": "Purchase", "event_id": "Purchase:o1", "event_time": PLACED_AT}
    refund = of(
        "email",
        event_name="Refund",
        occurred_at=at(40).isoformat(),
        custom_data={"original_event_data": original},
    )
    events = door(of("email"), refund)
    bought, refunded = (orjson.loads(payload) for payload in events["payload"].to_pylist())
    assert refunded["event_id"] == "Refund:o1" != bought["event_id"]
    assert refunded["original_event_data"] == original
    assert refunded["event_time"] == int(at(40).timestamp())
    assert refunded["custom_data"]["value"] == bought["custom_data"]["value"]
    assert validate_event(refunded, H + HOUR) is None


NOW = H + 2 * HOUR


def known(events: pa.Table, state: str) -> pa.Table:
    """What the ledger says after one attempt that ended so."""
    row = {name: events[name][0].as_py() for name in STATE.names if name in events.column_names}
    attempt = {"state": state, "attempts": 1, "first_attempt_at": at(50), "last_attempt_at": at(50)}
    return pa.Table.from_pylist([{**dict.fromkeys(STATE.names), **row, **attempt}], schema=STATE)


@pytest.mark.parametrize("status", ["refunded", "cancelled"])
def test_what_is_taken_back_is_never_sent_again_and_never_undone(door: Door, status: str) -> None:
    confirmed = door(of("email"))
    taken_back = door(of("email", status=status))
    (row,) = taken_back.to_pylist()
    assert (row["verdict"], row["reason"], row["payload"]) == ("withheld", status, None)

    def now(ledger: pa.Table) -> tuple[str, str | None]:
        (planned,) = plan(taken_back, ledger, NOW, Policy()).to_pylist()
        return planned["action"], planned["reason"]

    assert now(STATE.empty_table()) == ("withheld", status)
    for state in ("pending", "unknown", "rejected"):
        assert now(known(confirmed, state)) == ("withheld", status)
    assert now(known(confirmed, "delivered")) == ("already_delivered", None)


def test_an_order_confirmed_again_is_sent_after_all(door: Door) -> None:
    door(of("email", status="cancelled"))
    events = door(of("email"))
    (planned,) = plan(events, STATE.empty_table(), NOW, Policy()).to_pylist()
    assert planned["action"] == "send"


# Placeholders and click ids

SITE = {
    "page_url": "https://shop.example/shoes",
    "client_ip_address": "203.0.113.7",
    "client_user_agent": "Mozilla/5.0",
}
NOTHING = ("-", "null", "undefined", "anon", "(not set)", "{{user_id}}", "\\N", "0" * 32)


def dropped(landing: Path, connection: duckdb.DuckDBPyConnection, **values: Any) -> str | None:
    """`dropped_fields` of an order that landed with these values."""
    land(landing, "orders", "shop.jsonl", [landed_order(**values)])
    (hour,) = ingest_orders(
        LandingFolder(landing, "orders"), [H], POLICY, DATASET, connection
    ).hours
    (found,) = hour.rows.column("dropped_fields").to_pylist()
    return found


@pytest.mark.parametrize("key", ["fbclid", "fbp", "external_id", "visit_id", "email", "phone"])
def test_strangers_with_a_placeholder_are_not_one_person(door: Door, key: str) -> None:
    visits = [
        landed_visit(**{**SITE, "email": "ann@example.com", "visit_id": f"v{n}", key: nothing})
        for n, nothing in enumerate(NOTHING if key != "visit_id" else [])
    ]
    lead = {"action_source": "other", "lead_id": "525645896321548"}
    orders = [landed_order(**lead, order_id=f"o{n}", **{key: x}) for n, x in enumerate(NOTHING)]
    events = door(*orders, visits=tuple(visits))
    assert set(events["matched_by"].to_pylist()) == {None}
    for event in all_sent(events):
        assert event["user_data"] == {"lead_id": "525645896321548"}


def test_a_placeholder_is_named_and_the_row_stays(
    landing: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    found = dropped(
        landing,
        connection,
        fbclid="-",
        external_id="{{user_id}}",
        client_user_agent="undefined",
        event_source_url="(not set)",
        first_name="None",
        country="N/A",
        madid="00000000-0000-0000-0000-000000000000",
        user_data={"page_id": "null", "ctwa_clid": "ARAk"},
    )
    fields = ("client_user_agent", "country", "event_source_url", "external_id", "fbclid")
    assert sorted(found.split()) == [
        f"{name}:placeholder" for name in (*fields, "first_name", "madid", "user_data")
    ]


def test_an_event_id_that_is_a_placeholder_gives_way_to_the_default(door: Door) -> None:
    orders = [of("email", order_id=name, event_id="undefined") for name in ("o1", "o2")]
    assert [event["event_id"] for event in all_sent(door(*orders))] == [
        "Purchase:o1",
        "Purchase:o2",
    ]


def test_a_visit_gives_its_browser_and_page_where_the_order_has_none(door: Door) -> None:
    agents = ("null", "undefined", "None", "-", "unknown")
    pages = ("null", "(not set)", "/checkout/thank-you", "shop.example/thanks", "thanks")
    orders = [
        landed_order(
            order_id=f"o{page}", visit_id="v1", client_user_agent=agent, event_source_url=page
        )
        for agent, page in zip(agents, pages, strict=True)
    ]
    for event in all_sent(door(*orders, visits=(landed_visit(**SITE),))):
        assert event["user_data"]["client_user_agent"] == "Mozilla/5.0"
        assert event["event_source_url"] == "https://shop.example/shoes"


def test_a_host_without_scheme_gets_https_if_nothing_better_is_known(door: Door) -> None:
    order = of("website", client_user_agent="Mozilla/5.0", event_source_url="shop.example/thanks")
    assert sent(door(order))["event_source_url"] == "https://shop.example/thanks"


def test_an_unread_country_does_not_keep_the_default_from_reading_phone_and_zip(door: Door) -> None:
    order = of("email", country="N/A", phone="(650)555-1212", zip="94035-1234")
    event = sent(door(order, policy=HashPolicy(default_country="US")))
    assert event["user_data"] == {
        "em": [SHA_OF_EMAIL],
        "ph": [SHA_OF_PHONE],
        "zp": [digest("94035")],
    }


@pytest.mark.parametrize(
    "click",
    [
        {"page_url": "https://shop.example/?fbclid=IwAR0abc%2Fdef%2BGHI"},
        {"page_url": "https://shop.example/?fbclid={{fbclid}}"},
        {"fbclid": "IwAR0abc%2Fdef"},
        {"fbc": "fb.1.1795179900000.IwAR0%20abc"},
        {"fbclid": "fb.1.1795179900000.IwAR0%20abc"},
    ],
)
def test_a_click_id_outside_metas_alphabet_is_named_and_never_sent(
    door: Door, landing: Path, connection: duckdb.DuckDBPyConnection, click: Row
) -> None:
    visit = landed_visit(**{**SITE, **click})
    event = sent(door(landed_order(visit_id="v1"), visits=(visit,)))
    assert "fbc" not in event["user_data"]
    (hour,) = ingest_visits(LandingFolder(landing, "visits"), [H], POLICY, connection).hours
    assert hour.rows.column("dropped_fields").to_pylist() == ["fbc:not_a_click_id"]


def test_the_sandbox_refuses_what_must_never_be_sent(door: Door) -> None:
    event = sent(door(of("phone_call", fbc=fbc("IwAR1", at(-9)))))
    assert event["user_data"]["fbc"] == fbc("IwAR1", at(-9))
    for click in ("IwAR0%20abc", "{{fbclid}}", "-", "Iw/AR", ""):
        event["user_data"]["fbc"] = fbc(click, at(-9))
        refusal = validate_event(event, H + HOUR)
        assert refusal is not None
        assert refusal.subcode == 2804001


def test_a_click_id_column_may_hold_the_whole_cookie(door: Door) -> None:
    cookie = fbc("IwAR2F4-dbP0", at(-30))
    event = sent(door(landed_order(visit_id="v1"), visits=(landed_visit(**SITE, fbclid=cookie),)))
    assert event["user_data"]["fbc"] == cookie


def test_a_lead_id_may_come_as_metas_own_export_writes_it(door: Door) -> None:
    event = sent(door(of("system_generated", lead_id="l:525645896321548")))
    assert event["user_data"]["lead_id"] == "525645896321548"


def test_a_negative_refund_goes_without_its_value_and_names_it(
    door: Door, landing: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    refund = {"event_name": "Refund", "value": -20}
    assert "value" not in sent(door(of("email", **refund)))["custom_data"]
    assert dropped(landing, connection, **refund) == "value:negative"


def test_an_accepted_event_is_not_sent_again_because_its_digest_changed(door: Door) -> None:
    order = of("email", external_id="ABC-123")
    before = door(order, policy=replace(POLICY, external_id_form="exact"))
    now = door(order)
    assert before["payload"] != now["payload"]
    (planned,) = plan(now, known(before, "delivered"), NOW, Policy()).to_pylist()
    assert planned["action"] == "already_delivered"
