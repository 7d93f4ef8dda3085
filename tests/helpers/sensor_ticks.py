"""Sensors evaluated as the daemon does it: their events are written, their cursor goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import orjson

from capi_assets.defs.automation.coverage_sensor import build_coverage_sensor
from capi_assets.defs.automation.landing_sensor import build_landing_sensor
from capi_assets.defs.automation.late_files_sensor import build_late_files_sensor
from capi_assets.defs.automation.schedules import build_hourly_jobs
from capi_assets.hours import HOUR, hours_between, key_hour
from tests.helpers.asset_harness import AssetHarness

_BUILD = {
    "coverage_sensor": build_coverage_sensor,
    "landing_sensor": build_landing_sensor,
    "late_files_sensor": build_late_files_sensor,
}


class SensorTicks:
    """Evaluations of one sensor; settings by their name, such as `auto_backfill=True`."""

    def __init__(
        self, world: AssetHarness, sensor: str = "coverage_sensor", **settings: Any
    ) -> None:
        self.world = world
        self.settings = world.settings(**settings)
        self.build = _BUILD[sensor]
        self.cursor: str | None = None

    def evaluate(self, at: datetime) -> Any:
        """What the sensor returns at a moment; nothing of it is kept."""
        settings = self.settings.model_copy(update={"now": at})
        (sensor,) = self.build(settings, build_hourly_jobs(settings)).sensors or ()
        assert isinstance(sensor, dg.SensorDefinition)
        context = dg.build_sensor_context(instance=self.world.instance, cursor=self.cursor)
        return sensor(context)

    def look(self, at: datetime) -> dg.SensorResult:
        """One evaluation at a moment, whose events and cursor are kept."""
        result = self.evaluate(at)
        assert isinstance(result, dg.SensorResult)
        for event in result.asset_events or []:
            # As the daemon writes them; a second evaluation of one hour would break here.
            self.world.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result

    def run(self, result: dg.SensorResult, at: datetime) -> None:
        """Materializes what was requested of `deliver_hour`, as the daemon would."""
        for first, last in requested(result, self.settings.prefixed("deliver_hour")):
            self.world.run(first, last, at=at)


class Receiver(list[dict[str, Any]]):
    """What was posted to `url` as JSON documents."""

    url = ""


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Takes JSON alerts on this machine."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/alerts"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()


def requested(result: dg.SensorResult, job: str | None) -> list[tuple[datetime, datetime]]:
    """First and last hour of each requested run."""
    return [
        (
            key_hour(request.tags["dagster/asset_partition_range_start"]),
            key_hour(request.tags["dagster/asset_partition_range_end"]),
        )
        for request in result.run_requests or []
        if request.job_name in (job, None)
    ]


def hours_of(result: dg.SensorResult, job: str) -> list[datetime]:
    """Every hour that was requested."""
    return [h for a, b in requested(result, job) for h in hours_between(a, b + HOUR)]
