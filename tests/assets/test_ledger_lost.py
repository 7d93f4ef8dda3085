"""A ledger that is lost or older than the lake is restored before the first request."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from tests.helpers.asset_harness import DATASET, AssetHarness


def command(world: AssetHarness, *words: str) -> Result:
    env = {
        "CAPI_LAKE": str(world.root / "lake"),
        "CAPI_LEDGER_URL": f"sqlite:///{world.root / 'ledger.db'}",
        "CAPI_LANDING": str(world.root / "landing"),
        "CAPI_DATASET_ID": DATASET,
        "CAPI_NOW": world.now.isoformat(),
        "CAPI_GRAPH_URL": world.meta.url,
        "COLUMNS": "300",
    }
    return CliRunner().invoke(main, list(words), env=env)


def lose_ledger(world: AssetHarness, backup: Path | None = None) -> None:
    for path in world.root.glob("ledger.db*"):
        path.unlink()
    if backup:
        shutil.copy(backup, world.root / "ledger.db")


@pytest.mark.parametrize("is_old", [False, True])
def test_nothing_is_lost_or_sent_twice_with_a_lost_or_old_ledger(
    world: AssetHarness, is_old: bool
) -> None:
    delivered, left, new = world.hour(5), world.hour(4), world.hour(3)
    world.land_orders(delivered)
    world.land_orders(left)
    world.meta.set_fault("expired_token")
    assert not world.run(delivered)
    world.meta.clear_faults()
    backup = world.root / "backup.db"
    shutil.copy(world.root / "ledger.db", backup)
    assert world.run(delivered)
    world.meta.set_fault("too_few_received")
    assert not world.run(left)
    world.meta.clear_faults()
    before = {h: world.read("delivery_results", [h]) for h in (delivered, left)}

    lose_ledger(world, backup if is_old else None)
    later = world.now + timedelta(hours=49)
    world.meta.set_clock(later)
    # An order that was sent with its own hour lands again, in an hour that never ran.
    world.land_orders(new, count=1)
    assert world.run(new, at=later)
    assert "events_restored_to_ledger" in verdict(world).metadata
    world.run(delivered, left, at=later)
    assert world.received()["doubled"] == 0
    assert world.received()["accepted"] == 7
    after = {h: world.read("delivery_results", [h]) for h in (delivered, left)}
    assert after[delivered] == before[delivered]
    assert {row["reason"] for row in after[left]} == {"held_after_48_hours"}
    for row, earlier in zip(after[left], before[left], strict=True):
        assert row["first_attempt_at"] == earlier["first_attempt_at"]
        assert row["attempts"] == earlier["attempts"]


def verdict(world: AssetHarness) -> dg.AssetCheckEvaluation:
    check = dg.AssetCheckKey(dg.AssetKey("delivery_results"), "all_events_resolved")
    (record,) = world.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation)
    return record.evaluation


def test_doctor_names_the_loss_and_rebuild_ends_it(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    assert "ledger rebuild" not in command(world, "doctor").output
    lose_ledger(world)
    assert "attempts of 3 events" in command(world, "doctor").output
    assert "Restored 3 events" in command(world, "ledger", "rebuild").output
    assert "Restored 0 events" in command(world, "ledger", "rebuild").output
    requests = world.requests()
    assert world.run(hour)
    assert world.requests() == requests
