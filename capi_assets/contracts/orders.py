"""`orders` in the lake: conversions as read from the books, contact data as digests."""

from __future__ import annotations

from typing import ClassVar

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import DIGEST_LIST, Contract, Count, Flag, Money, Text, Time


class Orders(Contract):
    """One conversion; one row per dataset, event name and order id, in its latest status."""

    order_id: Series[Text] = pap.Field(description="Your id of the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    event_name: Series[Text] = pap.Field(description="Standard or custom event name.")
    event_id: Series[Text] = pap.Field(description="Deduplication id, shared with the browser.")
    action_source: Series[Text] = pap.Field(description="Where the conversion happened.")
    status: Series[Text] = pap.Field(description="Latest status; only confirmed is sent.")
    value: Series[Money] = pap.Field(nullable=True, description="Money in `currency`.")
    currency: Series[Text] = pap.Field(nullable=True, description="ISO 4217 code.")
    contents: Series[Text] = pap.Field(nullable=True, description="JSON list of items.")
    content_ids: Series[Text] = pap.Field(nullable=True, description="JSON list of product ids.")
    content_type: Series[Text] = pap.Field(nullable=True, description="product or product_group.")
    num_items: Series[Count] = pap.Field(nullable=True, description="Number of items.")
    event_source_url: Series[Text] = pap.Field(nullable=True, description="Page of the conversion.")
    em: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the e-mail addresses."
    )
    ph: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the phone numbers."
    )
    fn: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the first name."
    )
    ln: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the last name."
    )
    db: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the birth date."
    )
    ge: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the gender's initial."
    )
    ct: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the city."
    )
    st: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the state."
    )
    zp: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the postal code."
    )
    country: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the ISO country code."
    )
    external_id: Series[Text] = pap.Field(
        nullable=True, description="Your id of the person, as sent to Meta."
    )
    visit_id: Series[Text] = pap.Field(nullable=True, description="The visit the order names.")
    client_ip_address: Series[Text] = pap.Field(nullable=True, description="Public IP address.")
    client_user_agent: Series[Text] = pap.Field(nullable=True, description="Browser's user agent.")
    fbc: Series[Text] = pap.Field(nullable=True, description="The order's own fbc.")
    fbp: Series[Text] = pap.Field(nullable=True, description="The order's own fbp.")
    fbclid: Series[Text] = pap.Field(nullable=True, description="The order's own click id.")
    subscription_id: Series[Text] = pap.Field(nullable=True, description="Subscription id.")
    lead_id: Series[Text] = pap.Field(nullable=True, description="Lead ad's lead id.")
    fb_login_id: Series[Text] = pap.Field(nullable=True, description="App-scoped login id.")
    anon_id: Series[Text] = pap.Field(nullable=True, description="Install id.")
    madid: Series[Text] = pap.Field(nullable=True, description="Mobile advertising id.")
    consent: Series[Flag] = pap.Field(nullable=True, description="Whether the person agreed.")
    opt_out: Series[Flag] = pap.Field(nullable=True, description="Attribution only.")
    data_processing_options: Series[Text] = pap.Field(nullable=True, description="JSON list.")
    data_processing_options_country: Series[Count] = pap.Field(
        nullable=True, description="1 = USA, 0 = geolocate."
    )
    data_processing_options_state: Series[Count] = pap.Field(
        nullable=True, description="Meta's state number, 0 = geolocate."
    )
    pixel_reported_at: Series[Time] = pap.Field(
        nullable=True, description="When the browser's Pixel reported the order."
    )
    custom_data: Series[Text] = pap.Field(nullable=True, description="JSON object, merged.")
    app_data: Series[Text] = pap.Field(nullable=True, description="JSON object for app events.")
    user_data: Series[Text] = pap.Field(nullable=True, description="JSON object of raw keys.")
    messaging_channel: Series[Text] = pap.Field(nullable=True, description="Messaging channel.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset the event goes to.")
    dropped_fields: Series[Text] = pap.Field(
        nullable=True, description="Fields that were unusable, each with its reason."
    )

    class Config:
        unique: ClassVar = ["dataset_id", "event_name", "order_id"]
