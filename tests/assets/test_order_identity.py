"""An order is who it says it is: over hours, files, exports and materializations."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from capi_assets.coverage.stored_health import find_gaps
from capi_assets.delivery.causes import Cause
from capi_assets.hours import hour_key
from capi_assets.policies import coverage_policy
from tests.helpers.asset_harness import AssetHarness


def land(world: AssetHarness, hour: datetime, name: str, *rows: dict[str, Any]) -> None:
    defaults = {"order_id": "17", "action_source": "physical_store", "currency": "EUR"}
    lines = [
        {"occurred_at": (hour + timedelta(minutes=5)).isoformat(), **defaults, **row}
        for row in rows
    ]
    world.land("orders", hour, name, "".join(json.dumps(line) + "\n" for line in lines))


ANNA: dict[str, Any] = {"value": 20.0, "email": "anna@example.com"}
OTTO: dict[str, Any] = {"value": 90.0, "email": "otto@example.com"}


def results(world: AssetHarness, hour: datetime) -> list[tuple[str, str | None]]:
    return [(r["status"], r["reason"]) for r in world.read("delivery_results", [hour])]


def health(world: AssetHarness, hour: datetime) -> dict[str, Any]:
    """The hour's counts and money that are not nothing."""
    names = ("orders", "quarantined", "withheld", "invalid", "delivered", "pending")
    total: dict[str, Any] = {}
    for row in world.read("attribution_health", [hour]):
        for name in (*names, *(f"value_{n}" for n in names), "value_changed"):
            if row[name]:
                total[name] = total.get(name, 0) + row[name]
    return total


def descriptions(world: AssetHarness) -> list[str]:
    """What the check of delivery_results said, the newest first."""
    key = dg.AssetCheckKey(dg.AssetKey("delivery_results"), "all_events_resolved")
    records = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=20)
    evaluations = [r.event.asset_check_evaluation for r in records if r.event]
    return [e.description or "" for e in evaluations if e]


def test_another_order_under_a_used_id_is_a_conflict_and_never_delivered(
    world: AssetHarness,
) -> None:
    first, second = world.hour(24), world.hour(2)
    land(world, first, "o.jsonl", ANNA, {**ANNA, "order_id": "18"})
    world.run(first)
    land(world, second, "o.jsonl", OTTO, {**OTTO, "order_id": "18"})
    world.run(second)
    assert results(world, first) == [("delivered", None)] * 2
    assert results(world, second) == [("invalid", "identity_conflict")] * 2
    lost = {"orders": 2, "invalid": 2, "value_orders": 180.0, "value_invalid": 180.0}
    assert health(world, second) == lost
    (row,) = world.read("attribution_health", [second])
    assert row["main_reason"] == "identity_conflict"
    assert {r["sent_hour"] for r in world.read("delivery_results", [second])} == {first}
    gaps = find_gaps(world.lake, coverage_policy(world.settings()), world.now).gaps
    assert [gap.first_hour for gap in gaps if gap.cause is Cause.PAYLOAD] == [second]
    assert f"17 (another order 17 was sent from {hour_key(first)})" in descriptions(world)[0]


def test_a_conflict_within_one_range_has_one_answer_everywhere(world: AssetHarness) -> None:
    first, second = world.hour(3), world.hour(2)
    land(world, first, "o.jsonl", ANNA)
    land(world, second, "o.jsonl", OTTO)
    world.run(first, second)
    assert results(world, first) == [("delivered", None)]
    assert results(world, second) == [("invalid", "identity_conflict")]
    assert health(world, second)["value_invalid"] == 90.0
    assert world.received()["accepted"] == 1


def test_two_shops_with_one_id_in_an_hour_are_two_orders_and_a_repeat_is_one(
    world: AssetHarness,
) -> None:
    hour = world.hour(2)
    later = {"occurred_at": (hour + timedelta(minutes=40)).isoformat()}
    land(world, hour, "a.jsonl", ANNA, ANNA)
    land(world, hour, "b.jsonl", {**OTTO, **later})
    land(world, hour, "c.jsonl", {**ANNA, "value": 21.0})
    world.run(hour)
    assert results(world, hour) == [("delivered", None)]
    (refused,) = world.read("quarantined_orders", [hour])
    assert refused["reasons"] == "order_id:identity_conflict"
    assert refused["source"].endswith("b.jsonl")
    counts = health(world, hour)
    assert (counts["orders"], counts["delivered"], counts["quarantined"]) == (2, 1, 1)
    assert (counts["value_delivered"], counts["value_quarantined"]) == (21.0, 90.0)
    rows = world.read("attribution_health", [hour])
    assert [row["main_reason"] for row in rows] == ["identity_conflict"]


def test_delivered_money_is_the_money_that_was_sent(world: AssetHarness) -> None:
    hour = world.hour(2)
    land(world, hour, "a.jsonl", {**ANNA, "value": 50.0})
    world.run(hour)
    land(world, hour, "b.jsonl", {**ANNA, "value": 80.0})
    world.run(hour)
    assert results(world, hour) == [("delivered", "payload_changed_since")]
    expected = {"orders": 1, "delivered": 1, "value_orders": 50.0, "value_delivered": 50.0}
    assert health(world, hour) == {**expected, "value_changed": 30.0}


