"""What lands: the columns that advertisers provide, in files or from SQL models.

A column that is not nullable is required: a row that breaks it is quarantined. So is one that
breaks a *binding* column, which says what a person allowed: that is never guessed. Any other column
that breaks its check costs the field, not the row. Raw contact data exists only in these tables,
which live in memory between reading and hashing and are never written.
"""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Flag, Money, Text, Time
from capi_assets.meta.limits import ACTION_SOURCES, CURRENCIES

STATUSES = ("confirmed", "pending", "cancelled", "refunded", "test")

_ID = {"min_value": 1, "max_value": 256}
_SHORT = {"max_value": 512}
_URL = {"max_value": 8_192}
_LONG = {"max_value": 65_536}

_LIST = {"json": "list"}
_OBJECT = {"json": "object"}
_BINDING = {"binding": True}


def _short(words: str, source: dict[str, str]) -> Series[Text]:
    """An optional text that comes from Meta's page `source` and is never long."""
    field: Series[Text] = pap.Field(
        nullable=True, str_length=_SHORT, description=words, metadata=source
    )
    return field


class LandedVisits(Contract):
    """A landing on the site, as it was stored when it happened."""

    visit_id: Series[Text] = pap.Field(str_length=_ID, description="Your id of the visit.")
    occurred_at: Series[Time] = pap.Field(
        description="When: ISO 8601, epoch seconds or milliseconds, or a native timestamp."
    )
    page_url: Series[Text] = pap.Field(
        nullable=True, str_length=_URL, description="Address of the page, with its query."
    )
    referrer_url: Series[Text] = pap.Field(
        nullable=True, str_length=_URL, description="HTTP referrer of the page."
    )
    fbclid: Series[Text] = _short("Click id; read from page_url when absent.", page.COOKIES)
    fbc: Series[Text] = _short("The _fbc cookie, as it is.", page.COOKIES)
    fbp: Series[Text] = _short("The _fbp cookie, as it is.", page.COOKIES)
    client_ip_address: Series[Text] = _short(
        "IPv4 or IPv6; a forwarded list is accepted.", page.CUSTOMER
    )
    client_user_agent: Series[Text] = pap.Field(
        nullable=True,
        str_length={"max_value": 4_096},
        description="The browser's user agent.",
        metadata=page.CUSTOMER,
    )
    external_id: Series[Text] = _short("Your id of the person.", page.EXTERNAL_ID)
    email: Series[Text] = _short("E-mail address, raw or SHA-256.", page.CUSTOMER)
    phone: Series[Text] = _short("Phone number, raw or SHA-256.", page.CUSTOMER)
    consent: Series[Flag] = pap.Field(
        nullable=True,
        description="Whether the visitor agreed to share data with Meta.",
        metadata=_BINDING | page.CONSENT,
    )


