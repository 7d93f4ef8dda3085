"""What acts unattended goes on after what nobody foresaw: damage, moved settings, odd cursors."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from capi_assets.coverage.access_health.findings import AccessStatus, row, table
from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.defs.access.meta_access import TABLE, previous_checks
from capi_assets.defs.automation.active_runs import hours_of_run
from capi_assets.defs.automation.reevaluation import reevaluate_expiring
from capi_assets.delivery.causes import Cause
from capi_assets.hours import HOUR, hour_key
from capi_assets.lake import Lake, LakeError
from capi_assets.meta.graph.versions import version_outlook
from capi_assets.settings import Settings
from tests.assets.test_late_files_sensor import MINUTE, land, landed_and_read, later
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.gap_samples import sample_gap
from tests.helpers.sensor_ticks import SensorTicks, hours_of


def test_a_damaged_verdict_does_not_end_the_watch(world: AssetHarness) -> None:
    first, damaged, last = (world.hour(back) for back in (5, 4, 3))
    for hour in (first, damaged, last):
        world.land_orders(hour)
    world.run(first, last)
    stored = world.root / "lake" / "attribution_health"
    path = stored / f"date={damaged:%Y-%m-%d}" / f"hour={damaged:%H}" / "part.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    found = SensorTicks(world, auto_backfill=True).look(world.now)
    assert damaged in hours_of(found, "deliver_hour")
    assert first not in hours_of(found, "deliver_hour")


def test_a_store_that_does_not_answer_is_no_gap(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land_orders(world.hour(3))
    world.run(world.hour(3))

    def fail(*_: object) -> None:
        raise LakeError("Cannot read.") from ConnectionError()

    monkeypatch.setattr(Lake, "read", fail)
    with pytest.raises(LakeError):
        SensorTicks(world, auto_backfill=True).look(world.now)


@pytest.mark.parametrize("cursor", ["nonsense", "[]", '"x"', '{"x": "y"}', "7"])
@pytest.mark.parametrize("of", ["coverage_sensor", "late_files_sensor"])
def test_a_cursor_that_cannot_be_read_ends_no_sensor(
    world: AssetHarness, of: str, cursor: str
) -> None:
    looks = SensorTicks(world, of)
    looks.cursor = cursor
    assert not looks.look(world.now).run_requests


def test_hours_before_a_moved_start_are_not_asked_for() -> None:
    start = datetime(2026, 11, 20, 13, tzinfo=UTC)

    def requests(first: datetime, last: datetime) -> list[dg.RunRequest]:
        gap = sample_gap(Cause.TOKEN, first_hour=first, last_hour=last)
        alerts = [Alert("expired", "g", gap, (gap.partition_range,))]
        return reevaluate_expiring(Settings(start_date=start), alerts)

    assert not requests(start - 5 * HOUR, start - HOUR)
    (request,) = requests(start - 5 * HOUR, start + HOUR)
    assert request.tags["dagster/asset_partition_range_start"] == hour_key(start)


def test_reading_metas_side_is_no_work_on_an_hour() -> None:
    tags = {
        "dagster/asset_partition_range_start": "2026-11-20-10:00",
        "dagster/asset_partition_range_end": "2026-11-20-12:00",
    }
    asked = dg.DagsterRun(job_name="deliver_hour", tags=tags)
    assert len(hours_of_run(asked)) == timedelta(hours=3) / HOUR
    read = dg.DagsterRun(job_name="x", tags={**tags, "capi_assets/job": "reconcile"})
    assert not hours_of_run(read)


def test_a_failed_run_for_late_files_is_not_the_last(world: AssetHarness) -> None:
    hour = world.hour(3)
    landed_and_read(world, hour)
    land(world, hour, "late.jsonl", later(world, 1))
    looks = SensorTicks(world, "late_files_sensor")
    at = later(world, 3)
    keys = []
    for tried in range(6):
        found = looks.look(at)
        if tried > 3:
            assert not found.run_requests  # given up
            break
        (request,) = found.run_requests or []
        keys.append(request.run_key)
        world.instance.add_run(
            dg.DagsterRun(
                job_name="deliver_hour",
                run_id=f"00000000-0000-4000-8000-00000000000{tried}",
                status=dg.DagsterRunStatus.FAILURE,
                tags=request.tags,
            )
        )
        assert not looks.look(later(world, 4)).run_requests  # not at once
        at += timedelta(hours=3)
    assert len(set(keys)) == 4


def test_an_hour_that_has_just_settled_is_left_to_its_own_run(world: AssetHarness) -> None:
    hour = world.hour(0)  # settles an hour from now at the earliest, after the file has landed
    landed_and_read(world, hour)
    land(world, hour, "late.jsonl", later(world, 1))
    looks = SensorTicks(world, "late_files_sensor", settle_minutes=55)
    settled = hour + HOUR + 55 * MINUTE
    assert not looks.look(settled + MINUTE).run_requests
    assert hours_of(looks.look(settled + 3 * MINUTE), "deliver_hour") == [hour]


def test_one_damaged_look_at_meta_does_not_forget_the_others(world: AssetHarness) -> None:
    store = Lake(world.root / "lake")
    for back in (30, 3):
        outlook = AccessStatus(
            "1", world.hour(back), version_outlook("v26.0", world.now), missing="x"
        )
        store.write(TABLE, world.hour(back), table([row(outlook, f"access=told_{back}")]))
    old = store.path(TABLE, world.hour(30))
    old.write_bytes(old.read_bytes()[:-9])
    (found,) = previous_checks(store, logging.getLogger(__name__))
    assert found["told"] == "access=told_3"
