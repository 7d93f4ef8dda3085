"""Rows that a SQL model has for an hour and that were not there when the hour was materialized.

The late files sensor calls it where `CAPI_WATCH_SQL` is on. A model shows no time of loading, so
rows are counted: one column is read, the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

import pyarrow.compute as pc

from capi_assets.contracts.base import Contract
from capi_assets.engine import open_cursor
from capi_assets.hours import floor_hour
from capi_assets.ingest.concat import concat_files
from capi_assets.ingest.late_files import LateHour
from capi_assets.ingest.our_columns import in_our_columns
from capi_assets.ingest.sources import SqlModel


@dataclass(frozen=True)
class HourOfModel:
    """How many rows a model has for an hour, and the newest time among them."""

    rows: int
    newest: datetime


def rows_by_hour(
    model: SqlModel, contract: type[Contract], hours: Sequence[datetime]
) -> dict[datetime, HourOfModel]:
    """What `model` has for each of `hours`, one query per day; hours without rows are left out.

    Raises:
        SourceError: the model fails.
    """
    wanted = [c for c in model.columns.columns(contract) if c.name == "occurred_at"]
    found: dict[datetime, HourOfModel] = {}
    with open_cursor() as connection:
        for day in _days(hours):
            (landed,) = model.fetch_times(day).landed
            times = concat_files(
                [in_our_columns(landed, wanted, model.columns, connection)], wanted, connection
            ).typed
            times = times.append_column(
                "hour", pc.floor_temporal(times["occurred_at"], unit="hour")
            )
            counted = times.group_by("hour").aggregate(
                [("occurred_at", "count"), ("occurred_at", "max")]
            )
            found |= {
                floor_hour(row["hour"]): HourOfModel(
                    row["occurred_at_count"], row["occurred_at_max"].astimezone(UTC)
                )
                for row in counted.to_pylist()
                if row["hour"] is not None
            }
    return {hour: found[hour] for hour in hours if hour in found}


def late_rows(
    table: str,
    found: Mapping[datetime, HourOfModel],
    ingested: Mapping[datetime, int],
    now: datetime,
) -> list[LateHour]:
    """The hours of which `found` has more rows than the `ingested`, in time order.

    `ingested` counts every row that the hour's last materialization read, also refused and
    repeated ones; an hour without an entry was never materialized and is not late.
    """
    return [
        LateHour(
            table,
            hour,
            of_hour.rows - ingested[hour],
            now,
            f"{of_hour.rows} {of_hour.newest.isoformat()}",
            "row",
        )
        for hour, of_hour in sorted(found.items())
        if of_hour.rows > ingested.get(hour, of_hour.rows)
    ]


def _days(hours: Sequence[datetime]) -> Iterator[list[datetime]]:
    for _, day in groupby(sorted(hours), lambda hour: hour.astimezone(UTC).date()):
        yield list(day)
