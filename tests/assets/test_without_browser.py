"""Website orders whose visit is not found, from the landing zone to Meta."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from capi_assets.coverage.stored_health import find_gaps
from capi_assets.delivery.causes import Cause
from capi_assets.policies import coverage_policy
from capi_assets.settings import SettingsError, read_settings
from tests.helpers.asset_harness import AssetHarness


def lose_visits(world: AssetHarness, hour: datetime) -> None:
    for file in (world.root / "landing" / "visits" / f"{hour:%Y-%m-%d/%H}").iterdir():
        file.unlink()


def test_they_are_sent_counted_and_a_lost_tracker_is_still_found(world: AssetHarness) -> None:
    hours = [world.hour(back) for back in (4, 3, 2, 1)]
    for hour in hours:
        world.land_orders(hour, count=4)
    lose_visits(world, lost := hours[2])
    world.run(hours[0], hours[-1])
    assert world.received()["accepted"] == 16
    (row,) = world.read("attribution_health", [lost])
    assert (row["delivered"], row["without_browser"], row["matched"]) == (4, 4, 0)
    (row,) = world.read("attribution_health", [hours[0]])
    assert (row["delivered"], row["without_browser"], row["matched"]) == (4, 0, 4)
    (gap,) = find_gaps(world.lake, coverage_policy(world.settings()), world.now).gaps
    assert (gap.cause, dict(gap.missing)) == (Cause.VISITS_MISSING, {lost: 0})


def test_the_setting_withholds_them_and_its_return_sends_them(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=2)
    lose_visits(world, hour)
    world.overrides = {"website_without_browser": "withhold"}
    assert world.run(hour)
    assert world.received()["accepted"] == 0
    results = world.read("delivery_results", [hour])
    assert {(row["status"], row["reason"]) for row in results} == {("withheld", "without_browser")}
    world.overrides = {"site_url": "https://shop.example/"}
    assert world.run(hour)
    payloads = [row["payload"] for row in world.read("matched_events", [hour])]
    assert {json.loads(text)["event_source_url"] for text in payloads} == {"https://shop.example/"}
    assert world.received()["accepted"] == 2


@pytest.mark.parametrize("address", ["shop.example", "https://", "ftp://shop.example", "/thanks"])
def test_an_address_of_the_site_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="CAPI_SITE_URL"):
        read_settings({"CAPI_SITE_URL": address})
