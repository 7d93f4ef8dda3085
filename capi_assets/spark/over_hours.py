"""One task of the cluster for each hour: our own function of it, and a report that has no rows."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import orjson
import pyarrow as pa
from pydantic import TypeAdapter

from capi_assets.hours import hour_key
from capi_assets.ingest.sources import SourceError
from capi_assets.lake import LakeError
from capi_assets.spark.session import SparkError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")

REPORT = "report binary"
_WORDED: dict[str, type[Exception]] = {"LakeError": LakeError, "SourceError": SourceError}


def over_hours(
    session: SparkSession, hours: Sequence[datetime], work: Callable[[datetime], T], kind: type[T]
) -> list[T]:
    """`work` of each hour, a dataclass of type `kind`, in time order. A task whose worker dies is
    done again, so `work` must be safe to repeat.

    Raises:
        LakeError, SourceError: as `work` raised it.
        SparkError: any other error of `work`.
    """
    as_json = TypeAdapter(kind)

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column("id").to_pylist():
                yield report_of(hours[number], lambda hour: as_json.dump_json(work(hour)))

    frame = numbers_of(session, hours).mapInArrow(run, REPORT)
    return read_reports(frame.toArrow(), as_json)


def numbers_of(session: SparkSession, hours: Sequence[datetime]) -> DataFrame:
    """The column `id` with the place of each hour, a partition each."""
    return session.range(0, len(hours), 1, len(hours))


def report_of(hour: datetime, work: Callable[[datetime], bytes]) -> pa.RecordBatch:
    """On a worker: what `work` returns, or its error, of which nobody else may see the values."""
    try:
        report = b"+" + work(hour)
    except (LakeError, SourceError) as error:
        report = b"-" + orjson.dumps([type(error).__name__, str(error)])
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno}" for frame in frames]
        print(type(error).__name__, *places, sep="\n  ", file=sys.stderr)
        text = f"{hour_key(hour)}: {type(error).__name__} at {places[-1]}"
        report = b"-" + orjson.dumps(["", text])
    return pa.record_batch([pa.array([report], pa.binary())], names=["report"])


def read_reports(reports: pa.Table, as_json: TypeAdapter[T]) -> list[T]:
    """What the workers did; the first error, if any failed."""
    results = []
    for report in reports.column("report").to_pylist():
        if report[:1] == b"-":
            name, text = orjson.loads(report[1:])
            if name:
                raise _WORDED[name](text)
            raise SparkError(
                f"A worker of the cluster failed at {text}. Its log has the other places of the"
                " code; report it with them."
            )
        results.append(as_json.validate_json(report[1:]))
    return results
