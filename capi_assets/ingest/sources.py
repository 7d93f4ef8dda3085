"""Where visits and orders come from: the landing folders of hours, or a SQL model for a range.

A source only fetches; it names the files that cannot be read and hands over the rest. What the
columns mean, and which rows are good, is judged in `landing.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from upath import UPath

from capi_assets.ingest.readers import EXTENSIONS, RawRows, UnreadableFile, read_rows
from capi_assets.partitions import span

_PARAMETER = re.compile(r"(?<![\w$:])\$([a-z_][a-z0-9_]*)\b")


class SourceError(RuntimeError):
    """A source as a whole cannot be read; the message names it and the remedy."""


@dataclass(frozen=True)
class Landed:
    """Rows of one file or model; `hour` is its folder's, or None where rows choose their own."""

    hour: datetime | None
    source: str
    rows: RawRows


@dataclass(frozen=True)
class FileProblem:
    """A file that was refused whole."""

    hour: datetime
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fetched:
    """What a source gave for some hours."""

    landed: list[Landed]
    problems: list[FileProblem]
    files_per_hour: dict[datetime, int]


class Source(Protocol):
    """Anything that can fetch the rows of a set of hours."""

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """Everything that landed for `hours`."""


class LandingFolder:
    """`{root}/{table}/YYYY-MM-DD/HH/*` in any mix of Parquet, CSV and JSON lines.

    Names that begin with a dot or an underscore, or end in `.tmp`, are files being written.
    """

    def __init__(self, root: str | Path | UPath, table: str) -> None:
        self.root = UPath(root)
        self.table = table

    def folder(self, hour: datetime) -> UPath:
        """The folder of an hour."""
        hour = hour.astimezone(UTC)
        return self.root / self.table / f"{hour:%Y-%m-%d}" / f"{hour:%H}"

    def files(self, hour: datetime) -> list[UPath]:
        """The files of an hour, by name."""
        folder = self.folder(hour)
        if not folder.exists():
            return []
        return sorted(
            (
                path
                for path in folder.iterdir()
                if not path.name.startswith((".", "_"))
                and not path.name.endswith(".tmp")
                and path.is_file()
            ),
            key=lambda path: path.name,
        )

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """Reads every file of `hours`.

        Raises:
            SourceError: the landing folder itself is not there.
        """
        if not self.root.exists():
            raise SourceError(
                f"The landing folder {self.root} does not exist. Create it, or point CAPI_LANDING"
                f" to where {self.table} land."
            )
        landed, problems, counts = [], [], {}
        for hour in hours:
            files = self.files(hour)
            counts[hour] = len(files)
            for path in files:
                name = path.relative_to(self.root).as_posix()
                try:
                    landed.append(Landed(hour, name, _read(path)))
                except UnreadableFile as error:
                    problems.append(FileProblem(hour, name, error.reason, str(error)))
        return Fetched(landed, problems, counts)


def _read(path: UPath) -> RawRows:
    if not path.name.endswith(EXTENSIONS):
        raise UnreadableFile(
            "unknown_format", f"its name ends in none of {', '.join(EXTENSIONS)}; rename it"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFile("unreadable", error.strerror or type(error).__name__) from None
    return read_rows(path.name, data)


class SqlModel:
    """A `.sql` file that returns the table's columns for `[$hour_start, $hour_end)`.

    Bounds are bound parameters, never text. Any other `$name` is bound from `parameters`. The
    model runs in DuckDB (over files and object stores) or at a SQLAlchemy URL.
    """

    def __init__(
        self, path: str | Path, url: str | None = None, parameters: Mapping[str, str] | None = None
    ) -> None:
        self.path = Path(path)
        self._url = url
        self._parameters = dict(parameters or {})

    def __repr__(self) -> str:
        return f"SqlModel({self.path})"

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """One query for the whole span of `hours`.

        Raises:
            SourceError: the model is missing, needs a parameter that is not set, or fails.
        """
        start, end = span(hours)
        sql, bound = self._bind(start, end)
        try:
            table = self._in_duckdb(sql, bound) if self._url is None else self._at_url(sql, bound)
        except (duckdb.Error, sa.exc.SQLAlchemyError) as error:
            # A database's own words may hold the URL or a row; its first line and class do not.
            words = type(error).__name__
            if isinstance(error, duckdb.Error):
                words = str(error).splitlines()[0][:300]
            raise SourceError(f"The SQL model {self.path} failed: {words}") from None
        lines = pa.nulls(table.num_rows, pa.int64())
        landed = Landed(None, str(self.path), RawRows(table, lines))
        return Fetched([landed], [], dict.fromkeys(hours, 1))

    def _bind(self, start: datetime, end: datetime) -> tuple[str, dict[str, Any]]:
        try:
            sql = self.path.read_text(encoding="utf-8").strip().rstrip(";")
        except OSError as error:
            raise SourceError(
                f"Cannot read the SQL model {self.path}: {error.strerror}. Check CAPI_VISITS_SQL"
                " and CAPI_ORDERS_SQL."
            ) from None
        known: dict[str, Any] = {**self._parameters, "hour_start": start, "hour_end": end}
        code = "\n".join(line.split("--", 1)[0] for line in sql.splitlines())
        asked = set(_PARAMETER.findall(code))
        if missing := sorted(asked - set(known)):
            needed = ", ".join(f"CAPI_SQL_{name.upper()}" for name in missing)
            raise SourceError(f"The SQL model {self.path} needs {needed}; set it in .env.")
        return sql, {name: known[name] for name in asked}

    def _in_duckdb(self, sql: str, bound: dict[str, Any]) -> pa.Table:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.sql(sql, params=bound).to_arrow_table()

    def _at_url(self, sql: str, bound: dict[str, Any]) -> pa.Table:
        assert self._url is not None
        engine = sa.create_engine(self._url)
        try:
            with engine.connect() as connection:
                result = connection.execute(sa.text(_PARAMETER.sub(r":\1", sql)), bound)
                names = list(result.keys())
                rows = result.fetchall()
        finally:
            engine.dispose()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return pa.table({n: _array(c) for n, c in zip(names, columns, strict=True)})


def _array(values: Sequence[Any]) -> pa.Array:
    """Database values as Arrow; kinds that do not mix become text and are cast later."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())
