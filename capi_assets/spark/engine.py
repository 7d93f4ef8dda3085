"""The three verbs of `engine.Engine` on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from capi_assets.storage.object_store import is_local, read_whole
from capi_assets.storage.stored_rows import conformed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


class SparkEngine:
    """SQL in one session of Spark Connect, whose workers reach the files under the same paths.

    engine = SparkEngine(session)
    engine.register("visits", lake.paths("visits", hours), arrow_schema(Visits))
    engine.query("SELECT count(*) FROM visits")
    """

    def __init__(self, session: SparkSession) -> None:
        self.session = session
        self._kept: dict[str, DataFrame] = {}

    def register(self, name: str, source: pa.Table | Sequence[UPath], schema: pa.Schema) -> None:
        """Makes a table, or Parquet files, readable as `name` with the columns of `schema`.

        A column that a file lacks is null; without files `name` is an empty table. Files of a store
        are read by the workers' own drivers (s3fs and the like), not by Spark's.
        """
        if isinstance(source, pa.Table) or not source:
            table = source if isinstance(source, pa.Table) else schema.empty_table()
            frame = self.session.createDataFrame(table.select(schema.names))
        elif is_local(source[0]):
            reader = self.session.read.schema(spark_schema(schema))
            frame = reader.parquet(*(f"file://{path.absolute().path}" for path in source))
        else:
            frame = self._of_a_store([str(path) for path in source], schema)
        frame.createOrReplaceTempView(name)

    def materialize(self, name: str, sql: str) -> None:
        """Runs `sql` once and keeps its result as the view `name`."""
        self.keep(name, self.session.sql(sql))

    def keep(self, name: str, frame: DataFrame) -> None:
        """`materialize` of a frame.

        It is kept on two workers, so that one may die. A frame that is only cached would be planned
        again with all that it came from, at every use of its name: most of the time of a small
        range.
        """
        from pyspark import StorageLevel

        kept = frame.localCheckpoint(True, StorageLevel.MEMORY_AND_DISK_2)
        self._kept[name] = kept  # the cluster forgets it with the last reference
        kept.createOrReplaceTempView(name)

    def query(self, sql: str) -> pa.Table:
        """The result of `sql` in Arrow."""
        return self.session.sql(sql).toArrow()

    def _of_a_store(self, urls: list[str], schema: pa.Schema) -> DataFrame:
        def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for number in batch.column("id").to_pylist():
                    content = pa.BufferReader(read_whole(UPath(urls[number])))
                    yield from conformed(pq.read_table(content), schema).to_batches()

        numbers = self.session.range(0, len(urls), 1, len(urls))
        return numbers.mapInArrow(read, spark_schema(schema))


_TYPES = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
}


def spark_schema(schema: pa.Schema) -> str:
    """The columns with their types in Spark's SQL."""
    return ", ".join(
        f"`{field.name}` {'timestamp' if pa.types.is_timestamp(field.type) else _TYPES[field.type]}"
        for field in schema
    )
