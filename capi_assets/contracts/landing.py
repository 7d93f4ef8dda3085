"""The columns of landing files and SQL models: the input that advertisers provide.

A column that is not nullable is required: a row that breaks it is quarantined. So is a row that
breaks a *binding* column (what a person allowed, the dataset): that is never guessed. In any other
column an invalid value is dropped and the row is accepted. Raw contact data exists only in these
tables, in memory between reading and hashing; they are never written.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Flag, Money, Text, Time, optional
from capi_assets.meta.limits import ACTION_SOURCES, CURRENCIES

STATUSES = ("confirmed", "pending", "cancelled", "refunded", "test")

_ID = {"min_value": 1, "max_value": 256}
_DATASET = {"min_value": 1, "max_value": 64}  # what the ledger stores; Meta's have 15 or 16 digits
_SHORT = {"max_value": 512}
_URL = {"max_value": 8_192}
_LONG = {"max_value": 65_536}

_LIST = {"json": "list"}
_OBJECT = {"json": "object"}
_BINDING = {"binding": True}


def _short(description: str, source: dict[str, str]) -> Any:
    """An optional short text, described on Meta's page `source`."""
    return optional(description, source, str_length=_SHORT)


class LandedVisits(Contract):
    """A website visit, as stored when it happened."""

    visit_id: Series[Text] = pap.Field(str_length=_ID, description="Your id for the visit.")
    occurred_at: Series[Time] = pap.Field(
        description="Time: ISO 8601, epoch seconds or milliseconds, or a native timestamp."
    )
    page_url: Series[Text] = optional("Page URL with its query string.", str_length=_URL)
    referrer_url: Series[Text] = optional("HTTP referrer of the page.", str_length=_URL)
    fbclid: Series[Text] = _short("Click id; default: the one in page_url.", page.COOKIES)
    fbc: Series[Text] = _short("The _fbc cookie, unchanged.", page.COOKIES)
    fbp: Series[Text] = _short("The _fbp cookie, unchanged.", page.COOKIES)
    client_ip_address: Series[Text] = _short(
        "IPv4 or IPv6 address; an X-Forwarded-For list is accepted.", page.CUSTOMER
    )
    client_user_agent: Series[Text] = optional(
        "The browser's user agent.", page.CUSTOMER, str_length={"max_value": 4_096}
    )
    external_id: Series[Text] = _short("Your id for the person.", page.EXTERNAL_ID)
    email: Series[Text] = _short("E-mail address, raw or SHA-256.", page.CUSTOMER)
    phone: Series[Text] = _short("Phone number, raw or SHA-256.", page.CUSTOMER)
    consent: Series[Flag] = optional(
        "Whether the visitor agreed to share data with Meta.", _BINDING | page.CONSENT
    )


