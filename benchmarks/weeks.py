"""The labelled set: kinds of trouble that must be flagged, and oddities that must not.

Each kind does one thing to a shop's last week; what the method thinks of it is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.simulated_shops import ALL, CLICKS, WEEK, Books, Kind, Stream, Where

SIZES = {
    "boutique": Kind(60, visits_per_order=50),
    "shop": Kind(400),
    "big shop": Kind(4_000, visits_per_order=25),
}
LARGER = {name: SIZES[name] for name in ("shop", "big shop")}
STREET = {"shop in a street": Kind(1_000, street=True, drift=0.03)}

LEADS = (Stream(share=0.3), Stream(event_name="Lead", currency=None, basket=0.0, share=0.7))
EVENTS = (
    Stream(share=0.5),
    Stream(event_name="Lead", currency=None, basket=0.0, share=0.3),
    Stream(event_name="Subscribe", basket=20.0, share=0.2),
)
DATASETS = (
    Stream("1", share=0.6),
    Stream("2", share=0.3),
    Stream("3", share=0.1, basket=120.0),
)
SMALL_DATASET = (Stream("1", share=0.97), Stream("2", share=0.03, basket=200.0))
CURRENCIES = (
    Stream(share=0.6),
    Stream(currency="GBP", share=0.25, basket=52.0),
    Stream(currency="SEK", share=0.15, basket=680.0),
)
WITH_STORES = (
    Stream(share=0.75),
    Stream(share=0.25, source="physical_store", opening="store"),
)
NIGHTLY = Stream(event_name="Subscribe", basket=20.0, share=0.6, source="other", opening="nightly")


def _with(streams: tuple[Stream, ...], kinds: Mapping[str, Kind]) -> Mapping[str, Kind]:
    return {
        name: replace(kind, streams=streams, inertia=0.1, drift=0.03)
        for name, kind in kinds.items()
    }


# What shows an outage, so what its target is.
IN_BOOKS, NEVER_ARRIVED = "in the books", "never arrived"
KEYS_LOST, WITHHELD, CHANGED = "visits and keys", "consent and status", "value, doubles and time"


def _all(books: Books) -> Where:
    return ALL


def _nothing(books: Books, hours: slice) -> None:
    """The shop's kind is all."""


@dataclass(frozen=True)
class Trouble:
    """Something that loses orders, their value or their match keys.

    Attributes:
        causes: what it may rightly be called.
        strike: applies it to hours and streams, and returns the share of the orders (or of their
            match keys) that it costs.
        group: what it must be found by.
        shows: where a share of counts falls, which: `orders`, `matched`, `eligible`, or a match
            key. What the best possible detector could find is computed for these.
        hours: the lengths that are tried.
        kinds: the shops that it happens to, by name.
        where: the streams that it happens to.
        around: what demand does in these hours anyway.
    """

    causes: tuple[str, ...]
    strike: Callable[[Books, slice, Where], float]
    group: str = IN_BOOKS
    shows: str = ""
    hours: tuple[int, ...] = (1, 3, 12)
    kinds: Mapping[str, Kind] = field(default_factory=lambda: SIZES)
    where: Callable[[Books], Where] = _all
    around: Callable[[Books, slice], None] = _nothing


def _lose(share: float, stage: str, reason: str, cause: str) -> Trouble:
    def strike(books: Books, hours: slice, at: Where) -> float:
        books.lose(hours, share, stage, reason, cause, at)
        return share

    return Trouble((cause,), strike)


def _not_materialized(books: Books, hours: slice, at: Where) -> float:
    books.absent |= set(range(hours.start, hours.stop))
    return 1.0


def _lose_key(key: str, loss: float) -> Trouble:
    def strike(books: Books, hours: slice, at: Where) -> float:
        share = float(books.key[key][at, hours].mean())
        books.key[key][at, hours] *= 1.0 - loss
        return share * loss

    return Trouble(("match_keys_lost",), strike, KEYS_LOST, key)


def _unmatched(books: Books, hours: slice, at: Where) -> float:
    books.match[at, hours] *= 0.25
    return 0.75 * books.kind.match_rate


