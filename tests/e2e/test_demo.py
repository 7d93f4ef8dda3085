"""`make demo` as a user sees it; `make ui` is in test_clicks.py."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import duckdb
import pytest

from tests.helpers.open_ui import CAPI, clean_env

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]


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
        cwd=own, env=clean_env(), capture_output=True, text=True, timeout=600, check=False,
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
        cwd=tmp_path, env=clean_env(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No gaps" in done.stdout


def test_a_range_of_the_demo_is_backfilled(played: tuple[Path, str], tmp_path: Path) -> None:
    folder, _ = played
    done = subprocess.run(
        [CAPI, "backfill", "--last", "3h", "--json", "--stage", folder],
        cwd=tmp_path, env=clean_env(), capture_output=True, text=True, timeout=120, check=False,
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
        cwd=PROJECT, env=clean_env(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "move it away" in done.stderr
    assert (tmp_path / "precious.csv").read_text() == "mine"


def test_a_demo_does_not_see_the_users_own_settings(played: tuple[Path, str]) -> None:
    results = played[0] / "lake" / "delivery_results" / "**" / "*.parquet"
    datasets = duckdb.sql(f"SELECT DISTINCT dataset_id FROM read_parquet('{results}')").fetchall()
    assert len(datasets) == 1
    assert datasets != [("mine",)]
