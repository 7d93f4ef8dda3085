"""Ingest of landing folders on a cluster: each hour is read, hashed and stored by a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from capi_assets.engine import open_cursor
from capi_assets.spark.over_hours import over_hours
from capi_assets.stages.ingest import IngestStage, Stored, joined

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def ingest_hours(session: SparkSession, stage: IngestStage, hours: Sequence[datetime]) -> Stored:
    """`stage.run`, an hour at a time on the workers, which reach landing folder and lake.

    Raises:
        SourceError, LakeError: as of `IngestStage.run`.
        SparkError: the cluster failed.
    """

    def work(hour: datetime) -> Stored:
        with open_cursor() as connection:
            return stage.run([hour], connection)

    return joined(over_hours(session, hours, work, Stored))