def _tracker(loss: float, *causes: str) -> Trouble:
    def strike(books: Books, hours: slice, at: Where) -> float:
        books.lose_visits(hours, loss)
        return 0.66 * loss

    return Trouble(("visits_missing", *causes), strike, KEYS_LOST, "matched")


def _fewer(low: float, high: float | None = None) -> Callable[[Books, slice, Where], float]:
    """So many of the orders never arrive."""

    def strike(books: Books, hours: slice, at: Where) -> float:
        loss = float(books.rng.uniform(low, high or low))
        books.thin(hours, 1.0 - loss, orders=True, at=at)
        return loss

    return strike


def _feed(loss: float) -> Trouble:
    strike = _fewer(loss)
    return Trouble(("orders_missing",), strike, NEVER_ARRIVED, "orders", kinds=SIZES | STREET)


def _stream(
    streams: tuple[Stream, ...],
    where: Callable[[Books], Where],
    low: float = 1.0,
    high: float | None = None,
) -> Trouble:
    return Trouble(
        ("orders_missing",),
        _fewer(low, high),
        NEVER_ARRIVED,
        "orders",
        hours=(3, 12, 24),
        kinds=_with(streams, LARGER | STREET),
        where=where,
    )


def _of(**wanted: str) -> Callable[[Books], Where]:
    return lambda books: books.streams(**wanted)


def _one(books: Books) -> Where:
    return np.array([books.rng.integers(len(books.kind.streams))])


def _both_stopped(books: Books, hours: slice, at: Where) -> float:
    books.thin(hours, 0.0, orders=True)
    books.lose_visits(hours, 1.0)
    return 1.0


def _withheld(reason: str, cause: str, low: float, high: float) -> Trouble:
    def strike(books: Books, hours: slice, at: Where) -> float:
        share = float(books.rng.uniform(low, high))
        books.withhold(hours, share, reason, at)
        return share

    return Trouble((cause,), strike, WITHHELD, "eligible", kinds=SIZES | STREET)


def _doubled(share: float) -> Callable[[Books, slice, Where], float]:
    def strike(books: Books, hours: slice, at: Where) -> float:
        twice = books.rng.binomial(books.free(hours, at), share)
        books.orders[at, hours] += twice
        books.doubled[at, hours] += twice
        return share

    return strike


def _worth(factor: float) -> Callable[[Books, slice, Where], float]:
    def strike(books: Books, hours: slice, at: Where) -> float:
        books.worth[at, hours] *= factor
        return 1.0

    return strike


def _zero(books: Books, hours: slice, at: Where) -> float:
    books.zero[at, hours] = 1.0
    return 1.0


def _one_currency(books: Books, hours: slice, at: Where) -> float:
    """All orders come in the currency of the first stream."""
    moved = float(books.orders[1:, hours].sum() / max(books.orders[:, hours].sum(), 1))
    for counts in (books.orders, books.withheld, *books.lost.values()):
        counts[0, hours] += counts[1:, hours].sum(axis=0)
        counts[1:, hours] = 0
    return moved


def _late(books: Books, hours: slice, at: Where) -> float:
    books.late_minutes[at, hours] += 600.0
    return 1.0


def _shared_ids(books: Books, hours: slice, at: Where) -> float:
    books.shared_ids[at, hours] += books.rng.binomial(books.free(hours, at), 0.6)
    return 0.6


def _shift(by: int) -> Callable[[Books, slice, Where], float]:
    def strike(books: Books, hours: slice, at: Where) -> float:
        books.shift(hours, by, at)
        if by < 0:  # the visit comes after the order, and is none of its visits
            books.match[at, hours.start + by : hours.stop + by] *= 0.2
        return 1.0

    return strike


def _sale(books: Books, hours: slice) -> None:
    """A sale of a day, in which the outage falls."""
    day = slice(hours.start - 4, min(hours.stop + 8, books.hours))
    visits = books.rng.uniform(2.0, 5.0)
    books.swell(day, visits, visits * books.rng.uniform(1.0, 1.6))


