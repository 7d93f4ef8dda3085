"""Reads Meta and the lake and compares them: the entrance for the assets and the command line.

`compare_counts` serves `meta_stats` and `capi-assets reconcile`, `compare_quality_of_day` serves
`dataset_quality`. Nothing is written and nothing is sent but reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema
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

# Events received in an hour may have occurred up to Meta's seven days before. The 62 days of
# physical stores are left out: 1,500 more files to read for a handful of orders.
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
    """Meta's hourly counts of `hours` next to ours, compared within the week that Meta keeps.

    One read per dataset; a dataset that cannot be read gets rows that say why. With
    `pixel_redundant` every event may be counted as the Pixel's.

        compare_counts(lake, datasets, hours, now, Tolerance()).rows  # as MetaStats

    Raises:
        LakeError: a stored table cannot be read.
    """
    week = week_of(now)
    requested = sorted(set(hours))
    why: dict[str, str | None] = {
        dataset: no_access_words(reason) for dataset, reason in datasets.missing.items()
    }
    counts = [_COUNTS.empty_table()]
    in_reach = bool(requested) and requested[-1] >= week[0]
    for dataset, access in datasets.accesses.items():
        result = InsightsResult(SERVER_COUNTS.empty_table())
        if in_reach:
            with GraphReader(access) as reader:
                result = server_stats(reader, week[0], week[-1] + HOUR)
        why[dataset] = unread_words(result.unread) if result.unread else None
        named = pa.array([dataset] * result.table.num_rows, pa.string())
        counts.append(result.table.add_column(0, "dataset_id", named))
    # Without any count from Meta, only the requested hours are read.
    compared = week if any(reason is None for reason in why.values()) and in_reach else requested
    sent_in = hours_between(compared[0] - RECEIVED_LATE, compared[-1] + HOUR) if compared else []
    read = sorted({*sent_in, *requested})
    results = lake.read("delivery_results", read, arrow_schema(DeliveryResults), DELIVERY_COLUMNS)
    for dataset in set(pc.unique(results["dataset_id"]).to_pylist()) - why.keys():
        why[dataset] = no_access_words(f"there is no token for dataset {dataset}")
    if pixel_redundant:
        reported = results.select(_PIXEL_COLUMNS[:3])
    else:
        events = lake.read("matched_events", compared, arrow_schema(MatchedEvents), _PIXEL_COLUMNS)
        reported = events.filter(pc.is_valid(events["pixel_reported_at"])).drop_columns(
            ["pixel_reported_at"]
        )
    return reconcile(
        requested,
        week if in_reach else [],
        our_deliveries(results, reported),
        pa.concat_tables(counts),
        why,
        lake.hours("delivery_results"),
        now,
        tolerance,
    )


def week_of(now: datetime) -> list[datetime]:
    """The hours that Meta still counts in full: not the one that contains the time seven days
    ago."""
    return hours_between(floor_hour(now - STATS_REACH) + HOUR, floor_hour(now) + HOUR)


def compare_quality_of_day(
    lake: Lake, datasets: Datasets, day: datetime, now: datetime
) -> pa.Table:
    """Meta's current Dataset Quality next to our shares, stored as of `day`: `DatasetQuality` rows.

    One read per dataset; a dataset that cannot be read gets a row that says why.

    Raises:
        LakeError: a stored table cannot be read.
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
            result = dataset_quality(reader)
        why = unread_words(result.unread, what) if result.unread else None
        parts.append(compare_quality(day, dataset, result.table, ours, now, why))
    for dataset, reason in sorted(datasets.missing.items()):
        why = no_access_words(reason, what)
        parts.append(compare_quality(day, dataset, parts[0], ours, now, why))
    return pa.concat_tables(parts)


def keep_previous_readings(new: pa.Table, old: pa.Table) -> pa.Table:
    """The `new` rows, but the `old` ones of a dataset that could be read then and cannot now."""
    parts = []
    for dataset in sorted({*new["dataset_id"].to_pylist(), *old["dataset_id"].to_pylist()}):
        current, previous = (_of(dataset, rows) for rows in (new, old))
        keep = _unread(current) and not _unread(previous)
        parts.append(previous if keep else current)
    return pa.concat_tables(parts) if parts else new


def _of(dataset: str, rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["dataset_id"], dataset))


def _unread(rows: pa.Table) -> bool:
    return set(rows["verdict"].to_pylist()) <= {"cannot_read"}
