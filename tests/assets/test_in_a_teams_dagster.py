"""Two shops and a team's own definitions in one code location: nothing collides, all delivers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import capi_assets
from capi_assets.commands.runs import run_hours
from capi_assets.defs.executor import IN_ONE_PROCESS
from capi_assets.hours import hour_key
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.sensor_ticks import SensorTicks
from tests.helpers.team_project import TEAM_EXECUTOR, team_definitions

MINUTE = timedelta(minutes=1)
OTHER, OTHER_TOKEN = "9876543210987654", "EAAtokenOfTheOtherShop"


def ours(settings: Settings, **options: Any) -> dg.Definitions:
    """Our definitions, by the public door."""
    definitions: dg.Definitions = capi_assets.build_conversions_definitions(settings, **options)
    return definitions


@pytest.fixture
def shops(world: AssetHarness, tmp_path: Path) -> Iterator[tuple[AssetHarness, AssetHarness]]:
    """Two shops on one Dagster instance, each with its lake, ledger and dataset."""
    with SandboxServer(tokens=[OTHER_TOKEN], datasets={OTHER: "Other"}) as meta:
        other = AssetHarness(tmp_path / "other", world.instance, meta, world.now)
        world.overrides = {"key_prefix": "berlin"}
        other.overrides = {
            "key_prefix": "shops/paris", "dataset_id": OTHER, "access_token": OTHER_TOKEN,
        }  # fmt: skip
        yield world, other


def names_of(definitions: dg.Definitions) -> dict[str, set[str]]:
    """Every name that is unique in a code location, by its kind."""
    repository = definitions.get_repository_def()
    graph = definitions.resolve_asset_graph()
    return {
        "assets": {key.to_user_string() for key in graph.get_all_asset_keys()},
        "checks": {key.to_user_string() for key in graph.asset_check_keys},
        "groups": {graph.get(key).group_name or "" for key in graph.get_all_asset_keys()},
        "jobs": {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")},
        "schedules": {each.name for each in repository.schedule_defs},
        "sensors": {each.name for each in repository.sensor_defs},
        "resources": {
            name for name in repository.get_top_level_resources() if name != "io_manager"
        },
    }


def test_every_name_has_the_prefix_and_is_else_the_same() -> None:
    plain, prefixed = names_of(ours(Settings())), names_of(ours(Settings(), key_prefix=["a", "b"]))
    for kind, names in plain.items():
        joined = "a/b/" if kind in ("assets", "checks") else "a__b__"
        assert prefixed[kind] == {joined + name for name in names}, kind
    assert plain["resources"] == {"capi_clock", "capi_duckdb"}
    assert plain["groups"] == {
        "conversions", "conversions_meta_access", "conversions_meta_reports",
    }  # fmt: skip


def test_a_group_can_be_named() -> None:
    assert names_of(ours(Settings(), key_prefix="a", group="ads"))["groups"] == {
        "ads", "ads_meta_access", "ads_meta_reports",
    }  # fmt: skip


@pytest.mark.parametrize("prefix", ["a b", "a//b", "/a", "ü"])
def test_a_prefix_that_dagster_would_not_take_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        ours(Settings(), key_prefix=prefix)


def test_a_teams_definitions_are_left_as_they_are() -> None:
    merged = dg.Definitions.merge(
        team_definitions(), ours(Settings(), key_prefix="a"), ours(Settings(), key_prefix="b")
    )
    dg.Definitions.validate_loadable(merged)
    assert merged.executor is TEAM_EXECUTOR
    assert merged.resolve_job_def("deliver_hour").executor_def is TEAM_EXECUTOR
    for name in ("a__deliver_hour", "b__evaluate_hour", "a__apply_retention", "b__check_access"):
        assert merged.resolve_job_def(name).executor_def is IN_ONE_PROCESS
    alone = names_of(team_definitions())
    for kind, names in names_of(merged).items():
        assert alone[kind] <= names, kind


def test_without_a_prefix_ours_merge_with_a_team_that_has_other_keys() -> None:
    @dg.asset
    def revenue() -> None: ...

    team = dg.Definitions([revenue], resources=team_definitions().resources)
    dg.Definitions.validate_loadable(dg.Definitions.merge(team, ours(Settings())))


def test_both_shops_deliver_each_to_its_own_dataset(
    shops: tuple[AssetHarness, AssetHarness],
) -> None:
    merged = dg.Definitions.merge(team_definitions(), *(ours(shop.settings()) for shop in shops))
    for shop, orders in zip(shops, (2, 3), strict=True):
        hour, name = shop.hour(3), shop.settings().prefixed("deliver_hour")
        shop.land_orders(hour, orders)
        merged.resolve_job_def(name).execute_in_process(
            instance=shop.instance, partition_key=hour_key(hour), run_config=shop.at()
        )
        assert shop.received()["accepted"] == orders
        assert shop.statuses("attribution_health") == ({hour}, set())


def test_a_run_of_one_shop_blocks_no_hour_of_the_other(
    shops: tuple[AssetHarness, AssetHarness],
) -> None:
    berlin, paris = shops
    hour = berlin.hour(3)
    for shop in shops:
        shop.overrides["start_date"] = shop.hour(6)
        shop.land_orders(hour)
        assert shop.run(hour)
        shop.land_orders(hour, 2, "late.jsonl")
    tick = berlin.now + 3 * MINUTE
    berlin.instance.create_run_for_job(
        berlin.job("deliver_hour"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": hour_key(hour)},
    )
    assert not SensorTicks(berlin, "late_files_sensor").look(tick).run_requests
    result = SensorTicks(paris, "late_files_sensor").look(tick)
    assert [request.tags["capi_assets/late_files"] for request in result.run_requests or []] == [
        "orders and visits"
    ]
    observed = {event.asset_key.to_user_string() for event in result.asset_events or []}
    assert observed == {"shops/paris/orders", "shops/paris/visits"}


def test_notes_links_and_recovery_name_their_own_shop(
    shops: tuple[AssetHarness, AssetHarness],
) -> None:
    _, paris = shops
    hour = paris.hour(3)
    paris.overrides |= {"start_date": hour, "ui_url": "http://127.0.0.1:3000"}
    paris.land_orders(hour)
    expired = paris.settings(access_token="EAAexpired")
    assert not run_hours(paris.instance, expired, hour, hour, at=paris.now)
    looks = SensorTicks(paris, auto_backfill=True)
    results = [looks.look(paris.now + minutes * MINUTE) for minutes in range(0, 40, 5)]
    events = [event for result in results for event in result.asset_events or []]
    assert {event.asset_key.to_user_string() for event in events} == {
        "shops/paris/attribution_health"
    }
    notes = [event for event in events if isinstance(event, dg.AssetObservation)]
    links = {note.metadata["backfill"].value for note in notes if "backfill" in note.metadata}
    page = "http://127.0.0.1:3000/guess/shops__paris__deliver_hour/partitions"
    assert f"{page}?default_range={hour_key(hour)}" in links
    requests = [request for result in results for request in result.run_requests or []]
    assert "shops__paris__deliver_hour" in {request.job_name for request in requests}
    assert {request.job_name for request in requests} <= {
        "shops__paris__deliver_hour", "shops__paris__evaluate_hour",
    }  # fmt: skip
