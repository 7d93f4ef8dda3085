"""Started as a user would: the commands of the README, as processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def call(*command: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        env={**clean, "DAGSTER_DISABLE_TELEMETRY": "1", **env},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[tuple[Path, SandboxServer]]:
    """A working directory with `.env` and the instance's settings, and the Meta sandbox."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    with SandboxServer(tokens=["good"], datasets={"42": "Shop"}) as meta:
        (tmp_path / ".env").write_text(
            f"CAPI_DATASET_ID=42\nCAPI_ACCESS_TOKEN=good\nCAPI_GRAPH_URL={meta.url}\n"
            "CAPI_START_DATE=2026-11-01\nCAPI_DEFAULT_COUNTRY=US\n"
        )
        yield tmp_path, meta


def test_definitions_are_valid(project: tuple[Path, SandboxServer]) -> None:
    done = call("dagster", "definitions", "validate", "-w", "workspace.yaml", folder=project[0])
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation" in done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def test_a_range_is_backfilled_from_the_command_line(project: tuple[Path, SandboxServer]) -> None:
    folder, meta = project
    landed = call(
        "capi-assets", "shop", "--landing", "data/landing", "--hours", "4",
        "--visits-per-day", "60000", folder=folder,
    )  # fmt: skip
    assert landed.returncode == 0, landed.stderr
    last = floor_hour(datetime.now(UTC)) - HOUR
    keys = f"{hour_key(last - 2 * HOUR)}...{hour_key(last)}"
    command = ["dagster", "asset", "materialize", "-m", "capi_assets.definitions"]
    for _ in range(2):
        done = call(
            *command, "--select", "+attribution_health", "--partition-range", keys, folder=folder
        )
        assert done.returncode == 0, done.stderr[-3000:]
    # Even a shop's quietest hours.
    events = totals(meta.inbox)["events"]
    assert events["accepted"] > 10
    assert events["received"] == events["accepted"]
    assert (folder / "data" / "dagster").exists()

    assert call("capi-assets", "views", folder=folder).returncode == 0
    with duckdb.connect(folder / "data" / "capi.duckdb", read_only=True) as connection:
        (delivered,) = connection.sql(
            "select count(*) from delivery_results where status = 'delivered'"
        ).fetchall()[0]
    assert delivered == events["accepted"]
    gaps = call("capi-assets", "gaps", folder=folder)
    assert gaps.returncode == 0, gaps.stdout


def test_the_doctor_masks_secrets_and_names_what_is_missing(tmp_path: Path) -> None:
    done = call("capi-assets", "doctor", folder=tmp_path, CAPI_ACCESS_TOKEN="EAAsecret",
                CAPI_GRAPH_URL="http://127.0.0.1:9", COLUMNS="200")  # fmt: skip
    assert done.returncode == 1
    assert "EAAsecret" not in done.stdout + done.stderr
    assert "CAPI_DATASET_ID" in done.stdout
    assert "stay pending" in done.stdout


def test_a_lake_that_was_never_filled_is_no_good_news(tmp_path: Path) -> None:
    done = call("capi-assets", "gaps", folder=tmp_path)
    assert done.returncode == 1
    assert "No hour has been evaluated yet in data/lake" in done.stderr
    done = call("capi-assets", "--stage", "nowhere", "gaps", folder=tmp_path)
    assert done.returncode == 1
    assert "no demo or drill in nowhere" in done.stderr


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    done = call("capi-assets", "gaps", folder=tmp_path, CAPI_LOOKBACK_HOURS="soon")
    assert done.returncode == 1
    assert "CAPI_LOOKBACK_HOURS" in done.stderr
    assert "Traceback" not in done.stderr
