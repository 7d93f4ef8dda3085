"""`data/capi.duckdb`: views over the lake for people, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

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
    """Creates a view per table of the lake and returns their names."""
    names = lake.tables()
    root = lake.root.absolute().as_posix() if lake.is_local else str(lake.root).rstrip("/")
    for name in names:
        files = f"{root}/{name}/date=*/hour=*/part.parquet".replace("'", "''")
        quoted = name.replace('"', '""')
        connection.execute(
            f'CREATE VIEW "{quoted}" AS SELECT * FROM'
            f" read_parquet('{files}', union_by_name=true, hive_partitioning=false)"
        )
    return names
