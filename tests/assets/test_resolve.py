"""`capi-assets resolve` on a house with held events, and a withdrawal seen by a delivery run."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import DATASET, AssetHarness

LATER = timedelta(hours=49)


def ledger_of(world: AssetHarness) -> Ledger:
    return Ledger(f"sqlite:///{world.root / 'ledger.db'}")


def strand(world: AssetHarness, hour: datetime) -> datetime:
    """Three orders with unknown outcome, and the time at which they are held."""
    world.land_orders(hour)
    world.meta.set_fault("too_few_received")
    assert not world.run(hour)
    world.meta.clear_faults()
    later = world.now + LATER
    world.meta.set_clock(later)
    assert world.run(hour, at=later)
    assert standing(world, hour) == {("unknown", "held_after_48_hours")}
    return later


def standing(world: AssetHarness, hour: datetime) -> set[tuple[str, str | None]]:
    return {(row["status"], row["reason"]) for row in world.read("delivery_results", [hour])}


def resolve(
    world: AssetHarness, hour: datetime, now: datetime, *options: str, answer: str = ""
) -> Result:
    env = {
        "CAPI_LAKE": str(world.root / "lake"),
        "CAPI_LEDGER_URL": f"sqlite:///{world.root / 'ledger.db'}",
        "CAPI_NOW": now.isoformat(),
        "COLUMNS": "200",
    }
    whole = ["resolve", hour_key(hour), "--who", "Ada"]
    return CliRunner().invoke(main, [*whole, "--why", "seen", *options], env=env, input=answer)


def test_write_off_shows_first_then_books_and_the_hour_tells_it(world: AssetHarness) -> None:
    hour = world.hour(3)
    later = strand(world, hour)
    shown = resolve(world, hour, later, "--decision", "write-off", answer="n\n")
    assert shown.exit_code == 1
    assert "3 events (EUR 33.00) would be written off" in shown.output
    assert f"Purchase:o-{hour:%d%H}-orders-0" in shown.output
    with ledger_of(world) as ledger:
        events = world.lake.read("matched_events", [hour], arrow_schema(MatchedEvents))
        assert ledger.decisions_for(events).num_rows == 0

    done = resolve(world, hour, later, "--decision", "write-off", "--yes")
    assert done.exit_code == 0, done.output
    assert "Resolved 3 events" in done.output
    assert f"Materialize delivery_results of {hour_key(hour)}...{hour_key(hour)}" in done.output
    assert world.run(hour, at=later)
    assert standing(world, hour) == {("rejected", "written_off")}
    assert world.received()["doubled"] == 0
    again = resolve(world, hour, later, "--decision", "write-off", "--yes")
    assert "No event to resolve is on hold" in again.output


def test_resend_sends_only_the_events_named(world: AssetHarness) -> None:
    hour = world.hour(3)
    later = strand(world, hour)
    chosen = f"Purchase:o-{hour:%d%H}-orders-1"
    done = resolve(world, hour, later, "--decision", "resend", "--event-id", chosen, "--yes")
    assert done.exit_code == 0, done.output
    before = world.received()["received"]
    assert world.run(hour, at=later)
    assert world.received()["received"] == before + 1
    told = {row["event_id"]: row["status"] for row in world.read("delivery_results", [hour])}
    assert told.pop(chosen) == "delivered"
    assert set(told.values()) == {"unknown"}


REFUSED = 3  # of 6 orders


def rejected_by_mistake(world: AssetHarness, hour: datetime) -> list[str]:
    """Meta refuses half of the hour's orders with 100/2804019 and accepts the others."""
    world.land_orders(hour, count=2 * REFUSED)
    refused = [f"Purchase:o-{hour:%d%H}-orders-{n}" for n in range(REFUSED)]
    for event_id in refused:
        world.meta.set_fault("error", subcode=2804019, event_id=event_id)
    assert world.run(hour)
    rows = world.read("delivery_results", [hour])
    assert {r["event_id"] for r in rows if r["status"] == "rejected"} == {*refused}
    assert {row["reason"] for row in rows if row["status"] == "rejected"} == {
        "invalid_parameter_value"
    }
    return refused


