"""One hour's Parquet file: its bytes, replaced as a whole, and opened of one version.

`lake.py` says where the files are, `stored_rows.py` what their columns are.
"""

from __future__ import annotations

import io
import os
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from capi_assets.storage.listing import FoundFile
from capi_assets.storage.object_store import (
    driver_errors,
    is_object_store,
    read_whole,
    unreadable,
)

_ABANDONED_AFTER = timedelta(days=1)  # no write takes that long, so its writer was killed


def parquet_of(rows: pa.Table | Iterable[pa.Table], rows_per_group: int) -> memoryview:
    """The bytes of a file with these rows; of parts, one is in memory at a time."""
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


def replace_file(target: Path, data: memoryview, changed_ns: int | None = None) -> None:
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


@contextmanager
def opened(
    path: UPath, whole: bool = False, file: FoundFile | None = None
) -> Iterator[pq.ParquetFile]:
    """A stored file to read from; of an object store `whole` in one request, so that no writer can
    replace it meanwhile, or else only its end."""
    try:
        if whole and is_object_store(path):
            yield pq.ParquetFile(pa.BufferReader(content_of(path, file)))
        else:
            with driver_errors(), path.open("rb") as stored:
                yield pq.ParquetFile(stored)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def path_and_content(path: UPath, file: FoundFile | None) -> tuple[UPath, bytes]:
    """The file with its content.

    Raises:
        LakeError: it cannot be read.
    """
    try:
        return path, content_of(path, file)
    except OSError as error:
        raise unreadable(path, error) from error


# The sensors read the same small files every minute; five weeks of verdicts take 30 MB. A new
# version has another ETag.
_SMALL_FILE_BYTES = 64 * 1024
_MAX_KEPT_FILES = 2_000
_kept_files: OrderedDict[tuple[str, str, datetime | None], bytes] = OrderedDict()
_kept_lock = Lock()


def content_of(path: UPath, file: FoundFile | None) -> bytes:
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
