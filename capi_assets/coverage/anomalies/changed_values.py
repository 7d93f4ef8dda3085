"""The value per order and the mix of currencies, per stream and currency, against their own past.

A change that lasts a week is usual from then on: new prices, or a new market.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from capi_assets.coverage.anomalies.anomaly import Anomaly, Comparison, Interval, Stream
from capi_assets.coverage.anomalies.count_models import (
    DAY,
    WEEK,
    Flags,
    Floats,
    Positions,
    median_where,
)
from capi_assets.coverage.anomalies.raised_shares import (
    MEMORY,
    MIN_HOURS,
    MIN_ORDERS,
    RECOVERY_LOG_RATIO,
    WINDOWS,
    Raised,
    accept_lasting,
    raised_shares,
    running,
)
from capi_assets.coverage.anomalies.stream_hours import StreamHours
from capi_assets.coverage.formatting import count, money, percent
from capi_assets.delivery.causes import Cause

_MIN_FACTOR = 1.5
"""A median that moves less is an offer or a season."""
_MIN_SPREAD = 0.1
"""Of the logarithm of a median: what steady shops vary by from day to day (10 %)."""
_SPREADS = 6.0
"""Spreads from usual that are a change: medians of few orders have heavy tails."""
_MIN_WINDOW_ORDERS = 5
_MIN_SAME = 3
"""Same hours of other days that make a habit."""
_TAKEN_OVER = 0.5
"""The share by which a currency must grow: half of all orders."""
_VANISHED = 0.1
"""The share that a currency must have had whose orders are all gone."""


def changed_values(hours: StreamHours) -> Iterator[tuple[int, Anomaly]]:
    """Series whose median value is far from usual: the robust log-median of good hours, against
    windows of one hour to a week."""
    columns = hours.columns
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.where(columns["value_p50"] > 0, np.log(columns["value_p50"]), np.nan)
    orders = columns["sendable"] - columns["zero_value"]
    orders = np.where(hours.known & ~np.isnan(logs), np.maximum(orders, 0.0), 0.0)
    good = orders > 0
    total, off_by = running(orders), np.zeros_like(logs)
    for day in range(len(hours.known) // DAY):
        first = day * DAY
        accept_lasting(good, hours.known, orders > 0, first, WEEK)
        usual, scatter = _usual(logs, orders, good, first)
        ends = np.arange(first + 1, first + DAY + 1)
        today = slice(first, first + DAY)
        usual_of = _by_hour_of_day(logs, usual, first)
        off_by[:, today] = np.nan_to_num(logs[:, today] - usual_of)
        weighted = running(off_by * orders)
        judged = (orders[:, today] > 0) & ~np.isnan(usual)[:, None]
        for window in WINDOWS:
            firsts = np.maximum(ends - window, 0)
            of = total[:, ends] - total[:, firsts]
            with np.errstate(invalid="ignore", divide="ignore"):
                moved = (weighted[:, ends] - weighted[:, firsts]) / of
                spread = np.maximum(_MIN_SPREAD, scatter[:, None] / np.sqrt(of))
            changed = judged & (of >= _MIN_WINDOW_ORDERS)
            changed &= np.abs(moved) > np.maximum(np.log(_MIN_FACTOR), _SPREADS * spread)
            # The hour itself must differ in the same direction.
            changed &= off_by[:, today] * np.sign(moved) > 0
            judged &= ~changed
            for row, hour in np.argwhere(changed):
                at = int(first + hour)
                since = slice(max(at + 1 - window, 0), at + 1)
                own = off_by[row, since]
                if _is_over(own, orders[row, since], max(_MIN_SPREAD, scatter[row])):
                    continue
                learned = _same_hours(at)
                good[row, at] = False
                yield (
                    at,
                    _changed_value(
                        hours,
                        (int(row), at, window),
                        float(usual_of[row, hour]),
                        float(moved[row, hour]),
                        float(spread[row, hour]),
                        learned[good[row, learned]],
                    ),
                )


def _usual(logs: Floats, orders: Floats, good: Flags, first: int) -> tuple[Floats, Floats]:
    """Per series the usual logarithm of the value (NaN: not known), and the scatter of one order's.

    1.4826 times the median deviation estimates the standard deviation.
    """
    past = slice(max(first - MEMORY, 0), first)
    enough = np.where(good[:, past], orders[:, past], 0.0).sum(axis=1) >= MIN_ORDERS
    usual, scatter = np.full(len(logs), np.nan), np.full(len(logs), np.nan)
    rows = np.flatnonzero(enough & (first >= MIN_HOURS))
    values, learned = logs[rows, past], good[rows, past]
    usual[rows] = median_where(values, learned)
    off_by = np.abs(values - usual[rows, None]) * np.sqrt(orders[rows, past])
    scatter[rows] = 1.4826 * median_where(off_by, learned)
    return usual, scatter


def _by_hour_of_day(logs: Floats, usual: Floats, first: int) -> Floats:
    """The usual logarithm per series and hour of the day that begins at `first`: that of the same
    hours of the days before, such as of a nightly batch, where there are enough."""
    past = logs[:, max(first - MEMORY, 0) : first]
    days = past.reshape(len(logs), -1, DAY)
    enough = (~np.isnan(days)).sum(axis=1) >= _MIN_SAME
    own = np.full((len(logs), DAY), np.nan)
    if days.shape[1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # hours without any value
            own = np.nanmedian(days, axis=1)
    # Only where it is another value: what all hours share is known better.
    other = enough & (np.abs(own - usual[:, None]) > np.log(_MIN_FACTOR))
    return np.where(other, own, usual[:, None])


def _is_over(moved: Floats, orders: Floats, scatter: float) -> bool:
    """Whether the latest hours of a window are more likely usual than like those before them."""
    of, total = running(orders[None, ::-1])[0], running((moved * orders)[None, ::-1])[0]
    latest, latest_of = total[1:-1], of[1:-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        before = (total[-1] - latest) / (of[-1] - latest_of)
    # The log-likelihood ratio of a mean of 0 and one of `before`, both with the same scatter.
    ratio = before * (latest_of * before / 2.0 - latest) / scatter**2
    return bool(np.any(ratio > RECOVERY_LOG_RATIO))


def _changed_value(
    hours: StreamHours,
    place: tuple[int, int, int],
    usual: float,
    moved: float,
    spread: float,
    learned: Positions,
) -> Anomaly:
    row, at, window = place
    dataset, event, currency = hours.series[row]
    expected = Interval(*(np.exp(usual + reach * spread) for reach in (-1.96, 0.0, 1.96)))
    seen = float(np.exp(usual + moved))
    orders = hours.columns["sendable"][row, at] - hours.columns["zero_value"][row, at]
    within = f" in {count(window, 'hour')}" if window > 1 else ""
    return Anomaly(
        Cause.VALUE_CHANGED,
        f"the median value is {money(currency, seen)}{within}, usually"
        f" {money(currency, expected.expected)}",
        streams=(Stream(dataset, event),) if len(hours.streams) > 1 else (),
        orders_affected=round(orders),
        estimated_money={currency: Interval(*(orders * value for value in expected))}
        if currency
        else {},
        comparisons=(
            Comparison(
                f"median value{f' in {currency}' if currency else ''}",
                seen,
                expected,
                window,
                tuple(hours.hour(int(hour)) for hour in learned),
            ),
        ),
    )


def changed_currencies(hours: StreamHours) -> Iterator[tuple[int, Anomaly]]:
    """Streams in which a currency takes over half of the orders, or a usual one is gone."""
    readable = hours.columns["readable"]
    totals = np.zeros_like(readable)
    for row, (dataset, event, _) in enumerate(hours.series):
        of = [n for n, key in enumerate(hours.series) if key[:2] == (dataset, event)]
        totals[row] = readable[of].sum(axis=0)
    several = [row for row in range(len(readable)) if (readable[row] < totals[row]).any()]
    if not several:
        return
    orders, totals = readable[several], totals[several]
    for hits, least, text in (
        (orders, _TAKEN_OVER, "{hits} of {of} orders{within} are in {currency} (usually {usual})"),
        (
            totals - orders,
            _VANISHED,
            "none of {of} orders{within} is in {currency} (usually {usual})",
        ),
    ):
        gone = hits is not orders
        raised = raised_shares(
            hits,
            totals,
            hours.known,
            least=least,
            accepted_after=WEEK,
            confirm=lambda row, window, _: not gone or not orders[row, window].any(),  # noqa: B023
        )
        for one in raised:
            yield one.at, _changed_currency(hours, several[one.row], one, text, gone)


def _changed_currency(
    hours: StreamHours, row: int, raised: Raised, text: str, gone: bool
) -> Anomaly:
    dataset, event, currency = hours.series[row]
    share = raised.usual
    seen = raised.hits / raised.trials
    if gone:
        share, seen = Interval(1 - share.high, 1 - share.expected, 1 - share.low), 1 - seen
    evidence = text.format(
        hits=f"{raised.hits:,.0f}",
        of=f"{raised.trials:,.0f}",
        within=f" in {count(raised.hours, 'hour')}" if raised.hours > 1 else "",
        currency=currency or "no currency",
        usual=percent(share.expected),
    )
    return Anomaly(
        Cause.VALUE_CHANGED,
        evidence,
        streams=(Stream(dataset, event),) if len(hours.streams) > 1 else (),
        orders_affected=max(1, round(raised.excess.expected)),
        comparisons=(
            Comparison(
                f"share of orders in {currency or 'no currency'}",
                seen,
                share,
                raised.hours,
                tuple(hours.hour(int(at)) for at in raised.learned),
            ),
        ),
    )


def _same_hours(at: int) -> Positions:
    return np.arange(at - DAY, max(at - MEMORY, 0) - 1, -DAY)
