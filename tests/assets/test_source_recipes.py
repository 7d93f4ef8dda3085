"""Recipes of examples/sources all the way: from a log and an export to the events at Meta."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from capi_assets.hours import HOUR, floor_hour, hours_between
from tests.helpers.asset_harness import AssetHarness

SOURCES = Path(__file__).parents[2] / "examples" / "sources"


def test_a_log_and_a_woocommerce_export_are_delivered(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The files' day becomes a recent one, since Meta accepts seven days.
    day = (world.now - timedelta(days=2)).replace(hour=0, minute=0)
    for source, name in (("access_log", "access.log"), ("woocommerce", "orders.csv")):
        text = (SOURCES / source / name).read_text()
        text = text.replace("20/Nov/2026", f"{day:%d/%b/%Y}").replace("2026-11-20", f"{day:%F}")
        (world.root / name).write_text(text)
    monkeypatch.setenv("CAPI_SQL_ACCESS_LOGS", str(world.root / "access.log"))
    monkeypatch.setenv("CAPI_SQL_SITE", "https://shop.example")
    monkeypatch.setenv("CAPI_SQL_WOO_ORDERS", str(world.root / "orders.csv"))
    monkeypatch.setenv("CAPI_SQL_WOO_ZONE", "Etc/GMT-1")  # Berlin's winter, all the year
    world.overrides = {
        "visits_sql": str(SOURCES / "access_log" / "visits.sql"),
        "orders_sql": str(SOURCES / "woocommerce" / "orders.sql"),
        "orders_columns": str(SOURCES / "woocommerce" / "columns.toml"),
        "default_country": "DE",
        "start_date": floor_hour(day),
    }
    first = floor_hour(day) + 12 * HOUR
    assert world.run(first, first + 3 * HOUR)
    hours = hours_between(first, first + 4 * HOUR)
    statuses = {row["order_id"]: row["status"] for row in world.read("delivery_results", hours)}
    assert statuses == {"W-901": "delivered", "W-902": "withheld", "W-903": "delivered"}
    assert world.received()["accepted"] == 2
    events = {row["order_id"]: row for row in world.read("matched_events", hours)}
    assert events["W-901"]["matched_by"] == "ip_user_agent"
    assert "IwAR0aZ3x" in events["W-901"]["payload"]
    assert world.read("quarantined_orders", hours) == []


def test_a_shopify_export_and_ga4_visits_are_delivered(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = (world.now - timedelta(days=2)).replace(hour=0, minute=0)
    text = (SOURCES / "shopify" / "orders_export.csv").read_text()
    (world.root / "orders.csv").write_text(text.replace("2026-11-20", f"{day:%F}"))
    monkeypatch.setenv("CAPI_SQL_SHOPIFY_ORDERS", str(world.root / "*.csv"))
    monkeypatch.setenv("CAPI_SQL_GA4_EVENTS", str(SOURCES / "ga4" / "*.json"))
    world.overrides = {
        "visits_sql": str(SOURCES / "ga4" / "visits.sql"),
        "orders_sql": str(SOURCES / "shopify" / "orders.sql"),
        "start_date": floor_hour(day),
    }
    first = floor_hour(day) + 13 * HOUR
    assert world.run(first, first + HOUR)
    hours = hours_between(first, first + 2 * HOUR)
    statuses = {row["order_id"]: row["status"] for row in world.read("delivery_results", hours)}
    assert statuses == {
        "#1001": "delivered",
        "#1002": "withheld",
        "#1003": "delivered",
        "#1004": "withheld",
    }
    assert world.received()["accepted"] == 2
