"""The signals of consecutive hours on an hourly grid, the input of anomaly detection.

Summed over datasets, event names and currencies from `attribution_health`. The table of signals
that people read is in coverage/signals.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import orjson
import pyarrow as pa

from capi_assets.coverage.anomalies.count_models import Flags, Floats
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.hours import HOUR

HISTORY = (
    *("hour", "visits", "orders", "quarantined", "withheld", "invalid", "matched"),
    *("rejected", "delivered", "eligible", "matched_eligible", "match_keys"),
)
"""Columns of `attribution_health` that detection reads."""

_HOURS = """
SELECT hour, max(visits) AS visits, sum(orders) AS orders, sum(eligible) AS eligible,
    sum(delivered) AS delivered, sum(quarantined + invalid + rejected) AS refused,
    CASE WHEN count(matched_eligible) = count(*)
        THEN sum(eligible - quarantined) ELSE sum(orders) END AS sendable,
    CASE WHEN count(matched_eligible) = count(*)
        THEN sum(matched_eligible) ELSE sum(matched) END AS matched,
    count(match_keys) = count(*) AS has_keys,
    list(match_keys) FILTER (match_keys IS NOT NULL) AS keys
FROM health
GROUP BY hour
ORDER BY hour
"""


@dataclass(frozen=True, slots=True)
class HourSignals:
    """Signals per hour from `start` (UTC) on, without holes; an hour never counted is NaN.

    Attributes:
        refused: orders that broke the contract or that Meta refuses.
        sendable: orders neither withheld nor quarantined: those that can carry match keys.
        matched: sendable orders that matched a visit.
        keys: per match key, sendable orders that carry it.
    """

    start: datetime
    visits: Floats
    orders: Floats
    eligible: Floats
    delivered: Floats
    refused: Floats
    sendable: Floats
    matched: Floats
    keys: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.visits)

    @property
    def known(self) -> Flags:
        """Which hours were ever counted."""
        return ~np.isnan(self.orders)

    def hour(self, position: int) -> datetime:
        """The start of the hour at a position."""
        return self.start + position * HOUR


_COUNTS = ("visits", "orders", "eligible", "delivered", "refused", "sendable", "matched")


def hour_signals(tables: Iterable[pa.Table], last: datetime) -> HourSignals | None:
    """The hours of `tables` (columns of HISTORY) that begin by `last`; None if there is none.

    An hour written before match keys were counted has NaN for each of them, and its match rate is
    over all orders.
    """
    health = pa.concat_tables([table.select(HISTORY) for table in tables])
    with duckdb_with(health=health) as connection:
        rows = query(connection, _HOURS).to_pylist()
    rows = [row for row in rows if row["hour"] <= last]
    if not rows:
        return None
    start = rows[0]["hour"].astimezone(UTC)
    size = int((rows[-1]["hour"] - start) / HOUR) + 1
    counts = {name: np.full(size, np.nan) for name in _COUNTS}
    keys: dict[str, Floats] = {}
    counted = np.full(size, np.nan)
    for row in rows:
        at = int((row["hour"] - start) / HOUR)
        for name in _COUNTS:
            counts[name][at] = row[name]
        if row["has_keys"] or not row["sendable"]:
            counted[at] = 0.0
        for text in row["keys"] or ():
            for key, number in orjson.loads(text).items():
                found = keys.setdefault(key, np.zeros(size))
                found[at] += number
    return HourSignals(start, **counts, keys={key: keys[key] + counted for key in sorted(keys)})