class LandedOrders(Contract):
    """One conversion of the advertiser's books."""

    order_id: Series[Text] = pap.Field(str_length=_ID, description="Your id of the order.")
    occurred_at: Series[Time] = pap.Field(
        description="When: ISO 8601, epoch seconds or milliseconds, or a native timestamp."
    )
    event_name: Series[Text] = pap.Field(
        str_length={"min_value": 1, "max_value": 50},
        description="Standard or custom event name.",
        metadata={"default": "Purchase"} | page.SERVER_EVENT,
    )
    event_id: Series[Text] = pap.Field(
        nullable=True,
        str_length=_ID,
        description="Deduplication id; must equal the browser's. Default {event_name}:{order_id}.",
        metadata=page.SERVER_EVENT,
    )
    action_source: Series[Text] = pap.Field(
        isin=sorted(ACTION_SOURCES),
        description="Where the conversion happened, in Meta's words.",
        metadata={"default": "website"} | page.SERVER_EVENT,
    )
    status: Series[Text] = pap.Field(
        isin=STATUSES,
        description="confirmed, pending, cancelled, refunded or test; only confirmed is sent.",
        metadata={"default": "confirmed"},
    )
    value: Series[Money] = pap.Field(
        nullable=True,
        ge=0,
        lt=1e12,
        description="Money in `currency`; required for a Purchase.",
        metadata=page.CUSTOM_DATA,
    )
    currency: Series[Text] = pap.Field(
        nullable=True,
        isin=sorted(CURRENCIES),
        description="ISO 4217 code; required for a Purchase.",
        metadata={"upper": True} | page.CUSTOM_DATA,
    )
    contents: Series[Text] = pap.Field(
        nullable=True,
        str_length=_LONG,
        description="JSON list of items: id, quantity, item_price, delivery_category.",
        metadata=_LIST | page.CUSTOM_DATA,
    )
    content_ids: Series[Text] = pap.Field(
        nullable=True,
        str_length=_LONG,
        description="JSON list of product ids.",
        metadata=_LIST | page.CUSTOM_DATA,
    )
    content_type: Series[Text] = pap.Field(
        nullable=True,
        isin=["product", "product_group"],
        description="product or product_group.",
        metadata=page.CUSTOM_DATA,
    )
    num_items: Series[Count] = pap.Field(
        nullable=True, ge=0, description="Number of items.", metadata=page.CUSTOM_DATA
    )
    event_source_url: Series[Text] = pap.Field(
        nullable=True,
        str_length=_URL,
        description="Page of the conversion; lent by the visit.",
        metadata=page.SERVER_EVENT,
    )
    referrer_url: Series[Text] = pap.Field(
        nullable=True,
        str_length=_URL,
        description="HTTP referrer of that page; lent by the visit.",
        metadata=page.SERVER_EVENT,
    )
    email: Series[Text] = _short("E-mail address, raw or SHA-256.", page.CUSTOMER)
    phone: Series[Text] = _short("Phone number, raw or SHA-256.", page.CUSTOMER)
    first_name: Series[Text] = _short("First name, raw or SHA-256.", page.CUSTOMER)
    last_name: Series[Text] = _short("Last name, raw or SHA-256.", page.CUSTOMER)
    date_of_birth: Series[Text] = _short(
        "Birth date; see CAPI_DATE_FORMAT for ambiguous ones.", page.CUSTOMER
    )
    gender: Series[Text] = _short("f or m, or a word for it.", page.CUSTOMER)
    city: Series[Text] = _short("City.", page.CUSTOMER)
    state: Series[Text] = _short("State or province, by name or code.", page.CUSTOMER)
    zip: Series[Text] = _short("Postal code, as text (leading zeros count).", page.CUSTOMER)
    country: Series[Text] = _short("Country, by name or ISO code.", page.CUSTOMER)
    external_id: Series[Text] = _short("Your id of the person.", page.EXTERNAL_ID)
    visit_id: Series[Text] = pap.Field(
        nullable=True, str_length=_ID, description="The visit this order belongs to, if known."
    )
    client_ip_address: Series[Text] = _short(
        "IPv4 or IPv6; a forwarded list is accepted.", page.CUSTOMER
    )
    client_user_agent: Series[Text] = pap.Field(
        nullable=True,
        str_length={"max_value": 4_096},
        description="The browser's user agent.",
        metadata=page.CUSTOMER,
    )
    fbc: Series[Text] = _short("The _fbc cookie, as it is.", page.COOKIES)
    fbp: Series[Text] = _short("The _fbp cookie, as it is.", page.COOKIES)
    fbclid: Series[Text] = _short("Click id.", page.COOKIES)
    subscription_id: Series[Text] = pap.Field(
        nullable=True, str_length=_ID, description="Id of the subscription.", metadata=page.CUSTOMER
    )
    lead_id: Series[Text] = pap.Field(
        nullable=True,
        str_length=_ID,
        description="Id of a Meta lead ad's lead.",
        metadata=page.CUSTOMER,
    )
    fb_login_id: Series[Text] = pap.Field(
        nullable=True,
        str_length=_ID,
        description="App-scoped Facebook login id.",
        metadata=page.CUSTOMER,
    )
    anon_id: Series[Text] = pap.Field(
        nullable=True, str_length=_ID, description="Install id; app events only.", metadata=page.APP
    )
    madid: Series[Text] = pap.Field(
        nullable=True,
        str_length=_ID,
        description="Mobile advertising id; app events only.",
        metadata=page.APP,
    )
    consent: Series[Flag] = pap.Field(
        nullable=True,
        description="Whether the person agreed to share data with Meta.",
        metadata=_BINDING | page.CONSENT,
    )
    opt_out: Series[Flag] = pap.Field(
        nullable=True,
        description="Use for attribution only, not for delivery optimisation.",
        metadata=_BINDING | page.SERVER_EVENT,
    )
    data_processing_options: Series[Text] = pap.Field(
        nullable=True,
        str_length=_SHORT,
        description='JSON list: ["LDU"] or [].',
        metadata=_LIST | _BINDING | page.DATA_PROCESSING,
    )
    data_processing_options_country: Series[Count] = pap.Field(
        nullable=True,
        description="1 = USA, 0 = let Meta geolocate.",
        metadata=_BINDING | page.DATA_PROCESSING,
    )
    data_processing_options_state: Series[Count] = pap.Field(
        nullable=True,
        description="Meta's number of the state, 0 = let Meta geolocate.",
        metadata=_BINDING | page.DATA_PROCESSING,
    )
    pixel_reported_at: Series[Time] = pap.Field(
        nullable=True,
        description="When the browser's Pixel reported this order, if it did.",
        metadata=page.DEDUPLICATION,
    )
    custom_data: Series[Text] = pap.Field(
        nullable=True,
        str_length=_LONG,
        description="JSON object merged into custom_data.",
        metadata=_OBJECT | page.CUSTOM_DATA,
    )
    app_data: Series[Text] = pap.Field(
        nullable=True,
        str_length=_LONG,
        description="JSON object for app events.",
        metadata=_OBJECT | page.APP,
    )
    user_data: Series[Text] = pap.Field(
        nullable=True,
        str_length=_LONG,
        description="JSON object of further raw keys, such as ctwa_clid or page_id.",
        metadata=_OBJECT | page.MESSAGING,
    )
    messaging_channel: Series[Text] = pap.Field(
        nullable=True,
        str_length=_SHORT,
        description="Channel of a business_messaging event.",
        metadata=page.MESSAGING,
    )
    dataset_id: Series[Text] = pap.Field(
        nullable=True, str_length=_ID, description="Meta dataset; default CAPI_DATASET_ID."
    )

    @pap.dataframe_check(name="value_missing", description="a Purchase must have one")
    def _value(cls, frame: pd.DataFrame) -> pd.Series:
        return ~((frame["event_name"] == "Purchase") & frame["value"].isna()).fillna(False)

    @pap.dataframe_check(name="currency_missing", description="a Purchase must have one")
    def _currency(cls, frame: pd.DataFrame) -> pd.Series:
        return ~((frame["event_name"] == "Purchase") & frame["currency"].isna()).fillna(False)
