"""What lands broken stays where it is seen; everything else goes on to Meta."""

from __future__ import annotations

import dagster as dg
import pytest

from tests.helpers.asset_harness import AssetHarness


def _failure_words(world: AssetHarness) -> str:
    run = world.instance.get_runs(limit=1)[0]
    words = []
    for entry in world.instance.all_logs(run.run_id):
        event = entry.dagster_event
        if event is not None and event.is_step_failure:
            error = event.step_failure_data.error
            while error is not None:
                words.append(error.message)
                error = error.cause
    return "\n".join(words)


def test_a_file_without_a_required_column_stops_its_hour_and_no_other(world: AssetHarness) -> None:
    good, bad = world.hour(4), world.hour(3)
    world.land_orders(good)
    world.land_orders(bad)
    world.land("orders", bad, "export.csv", "orderid,occurred_at\n1,2026-11-20T00:00:00Z\n")

    assert not world.run(good, bad)
    assert world.statuses("orders") == ({good}, {bad})
    words = _failure_words(world)
    assert "export.csv" in words
    assert "'order_id' is missing" in words
    assert "nearest column is 'orderid'" in words
    # The hour's other file was read and delivered.
    assert world.received()["accepted"] == 6
    (refused,) = world.read("quarantined_orders", [bad])
    assert refused["reasons"] == "file:missing_column"
    reasons = {row["main_reason"] for row in world.read("attribution_health", [bad])}
    assert "unreadable_file" in reasons


def test_a_mended_file_finishes_the_hour_and_empties_its_quarantine(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    path = world.land("orders", hour, "export.csv", "orderid,occurred_at\n")
    assert not world.run(hour)
    path.unlink()
    assert world.run(hour)
    assert world.statuses("orders") == ({hour}, set())
    assert world.read("quarantined_orders", [hour]) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("half.jsonl", b'{"order_id": "x", "occurred_at": "2026'),
        ("latin.csv", b"order_id,occurred_at,city\n1,2026-11-20T00:00:00Z,M\xfcnchen\n"),
        ("huge.jsonl", b'{"order_id": "' + b"x" * 1_000_000 + b'"}\n'),
        ("empty.csv", b""),
        ("zipped.csv.gz", b"not gzip"),
        ("table.parquet", b"PAR1"),
        ("readme.txt", b"hello"),
    ],
)
def test_no_file_stops_the_others(world: AssetHarness, name: str, content: bytes) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    world.land("orders", hour, name, content)
    world.run(hour)
    assert world.received()["accepted"] == 3
    rows = world.read("attribution_health", [hour])
    assert sum(row["delivered"] for row in rows) == 3


def test_a_missing_landing_folder_is_named_with_its_remedy(world: AssetHarness) -> None:
    world.overrides = {"landing": str(world.root / "nowhere")}
    assert not world.run(world.hour(3))
    words = _failure_words(world)
    assert "nowhere does not exist" in words
    assert "CAPI_LANDING" in words


def test_a_file_that_fits_no_hour_is_named_by_the_check_of_every_hour_it_may_belong_to(
    world: AssetHarness,
) -> None:
    hour = world.hour(3)
    world.land_orders(hour)
    stray = world.root / "landing" / "orders" / f"{hour:%Y-%m-%d}" / "export.csv"
    stray.write_text("order_id\n")
    assert world.run(hour)
    check = dg.AssetCheckKey(dg.AssetKey("orders"), "orders_match_contract")
    (record,) = world.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    evaluation = record.evaluation
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert not evaluation.passed
    assert evaluation.description is not None
    assert f"orders/{hour:%Y-%m-%d}/export.csv" in evaluation.description


def test_quarantined_orders_are_counted_with_their_money(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, count=1)
    world.land(
        "orders",
        hour,
        "bad.csv",
        f"order_id,occurred_at,value,currency,action_source\n"
        f"b1,{hour.isoformat()},50,EUR,offline\n",
    )
    assert world.run(hour)
    rows = [r for r in world.read("attribution_health", [hour]) if r["currency"] == "EUR"]
    assert sum(r["quarantined"] for r in rows) == 1
    assert sum(r["value_quarantined"] for r in rows) == 50.0
    assert sum(r["orders"] for r in rows) == 2


def test_an_unknown_column_is_named_once_and_nothing_else_happens(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(hour, colour="red")
    assert world.run(hour)
    run = world.instance.get_runs(limit=1)[0]
    warnings = [e for e in world.instance.all_logs(run.run_id) if "colour" in e.user_message]
    assert len(warnings) == 1
    assert world.instance.get_run_stats(run.run_id).steps_failed == 0
    assert isinstance(run, dg.DagsterRun)
