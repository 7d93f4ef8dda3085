"""However many daemons look at one lake, one alerts; another takes over when it stops."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from capi_assets.defs.automation import coverage_sensor
from capi_assets.defs.automation.watch import LEASE
from tests.helpers.asset_harness import TOKEN, AssetHarness
from tests.helpers.sensor_ticks import SensorTicks, receiver

MINUTE = timedelta(minutes=1)


def test_two_daemons_tell_an_outage_once(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=4)
    world.meta.expire_token(TOKEN)
    world.run(hour)
    with receiver() as told:
        one, other = (SensorTicks(world, alert_json_url=told.url) for _ in range(2))
        one.look(world.now)
        idle = other.evaluate(world.now + MINUTE)
        assert isinstance(idle, dg.SkipReason)
        assert "Another daemon" in str(idle.skip_message)
        one.look(world.now + 2 * MINUTE)
        assert [document["kind"] for document in told] == ["opened"]

        # The first daemon is gone; the second knows nothing of what it told, and tells it.
        other.look(world.now + 2 * MINUTE + LEASE + MINUTE)
        assert [document["kind"] for document in told] == ["opened", "opened"]
        assert isinstance(one.evaluate(world.now + 2 * MINUTE + LEASE + 2 * MINUTE), dg.SkipReason)


def test_a_look_that_fails_keeps_nobody_waiting(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.land_orders(world.hour(3))
    world.run(world.hour(3))
    ticks = SensorTicks(world)
    with monkeypatch.context() as patched:
        patched.setattr(coverage_sensor, "find_gaps", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ticks.evaluate(world.now)
    ticks.look(world.now + MINUTE)


def test_without_a_ledger_alerts_go_on(world: AssetHarness) -> None:
    damaged = world.root / "damaged.db"
    damaged.write_text("no database")
    ticks = SensorTicks(world, ledger_url=f"sqlite:///{damaged}")
    assert isinstance(ticks.evaluate(world.now), dg.SensorResult)
