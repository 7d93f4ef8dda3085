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
from tests.helpers.asset_harness import AssetHarness

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
    whole = ["resolve", "--from", hour_key(hour), "--to", hour_key(hour), "--who", "Ada"]
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
    assert "No event is on hold" in again.output


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--decision", "resend", "--event-id", "nobody", "--yes"), "not on hold in these hours"),
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
