"""Simulated shops by the hour, as the table `attribution_health`: rhythm, moods, chance, faults.

Whole columns of counts per stream (dataset, event name, currency, action source), no single order.
The shops are rougher than Poisson on purpose: demand and conversion have good and bad days, demand
is autocorrelated and conversion drifts, so that a method cannot rely on chance alone. What is an
outage and what is not is in weeks.py; which hours are flagged is measured by labelled_weeks.py.

    open_shop(Kind(400), seed=3).health()  # five weeks of a quiet shop
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from benchmarks.streets import passers_by
from capi_assets.coverage.outcomes import STAGES
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Where = slice | Ints
"""The streams that something happens to, by their place in `Kind.streams`."""

START = datetime(2026, 9, 28, tzinfo=UTC)  # a Monday
DAY, WEEK = 24, 168
HOUR = timedelta(hours=1)
BASKET = 60.0
ALL = slice(None)

_RHYTHM = np.array([
    34, 22, 15, 12, 13, 20, 38, 66, 92, 108, 116, 122, 128, 120, 116, 118, 124, 134, 150, 168,
    176, 158, 112, 64,
])  # fmt: skip
KEYS = {"em": 0.93, "ph": 0.55, "external_id": 0.3, "fn": 0.9, "client_ip_address": 0.85}
CLICKS = 0.45  # of the visits, those that begin with a click on an ad
KEYS_OF_VISITS = {"fbp": 0.92, "fbc": CLICKS}  # of the orders that found a visit
_USUALLY_WITHHELD = {"no_consent": 0.6, "cancelled": 0.2, "not_confirmed": 0.15, "test_order": 0.05}
_VALUE_SHAPE = 2.0  # values of orders are gamma distributed: their spread is 70 % of their mean
_MEDIAN_VALUE = 0.839  # of the mean of that distribution
_ZERO_VALUES, _LOOKALIKES, _SHARED_IDS = 0.003, 0.004, 0.001  # shares of the orders of any shop
_INERTIA = 0.95  # of the demand's autocorrelation, from hour to hour: half is left after 14 hours


@dataclass(frozen=True)
class Stream:
    """Orders of one dataset, event name, currency and action source.

    `share` is of the shop's orders; `opening` a key of `OPENINGS`. Only orders of the website can
    match a visit.
    """

    dataset_id: str = "1"
    event_name: str = "Purchase"
    currency: str | None = "EUR"
    share: float = 1.0
    basket: float = BASKET
    source: str = "website"
    opening: str = "always"


@dataclass(frozen=True)
class Kind:
    """A kind of shop.

    Attributes:
        night: how much deeper than the rhythm the night is, 0 to 1.
        growth: of demand, per week.
        trickle: share of the orders that is always quarantined, invalid, rejected (of each).
        moods: how rough demand, conversion and rates are; 1.0 is 12 % per day and 8 % per hour.
        inertia: spread of the part of log-demand that is autocorrelated from hour to hour.
        drift: spread of the weekly step of log-conversion, a random walk.
        never: share of the orders that always ends in the stage `never_stage`.
        needs_visit: the stage of website orders without a visit, if they are not sent.
        consent: share of the orders that is eligible.
        street: whether demand is that of a real street (streets.py).
    """

    orders_per_day: float
    visits_per_order: float = 35.0
    night: float = 0.0
    weekend: float = 1.1
    growth: float = 0.0
    match_rate: float = 0.78
    trickle: float = 0.004
    moods: float = 1.0
    tracked: bool = True
    inertia: float = 0.0
    drift: float = 0.0
    never: float = 0.0
    never_stage: str = "quarantined"
    needs_visit: str = ""
    consent: float = 0.9
    opening: str = "always"
    street: bool = False
    streams: tuple[Stream, ...] = (Stream(),)


@dataclass
class Books:
    """Counts per stream and hour; the stages hold what is not delivered."""

    rng: np.random.Generator
    kind: Kind
    weeks: int
    visits: Ints  # per hour
    clicks: Floats  # per hour: share of the visits that have a click id
    mean: Floats  # orders that the demand of the hour makes on average
    orders: Ints
    withheld: Ints
    lost: dict[str, Ints]
    match: Floats  # probability that an order finds a visit
    key: dict[str, Floats]  # probability that an order has the key
    strange: Ints  # orders of another kind, without visit and keys, among `orders`
    withheld_for: dict[str, Ints]  # the part of `withheld` that has other reasons than usual
    doubled: Ints  # orders that came twice, the second among `orders`
    shared_ids: Ints
    worth: Floats  # factor of the values
    zero: Floats  # probability of a value of zero
    late_minutes: Floats
    reason: dict[tuple[int, int], tuple[str, str]] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)
    values: dict[str, Floats] = field(default_factory=dict)  # money per stage, set by `health`

    @property
    def hours(self) -> int:
        return self.weeks * WEEK

    @property
    def delivered(self) -> Ints:
        return self.free(slice(0, self.hours))

    def streams(self, **wanted: str) -> Ints:
        """The places of the streams with these attributes."""
        return np.array(
            [
                place
                for place, stream in enumerate(self.kind.streams)
                if all(getattr(stream, name) == value for name, value in wanted.items())
            ]
        )

    def free(self, hours: slice, at: Where = ALL) -> Ints:
        """Orders that nothing has happened to yet."""
        taken = sum(self.lost.values()) + self.withheld
        left: Ints = np.maximum(self.orders - taken, 0)[at, hours]
        return left

    def lose(
        self, hours: slice, share: float, stage: str, reason: str, cause: str, at: Where = ALL
    ) -> None:
        """`share` of the orders that would be delivered end in `stage` instead."""
        self.lost[stage][at, hours] += self.rng.binomial(self.free(hours, at), share)
        for stream in np.arange(len(self.orders))[at]:
            for hour in range(hours.start, hours.stop):
                self.reason[int(stream), hour] = (reason, cause)

    def withhold(self, hours: slice, share: float, reason: str, at: Where = ALL) -> None:
        """`share` of the orders that would be sent are withheld instead."""
        counts = self.withheld_for.setdefault(reason, np.zeros_like(self.orders))
        more = self.rng.binomial(self.free(hours, at), share)
        counts[at, hours] += more
        self.withheld[at, hours] += more

    def thin(
        self,
        hours: slice,
        keep: float,
        *,
        visits: bool = False,
        orders: bool = False,
        at: Where = ALL,
    ) -> None:
        """Only this share of them arrives."""
        if visits:
            self.visits[hours] = self.rng.binomial(self.visits[hours], keep)
        if orders:
            before = np.maximum(self.orders[at, hours], 1)
            self.orders[at, hours] = self.rng.binomial(self.orders[at, hours], keep)
            share = self.orders[at, hours] / before
            for counts in (self.withheld, *self.withheld_for.values(), *self.lost.values()):
                counts[at, hours] = np.floor(counts[at, hours] * share).astype(np.int64)

    def swell(self, hours: slice, visits: float | Floats, orders: float | Floats) -> None:
        """More of both, as demand makes them."""
        self.visits[hours] = self.rng.poisson(self.visits[hours] * visits)
        grown = self.rng.poisson(self.orders[:, hours] * orders)
        self.withheld[:, hours] = self.rng.binomial(grown, 1.0 - self.kind.consent)
        for counts in (*self.withheld_for.values(), *self.lost.values()):
            counts[:, hours] = 0
        self.orders[:, hours] = grown
        self.mean[:, hours] *= orders
        if self.kind.never:
            usual = self.rng.binomial(grown - self.withheld[:, hours], self.kind.never)
            self.lost[self.kind.never_stage][:, hours] = usual

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

    def shift(self, hours: slice, by: int, at: Where = ALL) -> None:
        """Orders of these hours are dated `by` hours later (earlier if negative)."""
        for counts in (
            self.orders,
            self.withheld,
            *self.withheld_for.values(),
            *self.lost.values(),
        ):
            moved = counts[at, hours].copy()
            counts[at, hours] = 0
            counts[at, hours.start + by : hours.stop + by] += moved

    def health(self) -> pa.Table:
        """`attribution_health`, without the hours that were never materialized."""
        columns = self._columns()
        groups: dict[tuple[str, str, str | None], list[int]] = {}
        for place, stream in enumerate(self.kind.streams):
            name = (stream.dataset_id, stream.event_name, stream.currency)
            groups.setdefault(name, []).append(place)
        belongs = np.zeros((len(groups), len(self.kind.streams)))
        for group, places in enumerate(groups.values()):
            belongs[group, places] = 1.0
        names = [*groups, ("", "", None)]  # the last for hours without orders
        sums = {name: _with_nothing(belongs @ counts) for name, counts in columns.items()}
        orders = sums["orders"]
        shown = orders > 0
        shown[-1] = orders.sum(axis=0) == 0
        shown[:, sorted(self.absent)] = False
        hour, row = np.nonzero(shown.T)  # by hour, then in the order of the streams
        data: dict[str, Any] = {
            name: counts[row, hour] for name, counts in sums.items() if "/" not in name
        }
        with np.errstate(invalid="ignore", divide="ignore"):
            coverage = data["delivered"] / data["eligible"]
            median = data["value_p50"] / (data["eligible"] - data["zero_value"])
            for column in ("freshness_p50_minutes", "freshness_p95_minutes"):
                minutes = data[column] / data["delivered"]
                data[column] = pa.array(minutes, mask=np.isnan(minutes))
        clicked = self.rng.binomial(self.visits, np.clip(self.clicks, 0, 1))
        reasons = self._reasons(list(groups.values()), hour, row, data)
        data |= {
            "hour": [START + int(h) * HOUR for h in hour],
            "dataset_id": [names[r][0] for r in row],
            "event_name": [names[r][1] for r in row],
            "currency": [names[r][2] for r in row],
            "visits": self.visits[hour],
            "visits_with_click_id": clicked[hour],
            "coverage": pa.array(coverage, mask=np.isnan(coverage)),
            "value_p50": pa.array(median, mask=np.isnan(median)),
            "main_reason": [reason and reason[0] for reason in reasons],
            "main_reason_kind": [reason and reason[1] for reason in reasons],
            "value_changed": np.zeros(len(hour)),
        }
        for column, prefix in (
            ("match_keys", "key/"),
            ("withheld_reasons", "withheld/"),
            ("action_sources", "source/"),
        ):
            parts = {
                name.removeprefix(prefix): counts[row, hour].astype(np.int64).tolist()
                for name, counts in sums.items()
                if name.startswith(prefix)
            }
            data[column] = [
                orjson.dumps({k: n for k, n in zip(parts, line, strict=True) if n}).decode()
                for line in zip(*parts.values(), strict=True)
            ]
        arrays = [
            _column(data[f.name], f.type) if f.name in data else pa.nulls(len(hour), f.type)
            for f in ATTRIBUTION_HEALTH
        ]
        return pa.table(arrays, schema=ATTRIBUTION_HEALTH)

    def _columns(self) -> dict[str, Floats | Ints]:
        """The counts of every stream and hour; parts of a JSON column as `column/part`."""
        rng = self.rng
        sendable = np.maximum(self.orders - self.withheld - self.lost["quarantined"], 0)
        usual = np.maximum(sendable - self.strange, 0)
        matched = rng.binomial(usual, np.clip(self.match, 0, 1))
        keys = {name: rng.binomial(usual, np.clip(p, 0, 1)) for name, p in self.key.items()}
        for name, share in KEYS_OF_VISITS.items():
            of_visits = share if name != "fbc" else np.clip(self.clicks, 0, 1)
            keys[name] = rng.binomial(matched, np.broadcast_to(of_visits, matched.shape))
        withheld_matched = rng.binomial(self.withheld, np.clip(self.match, 0, 1))
        withheld, lost = self.withheld, {name: counts.copy() for name, counts in self.lost.items()}
        why = dict(self.withheld_for)
        web = np.array([[stream.source == "website"] for stream in self.kind.streams])
        without = np.where(web, usual - matched, 0)
        if self.kind.needs_visit:
            refused = np.minimum(without, self.delivered)
            if self.kind.needs_visit == "withheld":
                withheld = withheld + refused
                why["without_browser"] = refused
            else:
                lost[self.kind.needs_visit] += refused
            sent = np.where(usual > 0, 1.0 - refused / np.maximum(usual, 1), 1.0)
            if self.kind.needs_visit == "withheld":
                keys = {
                    name: counts if name in KEYS_OF_VISITS else rng.binomial(counts, sent)
                    for name, counts in keys.items()
                }
        delivered = np.maximum(self.orders - withheld - sum(lost.values()), 0)
        eligible = self.orders - withheld
        stages = {**{s: lost.get(s, np.zeros_like(delivered)) for s in STAGES}}
        stages |= {"withheld": withheld, "delivered": delivered}
        basket = np.array([[stream.basket] for stream in self.kind.streams])
        scale = basket * self.worth / _VALUE_SHAPE * (1.0 - self.zero)
        self.values = {s: rng.gamma(n * _VALUE_SHAPE) * scale for s, n in stages.items()}
        zero = np.where(basket > 0, self.zero, 1.0)
        noise = np.exp(
            rng.normal(0.0, 1.0, eligible.shape) * 0.6 / np.sqrt(np.maximum(eligible, 1))
        )
        median = basket * self.worth * _MEDIAN_VALUE * noise
        zeros = rng.binomial(eligible, np.clip(zero, 0, 1))
        columns: dict[str, Floats | Ints] = {
            "orders": self.orders,
            "matched": matched + withheld_matched,
            "matched_eligible": matched,
            "eligible": eligible,
            "without_browser": without,
            "zero_value": zeros,
            "value_p50": median * (eligible - zeros),  # divided again once streams are summed
            "lookalikes": np.minimum(
                rng.binomial(sendable, _LOOKALIKES) + self.doubled, sendable // 2
            ),
            "shared_event_id": np.minimum(
                2 * rng.binomial(sendable, _SHARED_IDS / 2) + self.shared_ids, sendable
            ),
            **stages,
            **{f"value_{stage}": money for stage, money in self.values.items()},
            "value_orders": np.sum(list(self.values.values()), axis=0),
            **{f"key/{name}": counts for name, counts in keys.items()},
        }
        for quantile, minutes in (("p50", 20.0), ("p95", 45.0)):
            moods = np.exp(rng.normal(0.0, 0.1, delivered.shape))
            columns[f"freshness_{quantile}_minutes"] = delivered * (
                minutes * moods + self.late_minutes
            )
        rest = withheld - sum(why.values())
        split = rng.multinomial(np.maximum(rest, 0), list(_USUALLY_WITHHELD.values()))
        for place, reason in enumerate(_USUALLY_WITHHELD):
            more = why.pop(reason, 0)
            columns[f"withheld/{reason}"] = split[..., place] + more
        columns |= {f"withheld/{reason}": counts for reason, counts in why.items()}
        for source in sorted({stream.source for stream in self.kind.streams}):
            of = np.array([[stream.source == source] for stream in self.kind.streams])
            columns[f"source/{source}"] = np.where(of, eligible - lost["quarantined"], 0)
        return columns

    def _reasons(
        self, groups: list[list[int]], hour: Ints, row: Ints, data: Mapping[str, Any]
    ) -> list[tuple[str, str] | None]:
        """Main reason and its cause of each row."""
        usual = ("missing_value", "payload")
        if self.kind.needs_visit == "invalid":
            usual = ("weak_match_keys", "match_keys_lost")
        if self.kind.never_stage == "quarantined" and self.kind.never:
            usual = ("quarantined", "quarantine")
        found: list[tuple[str, str] | None] = []
        for h, r, bad in zip(hour, row, data["eligible"] > data["delivered"], strict=True):
            special = (self.reason.get((s, int(h))) for s in groups[r]) if bad else ()
            found.append(next((reason for reason in special if reason), usual) if bad else None)
        return found


def _with_nothing(counts: Floats) -> Floats:
    return np.vstack((counts, np.zeros(counts.shape[1])))


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, np.ndarray) and pa.types.is_integer(kind):
        return pa.array(values.astype(np.int64), kind)
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _always(rhythm: Floats, hours: Ints) -> Floats:
    return rhythm


def _office(rhythm: Floats, hours: Ints) -> Floats:
    """Monday to Friday from 7 to 18, and hardly anything else."""
    at_work = (hours // DAY % 7 < 5) & (hours % DAY >= 7) & (hours % DAY < 18)
    return np.where(at_work, 2.9, 0.01)


def _store(rhythm: Floats, hours: Ints) -> Floats:
    """Monday to Saturday from 9 to 19; a holiday in the second week and one in the last."""
    day = hours // DAY
    opened = (day % 7 < 6) & (hours % DAY >= 9) & (hours % DAY < 19)
    holiday = (day == 9) | (day == hours[-1] // DAY - 4)
    return np.where(opened & ~holiday, 2.8, 0.0)


def _nightly(rhythm: Floats, hours: Ints) -> Floats:
    """The whole day's orders in one hour of the night."""
    return np.where(hours % DAY == 3, 24.0, 0.0)


