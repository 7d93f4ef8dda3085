"""`delivery_results`: the delivery status of every event, from plan and ledger."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Money, Text, Time, optional

STATUSES = (
    "delivered",
    "pending",
    "unknown",
    "rejected",
    "expired",
    "withheld",
    "invalid",
    "covered_by_pixel",
    "future_dated",
    "repeated",
)


class DeliveryResults(Contract):
    """One row per matched event with its delivery status."""

    dataset_id: Series[Text] = pap.Field(description="Meta dataset of the event.")
    event_name: Series[Text] = pap.Field(
        description="Standard or custom event name.", metadata=page.SERVER_EVENT
    )
    event_id: Series[Text] = pap.Field(
        description="Deduplication id, shared with the browser.", metadata=page.DEDUPLICATION
    )
    order_id: Series[Text] = pap.Field(description="Your id for the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    value: Series[Money] = optional(
        "Money in `currency`; of a delivered event as it was sent.", page.CUSTOM_DATA
    )
    currency: Series[Text] = optional("ISO 4217 code.", page.CUSTOM_DATA)
    deliver_until: Series[Time] = pap.Field(
        description="Last moment at which Meta accepts the event.", metadata=page.WINDOW
    )
    status: Series[Text] = pap.Field(isin=STATUSES, description="Delivery status.")
    reason: Series[Text] = optional("Reason of the status.")
    attempts: Series[Count] = pap.Field(ge=0, description="Requests that contained the event.")
    first_attempt_at: Series[Time] = optional("Time of the first request.")
    last_attempt_at: Series[Time] = optional("Time of the latest request.")
    delivered_at: Series[Time] = optional("When Meta accepted it.")
    http_status: Series[Count] = optional("HTTP status of the latest response.")
    code: Series[Count] = optional("Meta's error code.")
    subcode: Series[Count] = optional("Meta's error subcode.")
    fbtrace_id: Series[Text] = optional("Meta's trace id.")
    api_version: Series[Text] = optional("Graph API version of the latest response.")
    sent_event_id: Series[Text] = optional(
        "The event_id under which Meta has the order, where it is another one."
    )
    sent_hour: Series[Time] = optional(
        "Hour of the order that has the event's identity in the ledger, where it is another hour or"
        " another order; of a repeated one the hour in which it is counted."
    )
    payload_sha256: Series[Text] = optional("SHA-256 of the payload.")
