"""The partitions that assets share: hours, and days for what Meta tells once a day.

Keys are UTC only: local hours repeat or vanish when clocks change. Importing this reads the
settings; arithmetic with hours is in `hours.py`.
"""

from __future__ import annotations

from datetime import datetime

from dagster import DailyPartitionsDefinition, HourlyPartitionsDefinition

from capi_assets.settings import read_settings


def hourly(start: datetime) -> HourlyPartitionsDefinition:
    """Hours from `start` up to and including the open one, which may be materialized early."""
    return HourlyPartitionsDefinition(start_date=start, timezone="UTC", end_offset=1)


def daily(start: datetime) -> DailyPartitionsDefinition:
    """Days in UTC from the one of `start` up to and including today."""
    return DailyPartitionsDefinition(start_date=start.replace(hour=0), timezone="UTC", end_offset=1)


HOURLY = hourly(read_settings().start_date)
DAILY = daily(read_settings().start_date)
