"""Visits that went missing, and orders that lost their visit or a match key they usually carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from capi_assets.coverage.anomalies import count_models
from capi_assets.coverage.anomalies.anomaly import Anomaly, Comparison
from capi_assets.coverage.anomalies.count_models import DAY, Flags, Floats, Positions
from capi_assets.coverage.anomalies.demand import ratio
from capi_assets.coverage.anomalies.expectations import MIN_DISPERSION, Totals
from capi_assets.coverage.anomalies.hour_signals import (
    CLICKS,
    KEYED,
    MATCHED,
    ORDERS,
    SENDABLE,
    VISITS,
)
from capi_assets.coverage.anomalies.missing_orders import RECOVERY_LOG_RATIO, SIGNIFICANCE
from capi_assets.coverage.anomalies.windows import (
    MIN_DEVIATION,
    MIN_LOSS_SHARE,
    MIN_ORDERS,
    WINDOWS,
    HourWindows,
    window_text,
)
from capi_assets.delivery.causes import Cause

# Tuned on simulated weeks (benchmarks/labelled_weeks.py). Quoted names are its kinds.
_KEY_SIGNIFICANCE = SIGNIFICANCE / 10
"""For one match key: some ten keys are tested (Bonferroni)."""
_JOINT_SIGNIFICANCE = 3e-5
"""For few visits and few matches together, as a product of two probabilities, which is smaller
than either; both must also be below `_EACH_SIGNIFICANCE`."""
_EACH_SIGNIFICANCE = 0.05
"""Each of the two must be unusual by itself, by the customary 5 %."""
_SUBSET_SIGNIFICANCE = 1e-4
"""In a surge: that the orders which came as usual are so few. Below it a surge explains nothing."""
_SURGE_SIGNIFICANCE = 0.01
"""That chance alone brings so many more orders: a surge must not be chance itself."""
_SURGE_RATIO = 1.4
"""So many times the expected orders may be of another kind, which lowers shares without any loss:
"orders of a call centre" are two to three times the shop's own."""
_MIN_RATE_LOSS_SHARE = 0.1
"""Share of orders that lost their visit or a key: rates vary by 2 to 3 % a day, counts by 12 %."""
_MIN_VISIT_SHARE = 0.02
"""The share of the usual orders that no visit at all still suggests: some orders need no visit."""
_RATE_BOUNDS = (0.02, 0.98)
"""Rates under the loss are kept off 0 and 1, where one odd order would decide the ratio."""
CLICK_KEY = "fbc"
"""The match key that only visits with a click id can lend."""


class _Share(NamedTuple):
    """A share of orders of one stream in one window: `hits` of `trials`, and how many are usual."""

    name: str
    stream: int
    window: int
    hits: int
    trials: int
    seen: float
    of: float
    rate: float
    basis: float


def shares_lost(hour: HourWindows, skipped: Flags) -> dict[int, list[_Share]]:
    """Per stream the shares that dropped in its shortest window, the largest loss first: the match
    rate alone, or else match keys."""
    names = ["matched", *hour.signals.keys]
    hits = np.array([MATCHED, *hour.signals.keys.values()])
    trials = np.array([SENDABLE, *(KEYED for _ in hour.signals.keys)])
    n, k = hour.seen[..., trials], hour.seen[..., hits]
    rates, basis = _rates(hour, hits, trials)
    clicks = _click_share(hour)
    suggested = _suggested(hour, hits)
    if CLICK_KEY in names:
        rates[..., names.index(CLICK_KEY)] *= clicks
        suggested[..., names.index(CLICK_KEY)] *= clicks
    lost = n * rates - k
    spread = np.sqrt(
        n * rates * (1 - rates) * (1 + np.maximum(n - 1, 0) * (MIN_DISPERSION["rate"] + 1 / basis))
    )
    candidates = (
        (lost >= np.maximum(MIN_ORDERS, _MIN_RATE_LOSS_SHARE * n))
        & (k <= (1.0 - MIN_LOSS_SHARE) * n * rates)
        & (k <= (1.0 - _MIN_RATE_LOSS_SHARE) * suggested)
        & (lost >= MIN_DEVIATION * spread)
        & (hour.share_of_significance > 0.0)[:, None, None]
        & ~skipped[:, None, None]
    )
    found: dict[int, list[_Share]] = {}
    # Streams in turn, of each the match rate first, then keys, by their shortest window.
    order = np.argwhere(candidates)
    order = order[np.lexsort((order[:, 1], order[:, 2] > 0, order[:, 0]))]
    for stream, window, place in order:
        earlier = found.get(int(stream), [])
        if earlier and (earlier[0].name == "matched" or earlier[0].window != window):
            continue
        share = _Share(
            names[place], int(stream), int(window), int(hits[place]), int(trials[place]),
            k[stream, window, place], n[stream, window, place], rates[stream, window, place],
            basis[stream, window, place],
        )  # fmt: skip
        if _dropped(hour, share, suggested[stream, window, place]):
            found.setdefault(int(stream), []).append(share)
    return {
        stream: sorted(shares, key=lambda s: (s.seen - s.of * s.rate, s.name))
        for stream, shares in found.items()
    }


