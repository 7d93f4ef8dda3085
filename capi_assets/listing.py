"""The files below a folder with size and time, in one listing: a request per file takes too long on
object storage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def files_below(folder: UPath, depth: int) -> Iterator[FoundFile]:
    """Every file at most `depth` levels below `folder`; none if the folder does not exist.

    Raises:
        OSError: the folder exists and cannot be listed.
    """
    files = folder.fs
    # A long-lived process would otherwise see an object store as at its first listing.
    files.invalidate_cache(folder.path)
    try:
        listing = files.find(folder.path, maxdepth=depth, detail=True)
    except FileNotFoundError:
        return
    above = len(_parts(files._strip_protocol(folder.path)))
    for path, info in listing.items():
        if info.get("type") != "directory":
            yield FoundFile(_parts(path)[above:], int(info.get("size") or 0), _changed_at(info))


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
