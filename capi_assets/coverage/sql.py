"""A short-lived DuckDB over Arrow tables, for the aggregations of coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import duckdb
import pyarrow as pa

from capi_assets.engine import open_cursor


@contextmanager
def duckdb_with(**tables: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC on which `tables` can be queried by name."""
    with open_cursor() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        yield connection


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
