"""A short-lived DuckDB over Arrow tables, for the aggregations of coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import duckdb
import pyarrow as pa

from capi_assets.engine import limit_memory, open_cursor, open_duckdb

BUSY_ROWS = 200_000
"""Rows that take a few hundred megabytes: to open a database for them is no cost that counts."""


@contextmanager
def duckdb_with(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC on which `tables` can be queried by name."""
    with open_cursor() as connection:
        _register(connection, tables)
        yield connection


@contextmanager
def duckdb_with_orders(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same with a row per order; for a busy hour a database of its own, which spills what does
    not fit into its memory."""
    if max(table.num_rows for table in tables.values()) <= BUSY_ROWS:
        with duckdb_with(**tables) as connection:
            yield connection
        return
    with open_duckdb() as connection:
        limit_memory(connection)
        _register(connection, tables)
        yield connection


def _register(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    for name, table in tables.items():
        connection.register(name, table)


def query(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    parameters: Mapping[str, Any] | None = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """The result of `sql`, with `$name` bound from `parameters`; with a schema, its columns."""
    table = connection.sql(sql, params=dict(parameters or {})).to_arrow_table()
    if schema is not None:
        table = table.select(schema.names).cast(schema)
    return cast(pa.Table, table)
