from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from itertools import chain, combinations
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.meta.events.build import build_events
from capi_assets.meta.events.refusals import FORMER_REASONS, REFUSAL_TEXTS, REFUSALS
from capi_assets.meta.events.user_data import USER_DATA_FIELDS, bits_of, keys_of
from capi_assets.meta.events.weak_keys import BUSINESS_KEYS, WEAK_SETS, weak
from capi_assets.meta.limits import LDU_STATES, MESSAGING_EVENTS
from tests.helpers.order_rows import (
    APP_DATA,
    EXTINFO,
    SCHEMA,
    app,
    bare,
    build,
    digest,
    purchase,
    table,
    whatsapp,
)

Row = dict[str, Any]
HASH = digest("x")


def app_data(**changes: Any) -> str:
    return json.dumps(APP_DATA | changes)


def ldu(**changes: Any) -> Row:
    return purchase(
        **{"data_processing_options": '["LDU"]', "data_processing_options_country": 1}
        | {"data_processing_options_state": 1000}
        | changes
    )


def ids(**given: Any) -> str:
    return json.dumps(given)


LEAD_ID = "525645896321548"
TOO_DEEP = "[" * 1000 + "]" * 1000

# reason: rows it refuses, rows as like them as can be that pass
CASES: dict[str, tuple[list[Row], list[Row]]] = {
    "missing_order_id": (
        [purchase(order_id=None), purchase(order_id=""), purchase(order_id=" ")],
        [purchase(order_id="0")],
    ),
    "missing_event_name": (
        [purchase(event_name=None), purchase(event_name=""), purchase(event_name=" \t")],
        [purchase(event_name="x")],
    ),
    "event_name_too_long": (
        [purchase(event_name="é" * 51)],
        [purchase(event_name="é" * 50)],
    ),
    "missing_event_id": (
        [purchase(event_id=None), purchase(event_id="\u00a0")],
        [purchase(event_id="0")],
    ),
    "event_id_too_long": ([purchase(event_id="é" * 257)], [purchase(event_id="é" * 256)]),
    "implausible_event_time": (
        [
            purchase(occurred_at=None),
            purchase(occurred_at=datetime(1970, 1, 21, tzinfo=UTC)),  # ms read as us
            purchase(occurred_at=datetime(2286, 11, 20, 17, 46, 40, tzinfo=UTC)),
        ],
        [purchase(occurred_at=datetime(2286, 11, 20, 17, 46, 39, tzinfo=UTC))],
    ),
    "unknown_action_source": (
        [purchase(action_source=s) for s in (None, "", "offline", "Website", "web")],
        [bare(s) for s in ("email", "phone_call", "chat", "physical_store", "other")]
        + [bare("system_generated")],
    ),
    "malformed_custom_data": (
        [
            purchase(custom_data=s)
            for s in ("{", "[]", "1", "null", "NaN", '{"a":' + TOO_DEEP + "}")
        ],
        [purchase(custom_data=s) for s in ("{}", '{"a":{"b":[1,null]}}', None, "")],
    ),
    "bad_custom_data": (
        [
            purchase(custom_data=json.dumps(given))
            for given in (
                {"predicted_ltv": "much"},
                {"predicted_ltv": True},
                {"net_revenue": []},
                {"net_revenue": "1_000"},
                {"search_string": 3},
                {"delivery_category": "by_drone"},
                {"delivery_category": ["curbside"]},
                {"store_data": "here"},
                {"customer_segmentation": "new"},
                {"customer_segmentation": {}},
            )
        ],
        [
            purchase(custom_data=json.dumps(given))
            for given in (
                {"predicted_ltv": 10, "net_revenue": "12.5", "search_string": ""},
                {"delivery_category": "curbside", "store_data": {"store_code": "9"}},
                {"customer_segmentation": "new_customer_to_business_line", "status": "done"},
                {"predicted_ltv": None},
            )
        ],
    ),
    "bad_original_event_data": (
        [
            purchase(custom_data=json.dumps({"original_event_data": given}))
            for given in (
                "Purchase",
                {"event_name": "Purchase", "value": 3},
                {"event_id": ""},
                {"event_time": 1762902353000},
                {"event_time": "yesterday"},
                [],
            )
        ],
        [
            purchase(custom_data=json.dumps({"original_event_data": given}))
            for given in ({"event_id": "e", "order_id": 7, "event_time": 1762902353}, {}, None)
        ],
    ),
    "malformed_contents": (
        [
            purchase(contents=given)
            for given in (
                "[",
                "{}",
                "3",
                "[1]",
                TOO_DEEP,
                '[{"id":"a","delivery_category":"by_drone"}]',
                '[{"id":"a","delivery_category":[]}]',
                '[{"id":"a","n":Infinity}]',
            )
        ],
        [
            purchase(contents=given)
            for given in (
                '[{"id":"a"}]',
                "[]",
                '[{"id":"a","delivery_category":"curbside","free":null}]',
                "[null]",
            )
        ],
    ),
    "contents_without_id": (
        [
            purchase(contents=json.dumps([{"id": "a"}, item]))
            for item in ({}, {"id": None}, {"id": " "}, {"id": True}, {"id": 1.5}, {"sku": "a"})
        ],
        [purchase(contents=json.dumps([{"id": "a"}, {"id": 12}]))],
    ),
    "malformed_content_ids": (
        [purchase(content_ids=s) for s in ("a,b", "{}", "[[]]", "[true]", "[1.5]", TOO_DEEP)],
        [purchase(content_ids=s) for s in ('["a",7]', "[]", '["",null,"b"]')],
    ),
    "malformed_app_data": (
        [app(app_data=s) for s in ("{", "[]", app_data(advertiser_tracking_enabled="yes"))]
        + [app(app_data='{"campaign_ids":' + TOO_DEEP + "}")],
        [
            app(app_data=app_data(application_tracking_enabled=True, vendor_id="v")),
            app(app_data=app_data(advertiser_tracking_enabled="1")),
        ],
    ),
    "unknown_app_data_key": ([app(app_data=app_data(colour="red"))], [app()]),
    "malformed_user_data": (
        [purchase(user_data=s) for s in ("{", "[]", '{"page_id":{}}', '{"page_id":true}')],
        [purchase(user_data=s) for s in ("{}", '{"page_id":"","ig_sid":null}', '{"ig_sid":" "}')],
    ),
    "unknown_user_data_key": (
        [purchase(user_data=ids(em=HASH)), purchase(user_data=ids(page_id="1", shoe_size="44"))],
        [purchase(user_data=ids(page_id="1", page_scoped_user_id=2, ig_sid="3"))],
    ),
    "unhashed_contact_data": (
        [purchase(**{key: "not a digest"}) for key in USER_DATA_FIELDS[:10]]
        + [
            purchase(em=bad)
            for bad in (
                "john_smith@gmail.com",
                HASH.upper(),
                HASH[:-1],
                HASH + "0",
                f"{HASH}  {HASH}",
                f" {HASH}",
                f"{HASH}\n",
                f"{HASH} {'d' * 32}",
                f"{HASH}.AQI",
                "g" * 64,
                " ",
            )
        ],
        [purchase(em=good) for good in (HASH, f"{HASH} {HASH}", f"{HASH}.AQQCAQIB", "", None)]
        + [purchase(ph=f"{HASH}.AQ {HASH}")],
    ),
    "bad_lead_id": (
        [purchase(lead_id=s) for s in ("12", "1" * 17, "a" * 15, LEAD_ID + " ", "٣" * 15)],
        [purchase(lead_id=LEAD_ID), purchase(lead_id=LEAD_ID + "1"), purchase(lead_id="")],
    ),
    "missing_app_data": ([app(app_data=None), app(app_data="")], [bare("other", app_data=None)]),
    "bad_extinfo": (
        [
            app(app_data=app_data(extinfo=positions))
            for positions in (
                EXTINFO[:15],
                [*EXTINFO, ""],
                ["", *EXTINFO[1:]],
                ["a3", *EXTINFO[1:]],
                [*EXTINFO[:4], "", *EXTINFO[5:]],
                [*EXTINFO[:4], None, *EXTINFO[5:]],
                [*EXTINFO[:5], {}, *EXTINFO[6:]],
                "a2",
                None,
            )
        ]
        + [app(app_data='{"advertiser_tracking_enabled":0}')]
        + [purchase(app_data='{"extinfo":[]}')],
        [
            app(app_data=app_data(extinfo=["i2", None, *EXTINFO[2:9], 1080, *[None] * 6])),
            purchase(app_data='{"vendor_id":"v"}'),
        ],
    ),
    "missing_advertiser_tracking": (
        [app(app_data=json.dumps({"extinfo": EXTINFO}))],
        [app(app_data=app_data(advertiser_tracking_enabled=0))],
    ),
    "unknown_messaging_channel": (
        [
            whatsapp(messaging_channel=None),
            whatsapp(messaging_channel="sms"),
            purchase(messaging_channel="WhatsApp"),
        ],
        [whatsapp(), purchase(messaging_channel="messenger")],
    ),
    "messaging_event_not_allowed": (
        [whatsapp(event_name=name) for name in ("Lead", "Contact", "PageView", "MyEvent")],
        [whatsapp(event_name=name) for name in sorted(MESSAGING_EVENTS)],
    ),
    "missing_messaging_account": (
        [whatsapp(user_data=ids(ctwa_clid="c"))],
        [
            whatsapp(user_data=ids(ctwa_clid="c", page_id="1")),
            whatsapp(user_data=ids(ctwa_clid="c", whatsapp_business_account_id="1")),
        ],
    ),
    "missing_ctwa_clid": (
        [whatsapp(user_data=ids(page_id="1"))],
        [whatsapp(user_data=ids(page_id="1", ctwa_clid="c"))],
    ),
    "missing_messaging_ids": (
        [
            whatsapp(messaging_channel="messenger", user_data=ids(page_id="1"), em=HASH),
            whatsapp(messaging_channel="messenger", user_data=ids(page_scoped_user_id="1")),
            whatsapp(messaging_channel="instagram", user_data=ids(ig_sid="1")),
            whatsapp(messaging_channel="instagram", user_data=None, em=HASH),
        ],
        [
            whatsapp(
                messaging_channel="messenger",
                user_data=ids(page_id="1", page_scoped_user_id="2"),
            ),
            whatsapp(messaging_channel="instagram", user_data=ids(ig_account_id=1, ig_sid=2)),
        ],
    ),
    "weak_match_keys": (
        [bare("other", em=None), bare("other", em=None, user_data=ids(page_id="1"))],
        [bare("other", em=None, fn=HASH, ln=HASH), bare("other", em=None, fbp="fb.1.2.3")],
    ),
    "value_not_a_number": (
        [purchase(value=bad) for bad in (math.nan, math.inf, -math.inf)]
        + [purchase(value=None, custom_data='{"value":"1e999"}')],
        [purchase(value=1e300), purchase(value=5.0, custom_data='{"value":"a lot"}')],
    ),
    "negative_value": ([purchase(value=-0.01)], [purchase(value=0.0), purchase(value=-0.0)]),
    "missing_value": (
        [purchase(value=None)],
        [purchase(value=0.0), bare("email", event_name="Lead", value=None)],
    ),
    "missing_currency": (
        [purchase(currency=None), purchase(currency="")],
        [bare("email", event_name="Lead", value=None, currency=None)],
    ),
    "unsupported_currency": (
        [purchase(currency=c) for c in ("US$", "ZZZ", "MRU", "XXX", "XAU", "euro", "ıdr", "€")],
        [purchase(currency=c) for c in ("usd", " Eur ", "JPY")],
    ),
    "value_without_currency": (
        [bare("email", event_name="Lead", currency=None)],
        [bare("email", event_name="Lead"), bare("email", event_name="Lead", value=None)],
    ),
    "bad_num_items": (
        [
            purchase(num_items=-1),
            purchase(custom_data='{"num_items":"many"}'),
            purchase(custom_data='{"num_items":18446744073709551615}'),
        ],
        [purchase(num_items=0), purchase(custom_data='{"num_items":"2"}')],
    ),
    "bad_data_processing_options": (
        [
            ldu(data_processing_options=s)
            for s in ("LDU", '["ldu"]', '{"a":1}', "true", '["LDU",1]')
        ],
        [ldu(), ldu(data_processing_options="[]"), ldu(data_processing_options=None)],
    ),
    "ldu_country_without_state": (
        [ldu(data_processing_options_state=None)],
        [
            ldu(data_processing_options_country=None, data_processing_options_state=None),
            ldu(data_processing_options="[]", data_processing_options_state=None),
        ],
    ),
    "ldu_place_unknown": (
        [ldu(data_processing_options_state=s) for s in (1, 999, 1014, -1)]
        + [ldu(data_processing_options_country=c) for c in (2, 49, -1)],
        [ldu(data_processing_options_state=s) for s in LDU_STATES]
        + [ldu(data_processing_options_country=0)],
    ),
    "ldu_without_place": (
        [
            ldu(data_processing_options_state=0, client_ip_address=None),
            ldu(
                data_processing_options_country=None,
                data_processing_options_state=None,
                client_ip_address=None,
            ),
        ],
        [ldu(data_processing_options_state=0), ldu(client_ip_address=None)],
    ),
}


