"""The sensor that delivers an open hour as soon as orders land in it.

Which hours are due is decided in `ingest/new_orders.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from capi_assets.coverage.formatting import count
from capi_assets.defs.automation.active_runs import active_hours
from capi_assets.defs.automation.landed_hours import is_open, read_at
from capi_assets.defs.automation.schedules import HourlyJobs
from capi_assets.defs.autostart import sensor_status
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.late_files import landed_files
from capi_assets.ingest.new_orders import hours_with_new_orders
from capi_assets.policies import orders_source, visits_source
from capi_assets.settings import Settings

# With a run of some ten seconds, orders are at Meta within a minute; a look costs a listing of
# two days at most, and three queries.
_EVERY_SECONDS = 15


def build_landing_sensor(settings: Settings, jobs: HourlyJobs) -> dg.Definitions:
    """The sensor `landing_sensor`."""

    @dg.sensor(
        name=settings.prefixed("landing_sensor"),
        job=jobs.deliver_hour,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=sensor_status(settings),
        description=(
            "Delivers the open hour as soon as files of orders land in it, so that they reach Meta"
            " within a minute; at most one run a minute, none when nothing is new. Where the"
            " landed visits are more than a minute behind, deliver_current_hour does it. Reads"
            " landing folders; SQL models have no landing."
        ),
    )
    def landing_sensor(
        context: dg.SensorEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        return _evaluate(context, settings, settings.now or datetime.now(UTC))

    return dg.Definitions(sensors=[landing_sensor])


def _evaluate(
    context: dg.SensorEvaluationContext, settings: Settings, now: datetime
) -> list[dg.RunRequest] | dg.SkipReason:
    orders, visits = orders_source(settings), visits_source(settings)
    if not isinstance(orders, LandingFolder):
        return dg.SkipReason("Orders come from a SQL model: deliver_current_hour delivers them.")
    hours = [
        hour
        for hour in hours_between(floor_hour(now) - 2 * HOUR, floor_hour(now) + HOUR)
        if is_open(hour, settings, now) and hour >= settings.start_date
    ]
    landed = landed_files(orders, hours)
    if not landed:
        return dg.SkipReason("No order has landed in the open hours yet.")
    due = hours_with_new_orders(
        landed,
        landed_files(visits, hours) if isinstance(visits, LandingFolder) else None,
        read_at(context.instance, settings, landed),
        now,
    )
    if due:
        busy = active_hours(context.instance, settings, now)
        due = [entry for entry in due if entry.hour not in busy]
    if not due:
        return dg.SkipReason("No new orders, or they are being delivered, or visits are behind.")
    context.log.info("%s of new orders", count(sum(entry.files for entry in due), "file"))
    return [
        dg.RunRequest(
            run_key=f"landed-{hour_key(entry.hour)}-{entry.mark}",
            partition_key=hour_key(entry.hour),
            tags={"capi_assets/pass": "landed"},
        )
        for entry in due
    ]
