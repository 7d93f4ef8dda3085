"""The landing folder: which file belongs to which hour, and which files belong to none.

Below the folder of a table, a day is `2026-11-20`, `date=2026-11-20`, `2026/11/20` or
`year=2026/month=11/day=20`; below a day, an hour is `13`, `hour=13` or a file `13.csv`. Any name
may be before the equals sign. All files below an hour, at any depth, belong to it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from upath import UPath

from capi_assets.ingest.column_map import PLAIN, ColumnMap
from capi_assets.ingest.readers import EXTENSIONS, RawRows, UnreadableFile, read_rows
from capi_assets.ingest.sources import Fetched, FileProblem, LandedTable, SourceError
from capi_assets.printable import printable
from capi_assets.storage.listing import FoundFile, files_below, names_in
from capi_assets.storage.object_store import driver_errors, folder_at, is_local, read_whole

BATCH_BYTES = 8 * 2**20
"""Files of several hours are read together up to this size: enough to spread the fixed cost of a
batch, some 50 ms, and as Parquet some 300,000 visits, which take 300 MB while they are read."""

MAX_DEPTH = 8
"""Levels below a day that are listed: Spark writes three, and a loop of links must end."""

LAYOUTS = "2026-11-20/13/, 2026/11/20/13/ or date=2026-11-20/hour=13/"
"""The layouts, as messages name them; days and hours are UTC."""

_DAY = re.compile(r"(?:\w+=)?(\d{4})-(\d{2})-(\d{2})")
_SPLIT_DAY = (re.compile(r"(?:\w+=)?(\d{4})"), *2 * (re.compile(r"(?:\w+=)?(\d{1,2})"),))
_HOUR = re.compile(r"(?:\w+=)?(\d{1,2})(?:\.\D.*)?")


@dataclass(frozen=True)
class Landing:
    """What lies in the folder of a table for some hours; names are paths below the landing folder.

    Attributes:
        files: by hour, in the order in which they are read: by their path below the hour.
        misplaced: files and folders that fit no layout, by the day that they are in; None for
            those that are in no day.
        errors: by hour, the folder that cannot be listed and why.
        ignored: files that the patterns of `LandingFolder` leave out, by their day; None for those
            that are in no day.
    """

    files: dict[datetime, list[tuple[str, FoundFile]]]
    misplaced: dict[date | None, list[str]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[datetime, tuple[str, OSError]] = field(default_factory=dict)
    ignored: dict[date | None, list[str]] = field(default_factory=lambda: defaultdict(list))


def is_landed(name: str) -> bool:
    """Whether a file of this name is complete, not one that is still being written."""
    return not name.startswith((".", "_")) and not name.endswith(".tmp")


class LandingFolder:
    """Files at `{root}/{table}/{day}/{hour}/`, in any mix of Parquet, CSV and JSON.

    `root` is a local folder or any fsspec URL; day and hour are UTC, in one of the layouts above. A
    folder such as `orders.csv/` with its parts is read like a file. Names that begin with a dot or
    an underscore, or end in `.tmp`, are files being written and are not read. `ignored` are
    patterns as of a shell, for the name of a file or its path below `root`.

        LandingFolder("s3://bucket/landing", "orders").fetch([hour]).landed
    """

    def __init__(
        self,
        root: str | Path | UPath,
        table: str,
        batch_bytes: int = BATCH_BYTES,
        columns: ColumnMap = PLAIN,
        ignored: Sequence[str] = (),
    ) -> None:
        self.columns = columns
        self.patterns = ignored
        self.root = folder_at(root)
        self.table = table
        self.batch_bytes = batch_bytes

    def listing(self, hours: Sequence[datetime]) -> Landing:
        """The files of `hours`, with one listing per day; also what fits no hour.

        `fetch` reads what it lists; the late files sensor compares its times, `doctor` and the
        check of the hour name what is misplaced.
        """
        wanted = {hour.astimezone(UTC) for hour in hours}
        landing = Landing({hour: [] for hour in hours})
        try:
            in_no_day = landing.misplaced[None]
            days = list(self._days((), {hour.date() for hour in wanted}, in_no_day))
            landing.ignored[None] = [name for name in in_no_day if self._is_ignored(name)]
            in_no_day[:] = [name for name in in_no_day if not self._is_ignored(name)]
        except OSError as error:
            landing.errors.update(dict.fromkeys(hours, (self.table, error)))
            return landing
        for day, parts in days:
            self._list_day(day, parts, wanted, landing)
        for files in landing.files.values():
            files.sort(key=lambda file: (file[1].parts, file[0]))
        return landing

    def misplaced(self, hours: Sequence[datetime]) -> dict[datetime, list[str]]:
        """The paths that fit no hour and may be meant for each of `hours`, in one listing."""
        found = self.listing(hours).misplaced
        return {
            hour: sorted(found[None] + found.get(hour.astimezone(UTC).date(), [])) for hour in hours
        }

    def _days(
        self, parts: tuple[str, ...], days: set[date], misplaced: list[str]
    ) -> Iterator[tuple[date, tuple[str, ...]]]:
        """The folders of `days`; what leads to no day at all is added to `misplaced`."""
        for name, is_folder in names_in(self._folder(parts)):
            path = (*parts, name)
            numbers = _day_numbers(path) if is_folder else None
            if numbers is None:
                if is_landed(name):
                    misplaced.append(self._name(path))
            elif len(numbers) < 3:
                if any((day.year, day.month, day.day)[: len(numbers)] == numbers for day in days):
                    yield from self._days(path, days, misplaced)
            elif (day := date(*numbers)) in days:
                yield day, path

    def _list_day(
        self, day: date, parts: tuple[str, ...], wanted: set[datetime], landing: Landing
    ) -> None:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)

        def note(path: tuple[str, ...], error: OSError) -> None:
            of_path = _hour_of(start, path[0]) if path else None
            for hour in landing.files:
                if hour == of_path or (not path and hour.astimezone(UTC).date() == day):
                    landing.errors[hour] = (self._name((*parts, *path)), error)

        for file in files_below(self._folder(parts), MAX_DEPTH, note):
            if all(map(is_landed, file.parts)):
                name = self._name((*parts, *file.parts))
                hour = _hour_of(start, file.parts[0])
                if self._is_ignored(name):
                    landing.ignored[day].append(name)
                elif hour is None:
                    landing.misplaced[day].append(name)
                elif hour in wanted:
                    below = file.parts[1:] or file.parts
                    landing.files[hour].append((name, FoundFile(below, file.size, file.changed_at)))

    def _is_ignored(self, name: str) -> bool:
        return any(
            fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)
            for pattern in self.patterns
        )

    def _folder(self, parts: tuple[str, ...]) -> UPath:
        return self.root.joinpath(self.table, *parts)

    def _name(self, parts: tuple[str, ...]) -> str:
        return "/".join((self.table, *parts))

    def batches(self, hours: Sequence[datetime]) -> Iterator[list[datetime]]:
        """Consecutive hours with up to `batch_bytes` of files, at least one hour each."""
        files = self.listing(hours).files
        batch: list[datetime] = []
        total = 0
        for hour in hours:
            size = sum(file.size for _, file in files[hour])
            if batch and total + size > self.batch_bytes:
                yield batch
                batch, total = [], 0
            batch.append(hour)
            total += size
        if batch:
            yield batch

    def _exists(self) -> bool:
        """Whether there is a landing folder; true of a store that does not answer, for its listing
        then names each hour that cannot be read."""
        try:
            with driver_errors():
                return bool(self.root.exists())
        except OSError:
            return True

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """Reads every file of `hours`.

        Raises:
            SourceError: the landing folder itself does not exist.
        """
        if not self._exists():
            raise SourceError(
                f"The landing folder {self.root} does not exist. Create it, or set CAPI_LANDING to"
                f" the folder of {self.table}."
            )
        landing = self.listing(hours)
        landed = []
        problems = [_unreadable(hour, *error) for hour, error in landing.errors.items()]
        for hour, files in landing.files.items():
            for name, file in files:
                try:
                    rows = read_file(self.root, name, file.parts, file.size)
                    landed.append(LandedTable(hour, printable(name), rows))
                except UnreadableFile as error:
                    problems.append(FileProblem(hour, printable(name), error.reason, str(error)))
                except MemoryError:
                    text = "it does not fit into memory; land it in several files"
                    problems.append(FileProblem(hour, printable(name), "too_large", text))
                except OSError as error:
                    problems.append(_unreadable(hour, name, error))
        counts = {hour: len(files) for hour, files in landing.files.items()}
        misplaced = [name for names in landing.misplaced.values() for name in names]
        ignored = [name for names in landing.ignored.values() for name in names]
        return Fetched(landed, problems, counts, misplaced, ignored)


def misplaced_text(names: Sequence[str]) -> str:
    """One sentence that names the files and the remedy, for log, check and doctor."""
    names = list(map(printable, names))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"Not read, because the path fits no hour: {', '.join(names[:3])}{more}. Move it to"
        f" {LAYOUTS} (UTC) and materialize that hour."
    )


def ignored_text(names: Sequence[str]) -> str:
    """One clause that names the files that patterns leave out, for log, doctor and preview."""
    shown = sorted(map(printable, names))[:3]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} left out: {', '.join(shown)}{more}"


def _day_numbers(parts: tuple[str, ...]) -> tuple[int, ...] | None:
    """Year, month and day as far as the path names them; None if it can lead to no day."""
    whole = _DAY.fullmatch(parts[0]) if len(parts) == 1 else None
    if whole:
        numbers = tuple(map(int, whole.groups()))
    else:
        found = [p.fullmatch(part) for p, part in zip(_SPLIT_DAY, parts, strict=False)]
        if not all(found):
            return None
        numbers = tuple(int(match[1]) for match in found if match)
    try:
        date(*numbers, *(1, 1, 1)[len(numbers) :])
    except ValueError:
        return None
    return numbers


def hour_of_path(parts: Sequence[str]) -> datetime | None:
    """The hour of a file by its path below the folder of a table; None if it fits none."""
    for depth in (1, 3):
        numbers = _day_numbers(tuple(parts[:depth]))
        if numbers and len(numbers) == 3 and len(parts) > depth:
            return _hour_of(datetime(*numbers, tzinfo=UTC), parts[depth])
    return None


def _hour_of(day: datetime, name: str) -> datetime | None:
    match = _HOUR.fullmatch(name)
    return day + timedelta(hours=int(match[1])) if match and int(match[1]) < 24 else None


def _unreadable(hour: datetime, name: str, error: OSError) -> FileProblem:
    return FileProblem(hour, printable(name), "unreadable", error.strerror or type(error).__name__)


def read_file(root: UPath, name: str, parts: tuple[str, ...], size: int | None = None) -> RawRows:
    """The rows of a file, or of a part whose folder names the format, as in `orders.csv/0.part`.

    Raises:
        UnreadableFile: it cannot be read, or a link in its path leads out of `root`.
        OSError: it cannot be opened.
    """
    path = root / name
    if is_local(root) and not Path(path.path).resolve().is_relative_to(Path(root.path).resolve()):
        raise UnreadableFile(
            "link_leads_out", "a link leads out of the landing folder; land the file itself"
        )
    for part in reversed(parts):
        if part.endswith(EXTENSIONS):
            # Stores refuse to read from the start of nothing.
            return read_rows(part, read_whole(path) if size != 0 else b"")
    raise UnreadableFile(
        "unknown_format", f"its name ends in none of {', '.join(EXTENSIONS)}; rename it"
    )
