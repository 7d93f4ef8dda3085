"""One file as a source of its own, wherever it is: what `capi-assets preview FILE` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.compute as pc
from upath import UPath

from capi_assets.contracts.base import Contract
from capi_assets.hours import floor_hour
from capi_assets.ingest.column_map import ColumnMap
from capi_assets.ingest.concat import concat_files
from capi_assets.ingest.landing_folder import hour_of_path, read_file
from capi_assets.ingest.our_columns import NOT_USED, in_our_columns
from capi_assets.ingest.sources import Fetched, LandedTable


class OneFile:
    """The rows of a file of any hours; of its own hour if it is in the landing folder `root`.

    Attributes:
        hours: those that its rows are of, at least one.
        unknown_columns: names that neither the contract nor the column map has.

    Raises:
        UnreadableFile, OSError: it cannot be read.
    """

    def __init__(
        self,
        path: Path,
        root: Path,
        table: str,
        contract: type[Contract],
        columns: ColumnMap,
        connection: duckdb.DuckDBPyConnection,
        now: datetime,
    ) -> None:
        self.columns = columns
        rows = read_file(UPath(path.parent), path.name, (path.name,))
        own = path.absolute()
        folder = (root / table).absolute()
        hour = hour_of_path(own.relative_to(folder).parts) if own.is_relative_to(folder) else None
        wanted = columns.columns(contract)
        mapped = in_our_columns(LandedTable(hour, str(path), rows), wanted, columns, connection)
        names = mapped.rows.table.column_names
        ours = {column.name for column in wanted}
        self.unknown_columns = [n for n in names if n not in ours and not n.startswith(NOT_USED)]
        if hour is None:
            times = concat_files(
                [mapped], [c for c in wanted if c.name == "occurred_at"], connection
            ).typed["occurred_at"]
            found = pc.unique(pc.floor_temporal(times.combine_chunks(), unit="hour"))
            self.hours = sorted(found.drop_null().to_pylist()) or [floor_hour(now)]
        else:
            self.hours = [hour]
        required = {c.name for c in wanted if c.required and "default" not in c.metadata}
        if not required <= {*names}:
            hour = hour or self.hours[0]  # a file without them is refused with its reason
        self._landed = LandedTable(hour, str(path), rows)

    def batches(self, hours: Sequence[datetime]) -> Iterator[list[datetime]]:
        """All at once: it is in memory."""
        yield list(hours)

    def fetch(self, hours: Sequence[datetime]) -> Fetched:
        """The file."""
        return Fetched([self._landed], [], dict.fromkeys(hours, 1))
