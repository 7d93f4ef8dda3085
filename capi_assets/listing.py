"""The files below a folder with size and time, in one listing: a request per file takes too long on
object storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from upath import UPath

# Names in fsspec's file systems: local and SFTP, S3, Azure, Google, memory and others.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file; `parts` is its path below the folder, `changed_at` None if the store has no times."""

    parts: tuple[str, ...]
    size: int
    changed_at: datetime | None


def names_in(folder: UPath) -> list[tuple[str, bool]]:
    """The names directly in `folder` in order, and whether each is a folder; none if it is absent.

    Raises:
        OSError: the folder exists and cannot be listed.
    """
    try:
        if is_local(folder):
            with os.scandir(folder.path) as found:
                return sorted((entry.name, entry.is_dir()) for entry in found)
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
) -> Iterator[FoundFile]:
    """Every file at most `depth` levels below `folder`; none if the folder does not exist.

    `on_error` gets the path below `folder` that cannot be listed; the rest is listed all the same.

    Raises:
        OSError: a folder exists and cannot be listed, and there is no `on_error`.
    """
    files = folder.fs
    if is_local(folder):
        yield from _local_files(folder.path, (), depth, on_error)
        return
    # A long-lived process would otherwise see an object store as at its first listing.
    files.invalidate_cache(folder.path)
    try:
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
        if info.get("type") != "directory":
            yield FoundFile(_parts(path)[above:], int(info.get("size") or 0), _changed_at(info))


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
            yield FoundFile(path, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))


def is_local(folder: UPath) -> bool:
    """Whether the folder is on a file system of this machine."""
    return "local" in getattr(folder.fs, "protocol", ())


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
