"""What is needed no more goes, by the nightly job, and nothing is sent twice because of it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from capi_assets.eligibility import MATCH_DATA
from capi_assets.policies import open_ledger
from capi_assets.settings import Settings
from tests.helpers.asset_harness import AssetHarness

DAY = timedelta(days=1)


def apply(
    world: AssetHarness, at: datetime, dry_run: bool = False, **changed: Any
) -> dict[tuple[str, str], int]:
    """One night of the job; the rows of its report by table and what was removed."""
    config = {"ops": {"remove_old_data": {"config": {"dry_run": dry_run}}}}
    result = world.job("apply_retention", **changed).execute_in_process(
        instance=world.instance, run_config={**world.at(at), **config}
    )
    assert result.success
    (output,) = (e for e in result.all_events if e.event_type_value == "STEP_OUTPUT")
    metadata = output.event_specific_data.metadata  # type: ignore[union-attr]
    records = [record.data for record in metadata["tables"].records]
    assert metadata["rows"].value == sum(record["rows"] for record in records)
    return {(r["table"], r["what"]): r["rows"] for r in records if r["rows"]}


def with_match_data(world: AssetHarness, hour: datetime) -> set[str]:
    rows = world.read("orders", [hour])
    return {r["order_id"] for r in rows if any(r[name] is not None for name in MATCH_DATA)}


def payloads(world: AssetHarness, hour: datetime) -> set[str]:
    rows = world.read("matched_events", [hour])
    return {row["order_id"] for row in rows if row["payload"] or row["match_keys"]}


def test_a_withheld_order_is_stored_without_match_data_and_sent_once_it_is_confirmed(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    for name, fields in (
        ("sent", {}),
        ("refused", {"consent": False}),
        ("pending", {"status": "pending"}),
    ):
        world.land_orders(hour, 1, f"{name}.jsonl", **fields)
    assert world.run(hour)
    assert {order.split("-")[2] for order in with_match_data(world, hour)} == {"sent"}
    assert {order.split("-")[2] for order in payloads(world, hour)} == {"sent"}
    world.land_orders(hour, 1, "pending.jsonl")
    world.land_orders(hour, 1, "refused.jsonl", consent=True)
    assert world.run(hour)
    assert len(with_match_data(world, hour)) == 3
    assert world.received()["accepted"] == 3


def test_data_goes_when_it_is_needed_no_more_and_a_dry_run_only_counts(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour, 2)
    world.land_orders(hour, 1, "store.jsonl", action_source="physical_store")
    assert world.run(hour)
    files = {table: world.stored_bytes(table) for table in ("orders", "matched_events")}
    assert apply(world, world.now + 8 * DAY) == {}
    counted = apply(world, world.now + 10 * DAY, dry_run=True)
    assert counted == {("matched_events", "payloads"): 2, ("orders", "match data"): 2}
    assert apply(world, world.now + 10 * DAY, retention="report") == counted
    assert files == {table: world.stored_bytes(table) for table in files}
    assert apply(world, world.now + 10 * DAY) == counted
    assert {order.split("-")[2] for order in payloads(world, hour)} == {"store"}
    assert with_match_data(world, hour) == payloads(world, hour)
    assert apply(world, world.now + 10 * DAY) == {}
    # An order of a store may be sent for 62 days.
    assert apply(world, world.now + 65 * DAY)["matched_events", "payloads"] == 1
    assert payloads(world, hour) == with_match_data(world, hour) == set()
    results = world.read("delivery_results", [hour])
    assert {row["status"] for row in results} == {"delivered"}
    # Materialized again, with its files still there: nothing is sent.
    assert world.run(hour, at=world.now + 65 * DAY)
    assert world.received()["received"] == 3


def test_old_hours_go_with_their_age_and_the_ledger_keeps_its_counts(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    removed = apply(world, world.now + 91 * DAY)
    for table in ("visits", "orders", "matched_events", "delivery_results"):
        assert removed[table, "hours"] == 3
        assert world.lake.hours(table) == []
    assert world.lake.hours("attribution_health") == [hour]
    assert apply(world, world.now + 366 * DAY) == {("ledger", "ids"): 3}
    assert apply(world, world.now + 366 * DAY) == {}
    with open_ledger(world.settings()) as ledger, ledger.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT order_id, event_id, person, state, value FROM events ORDER BY ref"
        ).all()
    assert [(r[0], r[2], r[3], r[4]) for r in rows] == [
        ("", None, "delivered", 10.0 + number) for number in range(3)
    ]
    assert world.run(hour, at=world.now + 366 * DAY)
    assert world.received()["received"] == 3


def test_open_orders_outlive_the_age_of_their_hour(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, 1, action_source="physical_store")
    world.overrides["access_token"] = "EAAexpired"
    world.run(hour)
    apply(world, world.now + 30 * DAY, orders_retention_days=10)
    assert payloads(world, hour)
    del world.overrides["access_token"]
    world.materialize_alone("delivery_results", hour)
    assert world.received()["accepted"] == 1


def test_a_withdrawal_removes_the_match_data_of_its_orders_the_next_night(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.overrides["access_token"] = "EAAexpired"
    world.run(hour)
    folder = world.root / "landing" / "withdrawals"
    folder.mkdir()
    order_id = sorted(with_match_data(world, hour))[0]
    (folder / "w.jsonl").write_text(json.dumps({"order_id": order_id}))
    world.materialize_alone("matched_events", hour)
    assert apply(world, world.now + DAY) == {("orders", "match data of withheld orders"): 1}
    assert order_id not in with_match_data(world, hour)
    assert len(with_match_data(world, hour)) == 2


@pytest.mark.parametrize("days", [None, 10])
def test_landing_files_stay_unless_a_setting_says_otherwise_and_as_long_as_they_are_needed(
    world: AssetHarness, days: int | None
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.overrides |= {"landing_retention_days": days, "start_date": hour.isoformat()}
    files = sorted((world.root / "landing").rglob("*.jsonl"))
    assert len(files) == 2
    # Visits are needed a week longer than orders: by those who come back and order.
    apply(world, world.now + 8 * DAY, landing_retention_days=10)
    assert sorted((world.root / "landing").rglob("*.jsonl")) == files
    removed = apply(world, world.now + 12 * DAY)
    left = [path.parts[-4] for path in (world.root / "landing").rglob("*.jsonl")]
    assert removed.get(("landing/orders", "files"), 0) == (1 if days else 0)
    assert sorted(left) == (["visits"] if days else ["orders", "visits"])
    apply(world, world.now + 17 * DAY)
    assert any((world.root / "landing").rglob("*.jsonl")) is (days is None)


def test_the_ledger_never_loses_ids_before_the_results_that_would_restore_them(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    kept = Settings.model_fields["ledger_ids_days"].default + 30
    assert apply(world, world.now + 366 * DAY, orders_retention_days=kept) == {
        ("visits", "hours"): 3,
        ("matched_events", "payloads"): 3,
        ("orders", "match data"): 3,
    }
    assert world.lake.read("orders", [hour], pa.schema([("order_id", pa.string())])).num_rows == 3
