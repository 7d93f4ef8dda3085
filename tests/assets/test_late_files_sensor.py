"""A file that lands after its hour was materialized still reaches Meta, without anyone's doing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
import pytest

from capi_assets.hours import hour_key
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import Receiver, SensorTicks, hours_of, receiver

MINUTE = timedelta(minutes=1)


@pytest.fixture
def told() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def land(world: AssetHarness, hour: datetime, name: str, at: datetime) -> None:
    """Files of orders and visits as if they had landed at this moment."""
    world.land_orders(hour, count=2, name=name)
    for table, file in (("orders", name), ("visits", f"visits-{name}")):
        path = world.root / "landing" / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / file
        os.utime(path, (at.timestamp(), at.timestamp()))


def landed_and_read(world: AssetHarness, *hours: datetime) -> None:
    for hour in hours:
        land(world, hour, "orders.jsonl", hour + timedelta(hours=1))
    world.run(hours[0], hours[-1])


def later(world: AssetHarness, minutes: int) -> datetime:
    """After the run; materializations have the real clock's time."""
    return world.now + timedelta(minutes=10 + minutes)


def test_late_files_have_their_hours_materialized_once(world: AssetHarness) -> None:
    hours = [world.hour(back) for back in (6, 5, 4, 3)]
    landed_and_read(world, *hours)
    looks = SensorTicks(world, "late_files_sensor")
    quiet = looks.look(later(world, 0))
    assert not quiet.run_requests
    assert quiet.skip_reason is not None

    for hour in (hours[0], hours[1], hours[3]):
        land(world, hour, "late.jsonl", later(world, 1))
    assert not looks.look(later(world, 1)).run_requests  # may still be growing
    found = looks.look(later(world, 3))
    assert hours_of(found, "deliver_hour") == [hours[0], hours[1], hours[3]]
    assert len(found.run_requests or []) == 2
    assert {r.tags["capi_assets/late_files"] for r in found.run_requests or []} == {
        "orders and visits"
    }
    assert len({r.run_key for r in found.run_requests or []}) == 2
    noted = {(e.asset_key.to_user_string(), e.partition) for e in found.asset_events}
    assert ("orders", hour_key(hours[3])) in noted
    assert len(noted) == 6
    assert not looks.look(later(world, 4)).run_requests

    looks.run(found, later(world, 4))
    assert world.received()["accepted"] == 8 + 6
    fresh = SensorTicks(world, "late_files_sensor")  # as after a lost cursor
    world_done = datetime.now(tz=world.now.tzinfo) + timedelta(hours=1)
    for hour in (hours[0], hours[1], hours[3]):
        land(world, hour, "late.jsonl", world.now - MINUTE)
    assert not fresh.look(world_done).run_requests


def test_a_file_that_comes_later_still_is_seen_too(world: AssetHarness) -> None:
    hour = world.hour(3)
    landed_and_read(world, hour)
    looks = SensorTicks(world, "late_files_sensor")
    land(world, hour, "late.jsonl", later(world, 1))
    first = looks.look(later(world, 3))
    land(world, hour, "later.jsonl", later(world, 4))
    second = looks.look(later(world, 6))
    assert hours_of(first, "deliver_hour") == hours_of(second, "deliver_hour") == [hour]
    keys = [r.run_key for found in (first, second) for r in found.run_requests or []]
    assert len(set(keys)) == 2


def test_late_files_may_be_proposed_only(world: AssetHarness, told: Receiver) -> None:
    hour = world.hour(3)
    landed_and_read(world, hour)
    land(world, hour, "late.jsonl", later(world, 1))
    looks = SensorTicks(
        world,
        "late_files_sensor",
        late_files="propose",
        ui_url="http://127.0.0.1:3000",
        alert_json_url=told.url,
    )
    assert not looks.look(later(world, 3)).run_requests
    looks.look(later(world, 4))
    (document,) = told
    assert document["kind"] == "late_files"
    assert document["ranges"] == [hour_key(hour)]
    assert document["link"].endswith(f"default_range={hour_key(hour)}")
    assert "1 file of orders in 1 hour and 1 file of visits in 1 hour" in document["text"]
    assert "Orders of later hours may have come from these visits" in document["text"]


def test_hours_that_were_never_materialized_are_not_late(world: AssetHarness) -> None:
    landed_and_read(world, world.hour(3))
    land(world, world.hour(5), "orders.jsonl", later(world, 1))
    assert not SensorTicks(world, "late_files_sensor").look(later(world, 3)).run_requests


def test_a_file_that_landed_while_its_hour_was_read_is_late(world: AssetHarness) -> None:
    hour = world.hour(3)
    landed_and_read(world, hour)
    (run,) = world.instance.get_run_records()
    began = datetime.fromtimestamp(run.start_time or 0, world.now.tzinfo)
    land(world, hour, "late.jsonl", began + timedelta(microseconds=1000))
    found = SensorTicks(world, "late_files_sensor").look(later(world, 3))
    assert hours_of(found, "deliver_hour") == [hour]


def test_late_files_can_be_left_alone(world: AssetHarness) -> None:
    looks = SensorTicks(world, "late_files_sensor", late_files="off")
    assert isinstance(looks.evaluate(world.now), dg.SkipReason)
