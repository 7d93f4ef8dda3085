"""`matched_events`: what became of each order once it found its visit, with the bytes to send."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Flag, Money, Text, Time

VERDICTS = ("ready", "withheld", "invalid")
MATCHED_BY = ("visit_id", "external_id", "em", "ph", "fbclid", "fbp", "ip_user_agent")


class MatchedEvents(Contract):
    """One row per order; `payload` is the exact JSON that is sent for it."""

    order_id: Series[Text] = pap.Field(description="Your id of the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset the event goes to.")
    event_name: Series[Text] = pap.Field(
        description="Standard or custom event name.", metadata=page.SERVER_EVENT
    )
    event_id: Series[Text] = pap.Field(
        description="Deduplication id, shared with the browser.", metadata=page.SERVER_EVENT
    )
    action_source: Series[Text] = pap.Field(
        description="Where the conversion happened.", metadata=page.SERVER_EVENT
    )
    event_time: Series[Count] = pap.Field(
        description="Unix seconds, as Meta takes them.", metadata=page.SERVER_EVENT
    )
    value: Series[Money] = pap.Field(
        nullable=True, description="Money in `currency`.", metadata=page.CUSTOM_DATA
    )
    currency: Series[Text] = pap.Field(
        nullable=True, description="ISO 4217 code.", metadata=page.CUSTOM_DATA
    )
    visit_id: Series[Text] = pap.Field(nullable=True, description="The visit the order found.")
    matched_by: Series[Text] = pap.Field(
        nullable=True, isin=MATCHED_BY, description="The match key that found the visit."
    )
    visit_age_seconds: Series[Count] = pap.Field(
        nullable=True, ge=0, description="Seconds from the visit to the order."
    )
    lent: Series[Text] = pap.Field(
        nullable=True, description="Match keys that the visit lent, separated by spaces."
    )
    shared_keys: Series[Text] = pap.Field(
        nullable=True,
        description="Match keys by which no visit was looked for, because too many people share"
        " their value; separated by spaces.",
    )
    match_keys: Series[Text] = pap.Field(
        nullable=True,
        description="Match keys that the event carries, separated by spaces.",
        metadata=page.CUSTOMER,
    )
    consent: Series[Flag] = pap.Field(
        nullable=True, description="Whether the person agreed.", metadata=page.CONSENT
    )
    pixel_reported_at: Series[Time] = pap.Field(
        nullable=True,
        description="When the browser's Pixel reported the order.",
        metadata=page.DEDUPLICATION,
    )
    deliver_until: Series[Time] = pap.Field(
        description="After this, Meta refuses the event.", metadata=page.WINDOW
    )
    verdict: Series[Text] = pap.Field(isin=VERDICTS, description="ready, withheld or invalid.")
    reason: Series[Text] = pap.Field(nullable=True, description="Why it is not ready.")
    subcode: Series[Count] = pap.Field(
        nullable=True, description="Meta's subcode of the refusal, where one exists."
    )
    payload: Series[Text] = pap.Field(
        nullable=True,
        description="The server event, exactly as sent: JSON, no contact data in the clear.",
        metadata=page.SERVER_EVENT,
    )
    payload_sha256: Series[Text] = pap.Field(
        nullable=True, str_matches=r"^[0-9a-f]{64}$", description="Digest of the payload."
    )
