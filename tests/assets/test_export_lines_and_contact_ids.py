"""Landed exports with sum lines, further lines and ids of contact data, up to Meta's inbox."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import duckdb
import pytest

from capi_assets.commands.explain.find_order import Search, find
from capi_assets.ingest import pii_scan
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.factories import digest

ANA = "ana.silva@example.com"
HEADER = "order_id,occurred_at,value,currency,email,action_source,content_ids\n"


def _row(world: AssetHarness, order_id: str, items: str = "") -> str:
    at = (world.hour(3) + timedelta(minutes=5)).isoformat()
    return f"{order_id},{at},10,EUR,{ANA},physical_store,{items}\n"


def _latest(world: AssetHarness, asset: str) -> dict[str, dg.MetadataValue]:
    event = world.instance.get_latest_materialization_event(dg.AssetKey(asset))
    assert event is not None
    assert event.asset_materialization is not None
    return dict(event.asset_materialization.metadata)


def _check(world: AssetHarness) -> dg.AssetCheckEvaluation:
    key = dg.AssetCheckKey(dg.AssetKey("orders"), "orders_match_contract")
    (record,) = world.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation)
    return record.evaluation


def test_sum_and_further_lines_are_counted_named_and_no_lost_orders(world: AssetHarness) -> None:
    hour = world.hour(3)
    lines = _row(world, "1", '"[""A""]"') + '1,,,,,,"[""B""]"\n' + _row(world, "2")
    world.land("orders", hour, "export.csv", HEADER + lines + "Total,,20.00,,,,\n")

    assert world.run(hour)
    assert world.received()["accepted"] == 2
    (health,) = world.read("attribution_health", [hour])
    assert (health["delivered"], health["quarantined"], health["coverage"]) == (2, 0, 1.0)
    metadata = _latest(world, "orders")
    assert (metadata["sum_lines"].value, metadata["further_lines"].value) == (1, 1)
    assert "export.csv line 5" in str(metadata["left_out"].value)
    verdict = _check(world)
    assert verdict.passed
    assert "export.csv line 5" in str(verdict.description)


@pytest.mark.dagster_in_files
def test_an_order_id_that_is_an_address_is_nowhere_in_clear(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land("orders", hour, "a.csv", HEADER + _row(world, ANA))
    world.land("orders", hour, "b.csv", HEADER + _row(world, ANA.upper()))

    assert world.run(hour)
    assert world.received()["accepted"] == 1
    (result,) = world.read("delivery_results", [hour])
    assert (result["order_id"], result["status"]) == (digest(ANA), "delivered")
    stored = [
        path.read_bytes()
        for path in world.root.rglob("*")
        if path.is_file() and "landing" not in path.parts
    ]
    assert stored
    assert not any(ANA.encode() in content.lower() for content in stored)
    assert _latest(world, "orders")["ids_hashed"].value == 1
    verdict = _check(world)
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert verdict.metadata["ids_hashed"].value == 1


def test_an_order_known_under_its_address_keeps_its_id_and_is_not_sent_again(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = world.hour(3)
    world.land("orders", hour, "a.csv", HEADER + _row(world, ANA))
    with monkeypatch.context() as former:
        former.setattr(pii_scan, "OWN_IDS", ())
        assert world.run(hour)
    world.land("orders", hour, "b.csv", HEADER + _row(world, "otto@example.com"))

    for _ in range(2):
        assert world.run(hour)
        assert world.received() | {"accepted": 2, "duplicates": 0} == world.received()
        ids = {row["order_id"]: row["event_id"] for row in world.read("orders", [hour])}
        new = digest("otto@example.com")
        assert ids == {ANA: f"Purchase:{ANA}", new: f"Purchase:{new}"}
        assert {row["status"] for row in world.read("delivery_results", [hour])} == {"delivered"}


def test_explain_finds_an_order_by_its_address(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land("orders", hour, "a.csv", HEADER + _row(world, ANA))
    world.run(hour)
    with duckdb.connect() as connection:
        (order,), _ = find(Search(world.lake, connection), ANA, None)
    assert order["order_id"] == digest(ANA)