def visits_missing(hour: HourWindows) -> tuple[Anomaly, _Share] | None:
    """More orders in the whole shop than so few visits bring, fewer of which match a visit.

    Returns the anomaly and the match rate it rests on.
    """
    pair = np.array([MATCHED]), np.array([SENDABLE])
    rates, basis = _rates(hour, *pair)
    for window, hours in enumerate(WINDOWS):
        if hours > DAY:
            return None
        seen = hour.seen[0, window]
        share = _Share(
            "matched", 0, window, MATCHED, SENDABLE, seen[MATCHED], seen[SENDABLE],
            rates[0, window, 0], basis[0, window, 0],
        )  # fmt: skip
        lost = share.of * share.rate - share.seen
        if (
            lost >= max(MIN_ORDERS, _MIN_RATE_LOSS_SHARE * share.of)
            and hour.informative[0, window]
            and _are_too_few(hour, share)
        ):
            return _visits_anomaly(hour, share), share
    return None


def _are_too_few(hour: HourWindows, share: _Share) -> bool:
    """Whether the visits of a window are too few for its orders, and for its matches."""
    seen, expected = hour.seen[0, share.window], hour.expected[0, share.window]
    now, usual = hour.seen[0, 0], hour.expected[0, 0]
    demand = _order_demand(hour, share.window)
    if seen[VISITS] > (1.0 - MIN_LOSS_SHARE) * expected[VISITS] * demand:
        return False
    if now[VISITS] > (1.0 - MIN_LOSS_SHARE / 2) * usual[VISITS] * demand:
        return False
    overdispersion = hour.model.count_overdispersion(0, hour.at, WINDOWS[share.window])
    usual_kind = seen[MATCHED], expected[MATCHED]
    if _is_surge(seen[ORDERS], expected[ORDERS], *usual_kind, overdispersion):
        return False
    suggested = expected[ORDERS] * max(seen[VISITS] / expected[VISITS], _MIN_VISIT_SHARE)
    by_visits = count_models.count_at_least(seen[ORDERS], suggested, overdispersion())
    by_matches = _p_value(hour, share)
    return max(by_visits, by_matches) <= _EACH_SIGNIFICANCE and (
        by_visits * by_matches <= _JOINT_SIGNIFICANCE
    )


def _order_demand(hour: HourWindows, window: int) -> float:
    orders, expected = hour.seen[0, window, ORDERS], hour.expected[0, window, ORDERS]
    return min(1.0, float(orders / max(expected, 1e-9)))


def _visits_anomaly(hour: HourWindows, share: _Share) -> Anomaly:
    hours, seen = WINDOWS[share.window], hour.seen[0, share.window, VISITS]
    expected = hour.expected[0, share.window, VISITS] * _order_demand(hour, share.window)
    low, high = count_models.count_interval(
        expected, hour.model.count_overdispersion(0, hour.at, hours)()
    )
    return Anomaly(
        Cause.VISITS_MISSING,
        f"{seen:,.0f} visits{window_text(hours)} (expected {expected:,.0f});"
        f" {match_rate_text(share)}",
        unmatched=shortfall(hour, share),
        comparisons=(
            hour.comparison("visits", hours, seen, expected, low, high),
            comparison(hour, share),
        ),
    )


def match_rate_text(share: _Share) -> str:
    """`8 of 40 orders (usually 80 %) matched a visit`."""
    return f"{_rate_text(share)} matched a visit{window_text(WINDOWS[share.window])}"


def keys_text(shares: list[_Share]) -> str:
    """`em on 4 of 40 orders (usually 90 %), …`, of the first three."""
    keys = ", ".join(f"{share.name} on {_rate_text(share)}" for share in shares[:3])
    return f"{keys}{window_text(WINDOWS[shares[0].window])}"


def _rate_text(share: _Share) -> str:
    return f"{share.seen:,.0f} of {share.of:,.0f} orders (usually {100 * share.rate:.0f} %)"


def shortfall(hour: HourWindows, share: _Share) -> int:
    """Orders of the hour alone that lack what the share says is usual."""
    expected = hour.seen[share.stream, 0, share.trials] * share.rate
    return max(0, round(float(expected - hour.seen[share.stream, 0, share.hits])))


