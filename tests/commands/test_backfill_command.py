"""`backfill` says what it leaves out and what it needs, before any run starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.commands.backfill import HourOutcome, as_json, as_table, partitions_among
from capi_assets.hours import HOUR, floor_hour
from capi_assets.settings import Settings

NOW = datetime(2026, 11, 20, 13, 40, tzinfo=UTC)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory without an instance of Dagster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path


def backfill(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["backfill", *arguments])


@pytest.mark.parametrize("arguments", [(), ("today", "--last", "3h"), ("--last", "soon")])
def test_either_a_range_or_a_span(arguments: tuple[str, ...]) -> None:
    assert backfill(*arguments).exit_code == 2


def test_hours_without_a_partition_are_left_out() -> None:
    settings = Settings(start_date=floor_hour(NOW) - HOUR)
    hours = [floor_hour(NOW) + n * HOUR for n in range(-3, 3)]
    assert partitions_among(hours, settings, NOW) == [floor_hour(NOW) - HOUR, floor_hour(NOW)]


def test_a_range_before_the_start_has_nothing_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    monkeypatch.setenv("CAPI_START_DATE", f"{tomorrow:%Y-%m-%d}")
    done = backfill("--last", "3h")
    assert done.exit_code == 1
    assert "3 hours before CAPI_START_DATE" in done.output
    assert "No hour of this range" in done.output


def test_without_an_instance_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPI_START_DATE", "2026-01-01")
    done = backfill("--last", "1h")
    assert done.exit_code == 1
    assert "DAGSTER_HOME" in done.output
    monkeypatch.setenv("DAGSTER_HOME", "relative/folder")
    done = backfill("--last", "1h")
    assert (done.exit_code, "Traceback" in done.output) == (1, False)
    assert isinstance(done.exception, SystemExit), done.exception


def test_outcomes_are_summed_and_the_unfinished_ones_have_a_reason() -> None:
    counts = {"orders": 2, "delivered": 1, "pending": 1, "withheld": 0}
    stages = dict.fromkeys(
        ("quarantined", "invalid", "unknown", "rejected", "expired", "future_dated"), 0
    )
    hour = floor_hour(NOW)
    outcomes = [
        HourOutcome(hour - HOUR, True, {**counts, **stages, "delivered": 2, "pending": 0}, None),
        HourOutcome(hour, False, {**counts, **stages}, "token expired"),
    ]
    table = as_table(outcomes)
    assert table.columns == ["hour", "orders", "delivered", "pending", "outcome"]
    assert [row[1:] for row in table.rows] == [
        [2, 2, 0, "finished"],
        [2, 1, 1, "not finished: token expired"],
        [4, 3, 1, "1 of 2 finished"],
    ]
    document = as_json(outcomes)
    assert document["finished"] is False
    assert document["hours"]["2026-11-20-13:00"]["why"] == "token expired"
