"""The code location as Dagster sees it: complete, described, and valid."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from capi_assets.definitions import build_definitions, defs
from capi_assets.defs.automation.active_runs import MAX_RUN_TIME
from capi_assets.hours import floor_hour, hour_key
from capi_assets.partitions import Partitions
from capi_assets.settings import Settings, SettingsError

DEFS = build_definitions(Settings())
ASSETS = ["visits", "orders", "matched_events", "delivery_results", "attribution_health"]


BESIDE = ["meta_access", "meta_stats", "dataset_quality"]


def test_the_assets_are_there_with_their_lineage() -> None:
    graph = DEFS.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert keys == {*ASSETS, *BESIDE}
    parents = {
        key.to_user_string(): {p.to_user_string() for p in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert parents["matched_events"] == {"visits", "orders"}
    assert parents["delivery_results"] == {"matched_events"}
    assert "delivery_results" in parents["attribution_health"]


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_tells_what_it_is(name: str) -> None:
    node = DEFS.resolve_asset_graph().get(dg.AssetKey(name))
    assert len(node.description or "") > 80
    assert node.owners
    assert node.kinds
    assert node.tags["stage"]
    assert node.group_name == "conversions"
    assert node.partitions_def == Partitions.since(Settings().start_date).hourly
    assert node.backfill_policy == dg.BackfillPolicy.single_run()
    assert node.freshness_policy is not None, "nobody would see that it stands still"
    schema = node.metadata["dagster/column_schema"]
    assert schema.columns
    assert all(column.description for column in schema.columns)
    assert node.check_keys


def test_freshness_is_evaluated_where_dagster_dev_starts() -> None:
    instance = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    assert instance["freshness"] == {"enabled": True}, "policies without it say nothing"


def test_a_run_killed_with_all_of_dagster_ends() -> None:
    instance = yaml.safe_load((Path(__file__).parents[2] / "dagster.yaml").read_text())
    limit = timedelta(seconds=instance["run_monitoring"]["max_runtime_seconds"])
    assert limit == MAX_RUN_TIME, "the sensors and Dagster give up a run at the same time"


def test_every_check_job_schedule_and_sensor_is_described() -> None:
    graph = DEFS.resolve_asset_graph()
    for key in graph.asset_check_keys:
        assert graph.get_check_spec(key).description, key
    repository = DEFS.get_repository_def()
    for job in repository.get_all_jobs():
        if not job.name.startswith("__"):
            assert job.description, job.name
    schedules = {s.name for s in repository.schedule_defs}
    assert schedules >= {
        "deliver_hourly",
        "deliver_current_hour",
        "check_access_daily",
        "apply_retention_nightly",
    }
    sensors = {s.name for s in repository.sensor_defs}
    assert sensors == {"coverage_sensor", "landing_sensor", "late_files_sensor"}
    for automation in (*repository.schedule_defs, *repository.sensor_defs):
        assert automation.description, automation.name


def ask(schedule: str, tick: datetime) -> Any:
    """What a schedule requests at a tick."""
    context = dg.build_schedule_context(scheduled_execution_time=tick)
    return DEFS.get_repository_def().get_schedule_def(schedule)(context)


def test_the_hourly_schedule_takes_the_hour_that_settled() -> None:
    tick = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
    request = ask("deliver_hourly", tick)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2026-11-20-13:00"


def test_the_open_hours_schedule_takes_the_hour_that_fills() -> None:
    now = datetime.now(UTC)
    tick = now.replace(minute=now.minute // 10 * 10, second=0, microsecond=0)
    request = ask("deliver_current_hour", tick)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == hour_key(floor_hour(tick - timedelta(seconds=1)))


def test_the_open_hours_schedule_does_not_make_up_for_old_ticks() -> None:
    tick = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    assert isinstance(ask("deliver_current_hour", tick), dg.SkipReason)


def test_a_wrong_column_map_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map.toml").write_text("[columns]\nNr = 'oder_id'\n")
    monkeypatch.setenv("CAPI_ORDERS_COLUMNS", str(tmp_path / "map.toml"))
    with pytest.raises(SettingsError, match="the nearest is 'order_id'"):
        defs()
