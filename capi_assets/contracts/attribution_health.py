"""`attribution_health`: each hour's waterfall, from orders to delivered events."""

from __future__ import annotations

from typing import Any

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time, optional


def _count(description: str) -> Any:
    return pap.Field(ge=0, description=description)


def _money(of: str) -> Any:
    return pap.Field(ge=0, description=f"Value of {of}, in `currency`.")


class AttributionHealth(Contract):
    """One row per hour, dataset, event name and currency; the stages always add up to `orders`."""

    hour: Series[Time] = pap.Field(description="Start of the hour.")
    dataset_id: Series[Text] = pap.Field(
        description="Meta dataset; empty for an hour without orders."
    )
    event_name: Series[Text] = pap.Field(
        description="Event name; empty for an hour without orders."
    )
    currency: Series[Text] = optional("ISO 4217 code.")
    visits: Series[Count] = _count("Visits in the whole hour.")
    orders: Series[Count] = _count("Orders that landed for the hour.")
    quarantined: Series[Count] = _count("Orders that break the contract.")
    withheld: Series[Count] = _count("Orders deliberately not sent, such as cancelled ones.")
    invalid: Series[Count] = _count("Orders whose event Meta would reject.")
    matched: Series[Count] = _count("Orders with a matching visit.")
    delivered: Series[Count] = _count("Events that Meta accepted.")
    pending: Series[Count] = _count("Events not accepted yet; they are sent by the next run.")
    unknown: Series[Count] = _count("Events with unknown outcome: sent, but no usable response.")
    rejected: Series[Count] = _count("Events that Meta rejected because of their content.")
    expired: Series[Count] = _count("Events too old for Meta to accept.")
    future_dated: Series[Count] = _count("Events with an event_time in the future.")
    value_orders: Series[Money] = _money("orders")
    value_quarantined: Series[Money] = _money("quarantined orders")
    value_withheld: Series[Money] = _money("withheld orders")
    value_invalid: Series[Money] = _money("invalid orders")
    value_delivered: Series[Money] = _money("delivered events")
    value_pending: Series[Money] = _money("pending events")
    value_unknown: Series[Money] = _money("events with unknown outcome")
    value_rejected: Series[Money] = _money("rejected events")
    value_expired: Series[Money] = _money("expired events")
    value_future_dated: Series[Money] = _money("future-dated events")
    eligible: Series[Count] = _count("Orders that should reach Meta: orders minus withheld.")
    coverage: Series[Money] = optional(
        "delivered / eligible; null if no order is eligible.", ge=0, le=1
    )
    coverage_value: Series[Money] = optional(
        "Coverage by value; null if values make it meaningless.", ge=0, le=1.000001
    )
    first_deadline: Series[Time] = optional(
        "Earliest deliver_until of events that can still be delivered."
    )
    main_reason: Series[Text] = optional("Most frequent reason of undelivered orders.")
    main_reason_kind: Series[Text] = optional("Cause of that reason, such as `token`.")
    freshness_p50_minutes: Series[Money] = optional(
        "Median minutes from the order until Meta accepted its event."
    )
    freshness_p95_minutes: Series[Money] = optional("95th percentile of the same.")
    matched_eligible: Series[Count] = optional(
        "Matched orders that are neither withheld nor quarantined.", ge=0
    )
    value_changed: Series[Money] = optional(
        "Change in the value of delivered orders since they were sent; in no other sum."
    )
    without_browser: Series[Count] = optional(
        "Website orders without the browser's user agent or page, sent or withheld by"
        " CAPI_WEBSITE_WITHOUT_BROWSER.",
        ge=0,
    )
    visits_with_click_id: Series[Count] = optional(
        "Visits of the whole hour with a click id of Meta's (fbc or fbclid).", ge=0
    )
    match_keys: Series[Text] = optional(
        "Orders with each match key, as JSON; without withheld and quarantined orders."
    )
    withheld_reasons: Series[Text] = optional(
        "Withheld orders by reason, such as `no_consent`, as JSON."
    )
    action_sources: Series[Text] = optional(
        "Orders by action source, as JSON; without quarantined orders."
    )
    zero_value: Series[Count] = optional(
        "Orders without a value, or with the value zero; without withheld and quarantined orders.",
        ge=0,
    )
    value_p50: Series[Money] = optional(
        "Median value of the orders that have one other than zero; without withheld and"
        " quarantined orders."
    )
    lookalikes: Series[Count] = optional(
        "Orders like an earlier one of the hour: another order_id, but the same dataset, event"
        " name, person (the same second where no person is known), value and currency. A feed that"
        " lands every order twice has half of its orders here.",
        ge=0,
    )
    shared_event_id: Series[Count] = optional(
        "Orders whose event_id another order of the hour, dataset and event name has as well.",
        ge=0,
    )
