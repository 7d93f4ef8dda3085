"""What a source of visits and orders gives, and the source that is a SQL model.

A source only fetches: files that cannot be read become `FileProblem`s, the others raw tables. Their
columns and rows are checked in `validation.py`. The other source is in `landing_folder.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import orjson
import pyarrow as pa
import sqlalchemy as sa
from upath import UPath

from capi_assets.engine import open_duckdb, use_driver
from capi_assets.hours import hour_range
from capi_assets.ingest.column_map import PLAIN, ColumnMap
from capi_assets.ingest.database_errors import database_error_text
from capi_assets.ingest.readers import RawRows
from capi_assets.ingest.sql_text import is_one_statement, parameters_of, with_colons

# The first line of these errors quotes the model's text; other database errors may quote a row.
_WITHOUT_ROWS = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.IOException,
)


class SourceError(RuntimeError):
    """A source cannot be read at all; the message names it and the remedy."""


@dataclass(frozen=True)
class LandedTable:
    """Rows of one file or SQL model; `hour` is that of its folder, None for a SQL model."""

    hour: datetime | None
    source: str
    rows: RawRows


@dataclass(frozen=True)
class FileProblem:
    """A file that cannot be used: `reason` is a code, `detail` explains it."""

    hour: datetime
    source: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fetched:
    """What a source has for some hours; `misplaced` names files that fit no hour, `ignored` those
    that a pattern leaves out.

    `files_per_hour` is empty for a SQL model: no row then means an absent hour, as no file does.
    """

    landed: list[LandedTable]
    problems: list[FileProblem]
    files_per_hour: dict[datetime, int]
    misplaced: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


class Source(Protocol):
    """Where the rows of a set of hours come from; `ingest` calls both methods.

    Implemented by `LandingFolder` and `SqlModel`; `policies.py` makes one per table. `columns` is
    how its names and words become ours.
    """

    columns: ColumnMap

    def batches(self, hours: Sequence[datetime]) -> Iterator[list[datetime]]:
        """`hours` in their order, in groups to fetch together."""

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """Everything that landed for `hours`; `SourceError` if the source cannot be read."""


class SqlModel:
    """A `.sql` file that returns the table's columns for `[$hour_start, $hour_end)`, in UTC.

    The two are bound parameters, never text; any other `$name` is bound from `parameters`. It is
    one statement, run at a SQLAlchemy `url` or in DuckDB. In DuckDB it can read the files of
    `folders` and those that `parameters` name; nothing else, such as its process's environment.

        SqlModel("models/orders.sql", parameters={"shop": "pt"}).fetch(hours).landed
    """

    def __init__(
        self,
        path: str | Path,
        url: str | None = None,
        parameters: Mapping[str, str] | None = None,
        folders: Sequence[str] = (),
        columns: ColumnMap = PLAIN,
    ) -> None:
        self.columns = columns
        self.path = Path(path)
        self._url = url
        self._parameters = dict(parameters or {})
        self._folders = folders

    def __repr__(self) -> str:
        return f"SqlModel({self.path})"

    def batches(self, hours: Sequence[datetime]) -> Iterator[list[datetime]]:
        """One query for all of them: its cost is that of one scan."""
        if hours:
            yield list(hours)

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """One query for the whole span of `hours`.

        Raises:
            SourceError: the model is missing, needs a parameter that is not set, or fails.
        """
        return self._fetched(*self._bind(hours))

    def fetch_times(self, hours: Sequence[datetime]) -> Fetched:
        """As `fetch`, with the column of times only: for one who counts rows.

        Raises:
            SourceError: as of `fetch`, or the model cannot be a subquery.
        """
        sql, bound = self._bind(hours)
        name = self.columns.sources.get("occurred_at", "occurred_at")
        column = name if re.fullmatch(r"[a-z_]\w*", name) else '"' + name.replace('"', '""') + '"'
        return self._fetched(f"SELECT {column} FROM (\n{sql}\n) AS model", bound)

    def _fetched(self, sql: str, bound: dict[str, Any]) -> Fetched:
        try:
            table = self._in_duckdb(sql, bound) if self._url is None else self._at_url(sql, bound)
        except (duckdb.Error, sa.exc.SQLAlchemyError, ImportError) as error:
            text = _error_text(error, sql)
            raise SourceError(f"The SQL model {self.path} failed: {text}") from None
        lines = pa.nulls(table.num_rows, pa.int64())
        landed = LandedTable(None, str(self.path), RawRows(table, lines))
        return Fetched([landed], [], {})

    def _bind(self, hours: Sequence[datetime]) -> tuple[str, dict[str, Any]]:
        start, end = hour_range(hours)
        try:
            sql = self.path.read_text(encoding="utf-8").rstrip().rstrip(";")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SourceError(
                f"Cannot read the SQL model {self.path}: {why}. Check CAPI_VISITS_SQL and"
                " CAPI_ORDERS_SQL."
            ) from None
        known: dict[str, Any] = {**self._parameters, "hour_start": start, "hour_end": end}
        asked = parameters_of(sql)
        if not is_one_statement(sql):
            raise SourceError(f"The SQL model {self.path} is not one SELECT statement.")
        if missing := sorted(name for name in asked if name.lower() not in known):
            needed = ", ".join(f"CAPI_SQL_{name.upper()}" for name in missing)
            raise SourceError(f"The SQL model {self.path} needs {needed}; set it in .env.")
        return sql, {name: known[name.lower()] for name in asked}

    def _in_duckdb(self, sql: str, bound: dict[str, Any]) -> pa.Table:
        with open_duckdb() as connection:
            statements = connection.extract_statements(sql)
            if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
                raise SourceError(f"The SQL model {self.path} is not one SELECT statement.")
            allow_only(connection, [*self._folders, *self._parameters.values()])
            return connection.sql(sql, params=bound).to_arrow_table()

    def _at_url(self, sql: str, bound: dict[str, Any]) -> pa.Table:
        assert self._url is not None
        engine = sa.create_engine(self._url)
        try:
            with engine.connect() as connection:
                result = connection.execute(sa.text(with_colons(sql)), bound)
                names = list(result.keys())
                rows = result.fetchall()
        finally:
            engine.dispose()
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
        return pa.table({n: _array(c) for n, c in zip(names, columns, strict=True)})


def allow_only(connection: duckdb.DuckDBPyConnection, places: Iterable[str]) -> None:
    """Lets queries read `places` and nothing else, for good: files, folders, patterns of files and
    folders in object stores, which are read by fsspec's drivers."""
    folders, files = [], []
    for place in places:
        fixed = re.split(r"[*?\[]", place)[0]
        if "://" in place:
            folder = UPath(fixed.rpartition("/")[0] if fixed != place else place)
            use_driver(connection, folder)
            # As a model writes it, and as the driver lists it.
            folders += [str(folder), f"{folder.protocol}://{folder.path}"]
        elif fixed != place:
            folders.append(str(Path(f"{fixed}x").absolute().parent))
        elif Path(place).is_dir():
            folders.append(str(Path(place).absolute()))
        elif place.strip():
            # A DuckDB file comes with its log of writes.
            files += [str(Path(place).absolute()), f"{Path(place).absolute()}.wal"]
    for name, value in (
        ("allowed_directories", folders),
        ("allowed_paths", files),
        ("enable_external_access", False),
        ("lock_configuration", True),
    ):
        connection.execute(f"SET {name} = $value", {"value": value})


