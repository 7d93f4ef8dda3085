"""The route of landed rows into hours: fetch, validate, normalise, keep the latest, split.

`ingest_visits` and `ingest_orders` are its two entrances; what is special to a table is in their
modules. Nothing here writes: the assets write each hour to the lake. A long range comes in the
source's batches, so that memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from itertools import groupby

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Contract, arrow_schema, conform
from capi_assets.ingest.export_lines import LeftOut
from capi_assets.ingest.quarantine import quarantined_conflicts
from capi_assets.ingest.sources import FileProblem, Source
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.ingest.validation import ValidatedRows, validate

NORMALISED_ROWS = 25_000
"""Rows that are normalised together: enough to spread the cost of a call over whole columns."""


@dataclass(frozen=True)
class IngestedHour:
    """One hour, ready for the lake.

    `rows` conforms to the table's contract, `quarantine` to the quarantine's. `repeats` counts
    rows whose id came again, whether identical or with another status. An hour with
    `file_problems` is incomplete: a file that landed for it could not be read. `kept` counts stored
    rows that `keep_stored` added; `left_out` are lines that are no orders of their own, those of a
    SQL model in the first hour of the range.
    """

    hour: datetime
    rows: pa.Table
    quarantine: pa.Table
    files: int
    repeats: int
    file_problems: list[FileProblem] = field(default_factory=list)
    kept: int = 0
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def is_absent(self) -> bool:
        """Whether the source has neither a file nor a row for the hour, so that nothing says that
        the hour is empty."""
        return not (self.files or self.rows.num_rows or self.quarantine.num_rows)


@dataclass(frozen=True)
class Ingested:
    """All hours of a range.

    `unknown_columns` are names of landed columns that the contract does not have; `misplaced` are
    paths in the landing folder that fit no hour, `ignored` those of the days read that a pattern
    leaves out.
    """

    hours: list[IngestedHour]
    unknown_columns: list[str]
    misplaced: list[str]
    ignored: list[str] = field(default_factory=list)


def ingest(
    source: Source,
    hours: Sequence[datetime],
    landing: type[Contract],
    stored: type[Contract],
    key: list[str],
    normalise: Callable[[ValidatedRows, date], pa.Table],
    connection: duckdb.DuckDBPyConnection,
    is_same: Callable[[pa.Table, pa.Table], pa.ChunkedArray] | None = None,
    tombstones: Tombstones = NONE,
) -> Ingested:
    """Reads `hours` from `source` at once; the rows of each hour as they are to be stored. Hours
    that may not fit into memory together come in `source.batches(hours)`.

    `landing` and `stored` are the contracts of what lands and of what is stored; `key` is unique in
    an hour, the row's own id last. `normalise` gets the validated rows of one UTC day with that
    day, so that an hour gives the same rows alone and within any range, and returns the columns of
    `stored` with `hour` and `position`. `is_same` tells which rows of an id are the same as its
    first row; others are quarantined, and of the same the last stands. Rows of erased people
    (`tombstones`) are left out.

    Raises:
        SourceError: the source as a whole cannot be read.
    """
    ingested: list[IngestedHour] = []
    fetched = source.fetch(hours)
    landed = validate(fetched, landing, hours, key[-1], connection, source.columns)
    for day, hours_of_day in groupby(hours, lambda hour: hour.astimezone(UTC).date()):
        rows = _normalised(landed.on(day), day, normalise, stored)
        rows = tombstones.without(rows)
        rows, others = _without_conflicts(rows, key, is_same)
        conflicts = quarantined_conflicts(landed.landed, others, key[-1])
        refused = tombstones.without(pa.concat_tables([landed.quarantine, conflicts]))
        rows, repeats = _latest(rows, key)
        for hour in hours_of_day:
            start = pa.scalar(hour, UTC_MICROSECONDS)
            of_hour = pc.equal(refused.column("hour"), start)
            ingested.append(
                IngestedHour(
                    hour=hour,
                    rows=conform(_of_hour(rows, hour), stored),
                    quarantine=refused.filter(of_hour),
                    files=fetched.files_per_hour.get(hour, 0),
                    repeats=repeats.get(hour, 0),
                    file_problems=[p for p in landed.file_problems if p.hour == hour],
                    left_out=[x for x in landed.left_out if (x.hour or hours[0]) == hour],
                )
            )
    return Ingested(
        ingested, landed.unknown_columns, sorted(fetched.misplaced), sorted(fetched.ignored)
    )


def _normalised(
    landed: ValidatedRows,
    day: date,
    normalise: Callable[[ValidatedRows, date], pa.Table],
    stored: type[Contract],
) -> pa.Table:
    """The rows as `normalise` returns them, a part at a time: raw and normalised values of all of a
    busy hour's rows would be several times its size."""
    names = [*arrow_schema(stored).names, "hour", "position"]
    starts = range(0, max(landed.rows.num_rows, 1), NORMALISED_ROWS)
    parts = [normalise(landed.part(start, NORMALISED_ROWS), day).select(names) for start in starts]
    return pa.concat_tables(parts)


