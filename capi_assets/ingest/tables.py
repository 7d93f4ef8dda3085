"""What both tables share on their way into the lake: fetch, judge, split into hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Contract
from capi_assets.ingest.landing import Judged, judge
from capi_assets.ingest.sources import FileProblem, Source


@dataclass(frozen=True)
class IngestedHour:
    """One hour, ready for the lake.

    `rows` conforms to the table's contract, `quarantine` to the quarantine's. `repeats` counts
    rows whose id came again, whether identical or with another status. An hour with
    `file_problems` is incomplete: something that landed for it could not be read.
    """

    hour: datetime
    rows: pa.Table
    quarantine: pa.Table
    files: int
    repeats: int
    file_problems: list[FileProblem] = field(default_factory=list)


@dataclass(frozen=True)
class Ingested:
    """All hours of a range, and the columns that landed and that nobody knows."""

    hours: list[IngestedHour]
    unknown_columns: list[str]


@dataclass(frozen=True)
class Finished:
    """Rows as a table module made them: `rows` with the same row order as `hours`."""

    rows: pa.Table
    hours: pa.ChunkedArray
    repeats: dict[datetime, int]


def ingest(
    source: Source,
    hours: Sequence[datetime],
    landing: type[Contract],
    id_column: str,
    finish: Callable[[Judged], Finished],
    connection: duckdb.DuckDBPyConnection,
) -> Ingested:
    """Reads `hours` from `source` and finishes them with the table's own rules.

    Raises:
        SourceError: the source as a whole cannot be read.
    """
    fetched = source.fetch(hours)
    judged = judge(fetched, landing, hours, id_column, connection)
    finished = finish(judged)
    done = []
    for hour in hours:
        start = pa.scalar(hour, UTC_MICROSECONDS)
        done.append(
            IngestedHour(
                hour=hour,
                rows=finished.rows.filter(pc.equal(finished.hours, start)),
                quarantine=judged.quarantine.filter(
                    pc.equal(judged.quarantine.column("hour"), start)
                ),
                files=fetched.files_per_hour.get(hour, 0),
                repeats=finished.repeats.get(hour, 0),
                file_problems=[p for p in judged.file_problems if p.hour == hour],
            )
        )
    return Ingested(done, judged.unknown_columns)


def last_of_each(rows: pa.Table, keys: list[str]) -> tuple[pa.Table, dict[datetime, int]]:
    """The last arrived row of each key (rows carry `position` and `hour`), and repeats per hour."""
    if not rows.num_rows:
        return rows, {}
    positions = rows.group_by(["hour", *keys]).aggregate([("position", "max")])
    keep = pc.is_in(rows.column("position"), positions.column("position_max").combine_chunks())
    counts = rows.filter(pc.invert(keep)).group_by("hour").aggregate([("position", "count")])
    repeats = dict(
        zip(
            counts.column("hour").to_pylist(),
            counts.column("position_count").to_pylist(),
            strict=True,
        )
    )
    return rows.filter(keep), repeats


def in_order(rows: pa.Table, keys: list[str]) -> pa.Table:
    """Rows by `keys`: the same rows always give the same file."""
    order = pc.sort_indices(rows, sort_keys=[(key, "ascending") for key in keys])
    return rows.take(order)
