"""`visits` in the lake: match keys as stored when the visit happened, contact data as digests."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import DIGEST_LIST, Contract, Flag, Text, Time


class Visits(Contract):
    """A landing on the site with its match keys; one row per visit_id."""

    visit_id: Series[Text] = pap.Field(unique=True, description="Your id of the visit.")
    occurred_at: Series[Time] = pap.Field(description="When the visit happened.")
    page_url: Series[Text] = pap.Field(
        nullable=True, description="Address of the page, with its query."
    )
    referrer_url: Series[Text] = pap.Field(nullable=True, description="HTTP referrer of the page.")
    fbclid: Series[Text] = pap.Field(
        nullable=True, description="Click id, case kept.", metadata=page.COOKIES
    )
    fbc: Series[Text] = pap.Field(
        nullable=True,
        description="Click id with the time it was first seen (fb.1.ms.fbclid).",
        metadata=page.COOKIES,
    )
    fbp: Series[Text] = pap.Field(
        nullable=True, description="Browser id that the Pixel issued.", metadata=page.COOKIES
    )
    client_ip_address: Series[Text] = pap.Field(
        nullable=True, description="Public IP address.", metadata=page.CUSTOMER
    )
    client_user_agent: Series[Text] = pap.Field(
        nullable=True, description="Browser's user agent.", metadata=page.CUSTOMER
    )
    external_id: Series[Text] = pap.Field(
        nullable=True,
        description="Your id of the person, as sent to Meta.",
        metadata=page.EXTERNAL_ID,
    )
    em: Series[Text] = pap.Field(
        nullable=True,
        str_matches=DIGEST_LIST,
        description="SHA-256 of the e-mail addresses.",
        metadata=page.CUSTOMER,
    )
    ph: Series[Text] = pap.Field(
        nullable=True,
        str_matches=DIGEST_LIST,
        description="SHA-256 of the phone numbers.",
        metadata=page.CUSTOMER,
    )
    consent: Series[Flag] = pap.Field(
        nullable=True,
        description="Whether the visitor agreed to share data with Meta.",
        metadata=page.CONSENT,
    )
    dropped_fields: Series[Text] = pap.Field(
        nullable=True,
        description="Fields that were unusable, as column:reason, separated by spaces.",
    )
