"""`orders` in the lake: conversions as read from the books, contact data as digests."""

from __future__ import annotations

from typing import ClassVar

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import DIGEST_LIST, Contract, Count, Flag, Money, Text, Time


def _digests(words: str) -> Series[Text]:
    field: Series[Text] = pap.Field(
        nullable=True,
        str_matches=DIGEST_LIST,
        description=f"SHA-256 of {words}.",
        metadata=page.CUSTOMER,
    )
    return field


class Orders(Contract):
    """One conversion; one row per dataset, event name and order id, in its latest status."""

    order_id: Series[Text] = pap.Field(description="Your id of the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    event_name: Series[Text] = pap.Field(
        description="Standard or custom event name.", metadata=page.SERVER_EVENT
    )
    event_id: Series[Text] = pap.Field(
        description="Deduplication id, shared with the browser.", metadata=page.SERVER_EVENT
    )
    action_source: Series[Text] = pap.Field(
        description="Where the conversion happened.", metadata=page.SERVER_EVENT
    )
    status: Series[Text] = pap.Field(description="Latest status; only confirmed is sent.")
    value: Series[Money] = pap.Field(
        nullable=True, description="Money in `currency`.", metadata=page.CUSTOM_DATA
    )
    currency: Series[Text] = pap.Field(
        nullable=True, description="ISO 4217 code.", metadata=page.CUSTOM_DATA
    )
    contents: Series[Text] = pap.Field(
        nullable=True,
        description="JSON list of items: id, quantity, item_price ...",
        metadata=page.CUSTOM_DATA,
    )
    content_ids: Series[Text] = pap.Field(
        nullable=True, description="JSON list of product ids.", metadata=page.CUSTOM_DATA
    )
    content_type: Series[Text] = pap.Field(
        nullable=True, description="product or product_group.", metadata=page.CUSTOM_DATA
    )
    num_items: Series[Count] = pap.Field(
        nullable=True, description="Number of items.", metadata=page.CUSTOM_DATA
    )
    event_source_url: Series[Text] = pap.Field(
        nullable=True, description="Page of the conversion.", metadata=page.SERVER_EVENT
    )
    referrer_url: Series[Text] = pap.Field(
        nullable=True, description="HTTP referrer of that page.", metadata=page.SERVER_EVENT
    )
    em: Series[Text] = _digests("the e-mail addresses")
    ph: Series[Text] = _digests("the phone numbers")
    fn: Series[Text] = _digests("the first name")
    ln: Series[Text] = _digests("the last name")
    db: Series[Text] = _digests("the birth date")
    ge: Series[Text] = _digests("the gender's initial")
    ct: Series[Text] = _digests("the city")
    st: Series[Text] = _digests("the state")
    zp: Series[Text] = _digests("the postal code")
    country: Series[Text] = _digests("the ISO country code")
    external_id: Series[Text] = pap.Field(
        nullable=True,
        description="Your id of the person, as sent to Meta.",
        metadata=page.EXTERNAL_ID,
    )
    visit_id: Series[Text] = pap.Field(nullable=True, description="The visit the order names.")
    client_ip_address: Series[Text] = pap.Field(
        nullable=True, description="Public IP address.", metadata=page.CUSTOMER
    )
    client_user_agent: Series[Text] = pap.Field(
        nullable=True, description="Browser's user agent.", metadata=page.CUSTOMER
    )
    fbc: Series[Text] = pap.Field(
        nullable=True,
        description="The order's own click id with its time (fb.1.ms.fbclid).",
        metadata=page.COOKIES,
    )
    fbp: Series[Text] = pap.Field(
        nullable=True, description="The order's own browser id.", metadata=page.COOKIES
    )
    fbclid: Series[Text] = pap.Field(
        nullable=True, description="The order's own click id, case kept.", metadata=page.COOKIES
    )
    subscription_id: Series[Text] = pap.Field(
        nullable=True, description="Id of the subscription.", metadata=page.CUSTOMER
    )
    lead_id: Series[Text] = pap.Field(
        nullable=True, description="Id of a Meta lead ad's lead.", metadata=page.CUSTOMER
    )
    fb_login_id: Series[Text] = pap.Field(
        nullable=True, description="App-scoped Facebook login id.", metadata=page.CUSTOMER
    )
    anon_id: Series[Text] = pap.Field(
        nullable=True, description="Install id; app events only.", metadata=page.APP
    )
    madid: Series[Text] = pap.Field(
        nullable=True, description="Mobile advertising id; app events only.", metadata=page.APP
    )
    consent: Series[Flag] = pap.Field(
        nullable=True,
        description="Whether the person agreed to share data with Meta.",
        metadata=page.CONSENT,
    )
    opt_out: Series[Flag] = pap.Field(
        nullable=True,
        description="Use for attribution only, not for delivery optimisation.",
        metadata=page.SERVER_EVENT,
    )
    data_processing_options: Series[Text] = pap.Field(
        nullable=True, description='JSON list: ["LDU"] or [].', metadata=page.DATA_PROCESSING
    )
    data_processing_options_country: Series[Count] = pap.Field(
        nullable=True, description="1 = USA, 0 = let Meta geolocate.", metadata=page.DATA_PROCESSING
    )
    data_processing_options_state: Series[Count] = pap.Field(
        nullable=True,
        description="Meta's number of the state, 0 = let Meta geolocate.",
        metadata=page.DATA_PROCESSING,
    )
    pixel_reported_at: Series[Time] = pap.Field(
        nullable=True,
        description="When the browser's Pixel reported the order.",
        metadata=page.DEDUPLICATION,
    )
    custom_data: Series[Text] = pap.Field(
        nullable=True, description="JSON object merged into custom_data.", metadata=page.CUSTOM_DATA
    )
    app_data: Series[Text] = pap.Field(
        nullable=True, description="JSON object for app events.", metadata=page.APP
    )
    user_data: Series[Text] = pap.Field(
        nullable=True, description="JSON object of ids of a conversation.", metadata=page.MESSAGING
    )
    messaging_channel: Series[Text] = pap.Field(
        nullable=True, description="Channel of a business_messaging event.", metadata=page.MESSAGING
    )
    dataset_id: Series[Text] = pap.Field(description="Meta dataset the event goes to.")
    dropped_fields: Series[Text] = pap.Field(
        nullable=True,
        description="Fields that were unusable, as column:reason, separated by spaces.",
    )

    class Config:
        unique: ClassVar = ["dataset_id", "event_name", "order_id"]
