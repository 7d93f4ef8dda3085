"""Orders that Meta accepts much later than usual, although nearly all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from capi_assets.coverage.anomalies.anomaly import Anomaly, Comparison, Interval, Stream
from capi_assets.coverage.anomalies.count_models import DAY, WEEK
from capi_assets.coverage.anomalies.raised_shares import (
    MEMORY,
    MIN_HOURS,
    MIN_ORDERS,
    accept_lasting,
)
from capi_assets.coverage.anomalies.stream_hours import StreamHours
from capi_assets.coverage.formatting import count
from capi_assets.delivery.causes import Cause

_LEAST_MINUTES = 60.0
"""Minutes later than usual: Meta attributes best what arrives within an hour."""
_SPREADS = 6.0
"""Spreads later than usual, so that a shop whose files land in batches has wide limits."""
_HOURS_IN_A_ROW = 3
"""Late hours with deliveries: one or two late hours are a slow export, and over already."""


def late_deliveries(hours: StreamHours, threshold: float) -> Iterator[tuple[int, Anomaly]]:
    """Streams whose median from order to acceptance is late for three hours in a row.

    Only hours whose coverage reached `threshold` count: what is not delivered has a cause of its
    own. Nor do hours that were all delivered at one moment, as after an outage. A delay that lasts
    a week is usual.
    """
    columns = hours.columns
    minutes, delivered = columns["freshness_p50_minutes"], columns["delivered"]
    counted = hours.known & (delivered > 0) & ~np.isnan(minutes)
    counted &= delivered >= threshold * columns["eligible"]
    good = counted.copy()
    # No usual delay is below the least, and nothing is late that is not an hour later.
    least = np.where(counted, minutes, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    perhaps_late = counted & (minutes > least + _LEAST_MINUTES)
    for day in range(len(hours.known) // DAY):
        first = day * DAY
        accept_lasting(good, hours.known, counted, first, WEEK)
        past = slice(max(first - MEMORY, 0), first)
        for row in map(int, np.flatnonzero(perhaps_late[:, first : first + DAY].any(axis=1))):
            learned = np.flatnonzero(good[row, past]) + past.start
            if first < MIN_HOURS or delivered[row, learned].sum() < MIN_ORDERS:
                continue
            usual = float(np.median(minutes[row, learned]))
            # 1.4826 times the median deviation estimates the standard deviation.
            spread = 1.4826 * float(np.median(np.abs(minutes[row, learned] - usual)))
            limit = usual + max(_LEAST_MINUTES, usual, _SPREADS * spread)
            late = counted[row, : first + DAY] & (minutes[row, : first + DAY] > limit)
            for at in map(int, np.flatnonzero(late[first:]) + first):
                good[row, at] = False
                lately = np.flatnonzero(counted[row, max(at - DAY, 0) : at + 1]) + max(at - DAY, 0)
                lately = lately[-_HOURS_IN_A_ROW:]
                accepted = 60.0 * lately + minutes[row, lately]
                if (
                    len(lately) == _HOURS_IN_A_ROW
                    and late[lately].all()
                    and accepted[-1] - accepted[0] > 60.0 * (lately[-1] - lately[0]) / 2.0
                ):
                    yield (
                        at,
                        _late(
                            hours,
                            row,
                            at,
                            Interval(max(usual - 1.96 * spread, 0.0), usual, limit),
                            learned,
                        ),
                    )


def _late(
    hours: StreamHours, row: int, at: int, expected: Interval, learned: np.ndarray
) -> Anomaly:
    dataset, event, _ = hours.series[row]
    minutes = float(hours.columns["freshness_p50_minutes"][row, at])
    return Anomaly(
        Cause.LATE_DELIVERY,
        f"Meta accepted half of the orders later than {count(round(minutes), 'minute')} after them,"
        f" usually {count(round(expected.expected), 'minute')}",
        streams=(Stream(dataset, event),) if len(hours.streams) > 1 else (),
        orders_affected=round(hours.columns["delivered"][row, at] / 2.0),
        comparisons=(
            Comparison(
                "median minutes from order to acceptance",
                minutes,
                expected,
                learned_from=tuple(hours.hour(int(h)) for h in learned[(learned - at) % DAY == 0]),
            ),
        ),
    )
