"""Whether schedules and sensors run as soon as they are loaded (CAPI_AUTOSTART)."""

from __future__ import annotations

import dagster as dg

from capi_assets.settings import Settings


def schedule_status(settings: Settings, wanted: bool = True) -> dg.DefaultScheduleStatus:
    """The initial status of a schedule; one that is not `wanted` is started by a person."""
    if settings.autostart and wanted:
        return dg.DefaultScheduleStatus.RUNNING
    return dg.DefaultScheduleStatus.STOPPED


def sensor_status(settings: Settings) -> dg.DefaultSensorStatus:
    """The initial status of a sensor."""
    if settings.autostart:
        return dg.DefaultSensorStatus.RUNNING
    return dg.DefaultSensorStatus.STOPPED
