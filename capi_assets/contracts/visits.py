"""`visits` in the lake: match keys stored when the visit happened, contact data as digests."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import DIGEST_LIST, Contract, Flag, Text, Time, optional


class Visits(Contract):
    """One row per website visit, with its match keys."""

    visit_id: Series[Text] = pap.Field(unique=True, description="Your id for the visit.")
    occurred_at: Series[Time] = pap.Field(description="When the visit happened.")
    page_url: Series[Text] = optional("Page URL with its query string.")
    referrer_url: Series[Text] = optional("HTTP referrer of the page.")
    fbclid: Series[Text] = optional("Click id, case unchanged.", page.COOKIES)
    fbc: Series[Text] = optional(
        "Click id with the time it was first seen (fb.1.ms.fbclid).", page.COOKIES
    )
    fbp: Series[Text] = optional("Browser id from the Pixel's _fbp cookie.", page.COOKIES)
    client_ip_address: Series[Text] = optional("Public IP address.", page.CUSTOMER)
    client_user_agent: Series[Text] = optional("Browser's user agent.", page.CUSTOMER)
    external_id: Series[Text] = optional(
        "Your id for the person, as sent to Meta.", page.EXTERNAL_ID
    )
    em: Series[Text] = optional(
        "SHA-256 of the e-mail addresses.", page.CUSTOMER, str_matches=DIGEST_LIST
    )
    ph: Series[Text] = optional(
        "SHA-256 of the phone numbers.", page.CUSTOMER, str_matches=DIGEST_LIST
    )
    consent: Series[Flag] = optional(
        "Whether the visitor agreed to share data with Meta.", page.CONSENT
    )
    dropped_fields: Series[Text] = optional(
        "Values that were dropped, as column:reason, separated by spaces."
    )
