"""Real input: a web server's log and its visitors' orders, by SQL models, in one backfill."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from capi_assets.hours import HOUR, floor_hour, hours_between
from tests.helpers.asset_harness import AssetHarness

EXAMPLE = Path(__file__).parents[2] / "examples" / "weblog"


def test_84_hours_of_a_real_log_are_accounted_for(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = floor_hour(world.now)
    monkeypatch.setenv("CAPI_SQL_WEBLOG_DIR", str(EXAMPLE / "data"))
    monkeypatch.setenv("CAPI_SQL_SHIFT_TO", end.isoformat())
    world.overrides = {
        "visits_sql": str(EXAMPLE / "visits.sql"),
        "orders_sql": str(EXAMPLE / "orders.sql"),
        "default_country": "US",
    }
    hours = hours_between(end - 84 * HOUR, end)
    assert world.run(hours[0], hours[-1])

    results = world.read("delivery_results", hours)
    statuses = Counter(row["status"] for row in results)
    refused = world.read("quarantined_orders", hours)
    assert len(results) + len(refused) == 525
    assert statuses["withheld"] == 56
    assert statuses["delivered"] + statuses["withheld"] + statuses["invalid"] == len(results)
    assert statuses["delivered"] > 400
    received = world.received()
    assert received["accepted"] == statuses["delivered"]
    assert received["doubled"] == received["duplicates"] == 0

    matched = Counter(row["matched_by"] for row in world.read("matched_events", hours))
    # 319, less 34 that are withheld and stored without address and user agent, and 14 of robots
    # whose user agent holds an e-mail address, which is contact data
    assert matched["ip_user_agent"] == 271
    assert world.run(hours[-24], hours[-1])
    assert world.received() == received
