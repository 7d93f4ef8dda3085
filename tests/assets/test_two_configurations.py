"""Definitions of two configurations in one process: each goes by its own settings, wholly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.definitions import build_definitions
from capi_assets.hours import hour_key
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import SensorTicks

OTHER, OTHER_TOKEN = "9876543210987654", "EAAtokenOfTheOtherShop"


def test_each_delivers_to_its_own_dataset_and_judges_by_its_own_threshold(
    world: AssetHarness, tmp_path: Path
) -> None:
    root = tmp_path / "other"
    (root / "dagster").mkdir(parents=True)
    with (
        SandboxServer(tokens=[OTHER_TOKEN], datasets={OTHER: "Other"}) as meta,
        dg.DagsterInstance.local_temp(
            str(root / "dagster"), overrides={"telemetry": {"enabled": False}}
        ) as instance,
    ):
        other = AssetHarness(root, instance, meta, world.now)
        other.overrides = {
            "dataset_id": OTHER, "access_token": OTHER_TOKEN, "coverage_threshold": 0.5,
            "start_date": world.hour(4),
        }  # fmt: skip
        hour = world.hour(3)
        for each in (world, other):
            each.land_orders(hour, count=4)
            each.land_orders(hour, 3, "bad.jsonl", email=None, phone=None, visit_id=None,
                             country="gb", action_source="system_generated")  # fmt: skip
            assert each.run(hour)
            assert each.received()["accepted"] == 4
            (dataset,) = {row["dataset_id"] for row in each.read("delivery_results", [hour])}
            assert dataset == each.settings().dataset_id
        assert hour_key(hour) in flagged(world)
        assert hour_key(hour) not in flagged(other)


def flagged(world: AssetHarness) -> set[str | None]:
    """The hours that the coverage sensor notes."""
    events = SensorTicks(world).look(world.now).asset_events
    return {event.partition for event in events if isinstance(event, dg.AssetObservation)}


def test_partitions_crons_and_automation_follow_the_settings() -> None:
    one = Settings(settle_minutes=7, autostart=True, start_date=datetime(2026, 10, 3, tzinfo=UTC))
    two = Settings(settle_minutes=20, reconcile=False, start_date=datetime(2026, 11, 4, tzinfo=UTC))
    for settings, cron, running in ((one, "7 * * * *", True), (two, "20 * * * *", False)):
        definitions = build_definitions(settings)
        repository = definitions.get_repository_def()
        assert repository.get_schedule_def("deliver_hourly").cron_schedule == cron
        for schedule in repository.schedule_defs:
            assert (schedule.default_status is dg.DefaultScheduleStatus.RUNNING) is running
        for sensor in repository.sensor_defs:
            assert (sensor.default_status is dg.DefaultSensorStatus.RUNNING) is running
        graph = definitions.resolve_asset_graph()
        for name in ("visits", "delivery_results", "meta_stats", "dataset_quality"):
            partitions = graph.get(dg.AssetKey(name)).partitions_def
            assert isinstance(partitions, dg.TimeWindowPartitionsDefinition)
            assert partitions.start == settings.start_date, name
        fresh = graph.get(dg.AssetKey("meta_stats")).freshness_policy is not None
        assert fresh is settings.reconcile


def test_an_hour_before_the_start_is_no_partition(world: AssetHarness) -> None:
    world.overrides = {"start_date": world.hour(2)}
    with pytest.raises(dg.DagsterUnknownPartitionError):
        world.job("deliver_hour").execute_in_process(
            instance=world.instance, partition_key=hour_key(world.hour(3))
        )
