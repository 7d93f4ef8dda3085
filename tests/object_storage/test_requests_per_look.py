"""What the sensors ask of a store each minute does not grow with what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from capi_assets.contracts.base import arrow_schema
from capi_assets.hours import floor_hour
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.asset_harness import TABLES, AssetHarness
from tests.helpers.health_rows import health, row
from tests.helpers.object_store import ObjectStore, upload
from tests.helpers.sensor_ticks import SensorTicks

NOW = datetime(2026, 11, 29, 12, 20, tzinfo=UTC)
DAY = timedelta(days=1)
SENSORS = ("coverage_sensor", "late_files_sensor", "landing_sensor")
PAGE = Path(__file__).parents[2] / "docs" / "object-storage.md"


def fill(folder: Path, days: range) -> None:
    """An hour of each day, landed and materialized; what only the last days are asked for is in
    these alone. A listing costs the same for all 24."""
    lake = Lake(folder / "lake")
    for back in days:
        hour = floor_hour(NOW) - timedelta(hours=2) - back * DAY
        lake.write("attribution_health", hour, health(row(hour, delivered=20)))
        for table in ("visits", "quarantined_orders", "matched_events", "delivery_results"):
            if back < 10:
                lake.write(table, hour, arrow_schema(TABLES[table]).empty_table())
        for table in ("visits", "orders"):
            file = folder / "landing" / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / "a.jsonl"
            file.parent.mkdir(parents=True)
            file.write_text("{}\n")


def look(ticks: SensorTicks) -> None:
    ticks.cursor = getattr(ticks.evaluate(NOW), "cursor", None)


def test_requests_per_look_are_bounded_and_as_documented(
    store: ObjectStore, tmp_path: Path
) -> None:
    bucket, page = store.bucket("looks"), PAGE.read_text()
    overrides = {"lake": f"{bucket}/lake", "landing": f"{bucket}/landing"}
    with SandboxServer() as meta:
        world = AssetHarness(tmp_path, dg.DagsterInstance.ephemeral(), meta, NOW, overrides)
        ticks = {name: SensorTicks(world, name, start_date=NOW - 60 * DAY) for name in SENSORS}
        for new in (range(1), range(1, 8), range(8, 35)):
            fill(tmp_path / str(new.stop), new)
            upload(tmp_path / str(new.stop), bucket)
            counts = []
            for name in SENSORS:
                look(ticks[name])  # reads what is new
                before = len(store.requests())
                look(ticks[name])
                counts.append(len(store.requests()) - before)
            line = f"| {' | '.join(map(str, (new.stop, *counts)))} |"
            assert line in page, line
