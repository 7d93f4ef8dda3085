"""The hourly tables on disk or object storage: write one hour, read many, list, expire.

One Parquet file per table and hour, `{root}/{table}/date=2026-11-20/hour=13/part.parquet`. A file
is written under another name and then renamed: an hour is replaced completely or not at all, and
runs never wait for each other. What a table means is in `contracts/`; schemas come with the call.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from pathlib import Path
from threading import Lock
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from upath import UPath

from capi_assets.hours import HOUR
from capi_assets.listing import FoundFile, files_below, names_in
from capi_assets.object_store import (
    REACH_THE_STORE,
    READS_AT_ONCE,
    driver_errors,
    folder_at,
    is_local,
    is_object_store,
    read_whole,
    reason_text,
    remove_file,
    unreadable,
    write_whole,
)
from capi_assets.object_store import LakeError as LakeError
from capi_assets.stored_rows import StoredRows, read_rows

T = TypeVar("T")

ROWS_PER_GROUP = 50_000
"""Rows that `Lake.row_groups` holds at a time, with payloads of 1 to 2 KB each. Only hours busier
than this have more than one group."""

BATCH_ROWS = 50_000
"""Rows that `in_batches` joins, unless one hour has more: enough to spread the cost of a query, few
enough that a long range needs no more memory than a short one."""

_HOUR_PATH = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})/part\.parquet$")
_ABANDONED_AFTER = timedelta(days=1)  # no write takes that long, so its writer was killed


class Lake:
    """Hourly tables under one root: a local folder or any fsspec URL (s3://, gs://, abfs://).

    Every asset reads and writes through it, and so do the commands, which only read. Hours are
    timezone-aware starts of hours; their UTC date and hour name the file.

        lake = Lake("data/lake")
        lake.write("orders", hour, rows)
        lake.read("orders", [hour], arrow_schema(Orders), ["order_id", "value"])
    """

    def __init__(self, root: str | os.PathLike[str] | UPath) -> None:
        self.root = folder_at(root)
        self.is_local = is_local(self.root)

    @property
    def address(self) -> str:
        """Its absolute path or its URL, as every process that reaches it names it."""
        return self.root.absolute().as_posix() if self.is_local else str(self.root).rstrip("/")

    def path(self, table: str, hour: datetime) -> UPath:
        """Where an hour of a table lives, whether or not it exists."""
        hour = hour.astimezone(UTC)
        return self.root / table / f"date={hour:%Y-%m-%d}" / f"hour={hour:%H}" / "part.parquet"

    def write(
        self,
        table: str,
        hour: datetime,
        rows: pa.Table | Iterable[pa.Table],
        rows_per_group: int = ROWS_PER_GROUP,
    ) -> UPath:
        """Replaces an hour of a table; returns its file.

        The assets call it once per hour of their run. Rows of a busy hour may come in parts, of
        which one is in memory at a time; the file is the same. The same rows give the same bytes
        and leave the file as it is, so that its modification time is when the hour last changed.
        Readers see the old file or the new one, never a part.

        Raises:
            LakeError: the file cannot be written; what was there before is untouched.
        """
        target, content = self.path(table, hour), _parquet(rows, rows_per_group)
        with self._locked(fcntl.LOCK_SH):
            self._put(target, content)
        return target

    def edit(
        self,
        table: str,
        hour: datetime,
        schema: pa.Schema,
        change: Callable[[pa.Table], pa.Table],
    ) -> int:
        """Replaces a stored hour by `change` of its rows; returns by how many bytes it shrank.

        For erasure and retention. Writers of this machine wait meanwhile, so that none of their
        rows is lost, and the file keeps its time: nothing newer is in it. On object storage neither
        is possible. An hour without changes is left as it is.

        Raises:
            LakeError: the file cannot be read or written.
        """
        target = self.path(table, hour)
        with self._locked(fcntl.LOCK_EX):
            rows = self.read(table, [hour], schema)
            changed = change(rows)
            if not target.exists() or changed.equals(rows):
                return 0
            before = target.stat()
            content = _parquet(changed, ROWS_PER_GROUP)
            self._put(target, content, before.st_mtime_ns if self.is_local else None)
        return int(before.st_size - len(content))

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Holds the lock of all tables, which writers share and `edit` has for itself."""
        if not self.is_local:
            yield
            return
        root = Path(self.root.path)
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = (root / ".lock").open("ab")
        except OSError as error:
            raise LakeError(
                f"Cannot write to {root}: {error.strerror}. Correct its permissions."
            ) from error
        with lock:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(lock, kind)
            yield

    def _put(self, target: UPath, content: memoryview, changed_ns: int | None = None) -> None:
        if self._has_content(target, content):
            return
        try:
            if self.is_local:
                _replace(Path(target.path), content, changed_ns)
            else:
                # One PUT is atomic on object storage: readers see the old object or the new one.
                write_whole(target, bytes(content))
        except OSError as error:
            remedy = "Free space or correct permissions" if self.is_local else REACH_THE_STORE
            raise LakeError(
                f"Cannot write {target}: {reason_text(error)}. The hour's former file is untouched."
                f" {remedy}, and materialize the hour again."
            ) from error

    @staticmethod
    def _has_content(path: UPath, content: memoryview) -> bool:
        try:
            if is_object_store(path):
                sizes = [file.size for file in files_below(path.parent, depth=1)]
            else:
                sizes = [path.stat().st_size]
            return sizes == [len(content)] and read_whole(path) == content
        except OSError:
            return False

    def changed_at(self, table: str, hours: Iterable[datetime]) -> dict[datetime, datetime]:
        """When each stored hour of `hours` last changed, by the store's own clock, in UTC.

        Takes one listing per day, of an object store per month. Hours of a store without
        modification times are left out.

        Raises:
            OSError: a folder cannot be listed.
        """
        files = self._files(table, hours)
        return {hour: file.changed_at for hour, file in files.items() if file.changed_at}

    def _files(self, table: str, hours: Iterable[datetime]) -> dict[datetime, FoundFile]:
        """Those of `hours` that are stored, in time order, each with its file."""
        wanted = {hour.astimezone(UTC) for hour in hours}
        days = sorted({hour.date() for hour in wanted})
        if is_object_store(self.root):
            # A month has at most 744 hours, and one request lists a thousand objects.
            months = groupby((f"date={day:%Y-%m-%d}" for day in days), key=lambda day: day[:12])
            prefixes = [os.path.commonprefix([*month]) for _, month in months]  # noqa: RUF071
            found = [
                file
                for prefix in prefixes
                for file in files_below(self.root / table, depth=3, prefix=prefix)
            ]
        else:
            found = [
                replace(file, parts=(folder.name, *file.parts))
                for folder in (self.root / table / f"date={day:%Y-%m-%d}" for day in days)
                for file in files_below(folder, depth=2)
            ]
        by_hour = ((_hour_of("/".join(file.parts)), file) for file in found)
        return dict(sorted((hour, file) for hour, file in by_hour if hour in wanted))

    def paths(self, table: str, hours: Iterable[datetime]) -> list[UPath]:
        """The files that exist among `hours`, in time order."""
        return [self.path(table, hour) for hour in self.stored(table, hours)]

    def stored(self, table: str, hours: Iterable[datetime]) -> list[datetime]:
        """Those of `hours` that are stored, in time order."""
        wanted = sorted(set(hours))
        if is_object_store(self.root):
            with self._listing(table):
                files = self._files(table, wanted)
            return [hour for hour in wanted if hour in files]
        if len(wanted) > 48:
            # One listing costs less than a request for each of many paths.
            existing = set(self.hours(table))
            return [hour for hour in wanted if hour in existing]
        return [hour for hour in wanted if self.path(table, hour).exists()]

    def read(
        self,
        table: str,
        hours: Iterable[datetime],
        schema: pa.Schema,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The rows of `hours` in time order, with exactly the columns and types of `schema`.

        `columns` selects some of them. An hour that is not stored gives no rows. A column that an
        older file lacks is null, and names before 0.1.0 are read as today's: adding or renaming a
        column never requires rewriting stored hours.

        Raises:
            LakeError: a file cannot be read.
        """
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        parts = self._each(table, hours, lambda path, file: self._read_one(path, schema, file))
        return pa.concat_tables(parts.values()) if parts else schema.empty_table()

    def snapshot(self, table: str, hours: Iterable[datetime], schema: pa.Schema) -> StoredRows:
        """The rows that `read` gives, of which only the files are in memory: to go through the
        orders of a busy hour more than once, while other runs may replace it.

        Raises:
            LakeError: a file cannot be read.
        """
        return StoredRows(schema, self._each(table, hours, _whole))

    def _each(
        self, table: str, hours: Iterable[datetime], read: Callable[[UPath, FoundFile | None], T]
    ) -> dict[datetime, T]:
        """What `read` gives for the file of each stored hour, in time order."""
        if is_object_store(self.root):
            with self._listing(table):
                files: Mapping[datetime, FoundFile | None] = self._files(table, hours)
        else:
            files = dict.fromkeys(self.stored(table, hours))
        paths = [self.path(table, hour) for hour in files]
        if self.is_local:
            return dict(zip(files, map(read, paths, files.values()), strict=True))
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            return dict(zip(files, pool.map(read, paths, files.values()), strict=True))

    @contextmanager
    def _listing(self, table: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LakeError(
                f"Cannot list {self.root / table}: {reason_text(error)}. {REACH_THE_STORE}, and"
                " materialize the hours of this run again."
            ) from error

    def row_groups(
        self, table: str, hour: datetime, schema: pa.Schema, columns: Sequence[str]
    ) -> Iterator[pa.Table]:
        """One hour's rows as `read` gives them, one Parquet row group at a time.

        Raises:
            LakeError: the file cannot be read.
        """
        schema = pa.schema([schema.field(name) for name in columns])
        for path in self.paths(table, [hour]):
            with _opened(path, whole=True) as stored:
                for number in range(stored.num_row_groups):
                    yield read_rows(stored, schema, number)

    def _read_one(self, path: UPath, schema: pa.Schema, file: FoundFile | None = None) -> pa.Table:
        with _opened(path, whole=True, file=file) as stored:
            return read_rows(stored, schema)

    def hours(self, table: str) -> list[datetime]:
        """Every stored hour of a table, in time order."""
        if is_object_store(self.root):
            with self._listing(table):
                files = [*files_below(self.root / table, depth=3)]
            hours = (_hour_of("/".join(file.parts)) for file in files)
            return sorted(hour for hour in hours if hour)
        folder = self.root / table
        if not folder.exists():
            return []
        found = []
        for path in folder.glob("date=*/hour=*/part.parquet"):
            if hour := _hour_of(path.as_posix()):
                found.append(hour)
        return sorted(found)

    def first_hour(self, table: str) -> datetime | None:
        """The earliest stored hour of a table; of an object store by two requests."""
        if not is_object_store(self.root):
            return next(iter(self.hours(table)), None)
        with self._listing(table):
            for day, _ in names_in(self.root / table):
                files = files_below(self.root / table, depth=3, prefix=f"{day}/")
                hours = (_hour_of("/".join(file.parts)) for file in files)
                if first := min((hour for hour in hours if hour), default=None):
                    return first
        return None

    def tables(self) -> list[str]:
        """The names of the tables that have at least one hour."""
        if is_object_store(self.root):
            with self._listing():
                names = [name for name, _ in names_in(self.root)]
            return [name for name in names if self.first_hour(name)]
        if not self.root.exists():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and self.hours(p.name))

    def size(self, table: str, hours: Iterable[datetime]) -> tuple[int, int]:
        """Rows and bytes of the stored hours among `hours`.

        Raises:
            LakeError: a file cannot be read.
        """
        rows = size = 0
        for path in self.paths(table, hours):
            with _opened(path) as stored:
                rows += stored.metadata.num_rows
            size += path.stat().st_size
        return rows, size

    def has_values(self, table: str, hour: datetime, columns: Sequence[str]) -> bool:
        """Whether a stored hour has any value in one of `columns`, from the file's statistics.

        Raises:
            LakeError: the file cannot be read.
        """
        for path in self.paths(table, [hour]):
            with _opened(path) as stored:
                groups = (stored.metadata.row_group(n) for n in range(stored.num_row_groups))
                chunks = (group.column(n) for group in groups for n in range(group.num_columns))
                return any(
                    chunk.path_in_schema in columns
                    and (chunk.statistics is None or chunk.statistics.num_values > 0)
                    for chunk in chunks
                )
        return False

    def remove(self, table: str, hours: Iterable[datetime]) -> list[datetime]:
        """Delete the stored hours of a table among `hours`; returns them in time order."""
        gone = self.stored(table, hours)
        for hour in gone:
            remove_file(self.path(table, hour))
        return gone


def in_batches(
    hours: Iterable[tuple[datetime, pa.Table]], batch_rows: int = BATCH_ROWS
) -> Iterator[tuple[list[datetime], pa.Table]]:
    """Whole hours with their rows, joined until a batch has at least `batch_rows` rows.

    Planning, matching and evaluation go through a long range with it, so that memory does not grow
    with the range. Every hour comes once, in the order given.
    """
    batch: list[datetime] = []
    tables: list[pa.Table] = []
    for hour, rows in hours:
        batch.append(hour)
        tables.append(rows)
        if sum(table.num_rows for table in tables) >= batch_rows:
            yield batch, pa.concat_tables(tables)
            batch, tables = [], []
    if batch:
        yield batch, pa.concat_tables(tables)


def rows_of(rows: pa.Table, hour: datetime, column: str = "occurred_at") -> pa.Table:
    """The rows whose time `column` lies in `[hour, hour + 1 h)`."""
    times, kind = rows[column], rows.schema.field(column).type
    starts = pc.greater_equal(times, pa.scalar(hour, kind))
    in_hour = pc.and_(starts, pc.less(times, pa.scalar(hour + HOUR, kind)))
    # A busy hour is alone in its batch, and a copy of it is large.
    return rows if pc.all(in_hour, min_count=0).as_py() else rows.filter(in_hour)


def _hour_of(path: str) -> datetime | None:
    """The hour that a path of this layout names."""
    match = _HOUR_PATH.search(path)
    if match is None:
        return None
    return datetime.strptime(" ".join(match.groups()), "%Y-%m-%d %H").replace(tzinfo=UTC)


@contextmanager
def _opened(
    path: UPath, whole: bool = False, file: FoundFile | None = None
) -> Iterator[pq.ParquetFile]:
    """A stored file to read from; of an object store `whole` in one request, so that no writer can
    replace it meanwhile, or else only its end."""
    try:
        if whole and is_object_store(path):
            yield pq.ParquetFile(pa.BufferReader(_content(path, file)))
        else:
            with driver_errors(), path.open("rb") as stored:
                yield pq.ParquetFile(stored)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def _whole(path: UPath, file: FoundFile | None) -> tuple[UPath, bytes]:
    try:
        return path, _content(path, file)
    except OSError as error:
        raise unreadable(path, error) from error


# The sensors read the same small files every minute; five weeks of verdicts take 30 MB. A new
# version has another ETag.
_SMALL_FILE_BYTES = 64 * 1024
_MAX_KEPT_FILES = 2_000
_kept_files: OrderedDict[tuple[str, str, datetime | None], bytes] = OrderedDict()
_kept_lock = Lock()


def _content(path: UPath, file: FoundFile | None) -> bytes:
    """The content of an object, without a request if this version was read before."""
    if file is None or file.version is None or file.size > _SMALL_FILE_BYTES:
        return read_whole(path)
    key = (str(path), file.version, file.changed_at)
    with _kept_lock:
        if key in _kept_files:
            _kept_files.move_to_end(key)
            return _kept_files[key]
    content = read_whole(path)
    if len(content) == file.size:  # it may have been replaced since it was listed
        with _kept_lock:
            _kept_files[key] = content
            while len(_kept_files) > _MAX_KEPT_FILES:
                _kept_files.popitem(last=False)
    return content


def _parquet(rows: pa.Table | Iterable[pa.Table], rows_per_group: int) -> memoryview:
    buffer = io.BytesIO()
    parts = iter([rows] if isinstance(rows, pa.Table) else rows)
    first = next(parts).replace_schema_metadata(None)
    with pq.ParquetWriter(buffer, first.schema, compression="zstd") as writer:
        for groups in _groups(chain([first], parts), rows_per_group):
            for start in range(0, max(groups.num_rows, 1), rows_per_group):
                # In one piece: pages end where pieces do, and how rows came must not change bytes.
                group = groups.slice(start, rows_per_group)
                writer.write_table(group.combine_chunks(), row_group_size=rows_per_group)
    return buffer.getbuffer()


def _groups(parts: Iterable[pa.Table], rows_per_group: int) -> Iterator[pa.Table]:
    """The same rows in tables of whole row groups, but for the last."""
    rest, is_any = None, False
    for part in parts:
        part = part.replace_schema_metadata(None)
        rest = part if rest is None or not rest.num_rows else pa.concat_tables([rest, part])
        whole = rest.num_rows - rest.num_rows % rows_per_group
        if whole:
            yield rest.slice(0, whole)
            rest, is_any = rest.slice(whole), True
    if rest is not None and (rest.num_rows or not is_any):
        yield rest


def _replace(target: Path, data: memoryview, changed_ns: int | None = None) -> None:
    """Writes a local file under another name, flushes it to disk, and renames it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            written = os.fstat(file.fileno()).st_mtime
        if changed_ns is not None:
            os.utime(aside, ns=(changed_ns, changed_ns))
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    _remove_abandoned(target.parent, written - _ABANDONED_AFTER.total_seconds())


def _remove_abandoned(folder: Path, before: float) -> None:
    """Removes the temporary files of writers that were killed."""
    for temporary in folder.glob(".*.tmp"):
        # Another writer may remove it at the same time; one that cannot be removed does no harm.
        with suppress(OSError):
            if temporary.stat().st_mtime < before:
                temporary.unlink()
