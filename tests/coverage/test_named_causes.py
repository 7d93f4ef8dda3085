"""A time zone fault and a landing that stopped are called what they are."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from statistics import median

import numpy as np
import pytest

from capi_assets.coverage.anomalies.anomaly import Anomaly, Stream
from capi_assets.coverage.anomalies.hour_signals import ORDERS, VISITS, HourSignals
from capi_assets.coverage.anomalies.named import name_causes
from capi_assets.delivery.causes import Cause

WEEK = 168
START = datetime(2026, 10, 5, tzinfo=UTC)
FAULT = 4 * WEEK + 34  # Tuesday, 10:00


def rhythm(per_hour: float) -> np.ndarray:
    """Five weeks: nights are nearly empty, evenings full."""
    hours = np.arange(5 * WEEK)
    return (
        per_hour
        * (1.02 + np.sin(2 * np.pi * (hours % 24 - 14) / 24))
        * (1 + 0.1 * (hours // 24 % 7))
    )


def shop(
    seed: int = 1, orders: np.ndarray | None = None, visits: np.ndarray | None = None
) -> HourSignals:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rhythm(20)).astype(float) if orders is None else orders
    seen = rng.poisson(rhythm(600)).astype(float) if visits is None else visits
    nothing = counts[None] * 0
    signals = np.stack([seen, seen, counts, counts, np.round(0.8 * counts), counts])
    return HourSignals(
        START, (Stream(),), signals[None], keys={}, eligible=counts[None], delivered=counts[None],
        refused=nothing, value={}, unassigned=nothing, above=np.zeros(1, dtype=np.intp),
    )  # fmt: skip


def anomalous(hours: range, cause: Cause = Cause.VISITS_MISSING) -> dict[int, Anomaly]:
    return {at: Anomaly(cause, "as detect.py says", unmatched=7) for at in hours}


def shifted(by: int, seed: int = 1, end: int = 5 * WEEK) -> np.ndarray:
    """Orders that are dated `by` hours late from the fault on, as they are stored at `end`."""
    orders = np.random.default_rng(seed).poisson(rhythm(20)).astype(float)
    dated = orders.copy()
    dated[FAULT:] = 0
    for made in range(FAULT, end):
        if 0 <= made + by < 5 * WEEK:
            dated[made + by] += orders[made]
    return dated


@pytest.mark.parametrize("by", [-7, -5, -3, 3, 6])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_orders_dated_hours_early_or_late_are_a_time_shift(by: int, seed: int) -> None:
    after = range(FAULT + 30, FAULT + 60)
    named = name_causes(anomalous(after), shop(seed, shifted(by, seed)))
    # A clock that is wrong stays wrong: the first two hours may be anything.
    named = {at: named[at] for at in after[2:]}
    assert {a.cause for a in named.values()} == {Cause.TIME_SHIFT}
    said = [re.search(r"about (\d+) hours? (late|early)", a.evidence) for a in named.values()]
    hours = [int(m[1]) * (1 if m[2] == "late" else -1) for m in said if m]
    assert len(hours) == len(named)
    assert abs(median(hours) - by) <= 1


def test_the_latest_hours_are_empty_while_orders_are_dated_early() -> None:
    end = FAULT + 48
    orders = shifted(-6, end=end)[:end]
    visits = shop().counts[0, VISITS][:end]
    named = name_causes(
        anomalous(range(end - 6, end), Cause.ORDERS_MISSING), shop(orders=orders, visits=visits)
    )
    assert {named[at].cause for at in range(end - 4, end)} == {Cause.TIME_SHIFT}


@pytest.mark.parametrize("begin", range(24))
@pytest.mark.parametrize("keep", [0.0, 0.4])
def test_a_feed_that_stops_or_shrinks_is_no_time_shift(begin: int, keep: float) -> None:
    orders = shop().counts[0, ORDERS].copy()
    struck = range(FAULT + begin, FAULT + begin + 20)
    orders[struck.start : struck.stop] = np.floor(orders[struck.start : struck.stop] * keep)
    found = anomalous(struck, Cause.ORDERS_MISSING)
    assert name_causes(found, shop(orders=orders)) == found


@pytest.mark.parametrize("seed", range(5))
def test_missing_visits_and_a_change_of_clocks_are_no_time_shift(seed: int) -> None:
    hours = range(FAULT, FAULT + 60)
    assert name_causes(anomalous(hours), shop(seed)) == anomalous(hours)
    orders, visits = shop(seed).counts[0, ORDERS].copy(), shop(seed).counts[0, VISITS].copy()
    for counts in (orders, visits):
        counts[FAULT:] = np.roll(counts, 3)[FAULT:]
    moved = shop(seed, orders, visits)
    assert name_causes(anomalous(hours), moved) == anomalous(hours)


def test_neither_visits_nor_orders_is_a_landing_that_stopped() -> None:
    orders, visits = shop().counts[0, ORDERS].copy(), shop().counts[0, VISITS].copy()
    dead = range(FAULT, FAULT + 20)
    orders[dead.start : dead.stop] = visits[dead.start : dead.stop] = 0
    found = anomalous(dead, Cause.ORDERS_MISSING)
    found |= anomalous(range(dead.stop, dead.stop + 3), Cause.MATCH_KEYS_LOST)
    named = name_causes(found, shop(orders=orders, visits=visits))
    assert {a.cause for a in named.values()} == {Cause.LANDING_STOPPED}
    assert named[FAULT].evidence.startswith("0 visits (usually ")
    assert named[FAULT].unmatched == found[FAULT].unmatched, "numbers are kept"


def test_one_feed_alone_and_other_causes_keep_their_names() -> None:
    orders = shop().counts[0, ORDERS].copy()
    orders[FAULT : FAULT + 6] = 0
    found = anomalous(range(FAULT, FAULT + 6), Cause.ORDERS_MISSING)
    assert name_causes(found, shop(orders=orders)) == found
    other = anomalous(range(FAULT, FAULT + 6), Cause.CONSENT_MISSING)
    assert name_causes(other, shop(orders=orders * 0, visits=orders * 0)) == other


def test_later_hours_change_no_name() -> None:
    orders = shifted(5)
    whole = name_causes(anomalous(range(FAULT, FAULT + 60)), shop(orders=orders))
    for last in (FAULT + 20, FAULT + 40):
        part = shop(orders=orders[: last + 1], visits=shop().counts[0, VISITS][: last + 1])
        named = name_causes(anomalous(range(FAULT, last + 1)), part)
        assert named == {at: a for at, a in whole.items() if at <= last}
