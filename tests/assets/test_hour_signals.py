"""Each hour's page in the UI has its signals as numbers, which Dagster plots over time."""

from __future__ import annotations

import dagster as dg

from capi_assets.hours import hour_key
from tests.helpers.asset_harness import AssetHarness


def test_an_hours_materialization_carries_its_signals(world: AssetHarness) -> None:
    full, empty = world.hour(3), world.hour(2)
    world.land_orders(full, count=5)
    assert world.run(full, empty)
    found = {}
    for record in world.instance.fetch_materializations(
        dg.AssetKey("attribution_health"), limit=10
    ).records:
        assert record.asset_materialization is not None
        found[record.partition_key] = record.asset_materialization.metadata
    numbers = {name: value.value for name, value in found[hour_key(full)].items()}
    assert (numbers["match_rate"], numbers["order_supplied_event_ids"]) == (1.0, 1.0)
    # The hour lies three hours back, and its orders were accepted just now.
    assert (numbers["within_1h"], numbers["within_24h"]) == (0.0, 1.0)
    assert 120 < numbers["freshness_p50_minutes"] <= numbers["freshness_p95_minutes"] < 245
    assert "match_rate" not in found[hour_key(empty)]
