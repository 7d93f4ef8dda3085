"""`visits` in the lake: match keys as stored when the visit happened, contact data as digests."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import DIGEST_LIST, Contract, Flag, Text, Time


class Visits(Contract):
    """A landing on the site with its match keys; one row per visit_id."""

    visit_id: Series[Text] = pap.Field(unique=True, description="Your id of the visit.")
    occurred_at: Series[Time] = pap.Field(description="When the visit happened.")
    page_url: Series[Text] = pap.Field(nullable=True, description="Address of the page.")
    referrer_url: Series[Text] = pap.Field(nullable=True, description="HTTP referrer.")
    fbclid: Series[Text] = pap.Field(nullable=True, description="Click id, case kept.")
    fbc: Series[Text] = pap.Field(
        nullable=True, description="Click id with the time it was first seen (fb.1.ms.fbclid)."
    )
    fbp: Series[Text] = pap.Field(nullable=True, description="Browser id that the Pixel issued.")
    client_ip_address: Series[Text] = pap.Field(nullable=True, description="Public IP address.")
    client_user_agent: Series[Text] = pap.Field(nullable=True, description="Browser's user agent.")
    external_id: Series[Text] = pap.Field(
        nullable=True, description="Your id of the person, as sent to Meta."
    )
    em: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the e-mail addresses."
    )
    ph: Series[Text] = pap.Field(
        nullable=True, str_matches=DIGEST_LIST, description="SHA-256 of the phone numbers."
    )
    consent: Series[Flag] = pap.Field(nullable=True, description="Whether the visitor agreed.")
    dropped_fields: Series[Text] = pap.Field(
        nullable=True, description="Fields that were unusable, each with its reason."
    )