def comparison(hour: HourWindows, share: _Share) -> Comparison:
    """The orders of a share as they were seen and expected."""
    expected = share.of * share.rate
    spread = expected * (1 - share.rate) * (1 + (share.of - 1) * _dispersion(hour, share)())
    reach = 1.96 * float(np.sqrt(max(spread, 0.0)))
    name = "orders with a visit" if share.name == "matched" else f"orders with {share.name}"
    return hour.comparison(
        name, WINDOWS[share.window], share.seen, expected,
        max(expected - reach, 0.0), min(expected + reach, share.of),
    )  # fmt: skip


def _rates(hour: HourWindows, hits: Positions, trials: Positions) -> tuple[Floats, Floats]:
    return hour.model.rates(hour.at, Totals(hour.seen, hour.expected), hits, trials)


def _click_share(hour: HourWindows) -> Floats:
    """Visits with a click id among the visits, as a share of the usual, at most 1: a paused
    campaign takes the click ids with it."""
    seen = ratio(hour.seen[..., CLICKS], hour.seen[..., VISITS], 0.0)
    usual = ratio(hour.expected[..., CLICKS], hour.expected[..., VISITS], 0.0)
    return np.minimum(1.0, ratio(seen, usual))


def _suggested(hour: HourWindows, hits: Positions) -> Floats:
    """How many orders with each key the visits of the window suggest; without visits, its orders.

    There must be fewer: orders of another kind that come in addition, of a branch or a call
    centre, lower the share without any loss.
    """
    informative = hour.informative
    by_visits = ratio(hour.seen[..., VISITS], hour.expected[..., VISITS])
    by_orders = np.minimum(1.0, ratio(hour.seen[..., ORDERS], hour.expected[..., ORDERS]))
    demand = np.where(informative, by_visits, by_orders)
    return hour.expected[..., hits] * demand[..., None]


def _dropped(hour: HourWindows, share: _Share, suggested: float) -> bool:
    expected = hour.expected[share.stream, share.window]
    trials = suggested * expected[share.trials] / max(expected[share.hits], 1e-9)
    overdispersion = hour.model.count_overdispersion(share.stream, hour.at, WINDOWS[share.window])
    if _is_surge(share.of, trials, share.seen, suggested, overdispersion):
        return False
    significance = SIGNIFICANCE if share.name == "matched" else _KEY_SIGNIFICANCE
    significance *= hour.share_of_significance[share.stream]
    return _p_value(hour, share, significance) <= significance and not _recovered(hour, share)


def _p_value(hour: HourWindows, share: _Share, decisive: float = _EACH_SIGNIFICANCE) -> float:
    """The probability that a good window has so few hits, or fewer.

    What is more than `decisive` at the smallest dispersion is not less at a larger one, which takes
    time to estimate.
    """
    # The rate is itself an estimate, from so many orders.
    uncertainty = 1.0 / share.basis
    smallest = MIN_DISPERSION["rate"] + uncertainty
    p_value = count_models.hits_at_most(share.seen, share.of, share.rate, smallest)
    if p_value > _EACH_SIGNIFICANCE:
        return p_value
    dispersion = _dispersion(hour, share)
    if p_value > decisive:
        return p_value
    return count_models.hits_at_most(share.seen, share.of, share.rate, dispersion() + uncertainty)


def _dispersion(hour: HourWindows, share: _Share) -> Callable[[], float]:
    return hour.model.rate_overdispersion(
        share.stream, hour.at, WINDOWS[share.window], share.hits, share.trials
    )


def _is_surge(
    count: float,
    expected: float,
    usual: float,
    usual_expected: float,
    overdispersion: Callable[[], float],
) -> bool:
    """Whether far more than expected came, beside as many as usual of the usual kind."""
    if count <= _SURGE_RATIO * expected:
        return False
    by_chance = count_models.count_at_least(count, expected, overdispersion())
    if by_chance >= _SURGE_SIGNIFICANCE:
        return False
    as_usual = count_models.count_at_most(usual, usual_expected, overdispersion())
    return as_usual > _SUBSET_SIGNIFICANCE


def _recovered(hour: HourWindows, share: _Share) -> bool:
    """Whether the window's latest hours fit the usual rate better than the rate before them."""
    hours = WINDOWS[share.window]
    if hours == 1:
        return False
    latest = hour.model.totals(share.stream, hour.at + 1, np.arange(1, hours)).seen
    k, n = latest[:, share.hits], latest[:, share.trials]
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = np.clip((share.seen - k) / (share.of - n), *_RATE_BOUNDS)
    usual = min(share.rate, _RATE_BOUNDS[1])
    likelier = k * np.log(usual / reduced) + (n - k) * np.log((1.0 - usual) / (1.0 - reduced))
    return bool(np.any(likelier > RECOVERY_LOG_RATIO))
