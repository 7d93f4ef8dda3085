"""Compares match key coverage in Meta's Dataset Quality with the share of our events per key.

Both cover website events of seven days. Meta's window ends when it is read, and its percentages
are of the events it kept, so a difference of a few points is agreement. A larger one means that a
key is sent in a form that Meta does not accept, or that someone else sends to the dataset too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.match_key_shares import match_key_counts, match_key_shares
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.hours import HOUR

REACH = timedelta(days=7)
"""What Dataset Quality covers."""

POINTS = 5.0
"""Percentage points that are always accepted: the two windows differ by up to an hour of 168, and
Meta counts after deduplication. Judgement; no real dataset has been measured."""

SHARE_COLUMNS = (
    *("dataset_id", "event_name", "event_id", "occurred_at", "action_source", "verdict"),
    "match_keys",
)
"""Columns of `matched_events` that are read."""

_COMPARED = frozenset({"match_key", "dedup_key_server"})

_WEBSITE = """
SELECT m.dataset_id, m.event_name, m.occurred_at, m.verdict, m.match_keys
FROM matched_events AS m
WHERE m.action_source = 'website' AND EXISTS (
    FROM delivery_results AS d
    WHERE d.status = 'delivered' AND d.dataset_id = m.dataset_id
        AND d.event_name = m.event_name AND d.event_id = m.event_id)
"""


@dataclass(frozen=True)
class OurShares:
    """Delivered website events of one dataset and event name, and how many carry each key."""

    events: int
    carried: Mapping[str, int]

    def percent(self, key: str) -> float | None:
        """Per cent of events that carry `key`; all of ours carry an event_id."""
        if not self.events:
            return None
        carried = self.events if key == "event_id" else self.carried.get(key, 0)
        return 100 * carried / self.events


def our_shares(
    matched_events: pa.Table, delivery_results: pa.Table, first: datetime
) -> dict[tuple[str, str], OurShares]:
    """Our shares by dataset and event name, over the seven days from the hour `first` (UTC) on.

    Args:
        matched_events: at least `SHARE_COLUMNS`.
        delivery_results: dataset_id, event_name, event_id and status of the same hours.
    """
    buckets = Buckets(first, REACH // HOUR, REACH // HOUR)
    with duckdb_with(
        matched_events=matched_events.select(SHARE_COLUMNS), delivery_results=delivery_results
    ) as connection:
        website = query(connection, _WEBSITE)
        connection.register("website", website)
        names = query(connection, "SELECT DISTINCT dataset_id, event_name FROM website")
        shares_by_name = {}
        for row in names.to_pylist():
            of_name = query(
                connection,
                "FROM website WHERE dataset_id = $dataset_id AND event_name = $event_name",
                row,
            )
            shares = match_key_shares(match_key_counts(of_name), buckets).to_pylist()
            shares_by_name[row["dataset_id"], row["event_name"]] = OurShares(
                max((share["events"] for share in shares), default=0),
                {share["key"]: share["carried"] for share in shares},
            )
    return shares_by_name


def compare_quality(
    day: datetime,
    dataset_id: str,
    quality: pa.Table,
    ours: Mapping[tuple[str, str], OurShares],
    now: datetime,
    why: str | None = None,
) -> pa.Table:
    """Meta's quality of a dataset next to our shares, as rows of `DatasetQuality`.

    Called by `stored.compare_quality_of_day`. Keys that only one side has are listed and
    `not_compared`.

    Args:
        quality: columns of `meta.graph.insights.QUALITY`.
        ours: the result of `our_shares`.
        why: the reason if nothing could be read; the result is then one row `cannot_read`.
    """
    of_dataset = {
        event_name: shares
        for (dataset, event_name), shares in ours.items()
        if dataset == dataset_id
    }
    base = {"day": day, "dataset_id": dataset_id, "checked_at": now}
    if why is not None:
        rows = [{**base, "event_name": "", "verdict": "cannot_read", "why": why}]
    else:
        rows = [{**base, **row} for row in _compared(quality, of_dataset)]
    return pa.Table.from_pylist(rows, arrow_schema(DatasetQuality))


def _compared(quality: pa.Table, ours: Mapping[str, OurShares]) -> Iterator[dict[str, Any]]:
    meta_rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in quality.to_pylist():
        meta_rows[row["event_name"]].append(row)
    for name in sorted({*meta_rows, *ours}):
        shares = ours.get(name, OurShares(0, {}))
        for row in meta_rows[name]:
            yield _compared_row(row, shares)
        known = {row["key"] for row in meta_rows[name] if row["measure"] == "match_key"}
        for key in sorted(set(shares.carried) - known):
            ours_only = {"event_name": name, "measure": "match_key", "key": key}
            yield _compared_row({**ours_only, "value": None, "goal": None, "words": None}, shares)


def _compared_row(row: Mapping[str, Any], shares: OurShares) -> dict[str, Any]:
    result = {name: row[name] for name in ("event_name", "measure", "key", "goal", "words")}
    result |= {"meta_value": row["value"], "our_events": shares.events, "verdict": "not_compared"}
    if row["measure"] not in _COMPARED:
        return result
    known = row["key"] in shares.carried or row["key"] == "event_id"
    percent = shares.percent(row["key"]) if known else None
    if percent is None:
        return result
    result["our_value"] = round(percent, 1)
    if row["value"] is None:
        return result
    difference = round(row["value"] - result["our_value"], 1)
    # One standard error of a share is at most 50 points / sqrt(n); two of them are accepted.
    tolerance = round(max(POINTS, 100 / math.sqrt(shares.events)), 1)
    side = "meta_has_less" if difference < 0 else "meta_has_more"
    verdict = side if abs(difference) > tolerance else "agree"
    return result | {"difference": difference, "tolerance": tolerance, "verdict": verdict}
