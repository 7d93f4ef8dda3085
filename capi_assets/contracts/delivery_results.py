"""`delivery_results`: what Meta answered, the ledger folded to one row per event."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts import meta_pages as page
from capi_assets.contracts.base import Contract, Count, Money, Text, Time

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
)


class DeliveryResults(Contract):
    """One row per matched event with the state of its delivery."""

    dataset_id: Series[Text] = pap.Field(description="Meta dataset of the event.")
    event_name: Series[Text] = pap.Field(
        description="Standard or custom event name.", metadata=page.SERVER_EVENT
    )
    event_id: Series[Text] = pap.Field(description="Deduplication id.", metadata=page.DEDUPLICATION)
    order_id: Series[Text] = pap.Field(description="Your id of the order.")
    occurred_at: Series[Time] = pap.Field(description="When the conversion happened.")
    value: Series[Money] = pap.Field(
        nullable=True, description="Money in `currency`.", metadata=page.CUSTOM_DATA
    )
    currency: Series[Text] = pap.Field(
        nullable=True, description="ISO 4217 code.", metadata=page.CUSTOM_DATA
    )
    deliver_until: Series[Time] = pap.Field(
        description="After this, Meta refuses the event.", metadata=page.WINDOW
    )
    status: Series[Text] = pap.Field(isin=STATUSES, description="Where the event stands.")
    reason: Series[Text] = pap.Field(nullable=True, description="Why it stands there.")
    attempts: Series[Count] = pap.Field(ge=0, description="Requests that carried the event.")
    first_attempt_at: Series[Time] = pap.Field(nullable=True, description="First request.")
    last_attempt_at: Series[Time] = pap.Field(nullable=True, description="Latest request.")
    delivered_at: Series[Time] = pap.Field(nullable=True, description="When Meta accepted it.")
    http_status: Series[Count] = pap.Field(nullable=True, description="Meta's HTTP status.")
    code: Series[Count] = pap.Field(nullable=True, description="Meta's error code.")
    subcode: Series[Count] = pap.Field(nullable=True, description="Meta's error subcode.")
    fbtrace_id: Series[Text] = pap.Field(nullable=True, description="Meta's trace id.")
    api_version: Series[Text] = pap.Field(nullable=True, description="Version that answered.")
    payload_sha256: Series[Text] = pap.Field(nullable=True, description="Digest of the payload.")
