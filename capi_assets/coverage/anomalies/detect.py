"""Anomalies: hours whose signals contradict each other, in the whole shop or in a stream of it.

Visits go on and orders do not; orders go on and visits do not; orders come without the match keys
that they usually carry. One signal alone is no anomaly: visits and orders that fall together are a
slow night, a holiday or a paused campaign. What an hour should hold is in `expectations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np

from capi_assets.coverage.anomalies.anomaly import Anomaly
from capi_assets.coverage.anomalies.count_models import DAY, WEEK, Flags, Floats
from capi_assets.coverage.anomalies.demand import WORST_NORMAL_SHARE
from capi_assets.coverage.anomalies.expectations import Expectations
from capi_assets.coverage.anomalies.hour_signals import ORDERS, HourSignals
from capi_assets.coverage.anomalies.lost_keys import (
    comparison,
    keys_text,
    match_rate_text,
    shares_lost,
    shortfall,
    visits_missing,
)
from capi_assets.coverage.anomalies.missing_orders import missing_orders
from capi_assets.coverage.anomalies.named import name_causes
from capi_assets.coverage.anomalies.stream_findings import told_once
from capi_assets.coverage.anomalies.windows import HourWindows, hour_windows
from capi_assets.delivery.causes import Cause

_REGIME_CHANGE_SHARE = 0.9
"""Of a week's expected orders in anomalous hours: then the stream has changed, and its past is
forgotten. Not 1.0, because the change may begin in the middle of a day."""

_LACK_VISITS = (Cause.VISITS_MISSING, Cause.LANDING_STOPPED)


def detect_anomalies(signals: HourSignals, threshold: float) -> dict[datetime, list[Anomaly]]:
    """The hours of `signals` that demand does not explain, by their start (UTC).

    Called by `coverage.flags.flag_hours` with every hour stored; adding later hours never changes
    an earlier result. An hour is compared with the good hours before it: those of whose orders at
    least `threshold` (0 to 1) were delivered or refused, and without what was anomalous in them.
    The first five days have nothing to be compared with. A change that lasts a week becomes the new
    expectation, unless the shop's orders stopped. An hour has at most one anomaly per cause; the
    whole shop's is first.

        detect_anomalies(signals, 0.95)[noon][0].cause  # Cause.ORDERS_MISSING
    """
    model = Expectations(signals)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Refused orders arrived, with all that can be learned from them.
        arrived = (signals.delivered[0] + signals.refused[0]) / signals.eligible[0]
    good = signals.known & ~(arrived < threshold)
    anomalous = np.zeros((len(signals.streams), len(signals)), dtype=bool)
    lacked_visits = np.zeros(len(signals), dtype=bool)
    found: dict[int, Mapping[int, Anomaly]] = {}
    for at in map(int, np.flatnonzero(signals.known)):
        anomalies: Mapping[int, Anomaly] = {}
        if model.expect(at):
            hour = hour_windows(signals, model, at)
            anomalies = _evaluate(hour, bool(lacked_visits[max(at - DAY, 0) : at].any()))
        if anomalies:
            lacked_visits[at] = 0 in anomalies and anomalies[0].cause in _LACK_VISITS
            anomalous[list(anomalies), at] = True
            found[at] = anomalies
        model.learn(at, bool(good[at]), anomalies)
        if at % DAY == 0 and at >= 2 * WEEK:
            _restart_after_change(model, at, anomalous)
    whole = {at: anomalies[0] for at, anomalies in found.items() if 0 in anomalies}
    for at, anomaly in name_causes(whole, signals).items():
        if anomaly.cause is not whole[at].cause:
            found[at] = {0: anomaly}  # which explains what its streams found
    return {
        signals.hour(at): told_once(signals.streams, anomalies) for at, anomalies in found.items()
    }


def _evaluate(hour: HourWindows, lacked_visits: bool) -> dict[int, Anomaly]:
    """The anomaly of each stream that has one, by its place in `HourSignals.streams`."""
    found = missing_orders(hour)
    without_visits = None if 0 in found else visits_missing(hour)
    if without_visits:
        found[0] = without_visits[0]
    skipped = np.zeros(len(hour.seen), dtype=bool)
    skipped[list(found)] = True
    if without_visits:
        return found
    for stream, shares in shares_lost(hour, skipped).items():
        of_hour = [shortfall(hour, share) for share in shares]
        compared = tuple(comparison(hour, share) for share in shares[:3])
        if shares[0].name != "matched":
            if not lacked_visits:
                found[stream] = Anomaly(
                    Cause.MATCH_KEYS_LOST, keys_text(shares),
                    orders_with_fewer_keys=max(of_hour), comparisons=compared,
                )  # fmt: skip
        elif stream == 0 or not lacked_visits:
            # Who buys today may have visited yesterday, when visits were missing.
            cause = Cause.VISITS_MISSING if lacked_visits else Cause.MATCH_KEYS_LOST
            found[stream] = Anomaly(
                cause, match_rate_text(shares[0]), unmatched=of_hour[0], comparisons=compared
            )
    return found


def _restart_after_change(model: Expectations, at: int, anomalous: Flags) -> None:
    """After a week of anomalous hours, learns a stream anew from that week: it has changed.

    Not after the shop's orders have stopped: a dead feed never becomes normal.
    """
    week = slice(at - WEEK + 1, at + 1)
    expected: Floats = np.nan_to_num(model.expected[:, ORDERS, week])
    seen: Floats = np.nan_to_num(model.seen[:, ORDERS, week])
    changed = (expected * anomalous[:, week]).sum(axis=1)
    changes = changed > _REGIME_CHANGE_SHARE * np.maximum(expected.sum(axis=1), 1e-9)
    stopped = seen[0].sum() < WORST_NORMAL_SHARE * expected[0].sum()
    changes[0] &= not stopped
    for stream in np.flatnonzero(changes):
        model.restart(int(stream), at + 1)