def _changed(
    strike: Callable[[Books, slice, Where], float], *causes: str, hours: tuple[int, ...] = (3, 12)
) -> Trouble:
    return Trouble(causes, strike, CHANGED, hours=hours, kinds=LARGER)


TROUBLE = {
    "token death": _lose(1.0, "pending", "token_expired", "token"),
    "permission lost": _lose(1.0, "pending", "permission_lost", "permission"),
    "throttled by half": _lose(0.5, "pending", "throttled", "throttled"),
    "throttled by a quarter": _lose(0.25, "pending", "throttled", "throttled"),
    "Meta down": _lose(1.0, "pending", "meta_down", "meta_down"),
    "Meta answers by half": _lose(0.5, "unknown", "no_answer", "meta_down"),
    "run out of time": _lose(0.6, "pending", "time_budget", "time_budget"),
    "orders too old": _lose(0.4, "expired", "too_late", "too_late"),
    "payload refused after deploy": _lose(0.4, "rejected", "missing_value", "payload"),
    "broken phones, refused": _lose(0.25, "invalid", "weak_match_keys", "match_keys_lost"),
    "column renamed": _lose(1.0, "quarantined", "quarantined", "quarantine"),
    "some rows malformed": _lose(0.25, "quarantined", "quarantined", "quarantine"),
    "not materialized": Trouble(("not_materialized",), _not_materialized),
    "one dataset's token dead": replace(
        _lose(1.0, "pending", "token_expired", "token"),
        kinds=_with(SMALL_DATASET, LARGER),
        where=_of(dataset_id="2"),
    ),
    "tracker dead": _tracker(1.0),
    "tracker half dead": _tracker(0.5, "match_keys_lost"),
    "tracker dead, orders need visits": replace(
        _tracker(1.0),
        kinds={name: replace(kind, needs_visit="withheld") for name, kind in LARGER.items()},
    ),
    "e-mails gone": _lose_key("em", 1.0),
    "half of the e-mails gone": _lose_key("em", 0.5),
    "broken phones, sent": _lose_key("ph", 1.0),
    "visit ids gone": Trouble(("match_keys_lost",), _unmatched, KEYS_LOST, "matched"),
    "order feed stopped": _feed(1.0),
    "order feed by half": _feed(0.5),
    "late data": _feed(0.7),
    "Purchase gone, Leads go on": _stream(LEADS, _of(event_name="Purchase")),
    "one event name gone": _stream(EVENTS, _one),
    "one dataset gone": _stream(DATASETS, _one),
    "small dataset gone": _stream(SMALL_DATASET, _of(dataset_id="2")),
    "stores gone": _stream(WITH_STORES, _of(source="physical_store")),
    "a part of a dataset": _stream(DATASETS, _one, 0.2, 0.7),
    "a part of an event name": _stream(EVENTS, _one, 0.2, 0.7),
    "orders dropped in a sale": Trouble(
        ("orders_missing",), _fewer(0.4, 0.9), NEVER_ARRIVED, "orders", hours=(3, 6), around=_sale
    ),
    "consent banner broken": _withheld("no_consent", "consent_missing", 0.5, 1.0),
    "consent not recorded": _withheld("consent_not_recorded", "consent_missing", 0.9, 1.0),
    "all orders pending": _withheld("not_confirmed", "confirmations_missing", 0.9, 1.0),
    "all orders test": _withheld("test_order", "confirmations_missing", 0.9, 1.0),
    "orders doubled": _changed(_doubled(1.0), "orders_doubled"),
    "orders doubled by half": _changed(_doubled(0.5), "orders_doubled"),
    "values in cents": _changed(_worth(100.0), "value_changed"),
    "values of zero": _changed(_zero, "value_changed"),
    "one currency for all": replace(
        _changed(_one_currency, "value_changed"), kinds=_with(CURRENCIES, LARGER)
    ),
    "delivered late": _changed(_late, "late_delivery", hours=(6, 24)),
    "event ids shared": _changed(_shared_ids, "payload", "orders_doubled"),
    "dated two hours early": _changed(_shift(-2), "time_shift", hours=(12, 24)),
    "dated an hour late": _changed(_shift(1), "time_shift", hours=(12, 24)),
    "dated five hours late": _changed(_shift(5), "time_shift", hours=(12, 24)),
    "both feeds stopped": Trouble(
        ("landing_stopped",), _both_stopped, CHANGED, "orders", hours=(3, 12)
    ),
}

