from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.meta.events.build import EVENT_SCHEMA, build_events
from capi_assets.meta.events.user_data import HASHED_FIELDS, PLAIN_FIELDS
from capi_assets.meta.limits import ACTION_SOURCES
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS
from tests.helpers.order_rows import (
    EXTINFO,
    PLACED,
    SCHEMA,
    app,
    bare,
    build,
    digest,
    event,
    purchase,
    table,
    whatsapp,
)

Row = dict[str, Any]

# What an event looks like


def test_a_purchase_becomes_the_event_meta_documents() -> None:
    row = purchase(
        event_id='Purchase:"1001"',
        ph=f"{digest('16505551212')} {digest('442079460000')}",
        contents='[{"quantity": 2, "id": "SKU-1", "item_price": 71.26}]',
        content_ids='["SKU-1"]',
        content_type="product",
        num_items=2,
        opt_out=False,
        referrer_url="https://www.example.org/",
    )
    (built,) = build(row)
    assert built["payload"] == (
        '{"event_name":"Purchase","event_time":1795181825,"event_id":"Purchase:\\"1001\\"",'
        '"action_source":"website","event_source_url":"https://shop.example.com/thanks",'
        '"referrer_url":"https://www.example.org/","opt_out":false,'
        f'"user_data":{{"em":["{row["em"]}"],'
        f'"ph":["{digest("16505551212")}","{digest("442079460000")}"],'
        '"client_ip_address":"203.0.113.7","client_user_agent":"Mozilla/5.0",'
        '"fbc":"fb.1.1554763741205.AbCdEfGh"},'
        '"custom_data":{"order_id":"1001","value":142.52,"currency":"EUR",'
        '"contents":[{"id":"SKU-1","item_price":71.26,"quantity":2}],'
        '"content_ids":["SKU-1"],"content_type":"product","num_items":2}}'
    )
    assert built["payload_sha256"] == hashlib.sha256(built["payload"].encode()).hexdigest()
    assert built["match_keys"] == "client_ip_address client_user_agent em fbc ph"
    assert built["event_time"] == 1795181825
    assert built["deliver_until"] == datetime.fromtimestamp(1795181825, UTC) + timedelta(
        days=7, minutes=-30
    )


