"""A source that is gone removes nothing that is stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner

from capi_assets.cli import main
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import AssetHarness


def rotate_away(world: AssetHarness) -> None:
    shutil.rmtree(world.root / "landing")
    (world.root / "landing").mkdir()


def contract_verdict(world: AssetHarness, table: str) -> dg.AssetCheckEvaluation:
    check = dg.AssetCheckKey(dg.AssetKey(table), f"{table}_match_contract")
    (record,) = world.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation)
    return record.evaluation


def test_orders_that_wait_for_a_token_are_delivered_after_their_files_were_rotated_away(
    world: AssetHarness,
) -> None:
    first, last = world.hour(4), world.hour(3)
    for hour in (first, last):
        world.land_orders(hour)
    world.land("orders", last, "bad.csv", "order_id,occurred_at\nb1,yesterday\n")
    world.meta.set_fault("expired_token")
    assert not world.run(first, last)
    world.meta.clear_faults()
    stored = {t: world.stored_bytes(t) for t in ("orders", "visits", "quarantined_orders")}

    rotate_away(world)
    assert world.run(first, last)
    assert world.received()["accepted"] == 6
    assert {t: world.stored_bytes(t) for t in stored} == stored
    verdict = contract_verdict(world, "orders")
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.WARN
    assert {"stored_rows_kept"} <= set(verdict.metadata)


def test_a_file_that_can_no_longer_be_read_keeps_the_rows_it_had(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, name="a.jsonl")
    world.land_orders(hour, name="b.jsonl")
    world.meta.set_fault("expired_token")
    assert not world.run(hour)
    world.meta.clear_faults()
    world.land("orders", hour, "b.jsonl", b"\xff\xfe broken")
    assert not world.run(hour)
    assert len(world.read("orders", [hour])) == 6
    assert world.received()["accepted"] == 6
    assert world.statuses("orders") == (set(), {hour})


def test_a_file_without_rows_empties_the_hour(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    world.land("orders", hour, "orders.jsonl", "")
    assert world.run(hour)
    assert world.read("orders", [hour]) == []


def test_forget_deletes_what_an_absent_source_does_not(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    assert world.run(hour)
    rotate_away(world)
    done = CliRunner().invoke(
        main,
        ["forget", hour_key(hour), "--table", "orders", "--yes"],
        env={"CAPI_LAKE": str(world.root / "lake")},
    )
    assert done.exit_code == 0, done.output
    assert world.run(hour)
    assert world.read("orders", [hour]) == []
    assert len(world.read("visits", [hour])) == 3


@pytest.mark.parametrize("left", [0, 1])
def test_a_sql_model_without_rows_for_an_hour_keeps_it(
    world: AssetHarness, tmp_path: Path, left: int
) -> None:
    hour = world.hour(3)
    rows = [
        {"order_id": f"o{n}", "occurred_at": hour.isoformat(), "value": 1, "currency": "EUR"}
        for n in range(2)
    ]
    model, data = tmp_path / "orders.sql", tmp_path / "orders.jsonl"
    model.write_text(
        f"select * from read_json('{data}', columns={{order_id: 'text', occurred_at: 'timestamptz',"
        " value: 'double', currency: 'text'}) where occurred_at >= $hour_start"
        " and occurred_at < $hour_end"
    )
    world.overrides = {"orders_sql": str(model), "model_folders": str(tmp_path)}
    data.write_text("\n".join(json.dumps(row) for row in rows))
    world.run(hour)
    data.write_text("\n".join(json.dumps(row) for row in rows[:left]))
    world.run(hour)
    assert len(world.read("orders", [hour])) == (left or 2)
    assert contract_verdict(world, "orders").passed == bool(left)
