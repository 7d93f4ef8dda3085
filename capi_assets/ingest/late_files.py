"""Files that landed after their hour was read: which hours are to be read again.

Pure but for `landed_files`, which lists. When an hour was read is the caller's to know.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from capi_assets.hours import floor_hour
from capi_assets.ingest.sources import LandingFolder, is_landed
from capi_assets.listing import files_below

SETTLE_TIME = timedelta(minutes=1)
"""A file that changed more recently than this may still be growing."""


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A file of an hour, as listed."""

    table: str
    hour: datetime
    name: str
    size: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class LateHour:
    """An hour with files that its last materialization cannot have seen whole.

    Attributes:
        files: how many came or changed since.
        newest: when the last of them did.
        mark: the same as long as no file of the hour comes, goes or changes.
    """

    table: str
    hour: datetime
    files: int
    newest: datetime
    mark: str


def landed_files(source: LandingFolder, hours: Sequence[datetime]) -> list[LandedFile]:
    """The files of `hours`, by one listing per day. Files of a store that keeps no times are left
    out: nobody can tell whether they are late.

    Raises:
        OSError: a folder cannot be listed.
    """
    wanted = {hour.astimezone(UTC) for hour in hours}
    found = []
    for day in sorted({hour.date() for hour in wanted}):
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for file in files_below(source.folder(start).parent, depth=2):
            if len(file.parts) != 2 or not is_landed(file.parts[1]) or not file.changed_at:
                continue
            folder, name = file.parts
            if not (len(folder) == 2 and folder.isdigit() and int(folder) < 24):
                continue
            hour = start + timedelta(hours=int(folder))
            if hour in wanted:
                found.append(LandedFile(source.table, hour, name, file.size, file.changed_at))
    return found


def late_hours(
    files: Iterable[LandedFile],
    read_at: Mapping[tuple[str, datetime], datetime],
    now: datetime,
    quiet: timedelta = SETTLE_TIME,
) -> list[LateHour]:
    """The hours to read again, in time order.

    Args:
        files: of any tables and hours.
        read_at: when the files of a table's hour were last listed by a materialization. An hour
            that is not given was never materialized: it is not late, but still to come.
        now: the moment of the look.
        quiet: hours with a file that changed within this time are left to a later look.
    """
    by_hour: dict[tuple[str, datetime], list[LandedFile]] = defaultdict(list)
    for file in files:
        by_hour[file.table, floor_hour(file.hour)].append(file)
    found = []
    for (table, hour), group in by_hour.items():
        read = read_at.get((table, hour))
        late = [file for file in group if read and file.changed_at > read]
        if late and all(now - file.changed_at >= quiet for file in late):
            newest = max(file.changed_at for file in late)
            found.append(LateHour(table, hour, len(late), newest, _mark(group)))
    return sorted(found, key=lambda late: (late.hour, late.table))


def _mark(files: Iterable[LandedFile]) -> str:
    told = sorted(f"{file.name} {file.size} {file.changed_at.isoformat()}" for file in files)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:12]