class LandedOrders(Contract):
    """One conversion from the advertiser's order data."""

    order_id: Series[Text] = pap.Field(
        str_length=_ID,
        description="Your id for the order; hashed if it contains contact data, as all own ids.",
    )
    occurred_at: Series[Time] = pap.Field(
        description="Time: ISO 8601, epoch seconds or milliseconds, or a native timestamp."
    )
    event_name: Series[Text] = pap.Field(
        str_length={"min_value": 1, "max_value": 50},
        description="Standard or custom event name.",
        metadata={"default": "Purchase"} | page.SERVER_EVENT,
    )
    event_id: Series[Text] = optional(
        "Deduplication id; must match the Pixel's eventID. Default: {event_name}:{order_id}.",
        page.SERVER_EVENT,
        str_length=_ID,
    )
    action_source: Series[Text] = pap.Field(
        isin=sorted(ACTION_SOURCES),
        description="Where the conversion happened; one of Meta's values.",
        metadata={"default": "website"} | page.SERVER_EVENT,
    )
    status: Series[Text] = pap.Field(
        isin=STATUSES,
        description="confirmed, pending, cancelled, refunded or test; only confirmed is sent.",
        metadata={"default": "confirmed"},
    )
    value: Series[Money] = optional(
        "Value in `currency`; required for a Purchase.", page.CUSTOM_DATA, ge=0, lt=1e12
    )
    currency: Series[Text] = optional(
        "ISO 4217 code; required for a Purchase.",
        page.CUSTOM_DATA,
        isin=sorted(CURRENCIES),
    )
    contents: Series[Text] = optional(
        "JSON list of items: id, quantity, item_price, delivery_category.",
        _LIST | page.CUSTOM_DATA,
        str_length=_LONG,
    )
    content_ids: Series[Text] = optional(
        "JSON list of product ids.", _LIST | page.CUSTOM_DATA, str_length=_LONG
    )
    content_type: Series[Text] = optional(
        "product or product_group.", page.CUSTOM_DATA, isin=["product", "product_group"]
    )
    num_items: Series[Count] = optional("Number of items.", page.CUSTOM_DATA, ge=0)
    event_source_url: Series[Text] = optional(
        "URL of the conversion; default: the visit's page_url.", page.SERVER_EVENT, str_length=_URL
    )
    referrer_url: Series[Text] = optional(
        "HTTP referrer of that page; default: the visit's.", page.SERVER_EVENT, str_length=_URL
    )
    email: Series[Text] = _short("E-mail address, raw or SHA-256.", page.CUSTOMER)
    phone: Series[Text] = _short("Phone number, raw or SHA-256.", page.CUSTOMER)
    first_name: Series[Text] = _short("First name, raw or SHA-256.", page.CUSTOMER)
    last_name: Series[Text] = _short("Last name, raw or SHA-256.", page.CUSTOMER)
    date_of_birth: Series[Text] = _short(
        "Date of birth; set CAPI_DATE_FORMAT if it is ambiguous.", page.CUSTOMER
    )
    gender: Series[Text] = _short("f or m, or a word for it.", page.CUSTOMER)
    city: Series[Text] = _short("City.", page.CUSTOMER)
    state: Series[Text] = _short("State or province, by name or code.", page.CUSTOMER)
    zip: Series[Text] = _short("Postal code, as text (leading zeros matter).", page.CUSTOMER)
    country: Series[Text] = _short("Country, by name or ISO code.", page.CUSTOMER)
    external_id: Series[Text] = _short("Your id for the person.", page.EXTERNAL_ID)
    visit_id: Series[Text] = optional("Visit of the order, if known.", str_length=_ID)
    client_ip_address: Series[Text] = _short(
        "IPv4 or IPv6 address; an X-Forwarded-For list is accepted.", page.CUSTOMER
    )
    client_user_agent: Series[Text] = optional(
        "The browser's user agent.", page.CUSTOMER, str_length={"max_value": 4_096}
    )
    fbc: Series[Text] = _short("The _fbc cookie, unchanged.", page.COOKIES)
    fbp: Series[Text] = _short("The _fbp cookie, unchanged.", page.COOKIES)
    fbclid: Series[Text] = _short("Click id; default: the one in event_source_url.", page.COOKIES)
    subscription_id: Series[Text] = optional(
        "Id of the subscription.", page.CUSTOMER, str_length=_ID
    )
    lead_id: Series[Text] = optional("Lead id of a Meta lead ad.", page.CUSTOMER, str_length=_ID)
    fb_login_id: Series[Text] = optional(
        "App-scoped Facebook login id.", page.CUSTOMER, str_length=_ID
    )
    anon_id: Series[Text] = optional("Install id; app events only.", page.APP, str_length=_ID)
    madid: Series[Text] = optional(
        "Mobile advertising id; app events only.", page.APP, str_length=_ID
    )
    consent: Series[Flag] = optional(
        "Whether the person agreed to share data with Meta.", _BINDING | page.CONSENT
    )
    opt_out: Series[Flag] = optional(
        "Use for attribution only, not for delivery optimisation.", _BINDING | page.SERVER_EVENT
    )
    data_processing_options: Series[Text] = optional(
        'JSON list: ["LDU"] or [].', _LIST | _BINDING | page.DATA_PROCESSING, str_length=_SHORT
    )
    data_processing_options_country: Series[Count] = optional(
        "1 = USA, 0 = let Meta geolocate.", _BINDING | page.DATA_PROCESSING
    )
    data_processing_options_state: Series[Count] = optional(
        "Meta's number for the state, 0 = let Meta geolocate.", _BINDING | page.DATA_PROCESSING
    )
    pixel_reported_at: Series[Time] = optional(
        "When the Pixel reported the order, if it did.", page.DEDUPLICATION
    )
    custom_data: Series[Text] = optional(
        "JSON object merged into custom_data.", _OBJECT | page.CUSTOM_DATA, str_length=_LONG
    )
    app_data: Series[Text] = optional(
        "JSON object for app events.", _OBJECT | page.APP, str_length=_LONG
    )
    user_data: Series[Text] = optional(
        "JSON object with further user_data parameters, such as ctwa_clid or page_id.",
        _OBJECT | page.MESSAGING,
        str_length=_LONG,
    )
    messaging_channel: Series[Text] = optional(
        "Channel of a business_messaging event.", page.MESSAGING, str_length=_SHORT
    )
    dataset_id: Series[Text] = optional(
        "Meta dataset; default: CAPI_DATASET_ID.", _BINDING, str_length=_DATASET
    )

    @pap.dataframe_check(name="value_missing", description="a Purchase must have one")
    def _value(cls, frame: pd.DataFrame) -> pd.Series:
        return ~((frame["event_name"] == "Purchase") & frame["value"].isna()).fillna(False)

    @pap.dataframe_check(name="currency_missing", description="a Purchase must have one")
    def _currency(cls, frame: pd.DataFrame) -> pd.Series:
        return ~((frame["event_name"] == "Purchase") & frame["currency"].isna()).fillna(False)


class LandedWithdrawals(Contract):
    """A withdrawal of consent; one of order_id, external_id, email and phone is needed."""

    withdrawn_at: Series[Time] = optional("When; default: when the file is first read.")
    order_id: Series[Text] = optional("The order that is not to be sent.", str_length=_ID)
    external_id: Series[Text] = _short("Your id for the person.", page.EXTERNAL_ID)
    email: Series[Text] = _short("E-mail address, raw or SHA-256.", page.CUSTOMER)
    phone: Series[Text] = _short("Phone number, raw or SHA-256.", page.CUSTOMER)