def test_the_time_of_the_order_is_floored_to_seconds_before_and_after_1970() -> None:
    built = build(
        purchase(occurred_at=PLACED),
        purchase(occurred_at=datetime(1969, 12, 31, 23, 59, 59, 1, UTC)),
    )
    assert [row["event_time"] for row in built] == [int(PLACED.timestamp() // 1), -1]


@pytest.mark.parametrize("source", sorted(ACTION_SOURCES))
def test_every_action_source_can_be_built(source: str) -> None:
    row = {"website": purchase(), "app": app(), "business_messaging": whatsapp()}
    assert event(row.get(source, bare(source)))["action_source"] == source


def test_custom_events_go_out_under_their_own_name() -> None:
    sent = event(purchase(event_name="Qualified lead", value=None, currency=None))
    assert sent["event_name"] == "Qualified lead"
    assert sent["custom_data"] == {"order_id": "1001"}


def test_the_order_id_is_always_sent_and_never_taken_from_the_json() -> None:
    sent = event(purchase(custom_data='{"order_id":"other"}'))
    assert sent["custom_data"]["order_id"] == "1001"


def test_custom_data_is_merged_and_a_column_wins_over_it() -> None:
    loose = {
        "value": 1,
        "currency": "usd",
        "content_type": "product_group",
        "predicted_ltv": "99.5",
        "net_revenue": 12,
        "search_string": "shoes",
        "store_data": {"store_code": "9", "store_page_id": None},
        "delivery_category": "curbside",
        "customer_segmentation": "new_customer_to_business",
        "status": None,
        "Größe": [1, None, {"b": 1, "a": None}],
    }
    sent = event(purchase(currency=None, custom_data=json.dumps(loose)))["custom_data"]
    assert sent == {
        "order_id": "1001",
        "value": 142.52,
        "currency": "USD",
        "content_type": "product_group",
        "predicted_ltv": 99.5,
        "net_revenue": 12,
        "search_string": "shoes",
        "store_data": {"store_code": "9"},
        "delivery_category": "curbside",
        "customer_segmentation": "new_customer_to_business",
        "Größe": [1, {"b": 1}],
    }


def test_a_purchase_may_take_its_value_from_the_json() -> None:
    row = purchase(value=None, custom_data='{"value":"142.52","contents":[{"id":7}],"num_items":3}')
    sent = event(row)["custom_data"]
    assert (sent["value"], sent["contents"], sent["num_items"]) == (142.52, [{"id": "7"}], 3)


def test_a_refund_points_at_the_event_it_corrects() -> None:
    original = {"event_name": "Purchase", "event_id": "Purchase:1001", "event_time": 1795181825}
    row = purchase(event_name="Refund", custom_data=json.dumps({"original_event_data": original}))
    sent = event(row)
    assert sent["original_event_data"] == original
    assert "original_event_data" not in sent["custom_data"]


def test_app_data_has_flags_of_zero_or_one_and_sixteen_texts() -> None:
    positions = [*EXTINFO[:9], 1080, None, 2.5, *[None] * 4]
    data = {"advertiser_tracking_enabled": False, "extinfo": positions, "vendor_id": None}
    assert event(app(app_data=json.dumps(data)))["app_data"] == {
        "advertiser_tracking_enabled": 0,
        "extinfo": [*EXTINFO[:9], "1080", "", "2.5", "", "", "", ""],
    }


@pytest.mark.parametrize(
    ("options", "country", "state", "sent"),
    [
        ('["LDU"]', 1, 1000, (["LDU"], 1, 1000)),
        ('["LDU"]', None, 1000, (["LDU"], 1, 1000)),
        ('["LDU"]', None, None, (["LDU"], 0, 0)),
        ('["LDU"]', None, 0, (["LDU"], 0, 0)),
        ('["LDU"]', 0, 0, (["LDU"], 0, 0)),
        ("[]", 1, 1000, ([], None, None)),
        (None, 1, 1000, (None, None, None)),
    ],
)
def test_limited_data_use_always_says_where(
    options: str | None, country: int | None, state: int | None, sent: tuple[Any, ...]
) -> None:
    found = event(
        purchase(
            data_processing_options=options,
            data_processing_options_country=country,
            data_processing_options_state=state,
        )
    )
    place = "data_processing_options"
    assert (found.get(place), found.get(f"{place}_country"), found.get(f"{place}_state")) == sent


def test_conversations_carry_their_ids_as_text() -> None:
    row = whatsapp(user_data='{"page_id":1053,"ctwa_clid":"c\\"lid","ig_sid":""}')
    assert event(row)["user_data"] == {"ctwa_clid": 'c"lid', "page_id": "1053"}
    assert event(row)["messaging_channel"] == "whatsapp"


def test_hashed_keys_are_lists_and_the_others_are_not() -> None:
    values = dict.fromkeys(HASHED_FIELDS, digest("x")) | dict.fromkeys(PLAIN_FIELDS, "v")
    values |= {"lead_id": "525645896321548", "fbc": "fb.1.1554763741205.AbCdEfGh"}
    sent = event(purchase(**values))["user_data"]
    assert list(sent) == [*HASHED_FIELDS, *PLAIN_FIELDS]
    assert all(isinstance(sent[name], list) for name in HASHED_FIELDS)
    assert all(isinstance(sent[name], str) for name in PLAIN_FIELDS)


def test_the_hashed_fields_are_those_the_door_hashes() -> None:
    assert HASHED_FIELDS == HASHED_KEYS


@pytest.mark.parametrize("raw", ['a"b', "a\\b", "a\nb\x1f", "Größe-7", "a\u2028b", "</x>"])
def test_external_ids_that_are_not_hashed_go_out_as_they_are(raw: str) -> None:
    assert event(purchase(external_id=raw))["user_data"]["external_id"] == [raw]
    assert event(purchase(external_id=f" {raw}  7 "))["user_data"]["external_id"] == [raw, "7"]


@pytest.mark.parametrize("blank", ["", " ", "\u00a0 "])
def test_a_blank_external_id_is_no_match_key(blank: str) -> None:
    assert "external_id" not in event(purchase(external_id=blank))["user_data"]
    (built,) = build(bare("email", em=None, external_id=blank))
    assert (built["reason"], built["match_keys"]) == ("weak_match_keys", "")


def test_digests_with_metas_appendix_pass_unchanged() -> None:
    value = f"{digest('a')}.AQQCAQIB {digest('b')}"
    assert event(purchase(em=value))["user_data"]["em"] == value.split(" ")


def test_blank_text_is_absent() -> None:
    sent = event(purchase(fbp="", referrer_url=" \t", content_type="\u00a0\u2003", ph=""))
    assert "referrer_url" not in sent
    assert {"fbp", "ph"}.isdisjoint(sent["user_data"])
    assert "content_type" not in sent["custom_data"]


def test_the_columns_are_the_promised_ones_even_for_no_orders() -> None:
    assert build_events(table()).schema == EVENT_SCHEMA
    assert build_events(table(purchase())).schema == EVENT_SCHEMA
    assert len(build_events(table())) == 0


def test_a_row_with_nothing_in_it_keeps_its_place() -> None:
    built = build({}, purchase(), {})
    assert [row["verdict"] for row in built] == ["invalid", "ready", "invalid"]
    assert built[1] == build(purchase())[0]


def test_missing_optional_columns_and_foreign_ones_do_no_harm() -> None:
    full = build_events(table(purchase()))
    few = pa.Table.from_pylist([purchase()], SCHEMA)
    few = few.select([n for n in few.column_names if few[n].null_count == 0])
    few = few.append_column("internal_note", pa.array(["do not send"]))
    assert build_events(few).equals(full)


def test_other_arrow_types_for_the_same_things_are_read() -> None:
    orders = table(purchase(num_items=3), purchase())
    other = orders.cast(
        pa.schema(
            [
                field.with_type(
                    {"occurred_at": pa.timestamp("ns", tz="UTC"), "num_items": pa.int32()}.get(
                        field.name,
                        pa.dictionary(pa.int32(), pa.string())
                        if field.name == "client_user_agent"
                        else pa.large_string()
                        if field.type == pa.string()
                        else field.type,
                    )
                )
                for field in orders.schema
            ]
        )
    )
    assert build_events(other).equals(build_events(orders))


@pytest.mark.parametrize("value", [0.1, 1e-7, 5e-324, 1.7976931348623157e308, 100.0, 1e16, 0.0])
def test_values_survive_the_trip_exactly(value: float) -> None:
    sent = event(purchase(value=value))["custom_data"]["value"]
    assert math.isclose(sent, value, rel_tol=0, abs_tol=0)
