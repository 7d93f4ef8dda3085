"""The totals of an hour, whole and by event name and cause, which flags.py needs: what is missing,
why, and what can still be delivered at a given time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Stream
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.delivery.causes import Cause
from capi_assets.meta.events.refusals import FORMER_REASONS
from capi_assets.meta.limits import DELIVERY_MARGIN, WINDOW

_COUNTS = ("orders", "eligible", "delivered", "matched", "recoverable", "correctable")
_MONEY = ("missing", "recoverable", "correctable")


@dataclass(slots=True)
class Totals:
    """Orders added up. Money is per currency, `""` where an order has none.

    `flags.flag_hours` explains recoverable and correctable; `reasons` counts missing orders.
    """

    orders: int = 0
    eligible: int = 0
    delivered: int = 0
    matched: int = 0
    recoverable: int = 0
    correctable: int = 0
    first_deadline: datetime | None = None
    missing_money: dict[str, float] = field(default_factory=dict)
    recoverable_money: dict[str, float] = field(default_factory=dict)
    correctable_money: dict[str, float] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        return self.eligible - self.delivered

    @property
    def coverage(self) -> float | None:
        return self.delivered / self.eligible if self.eligible else None

    def add(self, other: Totals) -> None:
        """Adds `other` to these totals."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _MONEY:
            money = getattr(self, f"{name}_money")
            for currency, value in getattr(other, f"{name}_money").items():
                money[currency] = money.get(currency, 0.0) + value
        deadlines = [d for d in (self.first_deadline, other.first_deadline) if d]
        self.first_deadline = min(deadlines, default=None)
        self.reasons.update(other.reasons)


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of `parts`."""
    whole = Totals()
    for part in parts:
        whole.add(part)
    return whole


@dataclass(slots=True)
class HourTotals:
    """One hour: its visits, and its orders by event name and by the cause of what is missing.

    All missing orders of a row of `attribution_health` count for its main reason.
    """

    visits: int = 0
    parts: dict[tuple[Stream, Cause | None], Totals] = field(default_factory=dict)

    @property
    def whole(self) -> Totals:
        return total(self.parts.values())

    @property
    def streams(self) -> set[Stream]:
        """Datasets with their event names, of orders whose names could be read."""
        return {stream for stream, _ in self.parts if stream.dataset_id and stream.event_name}

    def of(self, *streams: Stream, cause: Cause | None = None) -> Totals:
        """The totals of some streams (all if none is given), or of what a cause costs them."""
        return total(
            part
            for (stream, why), part in self.parts.items()
            if (not streams or stream in streams) and (cause is None or why is cause)
        )

    def costs(self, *streams: Stream) -> Counter[Cause]:
        """Missing orders per cause, of some streams or of all."""
        costs: Counter[Cause] = Counter()
        for (stream, cause), part in self.parts.items():
            if cause is not None and part.missing and (not streams or stream in streams):
                costs[cause] += part.missing
        return costs

    def blame_visits(self) -> None:
        """Counts orders refused for data that their visits would have supplied as missing visits:
        weak match keys, and in hours that a former version wrote the browser's data."""
        for (stream, cause), part in list(self.parts.items()):
            former = cause is Cause.PAYLOAD and all(r in FORMER_REASONS for r in part.reasons)
            if part.missing and (cause is Cause.MATCH_KEYS_LOST or former):
                del self.parts[stream, cause]
                key = (stream, Cause.VISITS_MISSING)
                self.parts[key] = total([part, self.parts.get(key, Totals())])


def window_end(hour: datetime) -> datetime:
    """Until when an hour's first event can be sent, for every source but physical stores."""
    return hour + WINDOW - DELIVERY_MARGIN


_PARTS = """
SELECT hour, dataset_id, event_name, CASE WHEN eligible > delivered THEN main_reason_kind END
        AS kind,
    CASE WHEN eligible > delivered THEN coalesce(main_reason, 'no reason given') END AS reason,
    eligible > delivered AS is_missing, coalesce(currency, '') AS currency, max(visits) AS visits,
    sum(orders)::BIGINT AS orders, sum(eligible)::BIGINT AS eligible,
    sum(delivered)::BIGINT AS delivered, sum(matched)::BIGINT AS matched,
    sum(value_orders - value_withheld - value_delivered) AS missing_value,
    sum(CASE WHEN savable THEN pending + unknown + future_dated ELSE 0 END)::BIGINT AS recoverable,
    sum(CASE WHEN savable THEN value_pending + value_unknown + value_future_dated ELSE 0 END)
        AS recoverable_value,
    sum(CASE WHEN inside THEN quarantined + invalid + rejected ELSE 0 END)::BIGINT AS correctable,
    sum(CASE WHEN inside THEN value_quarantined + value_invalid + value_rejected ELSE 0 END)
        AS correctable_value,
    min(first_deadline) FILTER (savable AND pending + unknown + future_dated > 0) AS first_deadline
FROM (
    SELECT *,
        coalesce(first_deadline, hour + to_microseconds($window)) > $now AS savable,
        hour + to_microseconds($window) > $now AS inside
    FROM health
)
GROUP BY ALL
ORDER BY ALL
"""


def hour_totals(health: pa.Table, now: datetime) -> dict[datetime, HourTotals]:
    """`attribution_health` added up per hour as of `now`, in time order."""
    window = int((WINDOW - DELIVERY_MARGIN) / timedelta(microseconds=1))
    with duckdb_with(health=health) as connection:
        rows = query(connection, _PARTS, {"window": window, "now": now})
    hours: defaultdict[datetime, HourTotals] = defaultdict(HourTotals)
    for row in _rows(rows):
        hour = hours[row["hour"].astimezone(UTC)]
        hour.visits = max(hour.visits, row["visits"])
        stream = Stream(row["dataset_id"], row["event_name"])
        key = (stream, _known(row["kind"]) if row["is_missing"] else None)
        hour.parts.setdefault(key, Totals()).add(_totals(row))
    return dict(hours)


def _rows(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _totals(row: Mapping[str, Any]) -> Totals:
    deadline = row["first_deadline"]
    return Totals(
        **{name: row[name] for name in _COUNTS},
        missing_money={row["currency"]: row["missing_value"]},
        recoverable_money={row["currency"]: row["recoverable_value"]},
        correctable_money={row["currency"]: row["correctable_value"]},
        first_deadline=deadline.astimezone(UTC) if deadline else None,
        reasons=Counter(
            {row["reason"]: row["eligible"] - row["delivered"]} if row["reason"] else {}
        ),
    )


def _known(kind: str | None) -> Cause:
    try:
        return Cause(kind or "")
    except ValueError:
        return Cause.UNEXPLAINED
