"""`orders` in the lake: conversions from the advertiser's order data, contact data as digests."""

from __future__ import annotations

from typing import Any, ClassVar

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import (
    DIGEST_LIST,
    Contract,
    Count,
    Flag,
    Money,
    Text,
    Time,
    optional,
)


def _digests(of: str) -> Any:
    return optional(f"SHA-256 of {of}.", page.CUSTOMER, str_matches=DIGEST_LIST)


class Orders(Contract):
    """One row per dataset, event name and order id, in its latest status."""

    order_id: Series[Text] = pap.Field(description="Your id for the order.")
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
    status: Series[Text] = pap.Field(description="Latest status; only confirmed orders are sent.")
    value: Series[Money] = optional("Value in `currency`.", page.CUSTOM_DATA)
    currency: Series[Text] = optional("ISO 4217 code.", page.CUSTOM_DATA)
    contents: Series[Text] = optional(
        "JSON list of items: id, quantity, item_price ...", page.CUSTOM_DATA
    )
    content_ids: Series[Text] = optional("JSON list of product ids.", page.CUSTOM_DATA)
    content_type: Series[Text] = optional("product or product_group.", page.CUSTOM_DATA)
    num_items: Series[Count] = optional("Number of items.", page.CUSTOM_DATA)
    event_source_url: Series[Text] = optional("URL of the conversion.", page.SERVER_EVENT)
    referrer_url: Series[Text] = optional("HTTP referrer of that page.", page.SERVER_EVENT)
    em: Series[Text] = _digests("the e-mail addresses")
    ph: Series[Text] = _digests("the phone numbers")
    fn: Series[Text] = _digests("the first name")
    ln: Series[Text] = _digests("the last name")
    db: Series[Text] = _digests("the date of birth")
    ge: Series[Text] = _digests("the gender's initial")
    ct: Series[Text] = _digests("the city")
    st: Series[Text] = _digests("the state")
    zp: Series[Text] = _digests("the postal code")
    country: Series[Text] = _digests("the ISO country code")
    external_id: Series[Text] = optional(
        "Your id for the person, as sent to Meta.", page.EXTERNAL_ID
    )
    visit_id: Series[Text] = optional("Visit of the order, if the order names it.")
    client_ip_address: Series[Text] = optional("Public IP address.", page.CUSTOMER)
    client_user_agent: Series[Text] = optional("Browser's user agent.", page.CUSTOMER)
    fbc: Series[Text] = optional(
        "The order's own click id with its time (fb.1.ms.fbclid).", page.COOKIES
    )
    fbp: Series[Text] = optional("The order's own browser id.", page.COOKIES)
    fbclid: Series[Text] = optional("The order's own click id, case unchanged.", page.COOKIES)
    subscription_id: Series[Text] = optional("Id of the subscription.", page.CUSTOMER)
    lead_id: Series[Text] = optional("Lead id of a Meta lead ad.", page.CUSTOMER)
    fb_login_id: Series[Text] = optional("App-scoped Facebook login id.", page.CUSTOMER)
    anon_id: Series[Text] = optional("Install id; app events only.", page.APP)
    madid: Series[Text] = optional("Mobile advertising id; app events only.", page.APP)
    consent: Series[Flag] = optional(
        "Whether the person agreed to share data with Meta.", page.CONSENT
    )
    opt_out: Series[Flag] = optional(
        "Use for attribution only, not for delivery optimisation.", page.SERVER_EVENT
    )
    data_processing_options: Series[Text] = optional(
        'JSON list: ["LDU"] or [].', page.DATA_PROCESSING
    )
    data_processing_options_country: Series[Count] = optional(
        "1 = USA, 0 = let Meta geolocate.", page.DATA_PROCESSING
    )
    data_processing_options_state: Series[Count] = optional(
        "Meta's number for the state, 0 = let Meta geolocate.", page.DATA_PROCESSING
    )
    pixel_reported_at: Series[Time] = optional(
        "When the Pixel reported the order.", page.DEDUPLICATION
    )
    custom_data: Series[Text] = optional("JSON object merged into custom_data.", page.CUSTOM_DATA)
    app_data: Series[Text] = optional("JSON object for app events.", page.APP)
    user_data: Series[Text] = optional(
        "JSON object with further user_data parameters, such as ctwa_clid or page_id.",
        page.MESSAGING,
    )
    messaging_channel: Series[Text] = optional(
        "Channel of a business_messaging event.", page.MESSAGING
    )
    person: Series[Text] = optional(
        "The first characters of the person's digests, by which an order is found for erasure once"
        " its match data is removed."
    )
    dataset_id: Series[Text] = pap.Field(description="Meta dataset that the event is sent to.")
    dropped_fields: Series[Text] = optional(
        "Values that were dropped, as column:reason, separated by spaces."
    )

    class Config:
        unique: ClassVar = ["dataset_id", "event_name", "order_id"]
