"""Match keys as Meta's Dataset Quality counts them, beside the share of our events that carry them.

Both speak of website events of seven days. Meta's window ends when it is asked and its percentages
are of what it kept, so a few points apart is agreement; a key that is far apart was sent in a form
that Meta does not take, or is sent by someone else too.
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
"""What Dataset Quality speaks of."""

POINTS = 5.0
"""Percentage points that are never worth a word."""

SHARE_COLUMNS = (
    "dataset_id",
    "event_name",
    "event_id",
    "occurred_at",
    "action_source",
    "verdict",
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
    """Of one dataset and event name: delivered website events, and how many carry each key."""

    events: int
    carried: Mapping[str, int]

    def percent(self, key: str) -> float | None:
        """Of the events that carry `key`; every event of ours carries its event_id."""
        if not self.events:
            return None
        carried = self.events if key == "event_id" else self.carried.get(key, 0)
        return 100 * carried / self.events


def our_shares(
    matched_events: pa.Table, delivery_results: pa.Table, first: datetime
) -> dict[tuple[str, str], OurShares]:
    """By dataset and event name, over the seven days that begin with the hour `first`.

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
        found = {}
        for row in names.to_pylist():
            of_name = query(
                connection,
                "FROM website WHERE dataset_id = $dataset_id AND event_name = $event_name",
                row,
            )
            shares = match_key_shares(match_key_counts(of_name), buckets).to_pylist()
            found[row["dataset_id"], row["event_name"]] = OurShares(
                max((share["events"] for share in shares), default=0),
                {share["key"]: share["carried"] for share in shares},
            )
    return found


def compare_quality(
    day: datetime,
    dataset_id: str,
    quality: pa.Table,
    ours: Mapping[tuple[str, str], OurShares],
    now: datetime,
    why: str | None = None,
) -> pa.Table:
    """What Meta says of a dataset beside our shares, as `DatasetQuality`.

    Args:
        quality: columns of `meta.graph.insights.QUALITY`.
        ours: what `our_shares` found.
        why: why nothing could be read; there is then one row that says so.

    Keys that only one side knows are shown and not compared.
    """
    of_dataset = {name: shares for (own, name), shares in ours.items() if own == dataset_id}
    base = {"day": day, "dataset_id": dataset_id, "checked_at": now}
    if why is not None:
        rows = [{**base, "event_name": "", "verdict": "cannot_read", "why": why}]
    else:
        rows = [{**base, **row} for row in _compared(quality, of_dataset)]
    return pa.Table.from_pylist(rows, arrow_schema(DatasetQuality))


def _compared(quality: pa.Table, ours: Mapping[str, OurShares]) -> Iterator[dict[str, Any]]:
    told: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in quality.to_pylist():
        told[row["event_name"]].append(row)
    for name in sorted({*told, *ours}):
        shares = ours.get(name, OurShares(0, {}))
        for row in told[name]:
            yield _beside(row, shares)
        known = {row["key"] for row in told[name] if row["measure"] == "match_key"}
        for key in sorted(set(shares.carried) - known):
            alone = {"event_name": name, "measure": "match_key", "key": key}
            yield _beside({**alone, "value": None, "goal": None, "words": None}, shares)


def _beside(row: Mapping[str, Any], shares: OurShares) -> dict[str, Any]:
    found = {name: row[name] for name in ("event_name", "measure", "key", "goal", "words")}
    found |= {"meta_value": row["value"], "our_events": shares.events, "verdict": "not_compared"}
    if row["measure"] not in _COMPARED:
        return found
    known = row["key"] in shares.carried or row["key"] == "event_id"
    percent = shares.percent(row["key"]) if known else None
    if percent is None:
        return found
    found["our_value"] = round(percent, 1)
    if row["value"] is None:
        return found
    difference = round(row["value"] - found["our_value"], 1)
    # Of few events each is many points, and the two windows do not begin with the same one.
    tolerance = round(max(POINTS, 100 / math.sqrt(shares.events)), 1)
    side = "meta_has_less" if difference < 0 else "meta_has_more"
    verdict = side if abs(difference) > tolerance else "agree"
    return found | {"difference": difference, "tolerance": tolerance, "verdict": verdict}
