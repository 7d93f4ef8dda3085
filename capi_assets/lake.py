"""The hours on disk or object storage: write one whole, read many, list, expire.

One Parquet file per table and hour, `{root}/{table}/date=2026-11-20/hour=13/part.parquet`, written
aside and renamed, so that an hour is replaced whole or not at all and runs never wait for each
other. Nothing here knows what a table means; schemas come with the tables.
"""

from __future__ import annotations

import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from capi_assets.listing import files_below

ROWS_PER_GROUP = 50_000
"""Rows that `Lake.pieces` holds at a time; only hours busier than this have more than one group."""

_HOUR_PATH = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})/part\.parquet$")
_READ_CONCURRENCY = (
    16  # an object store takes its time with each file, and a sensor has a minute for all
)
_LEFT_BEHIND = timedelta(days=1)  # no write takes that long, so its writer was killed


class LakeError(RuntimeError):
    """An hour that cannot be read or written; the message names the file and the remedy."""


class Lake:
    """Hourly tables under one root: a local folder or any fsspec URL (s3://, gs://, abfs://)."""

    def __init__(self, root: str | os.PathLike[str] | UPath) -> None:
        self.root = UPath(root)
        self.is_local = self.root.protocol in ("", "file", "local")

    def path(self, table: str, hour: datetime) -> UPath:
        """Where an hour of a table lives, whether or not it exists."""
        hour = hour.astimezone(UTC)
        return self.root / table / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}" / "part.parquet"

    def write(self, table: str, hour: datetime, rows: pa.Table) -> UPath:
        """Replace an hour whole. The same rows give the same bytes, and leave the file alone, so
        that its time tells when the hour last changed.

        Raises:
            LakeError: the file cannot be written; what was there before is untouched.
        """
        target = self.path(table, hour)
        buffer = io.BytesIO()
        pq.write_table(
            rows.replace_schema_metadata(None),
            buffer,
            compression="zstd",
            row_group_size=ROWS_PER_GROUP,
        )
        content = buffer.getvalue()
        if self._holds(target, content):
            return target
        try:
            if self.is_local:
                _replace(Path(target.path), content)
            else:
                # One PUT is atomic on object storage: readers see the old object or the new one.
                target.write_bytes(content)
        except OSError as error:
            raise LakeError(
                f"Cannot write {target}: {error.strerror or error}. The hour's former file is"
                " untouched; free space or mend permissions and materialize the hour again."
            ) from error
        return target

    @staticmethod
    def _holds(path: UPath, content: bytes) -> bool:
        try:
            return bool(path.stat().st_size == len(content) and path.read_bytes() == content)
        except OSError:
            return False

    def changed_at(self, table: str, hours: Iterable[datetime]) -> dict[datetime, datetime]:
        """When each of `hours` that exists last changed, by the store's own clock (UTC); hours of
        a store that keeps no times are left out. One listing per day.

        Raises:
            OSError: a folder cannot be listed.
        """
        wanted = {hour.astimezone(UTC) for hour in hours}
        found = {}
        for day in sorted({hour.date() for hour in wanted}):
            folder = self.root / table / f"date={day:%Y-%m-%d}"
            for file in files_below(folder, depth=2):
                hour = _hour_of("/".join((folder.name, *file.parts)))
                if hour in wanted and file.changed_at:
                    found[hour] = file.changed_at
        return dict(sorted(found.items()))

    def paths(self, table: str, hours: Iterable[datetime]) -> list[UPath]:
        """The files that exist among `hours`, in time order."""
        wanted = sorted(set(hours))
        if len(wanted) > 48:
            # One listing costs less than a look at each of many paths.
            existing = set(self.hours(table))
            return [self.path(table, hour) for hour in wanted if hour in existing]
        return [path for hour in wanted if (path := self.path(table, hour)).exists()]

    def read(
        self,
        table: str,
        hours: Iterable[datetime],
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The rows of `hours`, in time order, with exactly `schema` (or its `columns`).

        A column that an older file lacks comes back null, so that adding a column never forces a
        rewrite of the past.

        Raises:
            LakeError: a file cannot be read.
        """
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        found = self.paths(table, hours)
        if self.is_local:
            parts = [self._read_one(path, schema) for path in found]
        else:
            with ThreadPoolExecutor(_READ_CONCURRENCY) as pool:
                parts = list(pool.map(lambda path: self._read_one(path, schema), found))
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def pieces(
        self, table: str, hour: datetime, schema: pa.Schema, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """One hour's rows as `read` gives them, in pieces of at most `ROWS_PER_GROUP`.

        Raises:
            LakeError: the file cannot be read.
        """
        asked = pa.schema([schema.field(name) for name in columns])
        for path in self.paths(table, [hour]):
            with _opened(path) as stored:
                for number in range(stored.num_row_groups):
                    yield _fitted(stored.read_row_group(number, _present(stored, asked)), asked)

    def _read_one(self, path: UPath, schema: pa.Schema) -> pa.Table:
        with _opened(path) as stored:
            return _fitted(stored.read(columns=_present(stored, schema)), schema)

    def hours(self, table: str) -> list[datetime]:
        """Every hour that a table holds, in time order."""
        folder = self.root / table
        if not folder.exists():
            return []
        found = []
        for path in folder.glob("date=*/hour=*/part.parquet"):
            if hour := _hour_of(path.as_posix()):
                found.append(hour)
        return sorted(found)

    def tables(self) -> list[str]:
        """The names of the tables that hold at least one hour."""
        if not self.root.exists():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and self.hours(p.name))

    def expire(self, table: str, before: datetime) -> list[datetime]:
        """Delete the hours of a table that begin before `before`; returns them."""
        gone = [hour for hour in self.hours(table) if hour < before]
        for hour in gone:
            self.path(table, hour).unlink(missing_ok=True)
        return gone


def _hour_of(path: str) -> datetime | None:
    """The hour that a stored file is of."""
    match = _HOUR_PATH.search(path)
    if match is None:
        return None
    return datetime.strptime(" ".join(match.groups()), "%Y-%m-%d %H").replace(tzinfo=UTC)


@contextmanager
def _opened(path: UPath) -> Iterator[pq.ParquetFile]:
    try:
        with path.open("rb") as file:
            yield pq.ParquetFile(file)
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"Cannot read {path}: {type(error).__name__}. Materialize that hour again."
        ) from error


FORMER_COLUMNS = {"future_dated": "not_yet", "value_future_dated": "value_not_yet"}
FORMER_VALUES = {"status": {"not_yet": "future_dated"}}
"""Names before 0.1.0: hours that were written with them are read as if they had today's."""


def _present(stored: pq.ParquetFile, schema: pa.Schema) -> list[str]:
    known = set(stored.schema_arrow.names)
    names = (n if n in known else FORMER_COLUMNS.get(n, n) for n in schema.names)
    return [name for name in names if name in known]


def _fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
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


def _replace(target: Path, data: bytes) -> None:
    """Writes a local file aside, down to the disk, and renames it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            written = os.fstat(file.fileno()).st_mtime
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    _sweep(target.parent, written - _LEFT_BEHIND.total_seconds())


def _sweep(folder: Path, before: float) -> None:
    """Removes what writers that were killed left behind in the hour's folder."""
    for left in folder.glob(".*.tmp"):
        # Another writer may sweep as well, and a file it may not remove hinders nobody.
        with suppress(OSError):
            if left.stat().st_mtime < before:
                left.unlink()
