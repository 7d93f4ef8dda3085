"""The report's rows over time: coverage and delay, match keys, and how soon orders reach Meta."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.commands.report.waterfall import BarRow, Bars
from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.formatting import count, format_duration, percent
from capi_assets.coverage.freshness import META_LIMITS
from capi_assets.coverage.gap_history import GapHistory
from capi_assets.coverage.labels import WAITING, match_key_label
from capi_assets.hours import HOUR

_MAX_KEYS = 18
_MIN_EVENTS = 10
"""Events that a bucket needs before its share counts as the lowest: of fewer it is chance."""

_SHARES = ("within_1h", "within_2h", "within_24h")


def coverage_bars(
    health: pa.Table,
    late: pa.Table,
    freshness: pa.Table,
    histories: Sequence[GapHistory],
    buckets: Buckets,
) -> tuple[Bars | None, list[str]]:
    """A row per bucket, as long as its coverage, and how many hours are not materialized yet.

    Args:
        health: rows of `attribution_health`; a bucket without any is shown as unknown.
        late: orders delivered after their hour was due; columns hour and orders.
        freshness: the table of `freshness` over `buckets`.
        histories: the gaps, numbered from 1 in time order.
    """
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    known: set[datetime] = set()
    for row in health.to_pylist():
        hour = row["hour"].astimezone(UTC)
        if buckets.first <= hour < buckets.end:
            known.add(hour)
            for name in ("orders", "eligible", "delivered", *WAITING):
                bucket = counts[buckets.index(hour)]
                bucket["waiting" if name in WAITING else name] += row[name] or 0
    for row in late.to_pylist():
        counts[buckets.index(row["hour"].astimezone(UTC))]["late"] += row["orders"]
    if not known:
        return None, []
    medians = {row["bucket"]: row["p50_minutes"] for row in freshness.to_pylist()}
    rows = []
    for i in range(buckets.count):
        start, end = buckets.bounds(i)
        gaps = [
            str(number)
            for number, history in enumerate(histories, 1)
            if history.gap.first_hour < end and start < history.gap.last_hour + HOUR
        ]
        rows.append(_row(_moment(start), counts.get(i), medians.get(i), ", ".join(gaps)))
    unknown = buckets.hours - len(known)
    verb, whose = ("is", "its") if unknown == 1 else ("are", "their")
    note = f"{count(unknown, 'hour')} {verb} not materialized yet; {whose} orders are unknown."
    header = ["coverage", "orders", "waiting", "lost", "late", "median delay", "gap"]
    return Bars(rows, header), [note] if unknown else []


def _row(label: str, counts: Counter[str] | None, median: float | None, gaps: str) -> BarRow:
    if counts is None:
        return BarRow(label, "unknown", 0, 100, ["not known", *[""] * 5, gaps])
    share = counts["delivered"] / counts["eligible"] if counts["eligible"] > 0 else None
    missing = max(counts["eligible"] - counts["delivered"], 0)
    waiting = min(counts["waiting"], missing)
    numbers = (waiting, missing - waiting, counts["late"])
    cells = [percent(share), f"{counts['orders']:,}", *(f"{n:,}" if n else "" for n in numbers)]
    delay = "" if median is None else _duration(median)
    return BarRow(label, "main", 0, _per_cent(share or 0.0), [*cells, delay, gaps])


def match_key_bars(shares: pa.Table, buckets: Buckets) -> tuple[Bars | None, list[str]]:
    """A row per match key with its share of events, and the bucket in which it was lowest.

    `shares` is the table of `match_key_shares` over `buckets`.
    """
    by_key: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in shares.to_pylist():
        by_key[row["key"]].append(row)
    if not by_key:
        return None, ["No events with match keys"]
    events = sum(row["events"] for row in next(iter(by_key.values())))
    overall = {k: sum(row["carried"] for row in rows) / events for k, rows in by_key.items()}
    keys = sorted(by_key, key=lambda key: (-overall[key], key))
    bars = []
    for key in keys[:_MAX_KEYS]:
        enough = [r for r in by_key[key] if r["events"] >= _MIN_EVENTS]
        lowest = min(enough, key=lambda r: (r["carried"] / r["events"], r["bucket"]), default=None)
        cells = [percent(overall[key]), percent(None), ""]
        if lowest:
            start, _ = buckets.bounds(lowest["bucket"])
            cells[1:] = [percent(lowest["carried"] / lowest["events"]), _moment(start)]
        bars.append(BarRow(match_key_label(key), "main", 0, _per_cent(overall[key]), cells))
    headline = [f"Share of {count(events, 'event')} that carry each match key"]
    if len(keys) > _MAX_KEYS:
        headline.append(f"{len(keys) - _MAX_KEYS} rarer match keys are not shown")
    return Bars(bars, ["overall", "lowest", "from"]), headline


def freshness_bars(freshness: pa.Table) -> tuple[Bars | None, list[str]]:
    """The shares of delivered orders within Meta's limits; the table of `freshness`."""
    whole = next((row for row in freshness.to_pylist() if row["bucket"] is None), None)
    if whole is None:
        return None, ["Nothing was delivered"]
    shares = {
        limit: whole[column] / whole["delivered"]
        for limit, column in zip(META_LIMITS, _SHARES, strict=True)
    }
    rows = [
        BarRow(f"within {limit}", "main", 0, _per_cent(share), [percent(share)])
        for limit, share in shares.items()
    ]
    return Bars(rows, []), [
        f"Half of {count(whole['delivered'], 'order')} reached Meta"
        f" within {_duration(whole['p50_minutes'])},"
        f" 95 of 100 within {_duration(whole['p95_minutes'])}"
    ]


def _per_cent(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 2)


def _moment(start: datetime) -> str:
    start = start.astimezone(UTC)
    return f"{start:%a} {start.day} {start:%b %H:%M}"


def _duration(minutes: float) -> str:
    return format_duration(timedelta(minutes=max(minutes, 0.0)))
