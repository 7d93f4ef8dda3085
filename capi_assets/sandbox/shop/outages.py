"""Outages of the sample shop: what its tracking loses between two moments.

Defines each kind; shop.py applies them to its rows. Faults of Meta are in sandbox/faults.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

import numpy as np

from capi_assets.sandbox.shop.keyed_random import Flags, Floats, Ints
from capi_assets.sandbox.shop.seasonality import HOUR_MS, to_ms

OutageKind = Literal[
    "visits_missing",  # the tracker is down: visits of that time are never stored
    "orders_missing",  # the export of orders fails: orders of that time never land
    "match_keys_lost",  # a banner or tag broke: no fbc, fbp, fbclid, IP or e-mail on either side
    "broken_phones",  # a form change: what lands as phone is no number
    "late_visits",  # visits are stored, but land `delay` after they happened
    "sales_peak",  # no outage: `factor` times the orders; an alert here would be false
]
KINDS: tuple[str, ...] = get_args(OutageKind)


@dataclass(frozen=True)
class Outage:
    """One outage over `[start, end)`, aware datetimes; it affects rows by their `occurred_at`."""

    kind: OutageKind
    start: datetime
    end: datetime
    factor: float = 4.0
    delay: timedelta = timedelta(hours=6)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown outage {self.kind!r}; known: {', '.join(KINDS)}")
        if self.start.tzinfo is None or self.end.tzinfo is None or self.end <= self.start:
            raise ValueError(f"outage {self.kind} needs aware datetimes with start before end")

    def hits(self, at_ms: Ints) -> Flags:
        inside: Flags = (at_ms >= to_ms(self.start)) & (at_ms < to_ms(self.end))
        return inside


def hit(outages: Iterable[Outage], kind: OutageKind, at_ms: Ints) -> Flags:
    """Which moments any outage of this kind covers."""
    struck = np.zeros(len(at_ms), dtype=np.bool_)
    for outage in outages:
        if outage.kind == kind:
            struck |= outage.hits(at_ms)
    return struck


def order_factor(outages: Iterable[Outage], hours: Ints) -> Floats:
    """How many times the usual orders each hour (hours of the epoch) has."""
    factor = np.ones(len(hours), dtype=np.float64)
    for outage in outages:
        if outage.kind == "sales_peak":
            start, end = to_ms(outage.start) / HOUR_MS, to_ms(outage.end) / HOUR_MS
            share = np.clip(np.minimum(hours + 1, end) - np.maximum(hours, start), 0.0, 1.0)
            factor += share * (outage.factor - 1.0)
    return factor


def arrival(outages: Iterable[Outage], at_ms: Ints) -> Ints:
    """When each visit lands (milliseconds of the epoch): at once, unless it is late."""
    lands = at_ms.copy()
    for outage in outages:
        if outage.kind == "late_visits":
            late = at_ms + int(outage.delay.total_seconds() * 1_000)
            lands = np.where(outage.hits(at_ms), np.maximum(lands, late), lands)
    return lands
