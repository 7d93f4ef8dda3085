"""What a cluster stores is what DuckDB stores, byte for byte."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from capi_assets.hours import HOUR, floor_hour
from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.shop import Shop
from tests.assets.test_cases_of_input import *  # noqa: F403  (on the cluster: see `world`)
from tests.spark.conftest import SparkHarness

WEBLOG = Path(__file__).parents[2] / "examples" / "weblog"
SEEDS = range(10)


def stored_by(
    world: SparkHarness, engine: str, lake: str, first: datetime, last: datetime
) -> dict[str, bytes]:
    """Every file that the two stages store for these hours in the folder `lake`."""
    world.materialize_stages(engine, world.root / lake, first, last)
    folder = world.root / lake
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.parquet")}


def assert_same(world: SparkHarness, name: str, first: datetime, last: datetime) -> None:
    here = stored_by(world, "duckdb", f"{name}-duckdb", first, last)
    there = stored_by(world, world.url, f"{name}-spark", first, last)
    assert sorted(there) == sorted(here)
    assert [file for file in here if there[file] != here[file]] == []
    assert sum(file.startswith("matched_events") for file in here) >= (last - first) / HOUR + 1


def test_ten_shops_get_the_same_bytes(world: SparkHarness) -> None:
    """Each of three hours; the first hour's orders look back to the shops before them."""
    last = world.hour(1)
    first = last - (3 * len(SEEDS) - 1) * HOUR
    for place, seed in enumerate(SEEDS):
        opened = first + 3 * place * HOUR
        shop = Shop(seed, 20_000, opened=opened)
        write_landing(world.root / "landing", opened, opened + 3 * HOUR, shop, until=world.now)
    assert_same(world, "shops", first + HOUR, last)


def test_a_real_log_by_sql_models_gets_the_same_bytes(
    world: SparkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = floor_hour(world.now)
    monkeypatch.setenv("CAPI_SQL_WEBLOG_DIR", str(WEBLOG / "data"))
    monkeypatch.setenv("CAPI_SQL_SHIFT_TO", end.isoformat())
    world.overrides = {
        "visits_sql": str(WEBLOG / "visits.sql"),
        "orders_sql": str(WEBLOG / "orders.sql"),
        "default_country": "US",
    }
    assert_same(world, "weblog", end - 24 * HOUR, end - HOUR)


def test_shared_ids_and_refusals_are_found_on_the_cluster_too(world: SparkHarness) -> None:
    """A till's customer number finds no visit; who refuses later is withheld, by own and by lent
    marks; who did not refuse is not."""
    hour = world.hour(3)
    world.land_orders(hour, 3)
    tills = [
        {
            "order_id": f"till-{number}",
            "occurred_at": (hour + timedelta(minutes=20 + number)).isoformat(),
            "value": 5,
            "currency": "EUR",
            "email": f"customer.{number}@example.com",
            "external_id": "till-7",
        }
        for number in range(12)
    ]
    world.land("orders", hour, "tills.jsonl", "".join(json.dumps(row) + "\n" for row in tills))
    at = (world.hour(2) + timedelta(minutes=5)).isoformat()
    refusals = [
        {"visit_id": "later-0", "occurred_at": at, "fbp": "fb.1.1596403881668.1"},
        {"visit_id": "later-1", "occurred_at": at, "email": "customer.3@example.com"},
    ]
    rows = [json.dumps({**row, "consent": False}) + "\n" for row in refusals]
    world.land("visits", world.hour(2), "refusals.jsonl", "".join(rows))

    for lake in ("lake", "both-duckdb", "both-spark"):
        stored_by(world, "duckdb", lake, world.hour(2), world.hour(2))
    assert_same(world, "both", hour, hour)
    assert world.run(hour)
    events = {row["order_id"]: row for row in world.read("matched_events", [hour])}
    assert {events[row["order_id"]]["shared_keys"] for row in tills} == {"external_id"}
    withheld = {name for name, row in events.items() if row["verdict"] == "withheld"}
    assert withheld == {f"o-{hour:%d%H}-orders-0", "till-3"}
    assert world.received()["accepted"] == len(events) - 2
