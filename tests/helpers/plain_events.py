"""The same events in plain Python, one order at a time, written from Meta's pages without Arrow.

What the column builder must equal, byte for byte, on every order it calls ready.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

# Meta refuses a request with any other click id; an appendix has two or eight characters.
CLICK = re.compile(
    r"fb\.[0-9]\.[0-9]+\.(?=[\w-]*[A-Za-z0-9])[\w-]+(?:\.[\w-]{8}|\.[\w-]{2})?", re.ASCII
)
HASHED = ("em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country", "external_id")
PLAIN = (
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "subscription_id",
    "fb_login_id",
    "lead_id",
    "anon_id",
    "madid",
)
CONVERSATION = (
    "ctwa_clid",
    "page_id",
    "page_scoped_user_id",
    "whatsapp_business_account_id",
    "ig_account_id",
    "ig_sid",
)
OURS = {
    "order_id",
    "value",
    "currency",
    "contents",
    "content_ids",
    "content_type",
    "num_items",
    "original_event_data",
}
FLAGS = {"advertiser_tracking_enabled", "application_tracking_enabled", "consider_views"}


def plain_payload(order: dict[str, Any]) -> bytes:
    """The payload of an order that is fit to be sent."""
    given = {name: value for name, value in order.items() if not blank(value)}
    loose = read(given.get("custom_data"), {})
    event = {
        "event_name": given["event_name"],
        "event_time": int(given["occurred_at"].timestamp() // 1),
        "event_id": given["event_id"],
        "action_source": given["action_source"],
        "event_source_url": given.get("event_source_url"),
        "referrer_url": given.get("referrer_url"),
        "opt_out": given.get("opt_out"),
        **limited_use(given),
        "messaging_channel": given.get("messaging_channel"),
        "user_data": user_data(given),
        "custom_data": custom_data(given, loose),
        "app_data": app_data(given),
        "original_event_data": original(loose.get("original_event_data")),
    }
    return orjson.dumps({name: value for name, value in event.items() if value is not None})


def blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def read(text: str | None, otherwise: Any) -> Any:
    return otherwise if text is None else tidy(json.loads(text))


def tidy(value: Any) -> Any:
    """Sorted keys, no nulls."""
    if isinstance(value, dict):
        return {key: tidy(value[key]) for key in sorted(value) if value[key] is not None}
    if isinstance(value, list):
        return [tidy(item) for item in value if item is not None]
    return value


def identity(value: Any) -> str:
    return value if isinstance(value, str) else str(int(value))


def number(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def limited_use(given: dict[str, Any]) -> dict[str, Any]:
    options = read(given.get("data_processing_options"), None)
    country = given.get("data_processing_options_country")
    state = given.get("data_processing_options_state")
    if country is None:
        country = 1 if state else 0
    sent = {"data_processing_options": options}
    if options:
        sent["data_processing_options_country"] = country
        sent["data_processing_options_state"] = state or 0
    return sent


def user_data(given: dict[str, Any]) -> dict[str, Any]:
    extra = read(given.get("user_data"), {})
    sent: dict[str, Any] = {name: given[name].split(" ") for name in HASHED if name in given}
    sent |= {name: given[name] for name in PLAIN if name in given}
    if not CLICK.fullmatch(sent.get("fbc", "")):
        sent.pop("fbc", None)
    return sent | {
        name: identity(extra[name]) for name in CONVERSATION if not blank(extra.get(name))
    }


def custom_data(given: dict[str, Any], loose: dict[str, Any]) -> dict[str, Any]:
    def ours(name: str) -> Any:
        if name in given:
            text = given[name]
            return read(text, None) if name in ("contents", "content_ids") else text
        return None if blank(loose.get(name)) else loose[name]

    sent = {"order_id": given["order_id"]}
    if (value := ours("value")) is not None:
        sent["value"] = float(value)
    if (currency := ours("currency")) is not None:
        sent["currency"] = currency.strip().upper()
    if contents := ours("contents"):
        sent["contents"] = [tidy(item | {"id": identity(item["id"])}) for item in contents]
    if content_ids := [identity(item) for item in ours("content_ids") or [] if not blank(item)]:
        sent["content_ids"] = content_ids
    if (content_type := ours("content_type")) is not None:
        sent["content_type"] = content_type
    if (num_items := ours("num_items")) is not None:
        sent["num_items"] = int(num_items)
    for name, value in loose.items():
        if name not in OURS:
            sent[name] = number(value) if name in ("predicted_ltv", "net_revenue") else value
    return sent


def app_data(given: dict[str, Any]) -> dict[str, Any] | None:
    if "app_data" not in given:
        return None
    raw = json.loads(given["app_data"])
    sent = {name: int(v) if name in FLAGS else v for name, v in tidy(raw).items()}
    if "extinfo" in sent:
        sent["extinfo"] = ["" if v is None else str(v) for v in raw["extinfo"]]
    return sent


def original(given: dict[str, Any] | None) -> dict[str, Any] | None:
    if not given:
        return None
    return {
        name: int(value) if name == "event_time" else identity(value)
        for name, value in given.items()
    }
