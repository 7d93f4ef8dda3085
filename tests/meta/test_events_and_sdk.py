"""Our events beside those of Meta's own Python library, on the fields both know.

Intended differences, each undone before comparing: the library lower-cases currencies (Meta takes
both), leaves unknown extinfo positions null (Meta wants empty texts), writes flags as booleans,
and shuffles lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.app_data import AppData
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.delivery_category import DeliveryCategory
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.extended_device_info import ExtendedDeviceInfo
from facebook_business.adobjects.serverside.messaging_channel import MessagingChannel
from facebook_business.adobjects.serverside.original_event_data import OriginalEventData
from facebook_business.adobjects.serverside.user_data import UserData

from tests.helpers.order_rows import app, bare, digest, event, purchase, whatsapp

Row = dict[str, Any]

LISTS = {
    "emails": "em",
    "phones": "ph",
    "dates_of_birth": "db",
    "last_names": "ln",
    "first_names": "fn",
    "cities": "ct",
    "states": "st",
    "zip_codes": "zp",
    "country_codes": "country",
    "external_ids": "external_id",
}
SCALARS = (
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "subscription_id",
    "fb_login_id",
    "lead_id",
    "madid",
    "anon_id",
)
EXTINFO = (
    "ext_info_version",
    "app_package_name",
    "short_version",
    "long_version",
    "os_version",
    "device_model_name",
    "locale",
    "timezone_abbreviation",
    "carrier",
    "screen_width",
    "screen_height",
    "screen_density",
    "cpu_core_count",
    "total_disk_space_gb",
    "free_disk_space_gb",
    "device_time_zone",
)


def by_the_library(row: Row) -> Row:
    """The same order through Meta's library."""
    extra = json.loads(row.get("user_data") or "{}")
    user = UserData(
        **{name: row[key].split(" ") for name, key in LISTS.items() if row.get(key)},
        **{name: row[name] for name in SCALARS if row.get(name)},
        **{name: extra[name] for name in ("ctwa_clid", "page_id") if name in extra},
    )
    free = json.loads(row.get("custom_data") or "{}")
    original = free.pop("original_event_data", None)
    category = free.pop("delivery_category", None)
    custom = CustomData(
        order_id=row["order_id"],
        value=row.get("value"),
        currency=row.get("currency"),
        contents=[
            Content(**{"product_id" if k == "id" else k: v for k, v in item.items()})
            for item in json.loads(row.get("contents") or "[]")
        ]
        or None,
        content_ids=json.loads(row.get("content_ids") or "null"),
        content_type=row.get("content_type"),
        num_items=row.get("num_items"),
        delivery_category=DeliveryCategory(category) if category else None,
        predicted_ltv=free.pop("predicted_ltv", None),
        net_revenue=free.pop("net_revenue", None),
        search_string=free.pop("search_string", None),
        status=free.pop("status", None),
        custom_properties=free,
    )
    channel = row.get("messaging_channel")
    return Event(  # type: ignore[no-any-return]
        event_name=row["event_name"],
        event_time=int(row["occurred_at"].timestamp()),
        event_id=row["event_id"],
        event_source_url=row.get("event_source_url"),
        referrer_url=row.get("referrer_url"),
        action_source=ActionSource(row["action_source"]),
        opt_out=row.get("opt_out"),
        data_processing_options=json.loads(row.get("data_processing_options") or "null"),
        data_processing_options_country=row.get("data_processing_options_country"),
        data_processing_options_state=row.get("data_processing_options_state"),
        messaging_channel=MessagingChannel(channel) if channel else None,
        original_event_data=OriginalEventData(**original) if original else None,
        app_data=app_by_the_library(row),
        user_data=user,
        custom_data=custom,
    ).normalize()


def app_by_the_library(row: Row) -> AppData | None:
    if not row.get("app_data"):
        return None
    given = json.loads(row["app_data"])
    extinfo = ExtendedDeviceInfo(**dict(zip(EXTINFO, given.pop("extinfo"), strict=True)))
    return AppData(extinfo=extinfo, **given)


def comparable(sent: Row) -> Row:
    """The event with the intended differences undone."""
    custom = {"currency": sent["custom_data"]["currency"].upper()}
    user = {
        key: set(value) if isinstance(value, list) else value
        for key, value in sent["user_data"].items()
    }
    same = sent | {"custom_data": sent["custom_data"] | custom, "user_data": user}
    if "content_ids" in same["custom_data"]:
        same["custom_data"]["content_ids"] = set(same["custom_data"]["content_ids"])
    if "app_data" in sent:
        positions = ["" if value is None else str(value) for value in sent["app_data"]["extinfo"]]
        same["app_data"] = sent["app_data"] | {"extinfo": positions}
    return same


FULL = purchase(
    **{key: f"{digest(key)} {digest(key + '2')}" for key in LISTS.values()},
    fbp="fb.1.1596403881668.1116446470",
    subscription_id="s-1",
    fb_login_id="12345",
    lead_id="525645896321548",
    madid="38400000-8cf0-11bd-b23e-10b96e40000d",
    anon_id="anon",
    contents='[{"id":"SKU-1","quantity":2,"item_price":9.5,"brand":"B","title":"Ü"},{"id":"2"}]',
    content_ids='["SKU-1","2"]',
    content_type="product",
    num_items=3,
    opt_out=True,
    referrer_url='https://www.example.org/?q="a\\b"',
    data_processing_options='["LDU"]',
    data_processing_options_country=1,
    data_processing_options_state=1000,
    custom_data=json.dumps(
        {
            "predicted_ltv": 300.5,
            "net_revenue": 12.25,
            "search_string": "schuhe 😀",
            "status": "paid",
            "delivery_category": "home_delivery",
            "customer_segmentation": "new_customer_to_business",
            "colour": "red",
            "original_event_data": {
                "event_name": "Purchase",
                "event_time": 1795181825,
                "order_id": "1000",
                "event_id": "Purchase:1000",
            },
        }
    ),
)


@pytest.mark.parametrize(
    "order",
    [
        purchase,
        lambda: FULL,
        lambda: purchase(event_name="Lead", event_id="x", opt_out=False),
        lambda: purchase(data_processing_options="[]"),
        app,
        whatsapp,
        *(
            lambda s=s: bare(s)
            for s in ("email", "phone_call", "chat", "physical_store", "system_generated", "other")
        ),
    ],
)
def test_metas_own_library_builds_the_same_event(order: Callable[[], Row]) -> None:
    row = order()
    assert comparable(event(row)) == comparable(by_the_library(row))