def _error_text(error: Exception, sql: str) -> str:
    """A message without personal data or secrets: a database's own may quote its URL or a row."""
    if isinstance(error, duckdb.PermissionException):
        return (
            "it may read the landing folder, the places that CAPI_SQL_* name and those of"
            " CAPI_MODEL_FOLDERS, and no other file."
        )
    if isinstance(error, _WITHOUT_ROWS):
        # Later lines may quote a row; after a question mark is the signature of a signed URL.
        return re.sub(r"\?[^\s\"']+", "?…", str(error).splitlines()[0][:300])
    if isinstance(error, ImportError):
        return f"the driver of its database is not installed ({error.name})."
    text = type(error).__name__
    if isinstance(error, sa.exc.SQLAlchemyError):
        text = database_error_text(error, sql)
    return f"{text}. Run it by hand to see which row or setting is the cause."


def _array(values: Sequence[Any]) -> pa.Array:
    """Database values as Arrow; values of several types become text and are cast later."""
    if any(isinstance(value, (dict, list)) for value in values):
        # As Arrow structs, every row would have the keys of all rows.
        return pa.array([None if v is None else _json(v) for v in values], pa.string())
    # pandera's import makes pyarrow drop the offset of times that are not in UTC.
    values = [
        v.astimezone(UTC) if isinstance(v, datetime) and v.tzinfo is not None else v for v in values
    ]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if v is None else str(v) for v in values], pa.string())


def _json(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
