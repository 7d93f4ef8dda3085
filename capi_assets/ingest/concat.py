"""All files of some hours as one table in the contract's types; `validation.py` checks its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Column
from capi_assets.ingest.casting import CastColumn, absent, cast_column
from capi_assets.ingest.sources import LandedTable


@dataclass(frozen=True)
class ConcatenatedFiles:
    """The rows of `files`, in their order.

    `problems` has, by column, a code where a value did not fit the column's type. `hours` is the
    hour of each row's folder, null for rows of a SQL model. Row i of file f is row `starts[f] + i`.
    """

    typed: pa.Table
    problems: dict[str, pa.Array]
    hours: pa.Array
    files: list[LandedTable]
    starts: list[int]

    def origins(self) -> tuple[pa.Array, pa.Array]:
        """The source of each row, as dictionary, and its line."""
        sizes = [landed.rows.table.num_rows for landed in self.files]
        files = pa.array(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))
        sources = pa.array([landed.source for landed in self.files], pa.string())
        lines = [pa.array([], pa.int64()), *(landed.rows.lines for landed in self.files)]
        return pa.DictionaryArray.from_arrays(files, sources), pa.concat_arrays(lines)


def concat_files(
    files: list[LandedTable], columns: Sequence[Column], connection: duckdb.DuckDBPyConnection
) -> ConcatenatedFiles:
    """The rows of `files` with exactly `columns`, defaults filled in; used by `validate`."""
    sizes = [landed.rows.table.num_rows for landed in files]
    typed, problems = {}, {}
    for column in columns:
        cast = _column(files, column, connection)
        values = cast.values
        if (default := column.metadata.get("default")) is not None:
            absent_values = pc.and_(pc.is_null(values), pc.is_null(cast.problems))
            values = pc.if_else(absent_values, default, values)
        typed[column.name] = values
        problems[column.name] = cast.problems
    schema = pa.schema([(column.name, column.arrow_type) for column in columns])
    hours = [
        pa.repeat(pa.scalar(landed.hour, UTC_MICROSECONDS), size)
        for landed, size in zip(files, sizes, strict=True)
    ]
    return ConcatenatedFiles(
        pa.table(typed, schema=schema),
        problems,
        pa.concat_arrays(hours) if hours else pa.array([], UTC_MICROSECONDS),
        files,
        [0, *accumulate(sizes)][: len(files)],
    )


def _column(
    files: list[LandedTable], column: Column, connection: duckdb.DuckDBPyConnection
) -> CastColumn:
    """One column of all files; consecutive files with it in the same type are cast together."""
    parts = [absent(column, 0)]
    for kind, group in groupby(files, lambda landed: _type(landed, column.name)):
        same_type = list(group)
        if kind is None:
            rows = sum(landed.rows.table.num_rows for landed in same_type)
            parts.append(absent(column, rows))
            continue
        chunks = [c for landed in same_type for c in landed.rows.table.column(column.name).chunks]
        cast = cast_column(pa.chunked_array(chunks, kind), column, connection)
        not_utf8 = np.concatenate([_not_utf8(landed, column.name) for landed in same_type])
        if not_utf8.any():
            marked = pc.if_else(pa.array(not_utf8), "not_utf8", cast.problems)
            cast = CastColumn(cast.values, marked)
        parts.append(cast)
    return CastColumn(
        pa.concat_arrays([part.values for part in parts]),
        pa.concat_arrays([part.problems for part in parts]),
    )


def _type(landed: LandedTable, name: str) -> pa.DataType | None:
    table = landed.rows.table
    return table.schema.field(name).type if name in table.column_names else None


def _not_utf8(landed: LandedTable, name: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    marks = np.zeros(landed.rows.table.num_rows, bool)
    marks[landed.rows.not_utf8.get(name, [])] = True
    return marks
