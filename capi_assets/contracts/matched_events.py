"""`matched_events`: each order joined to its best visit, with the exact payload to send."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Flag, Money, Text, Time, optional

VERDICTS = ("ready", "withheld", "invalid")
MATCHED_BY = ("visit_id", "external_id", "em", "ph", "fbclid", "fbp", "ip_user_agent")


class MatchedEvents(Contract):
    """One row per order; `payload` is the exact JSON that is sent for it."""

    order_id: Series[Text] = pap.Field(description="Your id for the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset that the event is sent to.")
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
        description="Unix time in seconds.", metadata=page.SERVER_EVENT
    )
    value: Series[Money] = optional("Value in `currency`.", page.CUSTOM_DATA)
    currency: Series[Text] = optional("ISO 4217 code.", page.CUSTOM_DATA)
    visit_id: Series[Text] = optional("The matched visit.")
    matched_by: Series[Text] = optional(
        "The match key by which order and visit were joined.", isin=MATCHED_BY
    )
    visit_age_seconds: Series[Count] = optional("Seconds from the visit to the order.", ge=0)
    lent: Series[Text] = optional("Columns that the visit supplied, separated by spaces.")
    shared_keys: Series[Text] = optional(
        "Match keys not used to find a visit, because too many people share their value; separated"
        " by spaces."
    )
    match_keys: Series[Text] = optional(
        "Match keys of the event, separated by spaces.", page.CUSTOMER
    )
    person: Series[Text] = optional(
        "The first characters of the person's digests (e e-mail, p phone, x external id), by which"
        " two orders of one id are told apart."
    )
    consent: Series[Flag] = optional(
        "Whether the person agreed to share data with Meta.", page.CONSENT
    )
    pixel_reported_at: Series[Time] = optional(
        "When the Pixel reported the order.", page.DEDUPLICATION
    )
    deliver_until: Series[Time] = pap.Field(
        description="Last moment at which Meta accepts the event.", metadata=page.WINDOW
    )
    verdict: Series[Text] = pap.Field(
        isin=VERDICTS, description="`ready` to send, `withheld` on purpose, or `invalid` for Meta."
    )
    reason: Series[Text] = optional("Why it is not ready.")
    subcode: Series[Count] = optional("Error subcode that Meta would return, if there is one.")
    without_browser: Series[Flag] = optional(
        "Whether a website event lacks the browser's user agent or the page, as where no visit is"
        " found.",
        page.CUSTOMER,
    )
    payload: Series[Text] = optional(
        "The server event exactly as sent: JSON, contact data hashed.", page.SERVER_EVENT
    )
    payload_sha256: Series[Text] = optional(
        "SHA-256 of the payload.", str_matches=r"^[0-9a-f]{64}$"
    )