def test_an_order_exported_again_in_the_next_hour_is_counted_where_it_was_sent(
    world: AssetHarness,
) -> None:
    first, second = world.hour(3), world.hour(2)
    land(world, first, "o.jsonl", ANNA)
    land(world, second, "o.jsonl", ANNA)
    assert world.run(first, second)
    assert world.run(second)
    assert results(world, first) == [("delivered", None)]
    assert results(world, second) == [("repeated", "counted_in_another_hour")]
    (row,) = world.read("delivery_results", [second])
    assert row["sent_hour"] == first
    assert (health(world, first)["delivered"], health(world, second)) == (1, {})
    # The source moves the order: its first hour no longer has it.
    (
        world.root / "landing" / "orders" / f"{first:%Y-%m-%d}" / f"{first:%H}" / "o.jsonl"
    ).write_text("")
    world.run(first, second)
    assert (health(world, first), health(world, second)["delivered"]) == ({}, 1)
    assert world.received()["accepted"] == 1


def test_an_order_pending_in_one_hour_and_confirmed_in_the_next_leaves_no_hour_open(
    world: AssetHarness,
) -> None:
    first, second = world.hour(2), world.hour(1)
    land(world, first, "o.jsonl", {**ANNA, "status": "pending"})
    land(world, second, "o.jsonl", {**ANNA, "status": "confirmed"})
    assert world.run(first, second)
    assert results(world, first) == [("repeated", "counted_in_another_hour")]
    assert results(world, second) == [("delivered", None)]
    assert not find_gaps(world.lake, coverage_policy(world.settings()), world.now).gaps
    assert world.received()["accepted"] == 1


def test_an_order_confirmed_in_a_later_run_leaves_the_hour_that_withheld_it(
    world: AssetHarness,
) -> None:
    first, second = world.hour(2), world.hour(1)
    land(world, first, "o.jsonl", {**ANNA, "status": "pending"})
    assert world.run(first)
    assert results(world, first) == [("withheld", "not_confirmed")]
    land(world, second, "o.jsonl", {**ANNA, "status": "confirmed"})
    assert world.run(second)
    assert results(world, first) == [("repeated", "counted_in_another_hour")]
    assert results(world, second) == [("delivered", None)]
    world.judge(first)
    assert (health(world, first), health(world, second)["delivered"]) == ({}, 1)


def test_a_broken_and_a_good_row_of_one_order_are_one_delivered_order(
    world: AssetHarness,
) -> None:
    hour = world.hour(2)
    land(world, hour, "a.jsonl", {**ANNA, "value": "twenty"})
    land(world, hour, "b.jsonl", ANNA)
    world.run(hour)
    assert len(world.read("quarantined_orders", [hour])) == 1
    expected = {"orders": 1, "delivered": 1, "value_orders": 20.0, "value_delivered": 20.0}
    assert health(world, hour) == expected


def test_orders_at_meta_that_land_again_with_another_event_id_are_not_sent_again(
    world: AssetHarness,
) -> None:
    hour = world.hour(2)
    land(world, hour, "a.jsonl", ANNA)
    world.run(hour)
    land(world, hour, "b.jsonl", {**ANNA, "event_id": "pixel-17"})
    world.run(hour)
    assert results(world, hour) == [("delivered", "delivered_under_former_event_id")]
    (row,) = world.read("delivery_results", [hour])
    assert (row["event_id"], row["sent_event_id"]) == ("pixel-17", "Purchase:17")
    assert health(world, hour)["delivered"] == 1
    assert world.received()["accepted"] == 1
    # Another order of the same id, with an event_id of its own, is what the remedy asks for.
    other = world.hour(1)
    land(world, other, "o.jsonl", {**OTTO, "event_id": "shop-b-17"})
    world.run(other)
    assert results(world, other) == [("delivered", None)]
    assert world.received()["accepted"] == 2


def test_an_order_whose_hour_loses_it_is_counted_where_it_came_again(world: AssetHarness) -> None:
    first, second = world.hour(3), world.hour(2)
    land(world, first, "o.jsonl", ANNA)
    land(world, second, "o.jsonl", {**ANNA, "event_id": "pixel-17"})
    world.run(first, second)
    assert world.received()["accepted"] == 1
    assert results(world, second) == [("repeated", "counted_in_another_hour")]
    land(world, first, "o.jsonl")
    world.run(first)
    assert results(world, second) == [("delivered", "delivered_under_former_event_id")]
    assert f"they are counted in {hour_key(second)} now" in descriptions(world)[0]


def test_an_order_that_is_never_sent_is_counted_in_its_newest_state(world: AssetHarness) -> None:
    first, second = world.hour(3), world.hour(2)
    land(world, first, "o.jsonl", {**ANNA, "status": "pending"})
    land(world, second, "o.jsonl", {**ANNA, "status": "cancelled"})
    world.run(first, second)
    assert results(world, first) == [("repeated", "counted_in_another_hour")]
    assert health(world, first) == {}
    assert health(world, second)["withheld"] == 1
