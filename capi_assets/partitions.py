"""The partitions that assets share: hours, and days for what Meta reports once a day.

Keys are UTC only: local hours repeat or vanish when clocks change. Arithmetic with hours is in
`hours.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from dagster import DailyPartitionsDefinition, HourlyPartitionsDefinition


@dataclass(frozen=True)
class Partitions:
    """`hourly` from a start up to and including the open hour, which may be materialized early;
    `daily` from the day of that start up to and including today."""

    hourly: HourlyPartitionsDefinition
    daily: DailyPartitionsDefinition

    @classmethod
    def since(cls, start: datetime) -> Self:
        """Partitions from `start` (a whole hour, UTC) on: `Settings.start_date`."""
        return cls(
            HourlyPartitionsDefinition(start_date=start, timezone="UTC", end_offset=1),
            DailyPartitionsDefinition(
                start_date=start.replace(hour=0), timezone="UTC", end_offset=1
            ),
        )
