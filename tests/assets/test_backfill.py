"""Re-materializing is the backfill: safe at any time, for any range, any number of times."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import dagster as dg

from capi_assets.commands.runs import job_of
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import TOKEN, AssetHarness


def test_a_range_is_delivered_once_however_often_it_is_materialized(world: AssetHarness) -> None:
    hours = [world.hour(back) for back in (5, 4, 3)]
    for hour in hours:
        world.land_orders(hour)
    assert world.run(hours[0], hours[-1])
    assert world.received() == {"received": 9, "accepted": 9, "duplicates": 0, "doubled": 0}
    before, requests = world.stored_bytes("matched_events"), world.requests()

    assert world.run(hours[0], hours[-1])
    assert world.run(hours[1])
    assert world.requests() == requests
    assert world.stored_bytes("matched_events") == before
    assert len(before) == 3


def test_every_hour_of_a_range_is_one_request_together(world: AssetHarness) -> None:
    for back in range(2, 8):
        world.land_orders(world.hour(back), count=2)
    assert world.run(world.hour(7), world.hour(2))
    assert world.requests() == 1


def test_a_run_is_executed_again_from_its_failed_step(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    assert not world.run(hour)
    world.meta.renew_token(TOKEN)
    (failed,) = world.instance.get_runs(limit=1)
    with dg.execute_job(
        job_of(world.settings(), "deliver_hour"),
        world.instance,
        run_config=failed.run_config,
        tags=dict(failed.tags),
        reexecution_options=dg.ReexecutionOptions.from_failure(failed.run_id, world.instance),
    ) as again:
        assert again.success
        steps = {event.step_key for event in again.get_step_success_events()}
    assert "delivery_results" in steps
    assert steps.isdisjoint({"visits", "orders", "matched_events"})
    assert world.received()["accepted"] == 3
    assert world.statuses("delivery_results") == ({hour}, set())


def test_a_dead_token_leaves_its_hours_failed_and_only_those(world: AssetHarness) -> None:
    good, bad = world.hour(4), world.hour(3)
    for hour in (good, bad):
        world.land_orders(hour)
    assert world.run(good)
    world.meta.expire_token(TOKEN)

    assert not world.run(good, bad)
    assert world.statuses("delivery_results") == ({good}, {bad})
    # What judges the hours is there all the same.
    assert world.statuses("attribution_health") == ({good, bad}, set())
    waiting = world.read("delivery_results", [bad])
    assert {(row["status"], row["reason"]) for row in waiting} == {("pending", "token_expired")}
    # A failed hour has no materialization to carry its numbers: its page shows them all the same.
    notes = world.instance.fetch_observations(dg.AssetKey("delivery_results"), limit=9).records
    (note,) = [record.asset_observation for record in notes]
    assert note is not None
    assert note.partition == hour_key(bad)
    assert "the access token has expired" in str(note.description)
    assert note.metadata["pending"].value == 3
    assert "token" in str(note.metadata["remedy"].value)

    world.meta.renew_token(TOKEN)
    assert world.run(bad)
    assert world.statuses("delivery_results") == ({good, bad}, set())
    assert world.received()["accepted"] == 6
    assert world.received()["received"] == 6


def test_a_finished_hour_shows_as_failed_again_once_late_orders_wait(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    world.land_orders(hour, name="late.jsonl")
    world.meta.expire_token(TOKEN)

    assert not world.run(hour)
    assert world.statuses("delivery_results") == (set(), {hour})
    statuses = [row["status"] for row in world.read("delivery_results", [hour])]
    assert sorted(statuses) == ["delivered"] * 3 + ["pending"] * 3


def test_an_empty_hour_is_an_hour(world: AssetHarness) -> None:
    hour = world.hour(2)
    assert world.run(hour)
    (row,) = world.read("attribution_health", [hour])
    assert (row["orders"], row["delivered"], row["coverage"]) == (0, 0, None)
    assert world.requests() == 0


def test_the_open_hour_can_be_delivered_while_it_fills(world: AssetHarness) -> None:
    hour = world.hour(0)
    world.now = hour + timedelta(minutes=30)
    world.meta.set_clock(world.now)
    world.land_orders(hour, count=2)
    assert world.run(hour)
    world.land_orders(hour, count=2, name="more.jsonl")
    assert world.run(hour)
    assert world.received() == {"received": 4, "accepted": 4, "duplicates": 0, "doubled": 0}


def test_orders_too_old_for_meta_are_expired_and_never_sent(world: AssetHarness) -> None:
    hour = world.hour(7 * 24 + 2)
    world.land_orders(hour)
    assert world.run(hour)
    assert {row["status"] for row in world.read("delivery_results", [hour])} == {"expired"}
    assert world.requests() == 0


def test_an_order_cancelled_after_it_was_held_back_is_not_sent(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=1)
    world.meta.expire_token(TOKEN)
    assert not world.run(hour)
    world.land_orders(hour, count=1, status="cancelled")
    world.meta.renew_token(TOKEN)
    assert world.run(hour)
    (row,) = world.read("delivery_results", [hour])
    assert (row["status"], row["reason"]) == ("withheld", "cancelled")
    assert world.received()["received"] == 0


def test_a_withdrawn_consent_stops_the_delivery_and_keeps_no_payload(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=2, consent=False)
    assert world.run(hour)
    events = world.read("matched_events", [hour])
    assert {(e["verdict"], e["reason"], e["payload"]) for e in events} == {
        ("withheld", "no_consent", None)
    }
    assert world.requests() == 0


def test_one_event_that_meta_would_refuse_costs_no_other(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=2)
    weak = {
        "order_id": "weak",
        "occurred_at": (hour + timedelta(minutes=1)).isoformat(),
        "event_name": "Lead",
        "gender": "f",
        "action_source": "phone_call",
    }
    world.land("orders", hour, "weak.jsonl", json.dumps(weak) + "\n")
    assert world.run(hour)
    rows = {row["order_id"]: row for row in world.read("delivery_results", [hour])}
    assert rows["weak"]["status"] == "invalid"
    assert rows["weak"]["subcode"] == 2804050
    assert world.received()["accepted"] == 2


def test_a_dry_run_shows_the_plan_and_touches_nothing(world: AssetHarness) -> None:
    hours = [world.hour(4), world.hour(3)]
    for hour in hours:
        world.land_orders(hour)
    world.meta.expire_token(TOKEN)
    world.run(hours[0], hours[-1])
    world.meta.renew_token(TOKEN)
    requests = world.requests()

    assert world.run(hours[0], hours[-1], dry_run=True)
    assert world.requests() == requests
    done, _ = world.statuses("delivery_results")
    assert done == set()
    observed, *_ = world.instance.fetch_observations(
        dg.AssetKey("delivery_results"), limit=5
    ).records
    metadata = observed.asset_observation.metadata
    assert metadata["recoverable"].value == 6
    assert metadata["requests_needed"].value == 1
    assert "recoverable" in metadata["plan"].records[0].data


def test_orders_matched_before_their_visits_were_rebuilt_are_named(world: AssetHarness) -> None:
    earlier, hour = world.hour(4), world.hour(3)
    for each in (earlier, hour):
        world.land_orders(each)
        assert world.run(each)
    # Read again and found the same: nothing was rebuilt.
    assert world.run(earlier)
    assert _rebuilt(world, hour) == 0
    world.land_orders(earlier, name="late.jsonl")
    assert world.run(earlier)
    world.judge(hour)
    assert _rebuilt(world, hour) == 1
    assert world.run(hour)
    assert _rebuilt(world, hour) == 0


def _rebuilt(world: AssetHarness, hour: datetime) -> int:
    (record,) = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey("attribution_health"), asset_partitions=[hour_key(hour)]
        ),
        limit=1,
    ).records
    return record.asset_materialization.metadata["visit_hours_rebuilt_since_matching"].value
