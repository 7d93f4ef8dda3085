"""`make demo` and `make ui` as a user sees them, the UI in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import requests

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
CAPI = Path(sys.executable).parent / "capi-assets"
ASSETS = ("visits", "orders", "matched_events", "delivery_results", "attribution_health")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def _environment() -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    return {**clean, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A demo of six hours, played to its end beside settings of the user's, and what it printed."""
    own = tmp_path_factory.mktemp("demo")
    (own / ".env").write_text(
        "CAPI_ORDERS_SQL=nowhere.sql\nCAPI_START_DATE=2030-01-01\nCAPI_DATASET_ID=mine\n"
    )
    folder = own / "stage"
    done = subprocess.run(
        [CAPI, "demo", "--folder", folder, "--hours", "6", "--visits-per-day", "40000"],
        cwd=own, env=_environment(), capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder, done.stdout


def test_the_demo_loses_orders_finds_them_and_reconciles(played: tuple[Path, str]) -> None:
    _, told = played
    assert "the access token has expired" in told
    assert re.search(r"can still be delivered, the first until 20\d\d-", told)
    orders, parts = re.search(r"([\d,]+) orders = (.+)", told).groups()
    counts = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) \w+", parts)]
    assert sum(counts) == int(orders.replace(",", ""))
    assert "they agree" in " ".join(told.split())
    assert "pending" not in parts


def test_the_commands_can_look_at_the_demo(played: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = played
    done = subprocess.run(
        [CAPI, "--stage", folder, "gaps"],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No gaps" in done.stdout


def test_a_range_of_the_demo_is_backfilled(played: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = played
    done = subprocess.run(
        [CAPI, "backfill", "--last", "3h", "--json", "--stage", folder],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    hours = json.loads(done.stdout)["hours"]
    assert len(hours) == 3
    assert all(hour["finished"] for hour in hours.values())
    assert sum(hour["delivered"] for hour in hours.values()) > 0


def test_a_demo_never_deletes_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "precious.csv").write_text("mine")
    done = subprocess.run(
        [CAPI, "demo", "--folder", tmp_path, "--hours", "4"],
        cwd=PROJECT, env=_environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "move it away" in done.stderr
    assert (tmp_path / "precious.csv").read_text() == "mine"


@pytest.fixture
def address(played: tuple[Path, str], tmp_path: Path) -> Iterator[str]:
    """The UI of the played demo, running."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (tmp_path / "ui.log").open("w")
    process = subprocess.Popen(
        [CAPI, "ui", "--folder", played[0], "--port", str(port)],
        cwd=PROJECT, env=_environment(), stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while "Ctrl-C stops everything" not in (tmp_path / "ui.log").read_text():
            assert process.poll() is None, (tmp_path / "ui.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (tmp_path / "ui.log").read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()
    assert process.returncode == 0


def _ask(address: str, query: str) -> dict[str, Any]:
    answer = requests.post(f"{address}/graphql", json={"query": query}, timeout=30).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def test_the_ui_shows_the_state_with_everything_switched_on(address: str, tmp_path: Path) -> None:
    locations = _ask(
        address,
        "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus"
        " locationOrLoadError { __typename } } } } }",
    )["workspaceOrError"]["locationEntries"]
    assert [(e["name"], e["locationOrLoadError"]["__typename"]) for e in locations] == [
        ("capi_assets", "RepositoryLocation")
    ]
    repository = (
        'repositorySelector: {repositoryName: "__repository__",'
        ' repositoryLocationName: "capi_assets"}'
    )
    found = _ask(
        address,
        f"{{ schedulesOrError({repository}) {{ ... on Schedules {{ results {{ name"
        f" scheduleState {{ status }} }} }} }} sensorsOrError({repository}) {{ ... on Sensors"
        f" {{ results {{ name sensorState {{ status }} }} }} }} }}",
    )
    schedules = found["schedulesOrError"]["results"]
    assert {s["name"]: s["scheduleState"]["status"] for s in schedules} == dict.fromkeys(
        (
            *(
                "deliver_hourly",
                "reconcile_hourly",
                "check_access_daily",
                "apply_retention_nightly",
            ),
            *("reconcile_nightly", "dataset_quality_nightly", "deliver_current_hour"),
        ),
        "RUNNING",
    )
    sensors = found["sensorsOrError"]["results"]
    assert {s["name"]: s["sensorState"]["status"] for s in sensors} == {
        "coverage_sensor": "RUNNING",
        "late_files_sensor": "RUNNING",
    }
    nodes = _ask(
        address,
        "{ assetNodes { assetKey { path } partitionStats { numMaterialized numFailed } } }",
    )["assetNodes"]
    stats = {node["assetKey"]["path"][0]: node["partitionStats"] for node in nodes}
    assert set(stats) == {*ASSETS, "meta_access", "meta_stats", "dataset_quality"}
    five = [stats[name] for name in ASSETS]
    assert all(s["numMaterialized"] >= 6 and s["numFailed"] == 0 for s in five)

    assert "WARNING" not in (tmp_path / "ui.log").read_text()
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("the browser test needs Debian's package chromium")
    page = subprocess.run(
        [chromium, *_FLAGS, f"--user-data-dir={tmp_path / 'browser'}",
         "--virtual-time-budget=20000", "--timeout=20000", "--dump-dom",
         f"{address}/assets/delivery_results?view=partitions"],
        capture_output=True, text=True, timeout=120, check=False,
    ).stdout  # fmt: skip
    assert "delivery_results" in page
    assert "Materialized" in page


def test_a_demo_does_not_see_the_users_own_settings(played: tuple[Path, str]) -> None:
    results = played[0] / "lake" / "delivery_results" / "**" / "*.parquet"
    datasets = duckdb.sql(f"SELECT DISTINCT dataset_id FROM read_parquet('{results}')").fetchall()
    assert len(datasets) == 1
    assert datasets != [("mine",)]