@pytest.mark.parametrize("reason", CASES)
def test_each_rule_refuses_what_it_names_and_nothing_close_to_it(reason: str) -> None:
    refused, accepted = CASES[reason]
    subcodes = {refusal.reason: refusal.subcode for refusal in REFUSALS}
    for row, built in zip(refused, build(*refused), strict=True):
        assert (built["verdict"], built["reason"]) == ("invalid", reason), row
        assert built["subcode"] == subcodes[reason]
        assert built["payload"] is None
        assert built["payload_sha256"] is None
    for row, built in zip(accepted, build(*accepted), strict=True):
        assert (built["verdict"], built["reason"]) == ("ready", None), row
        assert built["subcode"] is None
        assert json.loads(built["payload"])["event_name"]


def test_no_rule_goes_untested() -> None:
    apart = {"damaged_text"}  # needs a column no Python text can make
    assert {refusal.reason for refusal in REFUSALS} - apart == CASES.keys()


@pytest.mark.parametrize(
    ("reason", "subcode"),
    [
        ("contents_without_id", 2804008),
        ("missing_value", 2804009),
        ("missing_currency", 2804010),
        ("unsupported_currency", 2804011),
        ("unhashed_contact_data", 2804016),
        ("value_without_currency", 2804023),
        ("bad_lead_id", 2804036),
        ("bad_extinfo", 2804043),
        ("weak_match_keys", 2804050),
        ("messaging_event_not_allowed", 2804066),
    ],
)
def test_reasons_carry_metas_own_subcode(reason: str, subcode: int) -> None:
    (built,) = build(CASES[reason][0][0])
    assert (built["reason"], built["subcode"]) == (reason, subcode)


