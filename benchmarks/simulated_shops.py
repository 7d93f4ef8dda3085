"""Shops by the hour, straight as `attribution_health`: rhythm, moods, luck, and what goes wrong.

Whole columns of counts, no single order. The shops are rougher than Poisson on purpose: demand and
conversion have good and bad days, so that a method cannot live on chance alone. What is trouble and
what is not is in weeks.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

START = datetime(2026, 9, 28, tzinfo=UTC)  # a Monday
WEEK = 168
HOUR = timedelta(hours=1)
BASKET = 60.0

_DAY = np.array([
    34, 22, 15, 12, 13, 20, 38, 66, 92, 108, 116, 122, 128, 120, 116, 118, 124, 134, 150, 168,
    176, 158, 112, 64,
])  # fmt: skip
KEYS = {"em": 0.93, "ph": 0.55, "external_id": 0.3, "fn": 0.9, "client_ip_address": 0.85}
KEYS_OF_VISITS = {"fbp": 0.92, "fbc": 0.45}  # of the orders that found a visit


@dataclass(frozen=True)
class Kind:
    """A kind of shop."""

    orders_per_day: float
    visits_per_order: float = 35.0
    night: float = 0.0  # how much deeper than the rhythm the night is, 0 to 1
    weekend: float = 1.1
    growth: float = 0.0  # per week
    match_rate: float = 0.78
    trickle: float = 0.004  # of each: quarantined, invalid, rejected
    moods: float = 1.0
    tracked: bool = True


@dataclass
class Books:
    """Counts per hour; the stages hold what is not delivered."""

    rng: np.random.Generator
    kind: Kind
    weeks: int
    visits: Ints
    orders: Ints
    withheld: Ints
    lost: dict[str, Ints]
    match: Floats  # probability that an order finds a visit
    key: dict[str, Floats]  # probability that an order carries the key
    strange: Ints  # orders of another kind, without visit and keys, among `orders`
    reason: dict[int, tuple[str, str]] = field(default_factory=dict)  # reason and cause by hour
    late_minutes: Floats = field(default_factory=lambda: np.zeros(0))
    absent: set[int] = field(default_factory=set)

    @property
    def hours(self) -> int:
        return self.weeks * WEEK

    def free(self, hours: slice) -> Ints:
        """Orders that nothing has happened to yet."""
        taken = sum(self.lost.values()) + self.withheld
        left: Ints = np.maximum(self.orders - taken, 0)[hours]
        return left

    def lose(self, hours: slice, share: float, stage: str, reason: str, cause: str) -> None:
        """`share` of the orders that would be delivered end in `stage` instead."""
        self.lost[stage][hours] += self.rng.binomial(self.free(hours), share)
        for hour in range(hours.start, hours.stop):
            self.reason[hour] = (reason, cause)

    def thin(
        self, hours: slice, keep: float, *, visits: bool = False, orders: bool = False
    ) -> None:
        """Only so many of them arrive."""
        if visits:
            self.visits[hours] = self.rng.binomial(self.visits[hours], keep)
        if orders:
            before = np.maximum(self.orders[hours], 1)
            self.orders[hours] = self.rng.binomial(self.orders[hours], keep)
            share = self.orders[hours] / before
            for counts in (self.withheld, *self.lost.values()):
                counts[hours] = np.floor(counts[hours] * share).astype(np.int64)

    def swell(self, hours: slice, visits: float, orders: float) -> None:
        """More of both, as demand makes them."""
        self.visits[hours] = self.rng.poisson(self.visits[hours] * visits)
        grown = self.rng.poisson(self.orders[hours] * orders)
        self.withheld[hours] = self.rng.binomial(grown, 0.1)
        self.orders[hours] = grown

    def lose_visits(self, hours: slice, share: float) -> None:
        """The tracker misses `share` of the visits, and orders of now and later miss theirs.

        Two thirds buy within the hour, most others within a day, some up to six days later.
        """
        missed = np.zeros(self.hours)
        missed[hours] = share
        for weight, reach in ((0.66, 1), (0.22, 20), (0.12, 144)):
            sums = np.concatenate((np.zeros(reach), np.cumsum(missed)))
            lately = (sums[reach:] - sums[:-reach]) / reach
            self.match *= 1.0 - weight * lately
        self.thin(hours, 1.0 - share, visits=True)

    def health(self) -> pa.Table:
        """`attribution_health`, without the hours that were never materialized."""
        rng, zeros = self.rng, np.zeros(self.hours)
        sendable = np.maximum(self.orders - self.withheld - self.lost["quarantined"], 0)
        usual = np.maximum(sendable - self.strange, 0)
        matched = rng.binomial(usual, np.clip(self.match, 0, 1))
        keys = {name: rng.binomial(usual, np.clip(p, 0, 1)) for name, p in self.key.items()}
        for name, share in KEYS_OF_VISITS.items():
            keys[name] = rng.binomial(matched, share)
        delivered = self.free(slice(0, self.hours))
        eligible = self.orders - self.withheld
        withheld_matched = rng.binomial(self.withheld, np.clip(self.match, 0, 1))
        counts = {**self.lost, "withheld": self.withheld, "delivered": delivered}
        present = np.array([hour not in self.absent for hour in range(self.hours)])
        reasons = [
            self.reason.get(hour, ("missing_value", "payload")) for hour in range(self.hours)
        ]
        any_lost = eligible > delivered
        columns: dict[str, Any] = {
            "hour": [START + hour * HOUR for hour in range(self.hours)],
            "dataset_id": ["1"] * self.hours,
            "event_name": ["Purchase"] * self.hours,
            "currency": ["EUR"] * self.hours,
            "visits": self.visits,
            "orders": self.orders,
            "matched": matched + withheld_matched,
            "eligible": eligible,
            "value_orders": self.orders * BASKET,
            "main_reason": [
                r[0] if bad else None for r, bad in zip(reasons, any_lost, strict=True)
            ],
            "main_reason_kind": [
                r[1] if bad else None for r, bad in zip(reasons, any_lost, strict=True)
            ],
            "freshness_p50_minutes": 20.0 + self.late_minutes,
            "freshness_p95_minutes": 45.0 + self.late_minutes,
            "matched_eligible": matched,
            "without_browser": usual - matched,
            "value_changed": zeros,
            "match_keys": [
                "{" + ",".join(f'"{k}":{n[hour]}' for k, n in keys.items() if n[hour]) + "}"
                for hour in range(self.hours)
            ],
        }
        for stage in STAGES:
            columns[stage] = counts.get(stage, zeros.astype(np.int64))
            columns[f"value_{stage}"] = columns[stage] * BASKET
        arrays = [
            pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(self.hours, f.type)
            for f in ATTRIBUTION_HEALTH
        ]
        return pa.table(arrays, schema=ATTRIBUTION_HEALTH).filter(pa.array(present))


def open_shop(kind: Kind, seed: int, weeks: int = 5, shifted_from: int | None = None) -> Books:
    """A shop's weeks without any trouble.

    `shifted_from` is the hour from which its customers' clocks are one hour off (daylight saving).
    """
    rng = np.random.default_rng(seed)
    n = weeks * WEEK
    hours = np.arange(n)
    local = np.where(hours >= shifted_from, hours + 1, hours) if shifted_from else hours
    day = np.maximum(_DAY / _DAY.mean() - kind.night * 0.75, 0.0)
    rhythm = (day / day.mean())[local % 24]
    weekday = local // 24 % 7
    rhythm = rhythm * np.where(weekday >= 5, kind.weekend, 1.0)
    rhythm = rhythm * (1.0 + kind.growth) ** (hours / WEEK)
    m = kind.moods
    demand = rhythm * _days(rng, 0.12 * m, n) * _hours(rng, 0.08 * m, n)
    conversion = _days(rng, 0.06 * m, n) * _hours(rng, 0.08 * m, n)
    expected = kind.orders_per_day / 24 * demand
    visits = (
        rng.poisson(expected * kind.visits_per_order) if kind.tracked else np.zeros(n, np.int64)
    )
    orders = rng.poisson(expected * conversion)
    withheld = rng.binomial(orders, 0.1)
    lost = {
        stage: np.zeros(n, np.int64) for stage in STAGES if stage not in ("withheld", "delivered")
    }
    left = orders - withheld
    for stage in ("quarantined", "invalid", "rejected"):
        lost[stage] = rng.binomial(left, kind.trickle)
        left = left - lost[stage]
    match = kind.match_rate * _days(rng, 0.02 * m, n) * _hours(rng, 0.02 * m, n)
    key = {k: np.clip(p * _days(rng, 0.02 * m, n), 0, 0.99) for k, p in KEYS.items()}
    return Books(
        rng=rng,
        kind=kind,
        weeks=weeks,
        visits=visits,
        orders=orders,
        withheld=withheld,
        lost=lost,
        match=match if kind.tracked else np.zeros(n),
        key=key,
        strange=np.zeros(n, np.int64),
        late_minutes=np.zeros(n),
    )


def _days(rng: np.random.Generator, spread: float, hours: int) -> Floats:
    return np.repeat(np.exp(rng.normal(0.0, spread, -(-hours // 24))), 24)[:hours]


def _hours(rng: np.random.Generator, spread: float, hours: int) -> Floats:
    return np.asarray(np.exp(rng.normal(0.0, spread, hours)), dtype=np.float64)
