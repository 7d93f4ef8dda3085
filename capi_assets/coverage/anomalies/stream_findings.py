"""The anomalies of an hour's streams, told once each: per cause, by the streams that explain it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from capi_assets.coverage.anomalies.anomaly import Anomaly, Interval, Stream
from capi_assets.delivery.causes import Cause

_EXPLAINED_SHARE = 0.8
"""Of a stream's loss that its parts must have for the parts to be named instead of it."""

_NAMED = 3
"""Streams whose evidence is quoted; the longer list is in the streams themselves."""


def told_once(streams: Sequence[Stream], anomalies: Mapping[int, Anomaly]) -> list[Anomaly]:
    """One anomaly per cause; the whole shop's first.

    Args:
        streams: the names of the places in `anomalies`.
        anomalies: what each stream found for itself, the whole shop (`Stream()`) included.
    """
    by_cause: defaultdict[Cause, dict[Stream, Anomaly]] = defaultdict(dict)
    for place in sorted(anomalies):
        by_cause[anomalies[place].cause][streams[place]] = anomalies[place]
    return [_of_cause(found) for found in by_cause.values()]


def _of_cause(found: Mapping[Stream, Anomaly]) -> Anomaly:
    told = _told(Stream(), found)
    if told == [Stream()]:
        return found[Stream()]
    parts = [found[stream] for stream in told]
    evidence = "; ".join(f"{stream.label}: {found[stream].evidence}" for stream in told[:_NAMED])
    whole = found.get(Stream())
    return Anomaly(
        parts[0].cause,
        f"{evidence}; and {len(told) - _NAMED} more" if len(told) > _NAMED else evidence,
        streams=tuple(told),
        orders_expected_missing=sum(part.orders_expected_missing for part in parts),
        unmatched=sum(part.unmatched for part in parts),
        orders_with_fewer_keys=sum(part.orders_with_fewer_keys for part in parts),
        orders_affected=sum(part.orders_affected for part in parts),
        estimated_money=total_estimate(part.estimated_money for part in parts),
        comparisons=tuple(c for part in parts[:_NAMED] for c in part.comparisons)
        or (whole.comparisons if whole else ()),
    )


def _told(stream: Stream, found: Mapping[Stream, Anomaly]) -> list[Stream]:
    """The streams to name at or below one: its parts if they explain its loss, else itself."""
    parts = [
        named
        for part in found
        if part != Stream() and _above(part, found) == stream
        for named in _told(part, found)
    ]
    if stream not in found:
        return parts
    explained = sum(_size(found[part]) for part in parts)
    return parts if parts and explained >= _EXPLAINED_SHARE * _size(found[stream]) else [stream]


def _above(part: Stream, found: Mapping[Stream, Anomaly]) -> Stream:
    """The nearest stream that `part` is part of and that has an anomaly, or the whole shop."""
    above = part.parent
    while above != Stream() and above not in found:
        above = above.parent
    return above


def _size(anomaly: Anomaly) -> int:
    return max(
        anomaly.orders_expected_missing,
        anomaly.unmatched,
        anomaly.orders_with_fewer_keys,
        anomaly.orders_affected,
        1,
    )


def total_estimate(estimates: Iterable[Mapping[str, Interval]]) -> dict[str, Interval]:
    """The sum per currency; the parts vary independently of each other, so their deviations add up
    by their squares."""
    parts: defaultdict[str, list[Interval]] = defaultdict(list)
    for money in estimates:
        for currency, interval in money.items():
            parts[currency].append(interval)
    total = {}
    for currency, intervals in sorted(parts.items()):
        expected = sum(i.expected for i in intervals)
        below = sum((i.expected - i.low) ** 2 for i in intervals) ** 0.5
        above = sum((i.high - i.expected) ** 2 for i in intervals) ** 0.5
        total[currency] = Interval(
            round(max(expected - below, 0.0), 2), round(expected, 2), round(expected + above, 2)
        )
    return total