# Families of quiet shops, each with its own target.
ORDINARY, OTHER_KIND, ODD = "ordinary shops", "other kinds of shop", "odd weeks"


@dataclass(frozen=True)
class Oddity:
    """Something that a person would not call an outage, in a shop of its own kind.

    Attributes:
        hours: how long it lasts; a week: all hours of the shop count, else only those from its
            first hour on.
        kind: the shop; None takes turns among the three sizes.
        anywhere: whether it begins anywhere in the last week, or with it.
        shifted: whether the clocks change with it.
    """

    strike: Callable[[Books, slice], None]
    hours: int
    kind: Kind | None = None
    anywhere: bool = True
    shifted: bool = False
    family: str = ODD


def _quiet(family: str, kind: Kind) -> Oddity:
    return Oddity(_nothing, WEEK, kind, family=family)


def _swell(visits: float, orders: float) -> Callable[[Books, slice], None]:
    return lambda books, hours: books.swell(hours, visits, orders)


def _viral(books: Books, hours: slice) -> None:
    """Ten times the visits, three to ten times the orders, and down again."""
    decay = np.exp(-np.arange(hours.stop - hours.start) / 12.0)
    peak = books.rng.uniform(3.0, 10.0)
    books.swell(hours, 1.0 + 9.0 * decay, 1.0 + (peak - 1.0) * decay)


def _campaign_paused(books: Books, hours: slice) -> None:
    """Visits with a click id fall by 80 %, all visits by 10 to 40 %, orders less."""
    fall = books.rng.uniform(0.1, 0.4)
    books.swell(hours, 1.0 - fall, 1.0 - 0.7 * fall)
    books.clicks[hours] = 0.2 * CLICKS / (1.0 - fall)


def _one_rejected(books: Books, hours: slice) -> None:
    for hour in range(hours.start + 13, hours.stop, 24):
        if books.free(slice(hour, hour + 1))[0, 0]:
            books.lost["rejected"][0, hour] += 1


def _less_consent(books: Books, hours: slice) -> None:
    """A banner with a choice, introduced on purpose: slightly more people refuse."""
    books.withhold(hours, 0.12, "no_consent")


def _test_orders(books: Books, hours: slice) -> None:
    burst = books.rng.integers(30, 60, hours.stop - hours.start)
    books.orders[0, hours] += burst
    books.withheld[0, hours] += burst
    tests = books.withheld_for.setdefault("test_order", np.zeros_like(books.orders))
    tests[0, hours] += burst


def _call_centre(books: Books, hours: slice) -> None:
    batch = books.rng.poisson(2.0 * books.orders[0, hours].mean() + 10, hours.stop - hours.start)
    books.orders[0, hours] += batch
    books.strange[0, hours] += batch


def _late_hour(books: Books, hours: slice) -> None:
    books.late_minutes[:, hours] += 300.0


def _bots(books: Books, hours: slice) -> None:
    books.visits[hours] *= 6