def test_damaged_text_is_refused_and_its_neighbours_go() -> None:
    damaged = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"ok", b"\xff\xfe", None], pa.binary()).buffers()
    )
    orders = table(purchase(), purchase(), purchase())
    place = SCHEMA.get_field_index("referrer_url")
    built = build_events(orders.set_column(place, "referrer_url", damaged)).to_pylist()
    assert [row["reason"] for row in built] == [None, "damaged_text", None]
    place = SCHEMA.get_field_index("em")
    built = build_events(orders.set_column(place, "em", damaged)).to_pylist()
    assert [row["reason"] for row in built] == ["unhashed_contact_data"] * 2 + [None]


def test_the_first_reason_in_the_documented_order_wins() -> None:
    order = [refusal.reason for refusal in REFUSALS]
    (built,) = build(purchase(em="raw", value=None, action_source="offline"))
    assert built["reason"] == "unknown_action_source"
    assert order.index("unknown_action_source") < order.index("unhashed_contact_data")
    (built,) = build(purchase(em="raw", value=None))
    assert built["reason"] == "unhashed_contact_data"


def test_every_reason_is_one_word_and_has_words() -> None:
    reasons = [refusal.reason for refusal in REFUSALS]
    assert len(set(reasons)) == len(reasons)
    for reason in (*reasons, *FORMER_REASONS):
        assert reason.replace("_", "").isalpha()
        words = REFUSAL_TEXTS[reason]
        assert words.endswith(".")
        assert words[0].isalpha()


