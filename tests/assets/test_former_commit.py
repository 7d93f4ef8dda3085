"""A lake and a ledger of the former version are read, and their hours go on where they stood."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.hours import HOUR, hours_between
from capi_assets.policies import coverage_policy
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness

FORMER = Path(__file__).parent / "former_commit"
WRITTEN = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOURS = hours_between(WRITTEN - 6 * HOUR, WRITTEN + HOUR)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AssetHarness]:
    shutil.copytree(FORMER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dagster").mkdir()
    now = WRITTEN + timedelta(minutes=25)
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}, clock=lambda: now) as meta,
        dg.DagsterInstance.local_temp(
            str(tmp_path / "dagster"), overrides={"telemetry": {"enabled": False}}
        ) as instance,
    ):
        yield AssetHarness(tmp_path, instance, meta, now)


def payloads(world: AssetHarness) -> dict[str, str]:
    rows = world.lake.read("matched_events", HOURS, arrow_schema(MatchedEvents)).to_pylist()
    return {row["event_id"]: row["payload"] for row in rows if row["payload"]}


def statuses(world: AssetHarness) -> dict[str, str]:
    return {row["event_id"]: row["status"] for row in world.read("delivery_results", HOURS)}


def test_hours_of_the_former_version_are_read_under_todays_names(world: AssetHarness) -> None:
    assert statuses(world)["Purchase:future"] == "future_dated"
    (row,) = world.read("attribution_health", [world.hour(0)])
    assert (row["future_dated"], row["value_future_dated"]) == (1, 9.0)
    snapshot = find_gaps(world.lake, coverage_policy(world.settings()), world.now)
    causes = {gap.cause.value for gap in snapshot.gaps}
    assert {"token", "meta_down"} <= causes


def test_a_backfill_over_former_hours_sends_only_what_is_missing(world: AssetHarness) -> None:
    before, stood = payloads(world), statuses(world)
    world.run(HOURS[0], HOURS[-1])
    received = {row["event_id"] for row in world.meta.inbox.rows("select event_id from events")}
    open_before = {k for k, s in stood.items() if s in ("pending", "unknown", "future_dated")}
    assert received >= open_before
    assert not received & {key for key, status in stood.items() if status == "delivered"}
    after = payloads(world)
    assert {key: after[key] for key in before} == before
    assert world.received()["doubled"] == 0
