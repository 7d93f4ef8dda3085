"""Visits and orders that come from a team's own assets: whole lineage, hours mapped to hours."""

from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from capi_assets import build_conversions_definitions
from capi_assets.hours import HOUR, hour_key
from tests.helpers.asset_harness import AssetHarness

DAY = timedelta(days=1)
VISITS = """
SELECT visit_id, occurred_at, client_ip_address, client_user_agent
FROM '{folder}/visits.parquet'
WHERE occurred_at >= $hour_start AND occurred_at < $hour_end
"""
ORDERS = """
SELECT order_id, occurred_at, value, currency, email, visit_id
FROM '{folder}/orders.parquet'
WHERE occurred_at >= $hour_start AND occurred_at < $hour_end
"""


@pytest.fixture
def shop(world: AssetHarness, tmp_path: Path) -> AssetHarness:
    """A world whose visits and orders are read by SQL models from what a team's assets write."""
    for name, model in (("visits", VISITS), ("orders", ORDERS)):
        (tmp_path / f"{name}.sql").write_text(model.format(folder=tmp_path / "warehouse"))
    world.overrides = {
        "key_prefix": "shop", "start_date": world.hour(40),
        "visits_sql": str(tmp_path / "visits.sql"), "orders_sql": str(tmp_path / "orders.sql"),
        "model_folders": str(tmp_path / "warehouse"),
    }  # fmt: skip
    (tmp_path / "warehouse").mkdir()
    return world


def write(folder: Path, table: str, hour: datetime, rows: int = 1) -> None:
    """The team's table, with an order of the hour and its visit, or without rows."""
    at = f"TIMESTAMPTZ '{hour:%Y-%m-%d %H}:10:00+00'"
    columns = {
        "visits": f"'v1' AS visit_id, {at} AS occurred_at, '203.0.113.7' AS client_ip_address,"
        " 'Mozilla/5.0 (X11; Linux x86_64)' AS client_user_agent",
        "orders": f"'o1' AS order_id, {at} + INTERVAL 5 MINUTE AS occurred_at, 9.5 AS value,"
        " 'EUR' AS currency, 'ada@example.com' AS email, 'v1' AS visit_id",
    }[table]
    duckdb.sql(f"COPY (SELECT {columns} LIMIT {rows}) TO '{folder / table}.parquet'")


def team(folder: Path, hour: datetime, first_hour: datetime) -> list[dg.AssetsDefinition]:
    """A team's hourly visits, which begin later than ours and have no current hour; its daily
    orders; and customers without partitions."""
    hourly = dg.HourlyPartitionsDefinition(start_date=first_hour, timezone="UTC")
    daily = dg.DailyPartitionsDefinition(first_hour.replace(hour=0) - DAY, end_offset=1)

    @dg.asset(key=["web", "visits"], partitions_def=hourly)
    def web_visits() -> None:
        write(folder, "visits", hour)

    @dg.asset(key=["shop_db", "orders"], partitions_def=daily)
    def shop_orders() -> None:
        write(folder, "orders", hour)

    @dg.asset(key=["shop_db", "customers"])
    def customers() -> None: ...

    return [web_visits, shop_orders, customers]


def test_the_lineage_is_whole_and_the_rows_are_delivered(
    shop: AssetHarness, tmp_path: Path
) -> None:
    hour = shop.hour(3)
    assets = team(tmp_path / "warehouse", hour, first_hour=shop.hour(4))
    merged = dg.Definitions.merge(
        dg.Definitions(assets),
        build_conversions_definitions(
            shop.settings(),
            visits_upstream=[dg.AssetKey(["web", "visits"])],
            orders_upstream=[dg.AssetKey(["shop_db", "orders"]), assets[2]],
        ),
    )
    dg.Definitions.validate_loadable(merged)
    graph = merged.resolve_asset_graph()
    parents = {
        key: graph.get(dg.AssetKey(["shop", key])).parent_keys for key in ("visits", "orders")
    }
    assert parents["visits"] == {dg.AssetKey(["web", "visits"])}
    assert parents["orders"] == {
        dg.AssetKey(["shop_db", "orders"]), dg.AssetKey(["shop_db", "customers"]),
    }  # fmt: skip
    dg.materialize(assets[:1], instance=shop.instance, partition_key=hour_key(hour))
    dg.materialize(assets[1:2], instance=shop.instance, partition_key=f"{hour:%Y-%m-%d}")
    job = merged.resolve_job_def("shop__deliver_hour")
    job.execute_in_process(
        instance=shop.instance, partition_key=hour_key(hour), run_config=shop.at()
    )
    assert shop.received()["accepted"] == 1
    (event,) = shop.read("matched_events", [hour])
    assert event["matched_by"] == "visit_id"


@pytest.mark.parametrize("back", [0, 30])
def test_an_hour_that_the_team_has_no_partition_for_runs_all_the_same(
    shop: AssetHarness, tmp_path: Path, back: int
) -> None:
    """The current hour, and hours before the team's first."""
    assets = team(tmp_path / "warehouse", shop.hour(3), first_hour=shop.hour(4))
    for table in ("visits", "orders"):
        write(tmp_path / "warehouse", table, shop.hour(3), rows=0)
    definitions = build_conversions_definitions(
        shop.settings(),
        visits_upstream=[dg.AssetKey(["web", "visits"])],
        orders_upstream=[dg.AssetKey(["shop_db", "orders"])],
    )
    merged = dg.Definitions.merge(dg.Definitions(assets), definitions)
    result = merged.resolve_job_def("shop__deliver_hour").execute_in_process(
        instance=shop.instance, partition_key=hour_key(shop.hour(back)), run_config=shop.at()
    )
    assert result.success


def test_hours_map_to_the_teams_hours_and_days(shop: AssetHarness, tmp_path: Path) -> None:
    hour = shop.hour(3)
    merged = dg.Definitions.merge(
        dg.Definitions(team(tmp_path / "warehouse", hour, first_hour=shop.hour(4))),
        build_conversions_definitions(
            shop.settings(),
            visits_upstream=[dg.AssetKey(["web", "visits"])],
            orders_upstream=[dg.AssetKey(["shop_db", "orders"])],
        ),
    )
    graph = merged.resolve_asset_graph()
    for ours, theirs, expected in (
        ("visits", ["web", "visits"], hour_key(hour)),
        ("orders", ["shop_db", "orders"], f"{hour:%Y-%m-%d}"),
    ):
        asset, upstream = graph.get(dg.AssetKey(["shop", ours])), graph.get(dg.AssetKey(theirs))
        assert asset.partitions_def
        assert upstream.partitions_def
        mapping = graph.get_partition_mapping(asset.key, upstream.key)
        subset = asset.partitions_def.subset_with_partition_keys([hour_key(hour)])
        mapped = mapping.get_upstream_mapped_partitions_result_for_partitions(
            subset, asset.partitions_def, upstream.partitions_def, current_time=shop.now + HOUR
        )
        assert list(mapped.partitions_subset.get_partition_keys()) == [expected]