def test_what_meta_rejected_by_mistake_is_delivered_once_after_a_retry(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    refused = rejected_by_mistake(world, hour)
    world.meta.clear_faults()
    assert world.run(hour)  # a run alone sends nothing of them
    assert world.received()["accepted"] == REFUSED

    other = resolve(world, hour, world.now, "--decision", "retry", "--reason", "another", "--yes")
    assert "No event to resolve is rejected" in other.output
    other = resolve(world, hour, world.now, "--decision", "retry", "--dataset", "1", "--yes")
    assert "No event to resolve is rejected" in other.output
    shown = resolve(world, hour, world.now, "--decision", "retry", answer="n\n")
    assert shown.exit_code == 1
    assert f"{REFUSED} events (EUR 33.00) would be sent once more" in shown.output
    assert all(event_id in shown.output for event_id in refused)
    assert f"{hour + timedelta(days=7):%Y-%m-%d}" in shown.output  # until when Meta accepts them
    assert world.run(hour)
    assert world.received()["accepted"] == REFUSED

    only = ("--dataset", DATASET, "--reason", "invalid_parameter_value", "--yes")
    done = resolve(world, hour, world.now, "--decision", "retry", *only)
    assert done.exit_code == 0, done.output
    assert f"Resolved {REFUSED} events" in done.output
    again = resolve(world, hour, world.now, "--decision", "retry", *only)
    assert "No event to resolve is rejected" in again.output
    for _ in range(2):
        assert world.run(hour)
    assert standing(world, hour) == {("delivered", None)}
    received = world.received()
    assert (received["accepted"], received["duplicates"], received["doubled"]) == (6, 0, 0)
    with ledger_of(world) as ledger:
        events = world.lake.read("matched_events", [hour], arrow_schema(MatchedEvents))
        decisions = ledger.decisions_for(events).to_pylist()
    assert {(row["kind"], row["who"], row["why"]) for row in decisions} == {
        ("retry", "Ada", "seen")
    }
    assert {row["event_id"] for row in decisions} == {*refused}


def test_past_metas_window_nothing_is_retried(world: AssetHarness) -> None:
    hour = world.hour(3)
    rejected_by_mistake(world, hour)
    later = world.now + timedelta(days=7)
    done = resolve(world, hour, later, "--decision", "retry", "--yes")
    assert done.exit_code == 0
    assert f"{REFUSED} events left out: too old for Meta, cannot be retried." in done.output
    assert "Resolved" not in done.output


def test_what_meta_may_have_is_not_retried(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=1)
    world.meta.set_fault("hang_up_after_accepting")
    assert not world.run(hour)
    world.meta.clear_faults()
    world.meta.set_fault("error", subcode=2804019, event_id=f"Purchase:o-{hour:%d%H}-orders-0")
    world.land_orders(world.hour(2))
    world.run(hour, world.hour(2))
    assert standing(world, hour) == {("rejected", "invalid_parameter_value")}
    done = resolve(world, hour, world.now, "--decision", "retry", "--yes")
    assert "1 event left out: Meta may have accepted an earlier attempt" in done.output
    assert "Resolved" not in done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--decision", "resend", "--event-id", "nobody", "--yes"), "not on hold in these hours"),
        (("--decision", "retry", "--event-id", "nobody", "--yes"), "not rejected in these hours"),
        (("--decision", "resend", "--why", " ", "--yes"), "why is empty"),
        (("--decision", "perhaps"), "Invalid value for '--decision'"),
    ],
)
def test_mistakes_are_told_and_nothing_changes(
    world: AssetHarness, options: tuple[str, ...], words: str
) -> None:
    done = resolve(world, world.hour(3), world.now, *options)
    assert done.exit_code == 2
    assert words in done.output


def test_a_cancellation_after_the_order_is_noted_and_nothing_more_is_sent(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.set_fault("expired_token")
    assert not world.run(hour)
    world.meta.clear_faults()
    world.land_orders(hour, status="cancelled")
    assert world.run(hour)
    assert world.received()["received"] == 0
    assert standing(world, hour) == {("withheld", "cancelled")}
    with ledger_of(world) as ledger:
        events = world.lake.read("matched_events", [hour], arrow_schema(MatchedEvents))
        known = ledger.state_of(events)
    assert set(known["withheld_reason"].to_pylist()) == {"cancelled"}
    assert set(known["withheld_at"].to_pylist()) == {world.now}
