"""Hours that failed come back by themselves once their cause is gone, and only those."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from capi_assets.defs.automation.active_runs import active_hours, range_tags
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import TOKEN, AssetHarness
from tests.helpers.sensor_ticks import Receiver, SensorTicks, hours_of, receiver

MINUTE = timedelta(minutes=1)
GAP = "capi_assets/gap"


@pytest.fixture
def told() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


def test_failed_hours_are_recovered_once_the_token_is_renewed(world: AssetHarness) -> None:
    good, first, second, apart = (world.hour(back) for back in (7, 6, 5, 3))
    for hour in (good, first, second, apart):
        world.land_orders(hour, count=4)
    world.run(good)
    world.run(world.hour(4))
    world.run(world.hour(2), world.hour(1))
    world.meta.expire_token(TOKEN)
    world.run(first, second)
    world.run(apart)

    looks = SensorTicks(world, auto_backfill=True)
    dead = looks.look(world.now)
    assert hours_of(dead, "deliver_hour") == []
    assert world.received()["accepted"] == 4

    world.meta.renew_token(TOKEN)
    asked = world.requests()
    soon = looks.look(world.now + MINUTE / 2)  # its canary is given a pause
    assert hours_of(soon, "deliver_hour") == []
    assert world.requests() == asked

    alive = looks.look(world.now + 2 * MINUTE)
    assert hours_of(alive, "deliver_hour") == [first, second, apart]
    assert len(alive.run_requests or []) == 2
    for request in alive.run_requests or []:
        assert request.tags["capi_assets/auto_backfill"] == "true"
        assert request.tags["capi_assets/gap"].startswith("token-")
    assert world.received()["accepted"] == 4  # the canary left nothing behind
    again = looks.look(world.now + 3 * MINUTE)
    assert hours_of(again, "deliver_hour") == []

    looks.run(alive, world.now + 3 * MINUTE)
    assert world.received()["accepted"] == 16
    assert world.received()["duplicates"] == 0
    over = looks.look(world.now + 4 * MINUTE)
    assert hours_of(over, "deliver_hour") == []
    quiet = looks.look(world.now + 5 * MINUTE).skip_reason
    assert quiet is not None
    assert quiet.skip_message == "Nothing is flagged."


def test_what_recovery_does_is_told(world: AssetHarness, told: Receiver) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour, world.hour(1))
    looks = SensorTicks(
        world, auto_backfill=True, ui_url="http://127.0.0.1:3000", alert_json_url=told.url
    )
    opened = looks.look(world.now)
    for event in opened.asset_events:  # the hour's note, and the standing list
        assert event.metadata["backfill"].value == told[0]["link"]
    world.meta.renew_token(TOKEN)
    looks.run(looks.look(world.now + 2 * MINUTE), world.now + 2 * MINUTE)
    looks.look(world.now + 3 * MINUTE)
    assert [each["kind"] for each in told] == ["opened", "recovery_launched", "recovered"]
    assert len({each["gap_id"] for each in told}) == 1
    assert told[0]["link"] == (
        f"http://127.0.0.1:3000/guess/deliver_hour/partitions?default_range={hour_key(hour)}"
    )
    assert told[2]["automatic"] is True
    assert "materialized again automatically" in told[2]["text"]


def test_nothing_is_launched_unless_it_was_asked_for(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour, world.hour(1))
    world.meta.renew_token(TOKEN)
    looks = SensorTicks(world)
    calls = world.requests()
    for minute in range(3):
        assert hours_of(looks.look(world.now + minute * MINUTE), "deliver_hour") == []
    assert world.requests() == calls


def test_hours_that_nobody_materialized_are_launched_without_a_canary(world: AssetHarness) -> None:
    world.meta.expire_token(TOKEN)  # not even asked
    world.run(world.hour(6))
    world.run(world.hour(3), world.hour(1))
    looks = SensorTicks(world, auto_backfill=True)
    found = looks.look(world.now)
    assert hours_of(found, "deliver_hour") == [world.hour(5), world.hour(4)]


def test_an_hour_with_a_run_under_way_is_left_alone(world: AssetHarness) -> None:
    world.run(world.hour(6))
    world.run(world.hour(3), world.hour(1))
    busy = world.hour(5)
    run = world.instance.create_run_for_job(
        world.job("deliver_hour"),
        tags=range_tags(busy, busy),
        status=dg.DagsterRunStatus.STARTED,
    )
    looks = SensorTicks(world, auto_backfill=True)
    assert hours_of(looks.look(world.now), "deliver_hour") == [world.hour(4)]
    world.instance.delete_run(run.run_id)


def test_a_run_that_fell_silent_was_killed_and_blocks_nothing(world: AssetHarness) -> None:
    """Dagster itself believes for ever in a killed `dagster asset materialize`."""
    hour = world.hour(5)
    run = world.instance.create_run_for_job(
        world.job("deliver_hour"),
        tags=range_tags(hour, hour),
        status=dg.DagsterRunStatus.STARTED,
    )
    world.instance.report_engine_event("alive", run)
    now = datetime.now(UTC)
    assert active_hours(world.instance, world.settings(), now + 29 * MINUTE) == {hour}
    assert active_hours(world.instance, world.settings(), now + 31 * MINUTE) == set()
    world.instance.delete_run(run.run_id)


def test_results_newer_than_their_verdict_are_judged_again_once(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour, world.hour(1))
    looks = SensorTicks(world)
    assert hours_of(looks.look(world.now), "evaluate_hour") == []
    world.meta.renew_token(TOKEN)
    world.materialize_alone("delivery_results", hour)
    stale = looks.look(world.now + MINUTE)
    assert hours_of(stale, "evaluate_hour") == [hour]
    assert hours_of(stale, "deliver_hour") == []
    assert hours_of(looks.look(world.now + 2 * MINUTE), "evaluate_hour") == []
    world.judge(hour)
    over = looks.look(world.now + 3 * MINUTE)
    assert hours_of(over, "evaluate_hour") == []
    (health,) = world.read("attribution_health", [hour])
    assert health["delivered"] == 3


def test_what_is_stored_is_not_matched_again_once_its_visits_are_deleted(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hour)
    before = world.stored_bytes("matched_events")
    world.meta.renew_token(TOKEN)
    soon, late = world.now + 31 * MINUTE, world.now + timedelta(hours=50)

    def launched(at: datetime) -> dg.RunRequest:
        looks = SensorTicks(world, auto_backfill=True, lookback_hours=24, retention_days=2)
        found = [r for r in looks.look(at).run_requests or [] if r.tags[GAP].startswith("token-")]
        assert len(found) == 1
        return found[0]

    assert launched(soon).asset_selection is None
    request = launched(late)
    (world.root / "landing" / "visits").rename(world.root / "visits")
    world.job("deliver_hour").execute_in_process(
        instance=world.instance,
        partition_key=hour_key(hour),
        asset_selection=request.asset_selection,
        run_config=world.at(),
    )
    assert world.stored_bytes("matched_events") == before
    assert world.received()["accepted"] == 3


def test_a_failed_run_is_named_in_the_evidence(world: AssetHarness, told: Receiver) -> None:
    world.run(world.hour(6))
    world.run(world.hour(3), world.hour(1))
    (world.root / "landing").rename(world.root / "elsewhere")
    world.run(world.hour(5))
    looks = SensorTicks(world, alert_json_url=told.url)
    looks.look(world.now)
    (alert,) = told
    assert alert["cause"] == "not_materialized"
    (failed,) = world.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    seen = alert["evidence"]["text"]
    assert seen.startswith(f"run {failed.run_id[:8]} failed in ")
    assert "SourceError" in seen


def test_a_quiet_look_says_so(world: AssetHarness) -> None:
    result = SensorTicks(world).look(world.now)
    assert result.skip_reason is not None
    assert result.skip_reason.skip_message == "Nothing is flagged."
