"""Whether schedules and sensors run as soon as they are loaded (CAPI_AUTOSTART)."""

from __future__ import annotations

import dagster as dg

from capi_assets.settings import read_settings

_ON = read_settings().autostart

SENSOR_STATUS = dg.DefaultSensorStatus.RUNNING if _ON else dg.DefaultSensorStatus.STOPPED


def schedule_status(wanted: bool = True) -> dg.DefaultScheduleStatus:
    """The status of a schedule to begin with; one that is not `wanted` waits for a person."""
    if _ON and wanted:
        return dg.DefaultScheduleStatus.RUNNING
    return dg.DefaultScheduleStatus.STOPPED
