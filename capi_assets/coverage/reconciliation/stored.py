"""Asking Meta and the lake the same question: what the assets and `capi-assets reconcile` see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.reconciliation.compare import Reconciliation, Tolerance, reconcile
from capi_assets.coverage.reconciliation.dataset_quality import (
    REACH,
    SHARE_COLUMNS,
    compare_quality,
    our_shares,
)
from capi_assets.coverage.reconciliation.our_deliveries import DELIVERY_COLUMNS, our_deliveries
from capi_assets.coverage.reconciliation.text import no_access_words, unread_words
from capi_assets.delivery.datasets import Datasets
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.meta.graph.insights import (
    SERVER_COUNTS,
    STATS_REACH,
    InsightsResult,
    dataset_quality,
    server_stats,
)
from capi_assets.meta.graph.reads import GraphReader
from capi_assets.meta.limits import WINDOW

GROUP = "reconciliation"
"""A group of its own: what selects the group of deliveries must not wait for Meta's counts."""

# What Meta received in an hour may have happened as long before as it takes events. Physical
# stores' 62 days are left out: two thousand files for a handful of orders.
RECEIVED_LATE = WINDOW + HOUR

_PIXEL_COLUMNS = ("dataset_id", "event_name", "event_id", "pixel_reported_at")
_COUNTS = pa.schema([("dataset_id", pa.string()), *SERVER_COUNTS])


def compare_counts(
    lake: Lake,
    datasets: Datasets,
    hours: Iterable[datetime],
    now: datetime,
    tolerance: Tolerance,
    *,
    pixel_redundant: bool = False,
) -> Reconciliation:
    """Meta's hourly counts of `hours` beside ours, judged within the week that Meta remembers.

    One question per dataset. With `pixel_redundant` every event may count as the Pixel's.

    Raises:
        LakeError: one of our own files cannot be read.
    """
    week = week_of(now)
    wanted = sorted(set(hours))
    why: dict[str, str | None] = {d: no_access_words(said) for d, said in datasets.missing.items()}
    counts = [_COUNTS.empty_table()]
    in_reach = bool(wanted) and wanted[-1] >= week[0]
    for dataset, access in datasets.accesses.items():
        told = InsightsResult(SERVER_COUNTS.empty_table())
        if in_reach:
            with GraphReader(access) as reader:
                told = server_stats(reader, week[0], week[-1] + HOUR)
        why[dataset] = unread_words(told.unread) if told.unread else None
        named = pa.array([dataset] * told.table.num_rows, pa.string())
        counts.append(told.table.add_column(0, "dataset_id", named))
    # Without an answer only the hours themselves are of interest.
    asked = week if any(said is None for said in why.values()) and in_reach else wanted
    known = hours_between(asked[0] - RECEIVED_LATE, asked[-1] + HOUR) if asked else []
    read = sorted({*known, *wanted})
    results = lake.read("delivery_results", read, arrow_schema(DeliveryResults), DELIVERY_COLUMNS)
    for dataset in set(pc.unique(results["dataset_id"]).to_pylist()) - why.keys():
        why[dataset] = no_access_words(f"there is no token for dataset {dataset}")
    if pixel_redundant:
        reported = results.select(_PIXEL_COLUMNS[:3])
    else:
        events = lake.read("matched_events", asked, arrow_schema(MatchedEvents), _PIXEL_COLUMNS)
        reported = events.filter(pc.is_valid(events["pixel_reported_at"])).drop_columns(
            ["pixel_reported_at"]
        )
    return reconcile(
        wanted,
        week if in_reach else [],
        our_deliveries(results, reported),
        pa.concat_tables(counts),
        why,
        lake.hours("delivery_results"),
        now,
        tolerance,
    )


def week_of(now: datetime) -> list[datetime]:
    """The hours that Meta still counts; the one that seven days ago lies in is no longer whole."""
    return hours_between(floor_hour(now - STATS_REACH) + HOUR, floor_hour(now) + HOUR)


def compare_quality_of_day(
    lake: Lake, datasets: Datasets, day: datetime, now: datetime
) -> pa.Table:
    """Dataset Quality of now, booked under `day`, beside our shares: rows of `DatasetQuality`.

    Raises:
        LakeError: one of our own files cannot be read.
    """
    first = floor_hour(now - REACH) + HOUR
    hours = hours_between(first, floor_hour(now) + HOUR)
    keys = ["dataset_id", "event_name", "event_id", "status"]
    ours = our_shares(
        lake.read("matched_events", hours, arrow_schema(MatchedEvents), SHARE_COLUMNS),
        lake.read("delivery_results", hours, arrow_schema(DeliveryResults), keys),
        first,
    )
    parts: list[pa.Table] = [arrow_schema(DatasetQuality).empty_table()]
    what = "Meta's Dataset Quality"
    for dataset, access in sorted(datasets.accesses.items()):
        with GraphReader(access) as reader:
            told = dataset_quality(reader)
        why = unread_words(told.unread, what) if told.unread else None
        parts.append(compare_quality(day, dataset, told.table, ours, now, why))
    for dataset, said in sorted(datasets.missing.items()):
        why = no_access_words(said, what)
        parts.append(compare_quality(day, dataset, parts[0], ours, now, why))
    return pa.concat_tables(parts)


def keep_previous_readings(new: pa.Table, old: pa.Table) -> pa.Table:
    """An hour's new rows, but the old ones of datasets that could be read then and not now."""
    parts = []
    for dataset in sorted({*new["dataset_id"].to_pylist(), *old["dataset_id"].to_pylist()}):
        mine, former = (_of(dataset, rows) for rows in (new, old))
        parts.append(former if _unread(mine) and not _unread(former) else mine)
    return pa.concat_tables(parts) if parts else new


def _of(dataset: str, rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["dataset_id"], dataset))


def _unread(rows: pa.Table) -> bool:
    return set(rows["verdict"].to_pylist()) <= {"cannot_read"}


def rows_of(rows: pa.Table, column: str, start: datetime) -> pa.Table:
    """The rows of an hour or a day."""
    moment = pa.scalar(start, UTC_MICROSECONDS)
    return rows.filter(pc.equal(rows[column], moment))
