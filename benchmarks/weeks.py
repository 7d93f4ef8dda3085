"""The labelled set: kinds of trouble that must be flagged, and oddities that must not.

Each kind does one thing to a shop's last week; what the method thinks of it is not its business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.simulated_shops import WEEK, Books, Kind

SIZES = {
    "boutique": Kind(60, visits_per_order=50),
    "shop": Kind(400),
    "big shop": Kind(4_000, visits_per_order=25),
}


@dataclass(frozen=True)
class Trouble:
    """Something that loses orders or their match keys.

    Attributes:
        causes: what it may rightly be called.
        strike: applies it to the hours.
        share: of the orders (or their match keys) of those hours that it costs.
        seen: whether the books show the loss. Where orders never arrive or lose keys, only
            comparison with other hours shows it, which needs enough orders to tell from chance.
        hours: how long it may last; None for any of the tried lengths.
    """

    causes: tuple[str, ...]
    strike: Callable[[Books, slice], None]
    share: float = 1.0
    seen: bool = True
    hours: tuple[int, ...] = (1, 3, 12)


def _lose(
    share: float, stage: str, reason: str, cause: str, also: tuple[str, ...] = (), **more: object
) -> Trouble:
    def strike(books: Books, hours: slice) -> None:
        books.lose(hours, share, stage, reason, cause)

    return Trouble((cause, *also), strike, share, **more)  # type: ignore[arg-type]


def _without(key: str, keep: float) -> Callable[[Books, slice], None]:
    def strike(books: Books, hours: slice) -> None:
        books.key[key][hours] *= keep

    return strike


def _unmatched(books: Books, hours: slice) -> None:
    books.match[hours] *= 0.25


def _silent(books: Books, hours: slice) -> None:
    books.thin(hours, 0.0, orders=True)
    books.lose_visits(hours, 1.0)


def _gone(books: Books, hours: slice) -> None:
    books.absent |= set(range(hours.start, hours.stop))


def _fewer_orders(keep: float) -> Callable[[Books, slice], None]:
    return lambda books, hours: books.thin(hours, keep, orders=True)


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
    "not materialized": Trouble(("not_materialized",), _gone),
    "tracker dead": Trouble(
        ("visits_missing",), lambda b, h: b.lose_visits(h, 1.0), 0.66, seen=False
    ),
    "tracker half dead": Trouble(
        ("visits_missing", "match_keys_lost"), lambda b, h: b.lose_visits(h, 0.5), 0.33, seen=False
    ),
    "e-mails gone": Trouble(("match_keys_lost",), _without("em", 0.0), 0.93, seen=False),
    "half of the e-mails gone": Trouble(
        ("match_keys_lost",), _without("em", 0.5), 0.46, seen=False
    ),
    "broken phones, sent": Trouble(("match_keys_lost",), _without("ph", 0.0), 0.55, seen=False),
    "visit ids gone": Trouble(("match_keys_lost",), _unmatched, 0.58, seen=False),
    "order feed stopped": Trouble(("orders_missing",), _fewer_orders(0.0), 1.0, seen=False),
    "order feed by half": Trouble(("orders_missing",), _fewer_orders(0.5), 0.5, seen=False),
    "late data": Trouble(("orders_missing",), _fewer_orders(0.3), 0.7, seen=False),
    "both feeds stopped": Trouble(("orders_missing",), _silent, 1.0, seen=False),
}


@dataclass(frozen=True)
class Oddity:
    """Something that a person would not call an outage, in a shop of its own kind."""

    strike: Callable[[Books, slice], None]
    hours: int
    kind: Kind | None = None
    anywhere: bool = True  # else it begins with the week
    shifted: bool = False


def _nothing(books: Books, hours: slice) -> None:
    """The shop's kind is the oddity."""


def _swell(visits: float, orders: float) -> Callable[[Books, slice], None]:
    return lambda books, hours: books.swell(hours, visits, orders)


def _one_rejected(books: Books, hours: slice) -> None:
    for hour in range(hours.start + 13, hours.stop, 24):
        if books.free(slice(hour, hour + 1))[0]:
            books.lost["rejected"][hour] += 1


def _less_consent(books: Books, hours: slice) -> None:
    books.withheld[hours] += books.rng.binomial(books.free(hours), 0.5)


def _test_orders(books: Books, hours: slice) -> None:
    burst = books.rng.integers(30, 60, hours.stop - hours.start)
    books.orders[hours] += burst
    books.withheld[hours] += burst


def _call_centre(books: Books, hours: slice) -> None:
    batch = books.rng.poisson(2.0 * books.orders[hours].mean() + 10, hours.stop - hours.start)
    books.orders[hours] += batch
    books.strange[hours] += batch


def _late_hour(books: Books, hours: slice) -> None:
    books.late_minutes[hours] += 300.0


def _bots(books: Books, hours: slice) -> None:
    books.visits[hours] *= 6


ODDITIES = {
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
    "less consent": Oddity(_less_consent, WEEK, anywhere=False),
    "test orders": Oddity(_test_orders, 2),
    "orders of a call centre": Oddity(_call_centre, 3),
    "one late hour": Oddity(_late_hour, 1),
    "bots": Oddity(_bots, 5),
    "conversion down by 15 %": Oddity(_swell(1.0, 0.85), 48),
    "moody shop": Oddity(_nothing, WEEK, Kind(400, moods=1.7)),
}
