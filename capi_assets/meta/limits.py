"""The numbers and closed lists of Meta's Conversions API, each with the page that states it.

Pages are named as under developers.facebook.com/documentation/ads-commerce/conversions-api;
a value no page states is marked as our judgement. The longer lists, with their pages, are in
limits.toml. No rule is applied here: see `refusals.py`.
"""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pycountry

from capi_assets.table_files import table_beside

_LISTS = table_beside(__file__)

MAX_EVENTS_PER_REQUEST = 1_000
"""Events in one request's `data` (page "Using the API")."""

WINDOW = timedelta(days=7)
"""Oldest `event_time` accepted, measured when the request arrives (page "Using the API")."""

WINDOW_PHYSICAL_STORE = timedelta(days=62)
"""The same for `action_source = physical_store` (pages "Using the API", "Offline events")."""

DELIVERY_MARGIN = timedelta(minutes=30)
"""Judgement: age is measured at arrival, so an event this close to its window is not sent."""

DEDUP_WINDOW = timedelta(hours=48)
"""Same event_id and event_name within this time of the first receipt count once (page
"Deduplicate Pixel and server events"). The clock is receipt, not event_time."""

FUTURE_TOLERANCE = timedelta(seconds=60)
"""Judgement: no page allows any future `event_time`; this much is clock skew."""

EARLIEST_EVENT_TIME = 1_000_000_000
LATEST_EVENT_TIME = 9_999_999_999
"""Judgement: unix *seconds* have ten digits; eleven or more are milliseconds by mistake."""

MAX_EVENT_NAME_LENGTH = 50
"""Characters of a custom event's name (Pixel page "Conversion tracking", custom events)."""

MAX_EVENT_ID_LENGTH = 256
"""Judgement: no page limits `event_id`; longer is a payload pasted into the wrong column."""

LEAD_ID_DIGITS = (15, 16)
"""Digits of a Meta lead id (text of error 2804036)."""

EXTINFO_LENGTH = 16
EXTINFO_VERSIONS = frozenset({"a2", "i2"})
"""Positions of `app_data.extinfo`, and its first: Android or iOS (page "App events")."""

ACTION_SOURCES = frozenset(_LISTS["action_sources"])

PURCHASE = "Purchase"

STANDARD_EVENTS = frozenset(_LISTS["standard_events"])

MESSAGING_CHANNELS = frozenset({"instagram", "messenger", "whatsapp"})
"""`messaging_channel` (page "Conversions API for business messaging")."""

MESSAGING_EVENTS = frozenset(_LISTS["messaging_events"])

DELIVERY_CATEGORIES = frozenset({"curbside", "home_delivery", "in_store"})
"""`delivery_category` (page "Custom data parameters")."""

CUSTOMER_SEGMENTATIONS = frozenset(
    {
        f"{tense}_customer_to_{scope}"
        for tense in ("new", "existing")
        for scope in ("business", "business_line", "product_area", "medium")
    }
    | {"customer_in_loyalty_program"}
)
"""`customer_segmentation`, nine values (page "Server event parameters")."""

CURRENCIES_REFUSED = frozenset({"MRU"})
"""Money Meta does not take: refused live with 2804011. No page lists the subset it does take."""

NO_CURRENCIES = frozenset(
    {"XAG", "XAU", "XPD", "XPT"}  # metals
    | {"XBA", "XBB", "XBC", "XBD", "XDR", "XSU", "XUA"}  # units that banks reckon in
    | {"XTS", "XXX"}  # "testing" and "no currency"
)
"""Judgement: codes of ISO 4217 that nothing is priced in. One such event, if Meta refused it,
would cost the whole request."""

CURRENCIES = frozenset(c.alpha_3 for c in pycountry.currencies) - CURRENCIES_REFUSED - NO_CURRENCIES
"""ISO 4217 codes, upper case (page "Custom data parameters"), without those."""

LDU = "LDU"
LDU_COUNTRIES = {0: "geolocate", 1: "United States"}
LDU_STATES = {int(number): state for number, state in _LISTS["ldu_states"].items()}
"""Limited Data Use (Marketing API page "Data processing options")."""

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
"""The Arrow type of every time in this project."""

_FAR = 4_000_000_000_000  # seconds; keeps absurd times inside int64 microseconds


def deliver_until(
    event_time: pa.Array | pa.ChunkedArray, action_source: pa.Array | pa.ChunkedArray
) -> pa.Array | pa.ChunkedArray:
    """The last moment at which an event may still be sent, as timestamp[us, UTC].

    `event_time` is unix seconds (int64), `action_source` text; both of one length. The window is
    62 days for `physical_store`, else 7 days, less `DELIVERY_MARGIN`. Null time gives null.
    """
    in_store = pc.fill_null(pc.equal(action_source, "physical_store"), False)
    window = pc.if_else(in_store, _seconds(WINDOW_PHYSICAL_STORE), _seconds(WINDOW))
    bounded = pc.max_element_wise(
        pc.min_element_wise(event_time, pa.scalar(_FAR), skip_nulls=False),
        pa.scalar(-_FAR),
        skip_nulls=False,
    )
    until = pc.subtract(pc.add(bounded, window), pa.scalar(_seconds(DELIVERY_MARGIN)))
    return pc.multiply(until, pa.scalar(1_000_000)).cast(UTC_MICROSECONDS)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
