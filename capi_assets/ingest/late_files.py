"""Files that landed after their hour was materialized: which hours are to be read again.

The late files sensor calls `landed_files`, which lists the landing folder, and `late_hours`, which
compares the listing with the times of the materializations.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from capi_assets.hours import floor_hour
from capi_assets.ingest.landing_folder import LandingFolder

SETTLE_TIME = timedelta(minutes=1)
"""A file that changed more recently than this may still be being written."""


@dataclass(frozen=True, slots=True)
class LandedFile:
    """A file in the landing folder of an hour."""

    table: str
    hour: datetime
    name: str
    size: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class LateHour:
    """An hour with files that landed or changed after its last materialization.

    Attributes:
        files: number of these files, or of rows of a SQL model.
        newest: when the last of them landed or changed; of rows, when they were seen.
        mark: digest of the hour's listing; changes when a file is added, removed or changed.
        unit: `file` or `row`.
    """

    table: str
    hour: datetime
    files: int
    newest: datetime
    mark: str
    unit: str = "file"


def landed_files(source: LandingFolder, hours: Sequence[datetime]) -> list[LandedFile]:
    """The files of `hours`, with one listing per day.

    Files of a store without modification times are left out: nothing shows whether they are late.

    Raises:
        OSError: a folder cannot be listed.
    """
    landing = source.listing(hours)
    for _, error in landing.errors.values():
        raise error
    return [
        LandedFile(
            source.table, hour.astimezone(UTC), "/".join(file.parts), file.size, file.changed_at
        )
        for hour, files in sorted(landing.files.items())
        for _, file in files
        if file.changed_at
    ]


def late_hours(
    files: Iterable[LandedFile],
    read_at: Mapping[tuple[str, datetime], datetime],
    now: datetime,
    quiet: timedelta = SETTLE_TIME,
) -> list[LateHour]:
    """The hours to read again, in time order.

    Args:
        files: of any tables and hours.
        read_at: when a materialization last listed the files of a table's hour. An hour without an
            entry was never materialized and is not late.
        now: current time.
        quiet: hours with a file that changed within this time are left to a later tick.
    """
    by_hour: dict[tuple[str, datetime], list[LandedFile]] = defaultdict(list)
    for file in files:
        by_hour[file.table, floor_hour(file.hour)].append(file)
    hours = []
    for (table, hour), group in by_hour.items():
        read = read_at.get((table, hour))
        late = [file for file in group if read and file.changed_at > read]
        if late and all(now - file.changed_at >= quiet for file in late):
            newest = max(file.changed_at for file in late)
            hours.append(LateHour(table, hour, len(late), newest, _mark(group)))
    return sorted(hours, key=lambda late: (late.hour, late.table))


def _mark(files: Iterable[LandedFile]) -> str:
    listing = sorted(f"{file.name} {file.size} {file.changed_at.isoformat()}" for file in files)
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:12]
