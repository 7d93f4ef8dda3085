"""What orders of a stream are usually worth, and the money of orders that never arrived."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from capi_assets.coverage.anomalies.anomaly import Interval
from capi_assets.coverage.anomalies.count_models import WEEK, WEEKS
from capi_assets.coverage.anomalies.hour_signals import ORDERS
from capi_assets.coverage.anomalies.windows import HourWindows

_REACH = 1.96
"""Standard errors to both sides: nineteen of twenty."""


def missing_money(hour: HourWindows, stream: int, mean: float) -> Mapping[str, Interval]:
    """The usual value, per currency, of the orders that an hour lacks of the `mean` it should have.

    The interval has the spread of the number of orders and of their values.
    """
    seen = hour.seen[stream, 0, ORDERS]
    overdispersion = hour.model.count_overdispersion(stream, hour.at, 1)()
    variance = mean + overdispersion * mean**2
    missing = max(mean - seen, 0.0)
    money = {}
    for currency, value in hour.signals.value.items():
        of = value[stream]
        past = np.flatnonzero(hour.model.learnable[: hour.at])
        past = past[(past >= hour.at - WEEK * WEEKS) & ~np.isnan(of[past])]
        orders = hour.model.usual[stream, ORDERS, past]
        total = np.nansum(orders)
        if total <= 0.0 or not of[past].any():
            continue
        each = of[past].sum() / total
        spread = np.sum((of[past] - each * orders) ** 2) / total
        reach = _REACH * np.sqrt(each**2 * variance + missing * spread)
        amount = each * missing
        money[currency] = Interval(
            round(float(max(amount - reach, 0.0)), 2),
            round(float(amount), 2),
            round(float(amount + reach), 2),
        )
    return money
