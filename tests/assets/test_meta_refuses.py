"""Meta refuses whole hours, or everything: healthy orders go, and no mistake of Meta's is final."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from capi_assets.defs.conversions import delivery_results
from capi_assets.policies import delivery_policy
from tests.helpers.asset_harness import AssetHarness

ORDERS = 5


def statuses(world: AssetHarness, hours: Iterable[datetime]) -> Counter[str]:
    return Counter(row["status"] for row in world.read("delivery_results", hours))


@pytest.mark.parametrize("sick_hours", [1, 4])
def test_healthy_hours_are_delivered_in_the_first_run_whatever_hours_meta_refuses(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch, sick_hours: int
) -> None:
    # Too few requests to find every refused event in one run.
    few = {"events_per_request": ORDERS, "bisection_requests": 6}
    monkeypatch.setattr(
        delivery_results, "delivery_policy", lambda s: replace(delivery_policy(s), **few)
    )
    hours = [world.hour(back) for back in range(7, 1, -1)]
    for hour in hours:
        world.land_orders(hour, count=ORDERS)
    sick, healthy = hours[:sick_hours], hours[sick_hours:]
    for hour in sick:
        for number in range(ORDERS):
            event_id = f"Purchase:o-{hour:%d%H}-orders-{number}"
            world.meta.set_fault("error", subcode=2804019, event_id=event_id)
    assert not world.run(hours[0], hours[-1])
    assert statuses(world, healthy) == {"delivered": ORDERS * len(healthy)}
    found = statuses(world, sick)["rejected"]
    assert 0 < found < ORDERS * sick_hours
    assert world.statuses("delivery_results")[0] >= {*healthy}
    assert world.requests() <= len(hours) + few["bisection_requests"]

    # The search goes on where it stopped; six requests do not always reach a single event.
    for _ in range(3):
        world.run(sick[0], sick[-1])
    assert statuses(world, sick)["rejected"] > found
    assert statuses(world, sick)["delivered"] == 0


@pytest.mark.parametrize(
    ("kind", "settings"), [("error", {"subcode": 2804019}), ("html", {"http_status": 413})]
)
def test_a_run_in_which_meta_refuses_everything_rejects_no_order(
    world: AssetHarness, kind: str, settings: dict[str, Any]
) -> None:
    before, hour = world.hour(4), world.hour(3)
    world.land_orders(before)
    assert world.run(before, at=world.now - timedelta(hours=1))
    world.land_orders(hour, count=12)
    world.meta.set_fault(kind, **settings)
    assert not world.run(hour)
    assert statuses(world, [hour]) == {"pending": 12}
    assert world.statuses("delivery_results") == ({before}, {hour})
    world.meta.clear_faults()
    assert world.run(hour)
    assert statuses(world, [hour]) == {"delivered": 12}
    assert world.received()["doubled"] == 0
