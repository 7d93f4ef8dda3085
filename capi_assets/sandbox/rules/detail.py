"""Rules over custom_data and app_data: money, contents, the device.

From Meta's custom data, app events and offline events pages. Keys inside custom_data are free.
Meta takes a subset of ISO 4217 that it does not publish; of the codes in use only MRU is known to
have been refused, so the rest of the standard (without metals and test codes) passes.
"""

from __future__ import annotations

import re
from typing import Any

import pycountry

from capi_assets.sandbox.rules.refusal import Refusal, known, schema

Event = dict[str, Any]

NOT_MONEY = {
    "XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX",
}  # fmt: skip
SEEN_REFUSED = {"MRU"}
CURRENCIES = frozenset(c.alpha_3 for c in pycountry.currencies) - NOT_MONEY - SEEN_REFUSED

EXTINFO_POSITIONS = 16
EXTINFO_VERSIONS = ("a2", "i2")
OS_VERSION = 4

is_decimal = re.compile(r"-?[0-9]+(?:\.[0-9]+)?").fullmatch


def money(event: Event) -> Refusal | None:
    """A Purchase needs value and currency; elsewhere a value needs a currency."""
    details = event.get("custom_data") or {}
    value, currency = details.get("value"), details.get("currency")
    purchase = event["event_name"] == "Purchase"
    if value is None or value == "":
        if purchase:
            return known(2804009)
    elif not is_number(value):
        return known(2804019)
    if currency is None or currency == "":
        if purchase:
            return known(2804010)
        return known(2804023) if value is not None and value != "" else None
    # Meta's own samples write the currency in either case.
    if (
        not isinstance(currency, str)
        or not currency.isascii()
        or currency.upper() not in CURRENCIES
    ):
        return known(2804011)
    return None


def contents(event: Event) -> Refusal | None:
    """Every item of contents is an object with an id (2804008)."""
    items = (event.get("custom_data") or {}).get("contents")
    if items is None:
        return None
    if not isinstance(items, list):
        return schema("{param} must be a list.", "custom_data", "contents")
    for position, item in enumerate(items):
        if not isinstance(item, dict):
            return schema("{param} must be an object.", "custom_data", "contents", position)
        if item.get("id") is None or item["id"] == "":
            return known(2804008)
    return None


def app(event: Event) -> Refusal | None:
    """An app event needs app_data with the tracking flag and 16 positions of extinfo (2804043)."""
    if event["action_source"] != "app":
        return None
    device = event.get("app_data")
    if device is None:
        return schema("{param} is required for action_source app.", "app_data")
    if device.get("advertiser_tracking_enabled") not in (0, 1, "0", "1"):
        return Refusal(
            "Missing Advertiser Tracking Enabled Flag",
            "{param} is required for action_source app, as 0 or 1.",
            None,
            ("app_data", "advertiser_tracking_enabled"),
        )
    extinfo = device.get("extinfo")
    if (
        not isinstance(extinfo, list)
        or len(extinfo) != EXTINFO_POSITIONS
        or any(isinstance(position, bool | dict | list) for position in extinfo)
        or extinfo[0] not in EXTINFO_VERSIONS
        or not str(extinfo[OS_VERSION] or "").strip()
    ):
        return known(2804043)
    return None


def is_number(value: Any) -> bool:
    """Whether a value is a number, or the text of one, as Meta's samples also show it."""
    if type(value) in (int, float):
        return True
    return isinstance(value, str) and is_decimal(value) is not None