OPENINGS: dict[str, Callable[[Floats, Ints], Floats]] = {
    "always": _always,
    "office": _office,
    "store": _store,
    "nightly": _nightly,
}


def open_shop(kind: Kind, seed: int, weeks: int = 5, shifted_from: int | None = None) -> Books:
    """A shop's weeks without any trouble.

    `shifted_from` is the hour from which its customers' clocks are one hour off (daylight saving).
    """
    rng, more = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    n, m = weeks * WEEK, kind.moods
    hours = np.arange(n)
    local = np.where(hours >= shifted_from, hours + 1, hours) if shifted_from else hours
    day = np.maximum(_RHYTHM / _RHYTHM.mean() - kind.night * 0.75, 0.0)
    rhythm = (day / day.mean())[local % DAY]
    rhythm = rhythm * np.where(local // DAY % 7 >= 5, kind.weekend, 1.0)
    rhythm = rhythm * (1.0 + kind.growth) ** (hours / WEEK)
    demand = _days(rng, 0.12 * m, n) * _hours(rng, 0.08 * m, n)
    demand = demand * np.exp(_autocorrelated(more, kind.inertia, n))
    conversion = _days(rng, 0.06 * m, n) * _hours(rng, 0.08 * m, n)
    drift = np.exp(np.cumsum(more.normal(0.0, kind.drift / np.sqrt(WEEK), n)))
    if kind.street:
        rhythm, demand = passers_by(more, weeks), np.ones(n)
    site = OPENINGS[kind.opening](rhythm, local) * demand
    website = kind.orders_per_day / DAY
    visits = rng.poisson(site * website * kind.visits_per_order) if kind.tracked else np.zeros(n)
    curves = [
        site if stream.opening == "always" else OPENINGS[stream.opening](rhythm, local) * demand
        for stream in kind.streams
    ]
    shares = np.array([[stream.share] for stream in kind.streams])
    mean = website * shares * np.array(curves) * drift
    own = [_hours(more, 0.06 * m, n) if place else np.ones(n) for place in range(len(shares))]
    orders = rng.poisson(mean * conversion * np.array(own))
    withheld = rng.binomial(orders, 1.0 - kind.consent)
    lost = {
        stage: np.zeros_like(orders) for stage in STAGES if stage not in ("withheld", "delivered")
    }
    left = orders - withheld
    for stage in ("quarantined", "invalid", "rejected"):
        lost[stage] = rng.binomial(left, kind.trickle)
        left = left - lost[stage]
    match = kind.match_rate * _days(rng, 0.02 * m, n) * _hours(rng, 0.02 * m, n)
    key = {k: np.clip(p * _days(rng, 0.02 * m, n), 0, 0.99) for k, p in KEYS.items()}
    if kind.never:
        lost[kind.never_stage] += more.binomial(left, kind.never)
    web = np.array([[kind.tracked and stream.source == "website"] for stream in kind.streams])
    batch = np.array([[stream.opening == "nightly"] for stream in kind.streams])
    return Books(
        rng=rng,
        kind=kind,
        weeks=weeks,
        visits=visits.astype(np.int64),
        clicks=np.full(n, CLICKS),
        mean=mean,
        orders=orders,
        withheld=withheld,
        lost=lost,
        match=np.where(web & ~batch, match, 0.0),
        key={k: np.broadcast_to(p, orders.shape).copy() for k, p in key.items()},
        strange=np.zeros_like(orders),
        withheld_for={},
        doubled=np.zeros_like(orders),
        shared_ids=np.zeros_like(orders),
        worth=np.ones(orders.shape),
        zero=np.full(orders.shape, _ZERO_VALUES),
        late_minutes=np.zeros(orders.shape),
    )


def _days(rng: np.random.Generator, spread: float, hours: int) -> Floats:
    return np.repeat(np.exp(rng.normal(0.0, spread, -(-hours // DAY))), DAY)[:hours]


def _hours(rng: np.random.Generator, spread: float, hours: int) -> Floats:
    return np.asarray(np.exp(rng.normal(0.0, spread, hours)), dtype=np.float64)


def _autocorrelated(rng: np.random.Generator, spread: float, hours: int) -> Floats:
    """An autoregression of first order with that spread."""
    steps = rng.normal(0.0, spread * np.sqrt(1.0 - _INERTIA**2), hours)
    level, levels = rng.normal(0.0, spread), np.empty(hours)
    for hour, step in enumerate(steps):
        level = _INERTIA * level + step
        levels[hour] = level
    return levels