# Vectors from Meta's pages that concern building. Age (B2, B4, B17, B18) needs a clock: the plan's.


def test_the_published_batch_vectors_hold() -> None:
    none = dict.fromkeys(("em", "fbc", "client_ip_address"))
    vectors = {
        "B1": (purchase(), None),
        "B3": (bare("physical_store", occurred_at=datetime.now(UTC) - timedelta(days=30)), None),
        "B5": (bare("other", em=None, ge=HASH, ct=HASH, st=HASH, country=HASH), 2804050),
        "B6": (purchase(**none), 2804050),
        "B7": (purchase(**none, db=HASH), 2804050),
        "B8a": (bare("other", em=None, fn=HASH), 2804050),
        "B8b": (bare("other", em=None, ln=HASH, ge=HASH), 2804050),
        "B9": (bare("other", em=None, fn=HASH, ln=HASH), None),
        "B10": (purchase(**none, fbp="fb.1.1596403881668.1116446470"), None),
        "B11": (purchase(value=None), 2804009),
        "B12": (purchase(currency=None), 2804010),
        "B13": (purchase(contents='[{"quantity":1}]'), 2804008),
        "B24": (app(app_data=app_data(extinfo=EXTINFO[:15])), 2804043),
    }
    for name, (row, subcode) in vectors.items():
        (built,) = build(row)
        assert built["subcode"] == subcode, name
        assert built["verdict"] == ("invalid" if subcode else "ready"), name


