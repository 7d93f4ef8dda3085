"""Whether an hour's visits are missing, as opposed to a quiet hour: evidence, not a baseline.

Compared are the hours around it: how many visits they had, and how often their orders found one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median


@dataclass(frozen=True, slots=True)
class HourOfVisits:
    """What the visits of one hour did for its orders."""

    hour: datetime
    visits: int
    orders: int
    matched: int


@dataclass(frozen=True, slots=True)
class MissingVisits:
    """Evidence that an hour's visits are missing; `usual` is the median of its neighbours."""

    visits: int
    usual: float
    unmatched: int


LOST_VISITS_SHARE = 0.1
"""Judgement: an hour below this share of the median hour's visits is no quiet night."""

REFERENCE = timedelta(days=3)
"""Judgement: how far around an hour its neighbours reach."""


def missing_visits(hours: Iterable[HourOfVisits]) -> dict[datetime, MissingVisits]:
    """The hours whose visits are zero or far below their neighbours' while orders found none.

    A quiet hour is not enough: its orders must also find a visit less than half as often as
    those of ordinary hours do. A dataset whose orders never have visits is not accused.
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
        if len(ordinary) < 3:
            continue
        usual = median(r.visits for r in ordinary)
        if row.visits >= LOST_VISITS_SHARE * usual:
            continue
        ordinary = [r for r in ordinary if r.visits >= LOST_VISITS_SHARE * usual and r.orders > 0]
        orders = sum(r.orders for r in ordinary)
        share = sum(r.matched for r in ordinary) / orders if orders else 0.0
        if row.matched / row.orders < share / 2:
            found[row.hour] = MissingVisits(row.visits, usual, unmatched)
    return found
