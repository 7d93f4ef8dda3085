"""`attribution_health`: the waterfall of each hour, from orders to delivered events."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time


def _count(words: str) -> Series[Count]:
    field: Series[Count] = pap.Field(ge=0, description=words)
    return field


def _money(words: str) -> Series[Money]:
    field: Series[Money] = pap.Field(ge=0, description=f"Money of {words}, in `currency`.")
    return field


class AttributionHealth(Contract):
    """One row per hour, dataset, event name and currency; the counts always add up to `orders`."""

    hour: Series[Time] = pap.Field(description="Start of the hour.")
    dataset_id: Series[Text] = pap.Field(description="Meta dataset; empty in an empty hour.")
    event_name: Series[Text] = pap.Field(description="Event name; empty in an empty hour.")
    currency: Series[Text] = pap.Field(nullable=True, description="ISO 4217 code.")
    visits: Series[Count] = _count("Visits of the whole hour.")
    orders: Series[Count] = _count("Orders that landed.")
    quarantined: Series[Count] = _count("Orders that broke the contract.")
    withheld: Series[Count] = _count("Orders not sent on purpose.")
    invalid: Series[Count] = _count("Orders that Meta would refuse.")
    matched: Series[Count] = _count("Orders that found a visit.")
    delivered: Series[Count] = _count("Events that Meta accepted.")
    pending: Series[Count] = _count("Events that still wait.")
    unknown: Series[Count] = _count("Events whose fate is unknown.")
    rejected: Series[Count] = _count("Events that Meta refused.")
    expired: Series[Count] = _count("Events too old for Meta.")
    future_dated: Series[Count] = _count("Events dated in the future.")
    value_orders: Series[Money] = _money("orders")
    value_quarantined: Series[Money] = _money("quarantined orders")
    value_withheld: Series[Money] = _money("withheld orders")
    value_invalid: Series[Money] = _money("invalid orders")
    value_delivered: Series[Money] = _money("delivered events")
    value_pending: Series[Money] = _money("pending events")
    value_unknown: Series[Money] = _money("events of unknown fate")
    value_rejected: Series[Money] = _money("rejected events")
    value_expired: Series[Money] = _money("expired events")
    value_future_dated: Series[Money] = _money("future events")
    eligible: Series[Count] = _count("Orders that ought to be at Meta: orders less withheld.")
    coverage: Series[Money] = pap.Field(
        nullable=True, ge=0, le=1, description="delivered / eligible; null when none is eligible."
    )
    coverage_value: Series[Money] = pap.Field(
        nullable=True, ge=0, le=1.000001, description="The same by money."
    )
    first_deadline: Series[Time] = pap.Field(
        nullable=True, description="Earliest deliver_until of what can still be saved."
    )
    main_reason: Series[Text] = pap.Field(
        nullable=True, description="Most frequent reason among what was lost."
    )
    main_reason_kind: Series[Text] = pap.Field(
        nullable=True, description="The cause that reason belongs to, such as token."
    )
    freshness_p50_minutes: Series[Money] = pap.Field(
        nullable=True, description="Median minutes from order to acceptance."
    )
    freshness_p95_minutes: Series[Money] = pap.Field(
        nullable=True, description="95th percentile minutes from order to acceptance."
    )
    matched_eligible: Series[Count] = pap.Field(
        nullable=True, ge=0, description="Orders neither withheld nor quarantined with a visit."
    )
    match_keys: Series[Text] = pap.Field(
        nullable=True,
        description="Of orders neither withheld nor quarantined: how many carry each key, as JSON.",
    )
