"""`capi-assets sql`: one SELECT over the lake's tables, without changing anything.

    rows = query_lake(Lake("data/lake"), "SELECT status, count(*) FROM delivery_results GROUP BY 1")

The query sees the views of `capi-assets views`, of the hours as they are now, and reads no other
file.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from capi_assets.commands.views import create_views
from capi_assets.coverage.tables import Table
from capi_assets.engine import open_duckdb
from capi_assets.ingest.sources import allow_only
from capi_assets.lake import Lake


class QueryError(ValueError):
    """The query cannot be run; the message is DuckDB's, or what else is wrong."""


def query_lake(lake: Lake, sql: str) -> pa.Table:
    """The result of one SELECT statement.

    Raises:
        QueryError: it is not one SELECT, or DuckDB refuses it.
    """
    with open_duckdb() as connection:
        try:
            statements = connection.extract_statements(sql)
            if [each.type for each in statements] != [duckdb.StatementType.SELECT]:
                raise QueryError("Write one SELECT statement; nothing can be changed here.")
            if not create_views(lake, connection):
                raise QueryError(f"No table is stored in {lake.root} yet: materialize some hours.")
            allow_only(connection, [lake.address])
            return connection.sql(sql).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error)) from None


def as_table(rows: pa.Table) -> Table:
    """The rows for the terminal."""
    body = [list(map(_cell, row.values())) for row in _records(rows)]
    return Table(rows.column_names, body)


def as_json(rows: pa.Table) -> str:
    """A list of objects; times as ISO 8601 in UTC, what JSON has no type for as text."""
    return json.dumps(list(_records(rows)), indent=2, default=_text)


def as_csv(rows: pa.Table) -> str:
    """A header and a line per row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.column_names)
    for row in _records(rows):
        writer.writerow("" if cell is None else _cell(cell) for cell in row.values())
    return text.getvalue()


def _records(rows: pa.Table) -> Iterable[dict[str, object]]:
    if len(set(rows.column_names)) < rows.num_columns:
        raise QueryError("Several columns have the same name; name them with AS.")
    for batch in rows.to_batches():
        yield from batch.to_pylist()


def _cell(value: object) -> str | int | float | None:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, default=_text)
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)
