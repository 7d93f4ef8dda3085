"""The totals of an hour, whole and by event name and cause, which flags.py needs: what is missing,
why, and what can still be delivered at a given time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Stream
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.delivery.causes import Cause
from capi_assets.meta.events.refusals import FORMER_REASONS
from capi_assets.meta.limits import DELIVERY_MARGIN, WINDOW


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
        self.orders += other.orders
        self.eligible += other.eligible
        self.delivered += other.delivered
        self.matched += other.matched
        self.recoverable += other.recoverable
        self.correctable += other.correctable
        for money, more in (
            (self.missing_money, other.missing_money),
            (self.recoverable_money, other.recoverable_money),
            (self.correctable_money, other.correctable_money),
        ):
            for currency, value in more.items():
                money[currency] = money.get(currency, 0.0) + value
        if other.first_deadline and (
            self.first_deadline is None or other.first_deadline < self.first_deadline
        ):
            self.first_deadline = other.first_deadline
        if other.reasons:
            self.reasons.update(other.reasons)


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of `parts`."""
    whole = Totals()
    for part in parts:
        whole.add(part)
    return whole


@dataclass
class HourTotals:
    """One hour: its visits, and its orders by event name and by the cause of what is missing.

    All missing orders of a row of `attribution_health` count for its main reason. Parts may move
    from cause to cause; none may be added once `whole` or `streams` was read.
    """

    visits: int = 0
    parts: dict[Stream, dict[Cause | None, Totals]] = field(default_factory=dict)

    @cached_property
    def whole(self) -> Totals:
        return self.of()

    @cached_property
    def streams(self) -> frozenset[Stream]:
        """Datasets with their event names, of orders whose names could be read."""
        return frozenset(s for s in self.parts if s.dataset_id and s.event_name)

    def add(self, stream: Stream, cause: Cause | None, part: Totals) -> None:
        """Adds orders of an event name that a cause costs; None: nothing of them is missing."""
        causes = self.parts.setdefault(stream, {})
        if cause in causes:
            causes[cause].add(part)
        else:
            causes[cause] = part

    def of(self, *streams: Stream, cause: Cause | None = None) -> Totals:
        """The totals of some streams (all if none is given), or of what a cause costs them."""
        return total(
            part
            for causes in self._of(streams)
            for why, part in causes.items()
            if cause is None or why is cause
        )

    def costs(self, *streams: Stream) -> Counter[Cause]:
        """Missing orders per cause, of some streams or of all."""
        costs: Counter[Cause] = Counter()
        for causes in self._of(streams):
            for cause, part in causes.items():
                if cause is not None and part.missing:
                    costs[cause] += part.missing
        return costs

    def eligible(self, *streams: Stream) -> int:
        """Orders of some streams, or of all, that should be delivered."""
        return sum(part.eligible for causes in self._of(streams) for part in causes.values())

    def _of(self, streams: Collection[Stream]) -> Iterable[dict[Cause | None, Totals]]:
        if not streams:
            return self.parts.values()
        return [self.parts[stream] for stream in dict.fromkeys(streams) if stream in self.parts]

    def blame_visits(self) -> None:
        """Counts orders refused for data that their visits would have supplied as missing visits:
        weak match keys, and in hours that a former version wrote the browser's data."""
        for stream, causes in self.parts.items():
            for cause, part in list(causes.items()):
                former = cause is Cause.PAYLOAD and all(r in FORMER_REASONS for r in part.reasons)
                if part.missing and (cause is Cause.MATCH_KEYS_LOST or former):
                    del causes[cause]
                    self.add(stream, Cause.VISITS_MISSING, part)


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
        cause = _known(row["kind"]) if row["is_missing"] else None
        hour.add(Stream(row["dataset_id"], row["event_name"]), cause, _totals(row))
    return dict(hours)


def _rows(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _totals(row: Mapping[str, Any]) -> Totals:
    deadline, currency, reason = row["first_deadline"], row["currency"], row["reason"]
    recoverable, correctable = row["recoverable_value"], row["correctable_value"]
    totals = Totals(
        orders=row["orders"],
        eligible=row["eligible"],
        delivered=row["delivered"],
        matched=row["matched"],
        recoverable=row["recoverable"],
        correctable=row["correctable"],
        first_deadline=deadline.astimezone(UTC) if deadline else None,
        missing_money={currency: row["missing_value"]},
        recoverable_money={currency: recoverable} if recoverable else {},
        correctable_money={currency: correctable} if correctable else {},
    )
    if reason:
        totals.reasons[reason] = totals.missing
    return totals


def _known(kind: str | None) -> Cause:
    try:
        return Cause(kind or "")
    except ValueError:
        return Cause.UNEXPLAINED