ODDITIES = {
    "ordinary boutique": _quiet(ORDINARY, Kind(60, 50, inertia=0.1, drift=0.04)),
    "ordinary shop": _quiet(ORDINARY, Kind(400, inertia=0.12, drift=0.05)),
    "ordinary big shop": _quiet(ORDINARY, Kind(4_000, 25, inertia=0.12, drift=0.05)),
    "rough shop": _quiet(ORDINARY, Kind(800, moods=1.4, inertia=0.25, drift=0.08)),
    "Leads and Purchases": _quiet(ORDINARY, Kind(600, streams=LEADS, inertia=0.1, drift=0.04)),
    "three event names": _quiet(ORDINARY, Kind(600, streams=EVENTS, inertia=0.1, drift=0.04)),
    "three datasets": _quiet(ORDINARY, Kind(1_500, streams=DATASETS, inertia=0.1, drift=0.04)),
    "a small dataset": _quiet(ORDINARY, Kind(2_000, streams=SMALL_DATASET, drift=0.04)),
    "three currencies": _quiet(ORDINARY, Kind(900, streams=CURRENCIES, inertia=0.1, drift=0.04)),
    "in a street": _quiet(ORDINARY, Kind(800, street=True, drift=0.04)),
    "in a street, three datasets": _quiet(
        ORDINARY, Kind(2_000, street=True, streams=DATASETS, drift=0.04)
    ),
    "orders need visits, withheld": _quiet(OTHER_KIND, Kind(400, needs_visit="withheld")),
    "orders need visits, refused": _quiet(OTHER_KIND, Kind(400, needs_visit="invalid")),
    "a tenth withheld": _quiet(OTHER_KIND, Kind(400, consent=0.8)),
    "a tenth quarantined": _quiet(OTHER_KIND, Kind(400, never=0.1)),
    "a tenth invalid": _quiet(OTHER_KIND, Kind(400, never=0.1, never_stage="invalid")),
    "campaign paused": Oddity(_campaign_paused, 96, family=OTHER_KIND),
    "nightly subscriptions": _quiet(OTHER_KIND, Kind(500, streams=(Stream(), NIGHTLY))),
    "nightly Purchases": _quiet(
        OTHER_KIND, Kind(500, streams=(Stream(), replace(NIGHTLY, event_name="Purchase")))
    ),
    "viral peak": Oddity(_viral, 48, family=OTHER_KIND),
    "business shop": _quiet(OTHER_KIND, Kind(300, opening="office", inertia=0.1)),
    "small business shop": _quiet(OTHER_KIND, Kind(40, opening="office", inertia=0.1)),
    "website and stores": _quiet(OTHER_KIND, Kind(600, streams=WITH_STORES, inertia=0.1)),
    "stores alone": _quiet(
        OTHER_KIND,
        Kind(300, tracked=False, streams=(Stream(source="physical_store", opening="store"),)),
    ),
    "nothing at all": Oddity(_nothing, WEEK),
    "sales peak": Oddity(_swell(2.0, 4.0), 3),
    "black friday": Oddity(_swell(3.5, 5.0), 24),
    "empty nights": Oddity(_nothing, WEEK, Kind(300, night=0.5)),
    "five orders a day": Oddity(_nothing, WEEK, Kind(5, visits_per_order=60)),
    "five orders a day, no visits": Oddity(_nothing, WEEK, Kind(5, tracked=False)),
    "no visits at all": Oddity(_nothing, WEEK, Kind(400, tracked=False)),
    "daylight saving": Oddity(_nothing, WEEK, anywhere=False, shifted=True),
    "holiday": Oddity(_swell(0.6, 0.4), 24),
    "closed at weekends": Oddity(_nothing, WEEK, Kind(400, weekend=0.08)),
    "growth": Oddity(_nothing, WEEK, Kind(400, growth=0.1)),
    "decline": Oddity(_nothing, WEEK, Kind(400, growth=-0.1)),
    "marketing pause": Oddity(_swell(0.5, 0.5), 96),
    "slow site": Oddity(_swell(0.75, 0.5), 4),
    "shop closed for hours": Oddity(_swell(0.3, 0.0), 3),
    "one order refused a day": Oddity(_one_rejected, WEEK, anywhere=False),
    "many orders refused as ever": Oddity(_nothing, WEEK, Kind(400, trickle=0.012)),
    "slightly less consent": Oddity(_less_consent, WEEK, anywhere=False),
    "test orders": Oddity(_test_orders, 2),
    "orders of a call centre": Oddity(_call_centre, 3),
    "one late hour": Oddity(_late_hour, 1),
    "bots": Oddity(_bots, 5),
    "conversion down by 15 %": Oddity(_swell(1.0, 0.85), 48),
    "moody shop": Oddity(_nothing, WEEK, Kind(400, moods=1.7)),
}
