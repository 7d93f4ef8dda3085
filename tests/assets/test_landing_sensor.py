"""Orders that land in the open hour are delivered at once, by one run."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import dagster as dg

from capi_assets.hours import hour_key
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import SensorTicks

MINUTE = timedelta(minutes=1)


def land(world: AssetHarness, hour: datetime, name: str, at: datetime) -> None:
    # At the hour's start: Meta's clock is the real one, and the hour may just have begun.
    world.land_orders(hour, count=2, name=name, occurred_at=hour.isoformat())
    for table, file in (("orders", name), ("visits", f"visits-{name}")):
        path = world.root / "landing" / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / file
        os.utime(path, (at.timestamp(), at.timestamp()))


def requested(ticks: SensorTicks, at: datetime) -> list[str | None]:
    found = ticks.evaluate(at)
    return [] if isinstance(found, dg.SkipReason) else [request.partition_key for request in found]


def test_new_orders_of_an_open_hour_are_delivered_once(world: AssetHarness) -> None:
    open_hour, settled = world.hour(0), world.hour(3)
    ticks = SensorTicks(world, "landing_sensor", settle_minutes=55)  # open for long enough
    now = world.now + 10 * MINUTE  # materializations have the real clock's time
    assert requested(ticks, now) == []

    land(world, open_hour, "orders.jsonl", now - MINUTE)
    land(world, settled, "late.jsonl", now - MINUTE)  # late_files_sensor's work
    assert requested(ticks, now) == [hour_key(open_hour)]
    world.run(open_hour, at=open_hour + 59 * MINUTE)  # its orders are not of the future
    assert world.received()["accepted"] == 2
    read = world.now + 20 * MINUTE
    land(world, open_hour, "orders.jsonl", world.now - MINUTE)  # before the run
    assert requested(ticks, read) == []

    land(world, open_hour, "more.jsonl", read - MINUTE)
    assert requested(ticks, read) == [hour_key(open_hour)]


def test_orders_of_a_sql_model_are_left_to_the_schedule(world: AssetHarness) -> None:
    model = world.root / "orders.sql"
    model.write_text("SELECT 1")
    found = SensorTicks(world, "landing_sensor", orders_sql=str(model)).evaluate(world.now)
    assert isinstance(found, dg.SkipReason)
    assert "deliver_current_hour" in str(found.skip_message)
