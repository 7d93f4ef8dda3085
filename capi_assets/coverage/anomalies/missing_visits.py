"""Hours whose visits are missing, as opposed to quiet hours, without any history.

An hour is compared with the three days around it: how many visits they had, and how often their
orders matched one. It works from the first day on; `detect` is more sensitive, and needs a past.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median


@dataclass(frozen=True, slots=True)
class HourOfVisits:
    """One hour's visits and orders; `matched` orders found a visit."""

    hour: datetime
    visits: int
    orders: int
    matched: int


@dataclass(frozen=True, slots=True)
class MissingVisits:
    """Evidence that an hour's visits are missing; `usual` is the median of the hours around it."""

    visits: int
    usual: float
    unmatched: int


LOST_VISITS_SHARE = 0.1
"""Of the median hour's visits: below it an hour is no quiet night. The quietest hour of the
simulated shops (benchmarks/simulated_shops.py) has 11 %."""

LOST_OF_SAME_HOUR = 0.5
"""Of the median of the same hour of the days around: visits of a quiet night are as few as on other
nights."""

REFERENCE = timedelta(days=3)
"""How far the compared hours reach to both sides: three nights and three days, so that the median
is an hour of the day, and an outage of a day stays a minority."""

MIN_ORDINARY_HOURS = 3
"""Hours with visits needed around it: a median of fewer is a single hour's word."""


def missing_visits(hours: Iterable[HourOfVisits]) -> dict[datetime, MissingVisits]:
    """The hours with hardly any visits whose orders did not match one, by their start.

    Few visits are not enough: the hour's orders must also match less than half as often as those
    of ordinary hours. A shop whose orders never match visits is therefore never reported.
    """
    rows = list(hours)
    quiet = LOST_VISITS_SHARE * max((row.visits for row in rows), default=0)
    found = {}
    for row in rows:
        unmatched = row.orders - row.matched
        if unmatched <= 0 or row.visits >= quiet:
            continue
        near = [r for r in rows if r is not row and abs(r.hour - row.hour) <= REFERENCE]
        ordinary = [r for r in near if r.visits > 0]
        if len(ordinary) < MIN_ORDINARY_HOURS:
            continue
        usual = median(r.visits for r in ordinary)
        if row.visits >= LOST_VISITS_SHARE * usual:
            continue
        same = [r.visits for r in near if r.hour.hour == row.hour.hour]
        if same and row.visits >= LOST_OF_SAME_HOUR * median(same):
            continue  # a night like others
        ordinary = [r for r in ordinary if r.visits >= LOST_VISITS_SHARE * usual and r.orders > 0]
        orders = sum(r.orders for r in ordinary)
        share = sum(r.matched for r in ordinary) / orders if orders else 0.0
        if row.matched / row.orders < share / 2:
            found[row.hour] = MissingVisits(row.visits, usual, unmatched)
    return found
