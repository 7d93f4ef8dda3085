"""What the sensors of landing folders share: which hours are open, and when an hour's files were
last read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import dagster as dg

from capi_assets.defs.automation.active_runs import done_at, started_at
from capi_assets.defs.names import asset_key
from capi_assets.hours import HOUR
from capi_assets.ingest.late_files import LandedFile
from capi_assets.lake import Lake
from capi_assets.settings import Settings

# An hour that has just settled is about to be read anyway.
_OWN_TURN = timedelta(minutes=2)
# No run takes that long from its start to the materialization of what it read.
_LONGEST_READ = timedelta(hours=1)


def is_open(hour: datetime, settings: Settings, now: datetime) -> bool:
    """Whether files of `hour` are still on time: `deliver_hourly` has not had its turn."""
    return hour + HOUR + settings.settle + _OWN_TURN > now


def read_at(
    instance: dg.DagsterInstance, settings: Settings, files: Sequence[LandedFile]
) -> dict[tuple[str, datetime], datetime]:
    """When the files of each table and hour were last read: not before the run that did so began.

    The materialization itself comes later, and a file may have landed in between. Hours that were
    never read are left out.
    """
    lake, newest = Lake(settings.lake), dict[tuple[str, datetime], datetime]()
    for file in files:
        key = (file.table, file.hour)
        newest[key] = max(file.changed_at, newest.get(key, file.changed_at))
    read: dict[tuple[str, datetime], datetime] = {}
    runs: dict[tuple[str, datetime], str] = {}
    for table in {table for table, _ in newest}:
        hours = sorted(hour for of, hour in newest if of == table)
        done = done_at(instance, asset_key(settings, table), hours)
        for hour, (at, run_id) in done.items():
            read[table, hour] = at
            if at - _LONGEST_READ < newest[table, hour] <= at:
                runs[table, hour] = run_id
        # Stored, but not by this Dagster: the store's own time must do.
        unknown = [hour for hour in hours if hour not in done]
        read |= {(table, h): at for h, at in lake.changed_at(table, unknown).items()}
    started = started_at(instance, runs.values())
    return read | {key: started[run_id] for key, run_id in runs.items() if run_id in started}
