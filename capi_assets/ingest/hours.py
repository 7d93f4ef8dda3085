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
from capi_assets.ingest.quarantine import in_order, quarantined_conflicts, quarantined_files
from capi_assets.ingest.sources import FileProblem, Source
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.ingest.validation import ValidatedRows, usable_files, validate
from capi_assets.processes import release_memory

_ORIGIN = ("source", "line")
_OF_ARRIVAL = ("hour", "position", *_ORIGIN)


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
    as_needed: Callable[[pa.Table], pa.Table] = lambda rows: rows,
) -> Ingested:
    """Reads `hours` from `source` at once; the rows of each hour as they are to be stored. Hours
    that may not fit into memory together come in `source.batches(hours)`.

    `landing` and `stored` are the contracts of what lands and of what is stored; `key` is unique in
    an hour, the row's own id last. `normalise` gets validated rows of one UTC day with that day, so
    that an hour gives the same rows alone and within any range, and returns the columns of `stored`
    with those of `ValidatedRows.rows` that are not landed. `is_same` tells which rows of an id are
    the same as its first row; others are quarantined, and of the same the last stands. Rows of
    erased people (`tombstones`) are left out; `as_needed` empties values that are not stored.

    Rows are normalised in parts. Of a busy hour only what is stored is in memory as a whole.

    Raises:
        SourceError: the source as a whole cannot be read.
    """
    ingested: list[IngestedHour] = []
    fetched = source.fetch(hours)
    usable = usable_files(fetched, landing, key[-1], connection, source.columns)
    fetched.landed.clear()  # `usable` has its rows, and forgets them part by part
    by_day = groupby(hours, lambda hour: hour.astimezone(UTC).date())
    days = [(day, [*of_day], list[pa.Table]()) for day, of_day in by_day]
    names = [*arrow_schema(stored).names, *_OF_ARRIVAL]
    quarantined = [quarantined_files(usable.problems)]
    for part in validate(usable, landing, hours, key[-1], connection, source.columns):
        quarantined.append(part.quarantine)
        for day, _, rows_of_day in days:
            on_day = part.on(day)
            if on_day.rows.num_rows or not rows_of_day:
                rows = tombstones.without(normalise(on_day, day).select(names))
                rows_of_day.append(as_needed(rows))
    release_memory()
    for _, hours_of_day, rows_of_day in days:
        rows, others, repeats = _latest(rows_of_day, key, is_same)
        conflicts = quarantined_conflicts(others, key[-1])
        refused = tombstones.without(pa.concat_tables([in_order(quarantined), conflicts]))
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
                    file_problems=[p for p in usable.problems if p.hour == hour],
                    left_out=[x for x in usable.left_out if (x.hour or hours[0]) == hour],
                )
            )
    return Ingested(
        ingested, usable.unknown_columns, sorted(fetched.misplaced), sorted(fetched.ignored)
    )


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


def _latest(
    parts: list[pa.Table],
    key: list[str],
    is_same: Callable[[pa.Table, pa.Table], pa.ChunkedArray] | None,
) -> tuple[pa.Table, pa.Table, dict[datetime, int]]:
    """The last arrived row of each key within its hour, the rows that are another order than the
    first of their key, and how many rows came before the last by hour.

    Sorted by time and key, so that the order depends on the rows only. Empties `parts` and copies a
    column at a time, so that a busy hour is in memory once.
    """
    rows = pa.concat_tables(parts)
    parts.clear()
    again = _of_repeated_keys(rows, ["hour", *key])
    same, others = _without_conflicts(again, key, is_same)
    last = same.group_by(["hour", *key]).aggregate([("position", "max")]).column("position_max")
    is_last = pc.is_in(same.column("position"), last.combine_chunks())
    repeated = same.column("hour").filter(pc.invert(is_last)).value_counts()
    counts = zip(repeated.field("values"), repeated.field("counts"), strict=True)
    repeats = {hour.as_py(): count.as_py() for hour, count in counts}

    is_left_out = pc.and_(
        pc.is_in(rows["position"], again["position"].combine_chunks()),
        pc.invert(pc.is_in(rows["position"], last.combine_chunks())),
    )
    place = _places(rows, pc.invert(is_left_out), ["occurred_at", *key])
    columns = {name: rows[name] for name in rows.column_names if name not in _ORIGIN}
    del rows
    if place is not None:
        for name in columns:
            columns[name] = columns[name].take(place)
        release_memory()
    return pa.table(columns), others, repeats


def _of_repeated_keys(rows: pa.Table, key: list[str]) -> pa.Table:
    """All rows of each key that several rows have."""
    counts = rows.group_by(key).aggregate([([], "count_all")])
    if counts.num_rows == rows.num_rows:
        return rows.slice(0, 0)
    repeated = counts.filter(pc.greater(counts["count_all"], 1)).select(key)
    keys = rows.select(key).append_column("row", pa.array(np.arange(rows.num_rows)))
    again = keys.join(repeated, key, join_type="left semi").sort_by("row")
    return rows.take(again["row"])


def _places(rows: pa.Table, kept: pa.ChunkedArray, names: Sequence[str]) -> pa.ChunkedArray | None:
    """The numbers of the kept rows in the order of these columns; None if it is their own."""
    places = pa.table({"row": pa.array(np.arange(rows.num_rows)), **{n: rows[n] for n in names}})
    place = places.filter(kept).sort_by([(name, "ascending") for name in names])["row"]
    if len(place) == rows.num_rows and pc.all(pc.equal(place, np.arange(len(place)))).as_py():
        return None
    return place


def _of_hour(rows: pa.Table, hour: datetime) -> pa.Table:
    """The rows of one hour; `rows` are sorted by time."""
    hours = rows.column("hour").to_numpy()
    start = np.datetime64(hour.astimezone(UTC).replace(tzinfo=None), "us")
    first, end = np.searchsorted(hours, [start, start + np.timedelta64(1, "h")])
    return rows.slice(first, end - first)
