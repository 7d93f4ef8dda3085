"""`data/capi.duckdb`: views over the lake for people, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa

from capi_assets.coverage.outcomes import ORDER_OUTCOMES, OUTCOMES_INPUTS, OUTCOMES_VIEW
from capi_assets.engine import columns_of, use_driver
from capi_assets.lake import Lake


def build_views(lake: Lake, target: Path) -> list[str]:
    """Rebuilds the file of views and returns their names; one per table of the lake.

    Views read the Parquet files when they are queried, so they never go stale; rebuild only after
    a new table appeared. The file is replaced whole, so that open readers keep theirs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.tmp")
    aside.unlink(missing_ok=True)
    with duckdb.connect(aside) as connection:
        names = create_views(lake, connection)
    os.replace(aside, target)
    return names


def create_views(lake: Lake, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Creates a view per table of the lake, and `order_outcomes`; returns their names.

    `order_outcomes` has one row per order with the stage it ended in, as the waterfall counts it.
    """
    if not lake.is_local:
        # A file of views needs DuckDB's own extension for stores where it is opened.
        use_driver(connection, lake.root)
    names = lake.tables()
    for name in names:
        files = f"{lake.address}/{name}/date=*/hour=*/part.parquet".replace("'", "''")
        quoted = name.replace('"', '""')
        connection.execute(
            f'CREATE VIEW "{quoted}" AS SELECT * FROM'
            f" read_parquet('{files}', union_by_name=true, hive_partitioning=false)"
        )
    if "matched_events" not in names:
        return names
    inputs = ", ".join(
        f"{name} AS ({_typed(name, schema, name in names, connection)})"
        for name, schema in OUTCOMES_INPUTS.items()
    )
    connection.execute(f"CREATE VIEW {ORDER_OUTCOMES} AS WITH {inputs} {OUTCOMES_VIEW}")
    return sorted([*names, ORDER_OUTCOMES])


def _typed(
    name: str, schema: pa.Schema, is_stored: bool, connection: duckdb.DuckDBPyConnection
) -> str:
    """SQL for the rows of a table with the columns of `schema`; none where it is not stored."""
    stored = connection.sql(f"SELECT * FROM main.{name}").columns if is_stored else []
    columns = columns_of(schema, stored, connection)
    return f"SELECT {columns} FROM main.{name}" if is_stored else f"SELECT {columns} WHERE false"
