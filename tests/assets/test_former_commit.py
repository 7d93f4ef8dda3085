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


def sent(world: AssetHarness) -> set[str]:
    return {row["event_id"] for row in world.meta.inbox.rows("select event_id from events")}


def test_two_backfills_over_former_hours_send_only_what_is_missing(world: AssetHarness) -> None:
    stood = statuses(world)
    world.run(HOURS[0], HOURS[-1])
    open_before = {k for k, s in stood.items() if s in ("pending", "unknown", "future_dated")}
    once = sent(world)
    assert once >= open_before
    world.run(HOURS[0], HOURS[-1])
    assert sent(world) == once
    assert not once & {key for key, status in stood.items() if status == "delivered"}
    assert world.received()["doubled"] == 0


def test_an_event_whose_keys_are_read_otherwise_today_stays_what_it_was(
    world: AssetHarness,
) -> None:
    stood = statuses(world)
    before = payloads(world)
    world.run(HOURS[0], HOURS[-1])
    outcomes = {
        (row["event_id"], row["sent_event_id"]): (row["status"], row["reason"])
        for row in world.read("delivery_results", [world.hour(2)])
    }
    assert outcomes.pop(("Purchase:named-null", "undefined")) == (
        "delivered",
        "delivered_under_former_event_id",
    )
    assert {status for status, _ in outcomes.values()} == {"delivered"}
    otherwise = {key for (key, _), (_, reason) in outcomes.items() if reason}
    assert len(otherwise) == 9
    after = payloads(world)
    known = before.keys() - otherwise - {"undefined", "Purchase:null"}
    assert {key: after[key] for key in known} == {key: before[key] for key in known}
    assert not sent(world) & {key for key, status in stood.items() if status == "delivered"}
    (other,) = world.read("delivery_results", [world.hour(1)])
    assert (other["order_id"], other["reason"]) == ("17", "identity_conflict")


def test_a_withdrawal_holds_for_former_events_that_have_not_left(world: AssetHarness) -> None:
    folder = world.root / "landing" / "withdrawals"
    folder.mkdir()
    (folder / "a.csv").write_text("order_id,email\no-2007-orders-0,\n")
    world.materialize_alone("delivery_results", HOURS[1])
    (folder / "b.csv").write_text("order_id,email\n,Person.2008-orders-1@example.com\n")
    world.run(HOURS[0], HOURS[-1])
    withheld = {"Purchase:o-2007-orders-0", "Purchase:o-2008-orders-1"}
    found = statuses(world)
    assert {key: found[key] for key in withheld} == dict.fromkeys(withheld, "withheld")
    assert not sent(world) & withheld
