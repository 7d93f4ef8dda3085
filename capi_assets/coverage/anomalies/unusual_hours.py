"""All that is unusual about hours, whatever the time: kept until one of the hours changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.detect import detect_anomalies
from capi_assets.coverage.anomalies.hour_signals import hour_signals
from capi_assets.coverage.anomalies.refusal_rate import RefusalBaselines
from capi_assets.coverage.anomalies.unusual_shares import unusual_orders


@dataclass(frozen=True, slots=True)
class UnusualHours:
    """Per hour (start, UTC) what `detect_anomalies` and what `unusual_orders` found.

    Attributes:
        start: the first hour that was learned from; None if there is none.
        baselines: the usual shares of refused orders; None likewise.
    """

    start: datetime | None
    anomalies: Mapping[datetime, Sequence[Anomaly]]
    orders: Mapping[datetime, Sequence[Anomaly]]
    baselines: RefusalBaselines | None


def unusual_hours(tables: Sequence[pa.Table], last: datetime, threshold: float) -> UnusualHours:
    """What is unusual until `last`, in `attribution_health` in time order (columns of
    `flags.HISTORY`); an hour is unusual below `threshold` (0 to 1) of coverage."""
    signals = hour_signals(tables, last)
    orders = unusual_orders(tables, last, threshold)
    if signals is None:
        return UnusualHours(None, {}, orders, None)
    anomalies = detect_anomalies(signals, threshold)
    return UnusualHours(signals.start, anomalies, orders, RefusalBaselines.keep(signals))