def test_one_bad_event_never_costs_its_neighbours() -> None:
    good = [purchase(order_id=str(i), event_id=str(i)) for i in range(999)]
    alone = build(*good)
    weak_one = bare("other", em=None, ge=HASH, ct=HASH, st=HASH, country=HASH)
    together = build(*good[:500], weak_one, *good[500:])
    assert together[500]["reason"] == "weak_match_keys"
    assert together[:500] + together[501:] == alone


# Weak sets of match keys


def subsets(keys: frozenset[str]) -> list[tuple[str, ...]]:
    ordered = sorted(keys)
    return list(chain.from_iterable(combinations(ordered, n) for n in range(len(ordered) + 1)))


def carrying(keys: frozenset[str]) -> Row:
    values = {key: HASH if key in USER_DATA_FIELDS[:11] else "v" for key in keys}
    values |= {"lead_id": LEAD_ID} if "lead_id" in keys else {}
    values |= {"fbc": "fb.1.1554763741205.AbCdEfGh"} if "fbc" in keys else {}
    extra = {key: values.pop(key) for key in keys & set(USER_DATA_FIELDS[20:])}
    row = bare("other", em=None) | values
    return row | ({"user_data": json.dumps(extra)} if extra else {})


@pytest.mark.parametrize("keys", WEAK_SETS, ids=sorted)
def test_every_subset_of_a_weak_set_is_refused(keys: frozenset[str]) -> None:
    rows = [carrying(frozenset(subset)) for subset in subsets(keys)]
    assert {built["subcode"] for built in build(*rows)} == {2804050}


@pytest.mark.parametrize(
    "strong",
    [key for key in USER_DATA_FIELDS if not any(key in keys for keys in WEAK_SETS)],
)
def test_any_other_key_lifts_the_weakest_set(strong: str) -> None:
    rows = [carrying(keys | {strong}) for keys in (*WEAK_SETS, frozenset[str]())]
    expected = "invalid" if strong in BUSINESS_KEYS else "ready"
    assert {built["verdict"] for built in build(*rows)} == {expected}


@given(st.lists(st.frozensets(st.sampled_from(USER_DATA_FIELDS)), min_size=1, max_size=50))
def test_a_set_is_weak_if_it_holds_no_more_than_one_of_the_weak_sets(
    sets: list[frozenset[str]],
) -> None:
    expected = [any(keys - BUSINESS_KEYS <= known for known in WEAK_SETS) for keys in sets]
    bits = [bits_of(keys) for keys in sets]
    assert [keys_of(one) for one in bits] == sets
    assert weak(pa.array(bits, pa.int64())).to_pylist() == expected
