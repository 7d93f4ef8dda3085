"""DuckDB as every part uses it: opened in UTC and closed in; as matching and `explain` use it: name
tables or files, store a result, query.

Aggregations of coverage over tables in memory use `coverage/sql.py`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Protocol

import duckdb
import pyarrow as pa
from upath import UPath

from capi_assets.processes import spill_folder
from capi_assets.storage.object_store import READS_AT_ONCE, is_local, read_whole, unreadable


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory, in UTC. It loads no extension from disk or network, and spills to a
    folder of this process alone. Close it, or use it in a `with`."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "temp_directory": str(spill_folder()),
            # Extensions are code that DuckDB would download and run, of no pinned version.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
        },
    )
    # Global: the cursors of `open_cursor` are in UTC too.
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def open_cursor() -> duckdb.DuckDBPyConnection:
    """A connection to the one DuckDB of this process; close it, or use it in a `with`.

    It has registered tables and temporary tables of its own. To open a database takes 30 ms, a
    cursor 10 µs: for our own SQL over Arrow tables. What would reach other cursors needs
    `open_duckdb`: a team's SQL, file systems, views, other settings.
    """
    return _database(os.getpid()).cursor()


@cache
def _database(process: int) -> duckdb.DuckDBPyConnection:
    """One per process: a fork has the memory of its parent's, but not its threads."""
    return open_duckdb()


MIN_MEMORY_MB, MEMORY_MB_PER_THREAD = 512, 125
"""A usual hour takes less; to match one with a million orders takes 2 GB, or 8 CPU seconds more and
a gigabyte of temporary files. DuckDB's manual asks for 125 MB per thread."""


def limit_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Has all queries of this database spill what takes more memory than a usual hour does."""
    [(threads,)] = connection.sql("SELECT current_setting('threads')").fetchall()
    megabytes = max(MIN_MEMORY_MB, threads * MEMORY_MB_PER_THREAD)
    connection.execute(f"SET memory_limit = '{megabytes}MB'")


def use_driver(connection: duckdb.DuckDBPyConnection, folder: UPath) -> None:
    """Has queries read the store of `folder` by fsspec's driver: DuckDB's own extension is not
    loaded."""
    if not connection.filesystem_is_registered(folder.protocol):
        connection.register_filesystem(folder.fs)


def columns_of(
    schema: pa.Schema, stored: Collection[str], connection: duckdb.DuckDBPyConnection
) -> str:
    """SQL for the columns of `schema`; null in files that were written before it was there."""
    typed = connection.from_arrow(schema.empty_table())
    return ", ".join(
        f'"{column}"' if column in stored else f'NULL::{kind} AS "{column}"'
        for column, kind in zip(typed.columns, typed.types, strict=True)
    )


class Engine(Protocol):
    """Where joins run: three verbs over portable SQL. `DuckDBEngine`, or `SparkEngine` on a
    cluster (spark/engine.py)."""

    def register(self, name: str, source: pa.Table | Sequence[UPath], schema: pa.Schema) -> None:
        """Makes a table, or Parquet files, readable as `name` with the columns of `schema`."""

    def materialize(self, name: str, sql: str) -> None:
        """Runs `sql` once and keeps its result as `name`, for as long as the engine lives."""

    def query(self, sql: str) -> pa.Table:
        """The result of `sql` in Arrow."""


class DuckDBEngine:
    """DuckDB over Arrow tables and Parquet files, on a connection that the caller owns.

    Sets the database to UTC, to any order of rows (a query whose order matters says so), and to
    spill what takes more memory than a usual hour does.

        engine = DuckDBEngine(connection)
        engine.register("visits", lake.paths("visits", hours), arrow_schema(Visits))
        engine.query("SELECT count(*) FROM visits")
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._copies: TemporaryDirectory[str] | None = None
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET preserve_insertion_order = false")
        limit_memory(connection)

    def register(self, name: str, source: pa.Table | Sequence[UPath], schema: pa.Schema) -> None:
        """Makes a table, or Parquet files, readable as `name` with the columns of `schema`.

        A column that a file lacks is null; without files `name` is an empty table. Files of a store
        are copied first, for as long as this engine lives.

        Raises:
            LakeError: a file of a store cannot be read.
        """
        if isinstance(source, pa.Table) or not source:
            table = source if isinstance(source, pa.Table) else schema.empty_table()
            self.connection.register(name, table)
            return
        files = [path.path for path in source] if is_local(source[0]) else self._copied(source)
        stored = self.connection.from_parquet(files, union_by_name=True, hive_partitioning=False)
        columns = columns_of(schema, stored.columns, self.connection)
        self.connection.unregister(name)  # a table of that name would hide the view
        stored.project(columns).create_view(name, replace=True)

    def _copied(self, source: Sequence[UPath]) -> list[str]:
        """Local copies of the files of a store, one request each.

        DuckDB's extension for stores cannot be downloaded everywhere, and through fsspec it asks
        some 25 times for the properties of each file and fails if one is replaced meanwhile.
        """
        if self._copies is None:
            self._copies = TemporaryDirectory(dir=spill_folder(), ignore_cleanup_errors=True)
        folder = Path(mkdtemp(dir=self._copies.name))

        def copy(number: int, path: UPath) -> str:
            target = folder / f"{number}.parquet"
            try:
                content = read_whole(path)
            except OSError as error:
                raise unreadable(path, error) from error
            target.write_bytes(content)
            return str(target)

        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            return list(pool.map(copy, range(len(source)), source))

    def materialize(self, name: str, sql: str) -> None:
        """Runs `sql` once and stores its result as the temporary table `name`."""
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")

    def query(self, sql: str) -> pa.Table:
        """The result of `sql` in Arrow."""
        return self.connection.sql(sql).to_arrow_table()
