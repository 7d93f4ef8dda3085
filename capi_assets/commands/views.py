"""`data/capi.duckdb`: views over the lake for people, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa

from capi_assets.coverage.outcomes import ORDER_OUTCOMES, OUTCOMES_INPUTS, OUTCOMES_VIEW
from capi_assets.lake import Lake, LakeError
from capi_assets.object_store import is_object_store


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

    Raises:
        LakeError: the lake is in an object store.
    """
    if is_object_store(lake.root):
        raise LakeError(
            f"{lake.root} is in an object store: `views` and `sql` read lakes on disk only."
            " docs/object-storage.md has a query that DuckDB runs with its extension httpfs."
        )
    names = lake.tables()
    root = lake.root.absolute().as_posix() if lake.is_local else str(lake.root).rstrip("/")
    for name in names:
        files = f"{root}/{name}/date=*/hour=*/part.parquet".replace("'", "''")
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
    """SQL for the columns of `schema`: null where the stored files were written before there was
    such a column, no rows where the table is not stored."""
    stored = connection.sql(f"SELECT * FROM main.{name}").columns if is_stored else []
    typed = connection.from_arrow(schema.empty_table())
    columns = ", ".join(
        f'"{column}"' if column in stored else f'NULL::{kind} AS "{column}"'
        for column, kind in zip(typed.columns, typed.types, strict=True)
    )
    return f"SELECT {columns} FROM main.{name}" if is_stored else f"SELECT {columns} WHERE false"
