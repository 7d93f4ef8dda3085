"""The missing orders of flagged hours by id: the first ones, and the query that lists them all.

A list of gaps says how many are missing; these are the ids to look up in a shop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.outcomes import (
    DELIVERED,
    EVENT_COLUMNS,
    MONEY_UNITS,
    ON_PURPOSE,
    ORDER_OUTCOMES,
    QUARANTINED_ORDERS,
    outcomes,
)
from capi_assets.coverage.sql import query
from capi_assets.hours import key_hour, key_ranges
from capi_assets.lake import Lake

NAMED = 20
"""Orders that are named; a longer list is for a query."""

MISSING = f"stage NOT IN ('{DELIVERED}', '{ON_PURPOSE}')"

_FIRST = f"""
SELECT hour, order_id, dataset_id, event_name, stage, reason, currency,
    units::DOUBLE / {MONEY_UNITS} AS value
FROM outcomes
WHERE {MISSING}
ORDER BY occurred_at NULLS LAST, order_id NULLS LAST, dataset_id, event_name, event_id
LIMIT $limit
"""


@dataclass(frozen=True, slots=True)
class MissingOrders:
    """The first missing orders as rows of hour (UTC), order_id (None where a refused row has none
    that is valid), dataset_id, event_name, stage, reason, currency and value; and one SELECT for
    `capi-assets sql` that lists all of them, None where no order is missing."""

    first: Sequence[dict[str, Any]]
    query: str | None

    @property
    def command(self) -> str | None:
        """What to type to list all of them."""
        return f'capi-assets sql "{self.query}"' if self.query else None


def missing_orders(lake: Lake, gaps: Iterable[Gap], limit: int = NAMED) -> MissingOrders:
    """All missing orders of the gaps' hours, oldest first, also those that are too few to be a gap
    of their own. Reads only the hours that it names.

    Raises:
        LakeError: a stored table cannot be read.
    """
    hours = sorted({hour for gap in gaps for hour, missing in gap.missing.items() if missing})
    first: list[dict[str, Any]] = []
    for hour in hours:
        if len(first) >= limit:
            break
        first += _first_of(lake, hour, limit - len(first)).to_pylist()
    return MissingOrders(first, query_for(hours) if hours else None)


def _first_of(lake: Lake, hour: datetime, limit: int) -> pa.Table:
    events = lake.read("matched_events", [hour], arrow_schema(MatchedEvents), EVENT_COLUMNS)
    results = lake.read("delivery_results", [hour], arrow_schema(DeliveryResults))
    refused = lake.read("quarantined_orders", [hour], QUARANTINED_ORDERS)
    with outcomes(events, results, refused) as connection:
        return query(connection, _FIRST, {"limit": limit})


def query_for(hours: Sequence[datetime]) -> str:
    """One SELECT over the view `order_outcomes`: the missing orders of `hours`, in time order."""
    bounds = " OR ".join(
        f"hour BETWEEN '{first:%Y-%m-%d %H:%M}Z' AND '{last:%Y-%m-%d %H:%M}Z'"
        for first, last in (map(key_hour, keys) for keys in key_ranges(hours))
    )
    return f"SELECT * FROM {ORDER_OUTCOMES} WHERE {MISSING} AND ({bounds}) ORDER BY hour, order_id"
