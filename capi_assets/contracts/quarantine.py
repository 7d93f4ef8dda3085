"""`quarantined_visits` and `quarantined_orders`: refused rows and files, without contact data."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time, optional


class Quarantine(Contract):
    """One refused row, or one refused file (`line` and `row_id` are null)."""

    hour: Series[Time] = pap.Field(
        description="Hour of the folder; for a SQL model the row's own hour."
    )
    source: Series[Text] = pap.Field(description="File or SQL model that the row came from.")
    line: Series[Count] = optional("Line in the file, from 1; null for a SQL model.")
    row_id: Series[Text] = optional("order_id or visit_id, if valid.")
    reasons: Series[Text] = pap.Field(
        description="Every reason as column:reason, separated by spaces."
    )
    shapes: Series[Text] = optional(
        "JSON: the shape of each refused value, never the value itself."
    )
    dataset_id: Series[Text] = optional("Meta dataset, if valid.")
    event_name: Series[Text] = optional("Event name, if valid.")
    value: Series[Money] = optional("Value, if valid.")
    currency: Series[Text] = optional("Currency, if valid.")
