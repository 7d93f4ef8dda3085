"""The rows of stored files: with today's columns, whatever version wrote them, and of some hours as
they were at one moment, without decoding them all.

`lake.py` reads with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from capi_assets.storage.object_store import unreadable

FORMER_COLUMNS = {"future_dated": "not_yet", "value_future_dated": "value_not_yet"}
FORMER_VALUES = {"status": {"not_yet": "future_dated"}}
"""Names before 0.1.0: hours that were written with them are read as if they had today's."""


def _present(stored: pq.ParquetFile, schema: pa.Schema) -> list[str]:
    known = set(stored.schema_arrow.names)
    names = (n if n in known else FORMER_COLUMNS.get(n, n) for n in schema.names)
    return [name for name in names if name in known]


def read_rows(stored: pq.ParquetFile, schema: pa.Schema, row_group: int | None = None) -> pa.Table:
    """The rows of a file, or of one of its row groups, with exactly this schema."""
    names = _present(stored, schema)
    read = stored.read if row_group is None else partial(stored.read_row_group, row_group)
    return conformed(read(columns=names), schema)


def conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with exactly this schema; a column they lack is null."""
    today = {former: name for name, former in FORMER_COLUMNS.items() if name in schema.names}
    rows = rows.rename_columns([today.get(name, name) for name in rows.column_names])
    for column, values in FORMER_VALUES.items():
        if column in rows.column_names:
            for former, name in values.items():
                stored = rows[column]
                is_former = pc.equal(stored, former)
                if pc.any(is_former).as_py():
                    renamed = pc.if_else(is_former, pa.scalar(name, stored.type), stored)
                    rows = rows.set_column(rows.column_names.index(column), column, renamed)
    known = set(rows.column_names)
    arrays = [
        rows.column(field.name).cast(field.type)
        if field.name in known
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(arrays, schema=schema)


@dataclass(frozen=True)
class StoredRows:
    """The rows of some hours, in time order, as they were stored at one moment.

    In memory are the files, a tenth of what their rows take; `select` and `slice` decode what they
    return, as those of a table. `Lake.snapshot` makes it.
    """

    schema: pa.Schema
    files: Mapping[datetime, tuple[UPath, bytes]]

    def of(self, hours: Iterable[datetime]) -> StoredRows:
        """The same of some of the hours, which are in time order."""
        return replace(self, files={h: self.files[h] for h in hours if h in self.files})

    @property
    def num_rows(self) -> int:
        """How many rows, of which none is decoded.

        Raises:
            LakeError: a file cannot be read.
        """
        return sum(stored.metadata.num_rows for stored in self._opened())

    def select(self, columns: Sequence[str]) -> pa.Table:
        """All rows, with these columns.

        Raises:
            LakeError: a file cannot be read.
        """
        schema = pa.schema([self.schema.field(name) for name in columns])
        parts = [schema.empty_table(), *(read_rows(stored, schema) for stored in self._opened())]
        return pa.concat_tables(parts)

    def slice(self, start: int, rows: int) -> pa.Table:
        """So many rows from `start` on, with all columns.

        Raises:
            LakeError: a file cannot be read.
        """
        parts, first, end = [self.schema.empty_table()], 0, start + rows
        for stored in self._opened():
            for number in range(stored.num_row_groups):
                size = stored.metadata.row_group(number).num_rows
                before = max(start - first, 0)
                if before < size and first < end:
                    group = read_rows(stored, self.schema, number)
                    parts.append(group.slice(before, end - first - before))
                first += size
        return pa.concat_tables(parts)

    def _opened(self) -> Iterator[pq.ParquetFile]:
        for path, content in self.files.values():
            try:
                yield pq.ParquetFile(pa.BufferReader(content))
            except (OSError, pa.ArrowException) as error:
                raise unreadable(path, error) from error