def _without_conflicts(
    rows: pa.Table,
    key: list[str],
    is_same: Callable[[pa.Table, pa.Table], pa.ChunkedArray] | None,
) -> tuple[pa.Table, pa.Table]:
    """The rows that are the same as the first row of their key in their hour, and the others."""
    firsts = rows.group_by(["hour", *key]).aggregate([("position", "min")])
    if is_same is None or firsts.num_rows == rows.num_rows:
        return rows, rows.slice(0, 0)
    wanted = pa.table({"row": pa.array(np.arange(rows.num_rows))})
    wanted = pa.table([*wanted.columns, *(rows[n] for n in ("hour", *key))], ["row", "hour", *key])
    position = wanted.join(firsts, ["hour", *key]).sort_by("row").column("position_min")
    first = pc.index_in(position, value_set=rows.column("position").combine_chunks())
    same = is_same(rows, rows.take(first))
    return rows.filter(same), rows.filter(pc.invert(same))


def keep_stored(
    hour: IngestedHour, stored: pa.Table, quarantined: pa.Table, key: list[str]
) -> IngestedHour:
    """The hour with the stored rows that its source no longer shows.

    An absent source removes nothing: `stored` and `quarantined`, the hour as it is in the lake, are
    kept as they are. With a file that cannot be read, the stored rows are kept whose `key` no other
    file has. Any other hour is returned unchanged, also one whose files have no rows: such a file
    says that the hour is empty.
    """
    if hour.is_absent:
        count = stored.num_rows + quarantined.num_rows
        return replace(hour, rows=stored, quarantine=quarantined, kept=count)
    if not hour.file_problems:
        return hour
    others = stored.join(hour.rows.select(key), key, join_type="left anti")
    rows = pa.concat_tables([hour.rows, others.select(stored.column_names).cast(stored.schema)])
    rows = rows.sort_by([(name, "ascending") for name in ("occurred_at", *key)])
    return replace(hour, rows=rows, kept=others.num_rows)


def _latest(rows: pa.Table, key: list[str]) -> tuple[pa.Table, dict[datetime, int]]:
    """The last arrived row of each key within its hour, and how many rows came before it by hour.

    Sorted by time and key, so that the order depends on the rows only.
    """
    last = rows.group_by(["hour", *key]).aggregate([("position", "max")]).column("position_max")
    is_last = pc.is_in(rows.column("position"), last.combine_chunks())
    repeated = rows.column("hour").filter(pc.invert(is_last)).value_counts()
    rows = _sorted(rows, is_last, ["occurred_at", *key])
    counts = zip(repeated.field("values"), repeated.field("counts"), strict=True)
    return rows, {hour.as_py(): count.as_py() for hour, count in counts}


def _sorted(rows: pa.Table, kept: pa.ChunkedArray, names: Sequence[str]) -> pa.Table:
    """The kept rows in the order of these columns, in one copy."""
    place = pa.table({"row": pa.array(np.arange(rows.num_rows)), **{n: rows[n] for n in names}})
    place = place.filter(kept).sort_by([(name, "ascending") for name in names])["row"]
    if len(place) == rows.num_rows and pc.all(pc.equal(place, np.arange(len(place)))).as_py():
        return rows
    return rows.take(place)


def _of_hour(rows: pa.Table, hour: datetime) -> pa.Table:
    """The rows of one hour; `rows` are sorted by time."""
    hours = rows.column("hour").to_numpy()
    start = np.datetime64(hour.astimezone(UTC).replace(tzinfo=None), "us")
    first, end = np.searchsorted(hours, [start, start + np.timedelta64(1, "h")])
    return rows.slice(first, end - first)
