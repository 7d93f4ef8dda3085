"""Rows that a SQL model returns late reach Meta, where CAPI_WATCH_SQL is on."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest

from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import SensorTicks, hours_of

MODEL = """-- Orders of a shop; $nothing here.
SELECT "No", made, 5.0 AS value, 'EUR' AS currency, 'a' || "No" || '@example.com' AS email
FROM read_csv($shop, header = true, all_varchar = true)
WHERE made::TIMESTAMPTZ >= $hour_start AND made::TIMESTAMPTZ < $hour_end
ORDER BY made  -- the end"""


@pytest.fixture
def shop(world: AssetHarness, monkeypatch: pytest.MonkeyPatch) -> AssetHarness:
    """Orders of three hours in a table that grows, read by a model with a column map."""
    (world.root / "orders.sql").write_text(MODEL)
    (world.root / "map.toml").write_text("[columns]\nNo = 'order_id'\nmade = 'occurred_at'\n")
    (world.root / "shop.csv").write_text("No,made\n")
    monkeypatch.setenv("CAPI_SQL_SHOP", str(world.root / "shop.csv"))
    world.overrides = {
        "orders_sql": str(world.root / "orders.sql"),
        "orders_columns": str(world.root / "map.toml"),
        "watch_sql": True,
    }
    for back in (5, 4, 3):
        order(world, f"o{back}", world.hour(back))
        order(world, f"o{back}", world.hour(back))  # a repeat is no late row
    assert world.run(world.hour(5), world.hour(3))
    return world


def order(world: AssetHarness, name: str, hour: datetime) -> None:
    with (world.root / "shop.csv").open("a") as file:
        file.write(f"{name},{(hour + timedelta(minutes=7)).isoformat()}\n")


def later(world: AssetHarness, minutes: int) -> datetime:
    return world.now + timedelta(minutes=10 + minutes)


def test_late_rows_have_their_hour_materialized_once(shop: AssetHarness) -> None:
    ticks = SensorTicks(shop, "late_files_sensor")
    assert not ticks.look(later(shop, 0)).run_requests
    order(shop, "late", shop.hour(4))
    order(shop, "unread", shop.hour(7))  # an hour that was never materialized
    assert not ticks.look(later(shop, 14)).run_requests  # counted every 15 minutes
    found = ticks.look(later(shop, 15))
    assert hours_of(found, "deliver_hour") == [shop.hour(4)]
    assert {r.tags["capi_assets/late_files"] for r in found.run_requests or []} == {"orders"}
    (event,) = found.asset_events
    assert event.metadata["late_rows"].value == 1
    assert not ticks.look(later(shop, 16)).run_requests
    assert not ticks.look(later(shop, 31)).run_requests  # the same count, asked for before

    ticks.run(found, later(shop, 32))
    assert shop.received()["accepted"] == 4
    fresh = SensorTicks(shop, "late_files_sensor")  # as after a lost cursor
    assert not fresh.look(later(shop, 33)).run_requests
    order(shop, "later still", shop.hour(4))
    assert hours_of(ticks.look(later(shop, 48)), "deliver_hour") == [shop.hour(4)]


def test_a_model_that_fails_is_a_warning(shop: AssetHarness) -> None:
    order(shop, "late", shop.hour(4))
    (shop.root / "orders.sql").write_text(f"{MODEL}\n);")
    assert not SensorTicks(shop, "late_files_sensor").look(later(shop, 0)).run_requests


def test_models_are_watched_by_choice(shop: AssetHarness) -> None:
    order(shop, "late", shop.hour(4))
    ticks = SensorTicks(shop, "late_files_sensor", watch_sql=False)
    assert not ticks.look(later(shop, 0)).run_requests
    both = SensorTicks(
        shop, "late_files_sensor", watch_sql=False, visits_sql=str(shop.root / "orders.sql")
    )
    skipped = both.evaluate(later(shop, 0))
    assert isinstance(skipped, dg.SkipReason)
    assert "CAPI_WATCH_SQL=on" in str(skipped.skip_message)
