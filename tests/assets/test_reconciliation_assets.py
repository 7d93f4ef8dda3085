"""Both sides through Dagster against the sandbox: agreement, loss at Meta, no right to read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from capi_assets.cli import main
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.coverage.reconciliation.compare import Tolerance
from capi_assets.coverage.reconciliation.stored import (
    compare_counts,
    compare_quality_of_day,
    week_of,
)
from capi_assets.definitions import build_definitions
from capi_assets.defs.automation.active_runs import RANGE_END, RANGE_START
from capi_assets.defs.names import HOURLY_ASSETS
from capi_assets.delivery.datasets import Datasets
from capi_assets.hours import HOUR, hour_key, hours_between
from capi_assets.lake import Lake
from capi_assets.sandbox.simulated_stats import Counting
from capi_assets.settings import Settings, variable
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness


def run_job(world: AssetHarness, name: str, tags: Mapping[str, str], at: datetime) -> Any:
    return world.job(name).execute_in_process(
        instance=world.instance, tags=dict(tags), run_config=world.at(at)
    )


def compare(
    world: AssetHarness, first: datetime, last: datetime, at: datetime | None = None
) -> Any:
    tags = {RANGE_START: hour_key(first), RANGE_END: hour_key(last)}
    return run_job(world, "compare_counts", tags, at or world.now)


def verdicts(result: Any) -> dict[str, dg.AssetCheckEvaluation]:
    return {e.partition: e for e in result.get_asset_check_evaluations() if e.partition}


def stored(world: AssetHarness, hours: list[datetime]) -> list[dict[str, Any]]:
    return world.lake.read("meta_stats", hours, arrow_schema(MetaStats)).to_pylist()


def test_both_sides_through_dagster(world: AssetHarness) -> None:
    hours = [world.hour(back) for back in (9, 8, 7, 6)]
    for hour in hours:
        world.land_orders(hour, 9)
    # Deliveries of now settle three hours from now.
    assert world.run(hours[0], hours[-1])
    later = world.now + 4 * HOUR
    world.meta.set_clock(later)
    assert world.requests() > 0

    result = compare(world, hours[0], hours[-1], later)
    assert result.success
    found = verdicts(result)
    assert set(found) == {hour_key(hour) for hour in hours}
    assert all(e.passed for e in found.values())
    assert "counts agree" in (found[hour_key(hours[0])].description or "")
    rows = stored(world, hours)
    assert [(r["meta_events"], r["our_delivered_by_event_time"], r["verdict"]) for r in rows] == [
        (9, 9, "agree")
    ] * 4
    [event] = [
        e
        for e in result.asset_materializations_for_node("meta_stats")
        if e.partition == hour_key(hours[0])
    ]
    assert event.metadata["meta_events"].value == 9
    assert event.metadata["our_delivered"].value == 9
    assert "Meta" in event.metadata["comparison"].records[0].data

    # The same in pages, of which one is empty.
    world.meta.set_fault("insights_in_pages")
    assert compare(world, hours[0], hours[-1], later).success
    assert stored(world, hours) == rows
    world.meta.clear_faults()

    # Meta has lost most of two hours: a warning on both, and on no other.
    world.meta.state.counting = Counting(lost_share=0.7, lost_from=hours[1], lost_until=hours[3])
    found = verdicts(compare(world, hours[0], hours[-1], later))
    assert [found[hour_key(hour)].passed for hour in hours] == [True, False, False, True]
    bad = found[hour_key(hours[1])]
    assert bad.severity is dg.AssetCheckSeverity.WARN
    assert "fewer than known reasons explain" in (bad.description or "")

    # Meta counts by time of receipt: found out, and no alarm.
    world.meta.state.counting = Counting(basis="receipt")
    assert all(e.passed for e in verdicts(compare(world, hours[0], hours[-1], later)).values())
    before = stored(world, hours)
    assert {row["basis"] for row in before} == {"receipt_time"}

    # Reading fails: passed, with words, and what was read before stays.
    empty = hours[0] - HOUR
    for fault, words in (
        ("insights_refused", "cannot be read with this token: it may not read them (error 200)"),
        (
            "insights_denied",
            "may not read them, or Meta refuses the question (error 100). Reading wants ads_read",
        ),
        ("app_secret_required", "wrong (error 100). Set CAPI_APP_SECRET"),
        ("insights_throttled", "cannot be read now: Meta limits our calls"),
    ):
        world.meta.set_fault(fault)
        result = compare(world, empty, hours[-1], later)
        assert result.success
        found = verdicts(result)
        assert all(e.passed for e in found.values())
        assert stored(world, hours) == before
        said = found[hour_key(empty)].description or ""
        assert words in said
        assert "no comparison possible" in said
        assert TOKEN not in str(found)
        world.meta.clear_faults()


def test_dataset_quality_through_dagster(world: AssetHarness) -> None:
    hour = world.hour(2)
    world.land_orders(hour, 8)
    assert world.run(hour)
    world.meta.set_clock(world.now)
    day = f"{world.now:%Y-%m-%d}"
    start = world.now.replace(hour=0, minute=0, second=0, microsecond=0)
    tags = {"dagster/partition": day}

    def read() -> list[dict[str, Any]]:
        table = world.lake.read("dataset_quality", [start], arrow_schema(DatasetQuality))
        return table.to_pylist()

    world.meta.set_fault("insights_refused")
    result = run_job(world, "read_quality", tags, world.now)
    assert result.success
    [verdict] = verdicts(result).values()
    assert verdict.passed
    assert "Meta's Dataset Quality cannot be read with this token" in (verdict.description or "")
    assert [row["verdict"] for row in read()] == ["cannot_read"]
    world.meta.clear_faults()

    result = run_job(world, "read_quality", tags, world.now)
    [verdict] = verdicts(result).values()
    assert verdict.passed, verdict.description
    shares = {r["key"]: r for r in read() if r["measure"] == "match_key"}
    assert shares["em"]["meta_value"] == shares["em"]["our_value"] == 100
    assert shares["em"]["our_events"] == 8
    [event] = result.asset_materializations_for_node("dataset_quality")
    assert 0 < event.metadata["score_purchase"].value <= 10

    # Meta sees as many events again, without phone numbers: not what we sent.
    inbox = world.meta.inbox
    names = [row["name"] for row in inbox.rows("select name from pragma_table_info('events')")]
    changed = {"seq": "null", "keys": "replace(keys, ' ph', '')"}
    copied = ", ".join(changed.get(name, name) for name in names)
    with inbox.lock:
        inbox.db.execute(f"insert into events select {copied} from events")
    result = run_job(world, "read_quality", tags, world.now)
    assert result.success
    [verdict] = verdicts(result).values()
    assert not verdict.passed
    assert verdict.severity is dg.AssetCheckSeverity.WARN
    assert "ph of Purchase: 50.0 % at Meta, 100.0 % in our events" in str(verdict.description)
    kept = read()
    world.meta.set_fault("insights_throttled")
    run_job(world, "read_quality", tags, world.now)
    assert read() == kept


def test_reconcile_shows_both_sides_in_a_terminal(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = world.hour(5)
    world.land_orders(hour, 9)
    assert world.run(hour)
    later = world.now + 4 * HOUR
    world.meta.set_clock(later)
    for name in Settings.model_fields:
        monkeypatch.delenv(variable(name), raising=False)
    given = {
        "CAPI_LAKE": str(world.root / "lake"),
        "CAPI_DATASET_ID": DATASET,
        "CAPI_ACCESS_TOKEN": TOKEN,
        "CAPI_GRAPH_URL": world.meta.url,
        "CAPI_NOW": later.isoformat(),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(world.root)
    before = world.stored_bytes("delivery_results")
    asked = ["reconcile", f"{hour_key(hour)}...{hour_key(hour + HOUR)}"]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    assert TOKEN not in told.output
    assert hour_key(hour) in told.output
    assert "No lasting unexplained difference" in told.output
    told = CliRunner().invoke(main, [*asked, "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.output)
    assert document["agrees"] is True
    assert document["total"]["meta_events"] == document["total"]["our_delivered"] == 9
    assert document["hours"][0]["verdict"] == "agree"
    assert world.stored_bytes("delivery_results") == before
    assert world.lake.hours("meta_stats") == []

    world.meta.set_fault("insights_refused")
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0
    assert "no comparison possible" in told.output


def test_reconciliation_is_no_part_of_delivery() -> None:
    definitions = build_definitions(Settings())
    graph = definitions.resolve_asset_graph()
    assert not {*HOURLY_ASSETS} & {"meta_stats", "dataset_quality"}
    for name in ("deliver_hour", "evaluate_hour"):
        ops = {node.name for node in definitions.resolve_job_def(name).graph.node_defs}
        assert not [op for op in ops if "meta_stats" in op or "dataset_quality" in op], name
    for name in ("meta_stats", "dataset_quality"):
        node = graph.get(dg.AssetKey(name))
        assert not node.child_keys
        assert node.group_name == "conversions_meta_reports"
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert node.freshness_policy is not None
        schema = node.metadata["dagster/column_schema"]
        assert all(column.description for column in schema.columns)
        assert len(node.description or "") > 80
        assert node.check_keys


def test_the_schedules_ask_for_hours_that_meta_still_counts() -> None:
    start = Settings().start_date
    tick = start + timedelta(days=30, minutes=35)
    context = dg.build_schedule_context(scheduled_execution_time=tick)

    def ask(name: str, context: dg.ScheduleEvaluationContext, reconcile: bool = True) -> Any:
        definitions = build_definitions(Settings(reconcile=reconcile))
        return definitions.get_repository_def().get_schedule_def(name)(context)

    request = ask("reconcile_hourly", context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags[RANGE_END] == hour_key(tick - HOUR)
    assert request.tags[RANGE_START] == hour_key(tick - 6 * HOUR)
    request = ask("reconcile_nightly", context)
    assert isinstance(request, dg.RunRequest)
    week = hours_between(tick - timedelta(days=7) + HOUR, tick)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (
        hour_key(week[0]),
        hour_key(week[-1]),
    )
    request = ask("dataset_quality_nightly", context)
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == f"{tick:%Y-%m-%d}"
    early = dg.build_schedule_context(scheduled_execution_time=start)
    assert isinstance(ask("reconcile_hourly", early), dg.SkipReason)
    for name in ("reconcile_hourly", "reconcile_nightly", "dataset_quality_nightly"):
        assert isinstance(ask(name, context, reconcile=False), dg.SkipReason)


def test_nothing_is_asked_where_nothing_is_set_up(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    hours = week_of(now)[-3:]
    told = compare_counts(Lake(tmp_path), Datasets({}, {}, {}), hours, now, Tolerance())
    assert told.rows.num_rows == 0
    missing = Datasets({}, {}, {DATASET: "token_variable SHOP is not set"})
    told = compare_counts(Lake(tmp_path), missing, hours, now, Tolerance())
    assert [row["verdict"] for row in told.rows.to_pylist()] == ["cannot_read"] * 3
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    [row] = compare_quality_of_day(Lake(tmp_path), missing, day, now).to_pylist()
    assert row["why"] == "Meta's Dataset Quality cannot be read: token_variable SHOP is not set"
