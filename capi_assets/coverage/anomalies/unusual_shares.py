"""Orders that arrived and are not as usual: without consent, unconfirmed, doubled, of another
value, accepted late. The entrance is `unusual_orders`; flags.py calls it.

Each stream (dataset and event name) is judged against its own past, and all of them together. What
is missing altogether is in detect.py, what Meta or the contract refuses in refusal_rate.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Anomaly, Comparison, Interval, Stream
from capi_assets.coverage.anomalies.changed_values import changed_currencies, changed_values
from capi_assets.coverage.anomalies.count_models import WEEK
from capi_assets.coverage.anomalies.late_delivery import late_deliveries
from capi_assets.coverage.anomalies.raised_shares import (
    ACCEPTED_AFTER,
    MEMORY,
    Raised,
    raised_shares,
)
from capi_assets.coverage.anomalies.stream_hours import Demand, StreamHours, stream_hours
from capi_assets.coverage.formatting import count, percent
from capi_assets.delivery.causes import Cause

LEAST = 0.2
"""The share of orders that consent or status must cost: a fifth is the loss that must be found."""
_LEAST_ODD = 0.1
"""The share of orders that must be odd in another way: doubling a ninth of the orders makes it."""


def _takes(demand: Demand, row: int, window: slice, excess: float) -> bool:
    """Whether the odd orders are missing among the others, and not beside as many as usual, such as
    a burst of test orders: whether usual demand is nearer to all orders than to those without them.
    """
    seen, promised, _ = demand.promised(row, window)
    return _middle(seen, excess) <= promised


def _adds(demand: Demand, row: int, window: slice, excess: float) -> bool:
    """The opposite: there are more orders than visits promise, as far as visits say anything."""
    seen, promised, informative = demand.promised(row, window)
    return not informative or _middle(seen, excess) > promised


def _middle(orders: float, excess: float) -> float:
    """Half-way between counts with and without the excess, where their scatter is the same."""
    return float(((np.sqrt(orders) + np.sqrt(max(orders - excess, 0.0))) / 2.0) ** 2)


@dataclass(frozen=True, slots=True)
class _Signal:
    """A share that is judged upward; `what` completes "27 of 30 orders"."""

    hits: str
    trials: str
    cause: Cause
    name: str
    what: str
    confirm: Callable[[Demand, int, slice, float], bool] = lambda *_: True
    least: float = _LEAST_ODD
    accepted_after: int = ACCEPTED_AFTER


_SIGNALS = (
    _Signal(
        *("no_consent", "readable", Cause.CONSENT_MISSING, "share of orders without consent"),
        *("have no consent", _takes, LEAST),
    ),
    _Signal(
        *("not_confirmed", "readable", Cause.CONFIRMATIONS_MISSING, "share of unconfirmed orders"),
        *("are pending, cancelled, refunded or tests", _takes, LEAST),
    ),
    _Signal(
        *("lookalikes", "sendable", Cause.ORDERS_DOUBLED, "share of orders like an earlier one"),
        *("are like an earlier one of their hour, with another order_id", _adds),
    ),
    _Signal(
        *("zero_value", "sendable", Cause.VALUE_CHANGED, "share of orders without a value"),
        what="have no value",
        accepted_after=WEEK,
    ),
    _Signal(
        *("shared_event_id", "sendable", Cause.PAYLOAD, "share of orders that share an event_id"),
        what="share their event_id with another order, and Meta counts only one of them",
    ),
)


def unusual_orders(
    tables: Iterable[pa.Table], last: datetime, threshold: float
) -> dict[datetime, list[Anomaly]]:
    """What is unusual about the orders that arrived, by hour (start, UTC).

    Args:
        tables: `attribution_health` (columns of `stream_hours.STREAM_HISTORY`), in time order: the
            hours to judge, with five weeks before them.
        last: the last hour to read, timezone-aware.
        threshold: of coverage (0 to 1). Consent and status are judged only where they cost more
            than it allows.

    Returns:
        At most one anomaly per hour and cause but `value_changed`, which may have several reasons.
        Orders withheld for consent or status are compared with usual demand. A new value, currency
        or delay is usual after a week, everything else is accepted after four. Adding later hours
        changes no result. Hours that a former version wrote, and the first five days, have none.
    """
    hours = stream_hours(tables, last)
    anomalies: defaultdict[datetime, list[Anomaly]] = defaultdict(list)
    if hours is None or not hours.series:
        return anomalies
    demand = Demand.learn(hours)
    found = [_of_signal(signal, hours, demand, threshold) for signal in _SIGNALS]
    found += [changed_values(hours), changed_currencies(hours), late_deliveries(hours, threshold)]
    for detected in found:
        for at, anomaly in detected:
            anomalies[hours.hour(at)].append(anomaly)
    return dict(anomalies)


def _of_signal(
    signal: _Signal, hours: StreamHours, demand: Demand, threshold: float
) -> Iterator[tuple[int, Anomaly]]:
    costs = signal.least == LEAST
    raised: defaultdict[int, dict[int, Raised]] = defaultdict(dict)
    trials = hours.per_stream(signal.trials)
    for one in raised_shares(
        hours.per_stream(signal.hits),
        trials,
        hours.known,
        least=max(signal.least, 1.0 - threshold) if costs else signal.least,
        accepted_after=signal.accepted_after,
        confirm=lambda row, window, excess: signal.confirm(demand, row, window, excess),
    ):
        raised[one.at][one.row] = one
    for at, by_row in raised.items():
        concerned = _concerned(by_row, trials[:, at], len(hours.streams))
        yield at, _anomaly(signal, hours, concerned)


def _concerned(by_row: Mapping[int, Raised], trials: np.ndarray, streams: int) -> list[Raised]:
    """The streams that are raised, or the whole if all of them are, or none of them alone."""
    own = [one for row, one in by_row.items() if row < streams]
    active = np.count_nonzero(trials[:streams])
    whole = by_row.get(streams)
    return [whole] if whole and (not own or len(own) == active) else own


def _anomaly(signal: _Signal, hours: StreamHours, concerned: list[Raised]) -> Anomaly:
    streams = hours.streams
    names = [streams[one.row] for one in concerned if one.row < len(streams)]
    most = max(concerned, key=lambda one: one.excess.expected)
    within = f" in {count(most.hours, 'hour')}" if most.hours > 1 else ""
    evidence = (
        f"{most.hits:,.0f} of {most.trials:,.0f} orders{within} {signal.what}"
        f" (usually {percent(most.usual.expected)}, at most {percent(most.usual.high)})"
    )
    if signal.cause is Cause.ORDERS_DOUBLED:
        evidence += f"; about {_unsent(hours, concerned):,} of them are not sent yet"
    money: defaultdict[str, Interval] = defaultdict(lambda: Interval(0.0, 0.0, 0.0))
    for one in concerned:
        for currency, value in _usual_value(hours, one).items():
            sums = zip(money[currency], one.excess, strict=True)
            money[currency] = Interval(*(total + value * orders for total, orders in sums))
    return Anomaly(
        signal.cause,
        evidence,
        streams=tuple(Stream(*name) for name in names) if len(streams) > 1 else (),
        orders_affected=max(1, round(sum(one.excess.expected for one in concerned))),
        estimated_money=dict(money),
        comparisons=tuple(
            Comparison(
                signal.name,
                one.hits / one.trials,
                one.usual,
                one.hours,
                tuple(hours.hour(int(at)) for at in one.learned),
            )
            for one in concerned
        ),
    )


def _usual_value(hours: StreamHours, raised: Raised) -> dict[str, float]:
    """The value of a usual order of a row, per currency, over the hours that are remembered."""
    series = hours.of_row(raised.row)
    past = slice(max(raised.at - MEMORY, 0), raised.at)
    orders = hours.columns["sendable"][series, past].sum()
    values: defaultdict[str, float] = defaultdict(float)
    for one in series:
        currency = hours.series[one][2]
        if currency and orders:
            values[currency] += hours.columns["value_sendable"][one, past].sum() / orders
    return {currency: value for currency, value in values.items() if value > 0}


def _unsent(hours: StreamHours, concerned: list[Raised]) -> int:
    total = 0.0
    for one in concerned:
        pending, sendable = (
            hours.columns[name][hours.of_row(one.row), one.at].sum()
            for name in ("pending", "sendable")
        )
        total += one.excess.expected * pending / sendable
    return round(total)
