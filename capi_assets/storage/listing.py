"""The files below a folder with size and time, in one listing: a request per file or folder takes
too long on object storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from upath import UPath

from capi_assets.storage.object_store import driver_errors, is_local, is_object_store

# Names in fsspec's file systems: local and SFTP, S3, Azure, Google, memory and others.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file; `parts` is its path below the folder, `changed_at` None if the store has no times.
    `version` changes with the content: an object store's ETag; of a local file its number and the
    time of its last change, which nobody can set. None if the store has neither."""

    parts: tuple[str, ...]
    size: int
    changed_at: datetime | None
    version: str | None = None


def names_in(folder: UPath) -> list[tuple[str, bool]]:
    """The names directly in `folder` in order, and whether each is a folder; none if it is absent.

    Raises:
        OSError: the folder exists and cannot be listed.
    """
    try:
        if is_local(folder):
            with os.scandir(folder.path) as found:
                return sorted((entry.name, entry.is_dir()) for entry in found)
        with driver_errors():
            folder.fs.invalidate_cache(folder.path)
            listing = folder.fs.ls(folder.path, detail=True)
    except FileNotFoundError:
        return []
    own = _parts(folder.fs._strip_protocol(folder.path))
    named = ((_parts(info["name"]), info.get("type") == "directory") for info in listing)
    return sorted((parts[-1], is_folder) for parts, is_folder in named if parts != own)


def files_below(
    folder: UPath,
    depth: int,
    on_error: Callable[[tuple[str, ...], OSError], None] | None = None,
    prefix: str = "",
) -> Iterator[FoundFile]:
    """Every file at most `depth` levels below `folder`; none if the folder does not exist.

    `on_error` gets the path below `folder` that cannot be listed; the rest is listed all the same.
    With `prefix`, only paths that begin with it. An object store takes one request per thousand
    objects for it, however many folders these are in.

    Raises:
        OSError: a folder exists and cannot be listed, and there is no `on_error`.
    """
    if is_local(folder):
        for file in _local_files(folder.path, (), depth, on_error):
            if "/".join(file.parts).startswith(prefix):
                yield file
        return
    try:
        with driver_errors():
            files = folder.fs
            # A long-lived process would otherwise see a store as at its first listing.
            files.invalidate_cache(folder.path)
            if is_object_store(folder):
                # A depth would make the drivers list folder by folder: a request per hour. With a
                # prefix they do not ask again for what is absent.
                parent, _, name = folder.path.rstrip("/").rpartition("/")
                start = (parent, f"{name}/{prefix}") if parent else (folder.path, prefix)
                listing = files.find(start[0], detail=True, prefix=start[1])
            else:
                listing = files.find(folder.path, maxdepth=depth, detail=True)
    except FileNotFoundError:
        return
    except OSError as error:
        if on_error is None:
            raise
        on_error((), error)
        return
    above = len(_parts(files._strip_protocol(folder.path)))
    for path, info in listing.items():
        parts = _parts(path)[above:]
        if info.get("type") == "directory" or len(parts) > depth:
            continue
        if "/".join(parts).startswith(prefix):
            version = info.get("ETag") or info.get("etag")
            size = int(info.get("size") or 0)
            changed_at = _changed_at(info)
            if changed_at and changed_at.microsecond == 0 and is_object_store(folder):
                # S3 gives whole seconds. A file that landed in the second in which its hour was
                # read may have been missed, so it must count as later.
                changed_at += timedelta(seconds=1, microseconds=-1)
            yield FoundFile(parts, size, changed_at, str(version) if version else None)


def _local_files(
    folder: str,
    parts: tuple[str, ...],
    depth: int,
    on_error: Callable[[tuple[str, ...], OSError], None] | None,
) -> Iterator[FoundFile]:
    """As `files_below`; fsspec would omit what cannot be listed, and not follow links."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        if on_error is None:
            raise
        on_error(parts, error)
        return
    for entry in entries:
        path = (*parts, entry.name)
        if entry.is_dir():
            if depth > 1:
                yield from _local_files(entry.path, path, depth - 1, on_error)
        elif entry.is_file():
            about = entry.stat()
            changed_at = datetime.fromtimestamp(about.st_mtime, UTC)
            version = f"{about.st_ino}-{about.st_ctime_ns}"
            yield FoundFile(path, about.st_size, changed_at, version)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


def _changed_at(info: Mapping[str, Any]) -> datetime | None:
    value = next((info[name] for name in _TIMES if info.get(name)), None)
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return None if value is None else datetime.fromtimestamp(float(value), UTC)
    except (ValueError, TypeError, OverflowError):
        return None
