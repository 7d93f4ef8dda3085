"""Orders of every kind with things wrong on purpose, one at a time and several at once."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any

from capi_assets.meta.limits import ACTION_SOURCES, MESSAGING_EVENTS
from tests.helpers.order_rows import APP_DATA, EXTINFO, app, bare, digest, purchase, whatsapp

Row = dict[str, Any]

MESSENGER = {"messaging_channel": "messenger"} | {
    "user_data": '{"page_id":"1053","page_scoped_user_id":"77"}'
}
KINDS = [
    purchase,
    app,
    whatsapp,
    partial(whatsapp, **MESSENGER),
    *(partial(bare, source) for source in sorted(ACTION_SOURCES - {"app", "business_messaging"})),
]
# Nothing wrong with these, each alone or together, on any kind of order.
CHANGES: list[Row] = [
    {"event_name": "AddToCart", "value": None, "currency": None},
    {"event_id": 'a "quoted\\" id', "referrer_url": "https://www.example.org/?q=%C3%BC"},
    {"em": f"{digest('a')} {digest('b')}.AQQCAQIB", "ph": digest("c")},
    {"external_id": "customer-7"},
    {"external_id": 'raw "id" back\\slash'},
    {"lead_id": "525645896321548", "fb_login_id": "12345", "subscription_id": "s-1"},
    {"fn": digest("mary"), "ln": digest("smith"), "client_user_agent": "Mozilla/5.0"},
    {"value": 0.0, "currency": " eur "},
    {"value": None, "custom_data": '{"value":"142.52","currency":"usd","colour":[1,null]}'},
    {"contents": '[{"id":7},{"id":"b","delivery_category":"curbside"},null]'},
    {"content_ids": '["a",7,null,""]', "content_type": "product", "num_items": 2},
    {"custom_data": '{"customer_segmentation":"new_customer_to_business","net_revenue":"12"}'},
    {"custom_data": '{"original_event_data":{"event_id":"e","event_time":1795181825}}'},
    {"app_data": json.dumps(APP_DATA | {"advertiser_tracking_enabled": "0"})},
    {"opt_out": True, "data_processing_options": "[]"},
    {"data_processing_options": '["LDU"]', "data_processing_options_state": 1000},
    {"data_processing_options": '["LDU"]', "client_ip_address": "203.0.113.9"},
]
# One thing wrong each, at least on some kind of order; alone, or with others.
DEFECTS: list[Row] = [
    *({name: None} for name in ("order_id", "event_name", "event_id", "occurred_at")),
    {"event_name": "n" * 51},
    {"event_id": "i" * 257},
    *({"occurred_at": datetime(year, 1, 1, tzinfo=UTC)} for year in (1970, 1999, 2287)),
    *({"action_source": source} for source in (None, "offline", *sorted(ACTION_SOURCES))),
    *({"custom_data": text} for text in ("[1]", "{", "null", '{"predicted_ltv":"much"}')),
    {"custom_data": '{"customer_segmentation":"old"}'},
    *({"custom_data": json.dumps({"original_event_data": one})} for one in ("x", [], {"a": 1})),
    *({"contents": text} for text in ("{}", "[3]", "[{}]", '[{"id":" "}]', '[{"id":true}]')),
    {"contents": '[{"id":"a","delivery_category":"by_drone"}]'},
    *({"content_ids": text} for text in ("a,b", "[[]]", "[1.5]")),
    *({"app_data": text} for text in (None, "[]", '{"vendor_id":"v"}', '{"extinfo":[]}')),
    *(
        {"app_data": json.dumps(APP_DATA | changed)}
        for changed in (
            {"colour": "red"},
            {"application_tracking_enabled": "x"},
            {"advertiser_tracking_enabled": "x"},
            {"extinfo": [*EXTINFO[:4], " ", *EXTINFO[5:]]},
            {"extinfo": [*EXTINFO[:15], {}]},
        )
    ),
    *({"user_data": text} for text in ("3", '{"page_id":[]}', '{"shoe_size":44}', None)),
    *({"user_data": json.dumps({key: "1"})} for key in ("page_id", "ig_account_id", "ctwa_clid")),
    *({key: "not a digest"} for key in ("em", "ph", "country")),
    *({"em": text} for text in (" ", digest("x").upper(), f"{digest('x')}  {digest('y')}")),
    {"external_id": " ", "em": None},
    *({"lead_id": text} for text in ("12", "٣" * 15)),
    *({name: None} for name in ("client_user_agent", "event_source_url", "messaging_channel")),
    *({"messaging_channel": channel} for channel in ("messenger", "instagram", "sms")),
    *({"event_name": name} for name in ("Lead", "Qualified lead", *sorted(MESSAGING_EVENTS))),
    dict.fromkeys(("em", "fbc", "client_ip_address", "user_data")),
    dict.fromkeys(("em", "fbc", "client_ip_address")) | {"fn": digest("a"), "ge": digest("f")},
    *({"value": value} for value in (None, float("nan"), float("inf"), -0.01)),
    *({"value": None, "custom_data": json.dumps({"value": v})} for v in ("a lot", True, "1e999")),
    *({"currency": currency} for currency in (None, "US$", "MRU", "XAU", "ıdr")),
    {"num_items": -1},
    *({"data_processing_options": text} for text in ("LDU", '["ldu"]', "{}", '["LDU"]')),
    {"data_processing_options": '["LDU"]', "data_processing_options_country": 1},
    {"data_processing_options": '["LDU"]', "data_processing_options_state": 999},
    {"data_processing_options": '["LDU"]', "data_processing_options_country": 49},
    {"data_processing_options": '["LDU"]', "client_ip_address": None},
]


def generated(count: int) -> list[Row]:
    """Orders of every kind with up to two changes and up to three defects, always the same."""
    drawn = random.Random("builder and sandbox")
    orders = []
    for _ in range(count):
        row = drawn.choice(KINDS)()
        for one in drawn.sample(CHANGES, drawn.randrange(3)):
            row |= one
        for one in drawn.sample(DEFECTS, drawn.choice([0, 0, 0, 1, 1, 1, 2, 3])):
            row |= one
        orders.append(row)
    return orders
