"""What both tables share on their way into the lake: fetch, judge, split into hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Contract, arrow_schema, conform
from capi_assets.ingest.landing import ValidatedRows, validate
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
class NormalisedHour:
    """Rows of some hours as a table module made them, by `occurred_at` and with their `hour`."""

    rows: pa.Table
    repeats: dict[datetime, int]

    def of(self, hour: datetime) -> pa.Table:
        """The rows of one hour."""
        hours = self.rows.column("hour").to_numpy()
        start = np.datetime64(hour.astimezone(UTC).replace(tzinfo=None), "us")
        first, last = np.searchsorted(hours, [start, start + np.timedelta64(1, "h")])
        return self.rows.slice(first, last - first)


def ingest(
    source: Source,
    hours: Sequence[datetime],
    tables: tuple[type[Contract], type[Contract]],
    id_column: str,
    finish: Callable[[ValidatedRows, date], NormalisedHour],
    connection: duckdb.DuckDBPyConnection,
) -> Ingested:
    """Reads `hours` from `source` and finishes them with the table's own rules.

    `tables` are the contracts of what lands and of what is stored. `finish` gets the rows of a day
    at a time with that day, so that an hour gives the same rows alone and within any range.

    Raises:
        SourceError: the source as a whole cannot be read.
    """
    landing, stored = tables
    done: list[IngestedHour] = []
    unknown: set[str] = set()
    for batch in source.batches(hours):
        fetched = source.fetch(batch)
        judged = validate(fetched, landing, batch, id_column, connection)
        unknown |= set(judged.unknown_columns)
        for day, hours_of_day in groupby(batch, lambda hour: hour.astimezone(UTC).date()):
            finished = finish(judged.on(day), day)
            for hour in hours_of_day:
                start = pa.scalar(hour, UTC_MICROSECONDS)
                refused = pc.equal(judged.quarantine.column("hour"), start)
                done.append(
                    IngestedHour(
                        hour=hour,
                        rows=conform(finished.of(hour), stored),
                        quarantine=judged.quarantine.filter(refused),
                        files=fetched.files_per_hour.get(hour, 0),
                        repeats=finished.repeats.get(hour, 0),
                        file_problems=[p for p in judged.file_problems if p.hour == hour],
                    )
                )
    return Ingested(done, sorted(unknown))


def finished(rows: pa.Table, contract: type[Contract], keys: list[str]) -> NormalisedHour:
    """The last arrived row of each key within its hour, in an order that depends on nothing else.

    `rows` have the contract's columns, and `hour` and `position` as in `ValidatedRows`.
    """
    rows = rows.select([*arrow_schema(contract).names, "hour", "position"])
    last = rows.group_by(["hour", *keys]).aggregate([("position", "max")]).column("position_max")
    keep = pc.is_in(rows.column("position"), last.combine_chunks())
    repeated = rows.column("hour").filter(pc.invert(keep)).value_counts()
    rows = rows.filter(keep).sort_by([(key, "ascending") for key in ("occurred_at", *keys)])
    counts = zip(repeated.field("values"), repeated.field("counts"), strict=True)
    return NormalisedHour(rows, {hour.as_py(): count.as_py() for hour, count in counts})
