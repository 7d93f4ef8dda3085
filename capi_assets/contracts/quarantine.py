"""Quarantine: rows and files that were refused, with every reason and no contact data."""

from __future__ import annotations

import pandera.pandas as pap
from pandera.typing import Series

from capi_assets.contracts.base import Contract, Count, Money, Text, Time


class Quarantine(Contract):
    """One refused row, or one refused file (`line` is null)."""

    hour: Series[Time] = pap.Field(description="The hour whose folder or model gave the row.")
    source: Series[Text] = pap.Field(description="File or SQL model.")
    line: Series[Count] = pap.Field(nullable=True, description="Line in the file, from 1.")
    row_id: Series[Text] = pap.Field(
        nullable=True, description="order_id or visit_id, where it is usable."
    )
    reasons: Series[Text] = pap.Field(
        description="Every reason as column:reason, separated by spaces."
    )
    shapes: Series[Text] = pap.Field(
        nullable=True, description="JSON: the shape of each refused value, never the value."
    )
    dataset_id: Series[Text] = pap.Field(nullable=True, description="Dataset, where usable.")
    event_name: Series[Text] = pap.Field(nullable=True, description="Event name, where usable.")
    value: Series[Money] = pap.Field(nullable=True, description="Money, where usable.")
    currency: Series[Text] = pap.Field(nullable=True, description="Currency, where usable.")
