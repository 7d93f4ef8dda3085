"""Drills as a user runs them: an outage is seen, planned, recovered, and its loss is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]
CAPI = Path(sys.executable).parent / "capi-assets"


def drill(kind: str, folder: Path) -> tuple[int, str]:
    """Exit status and what was printed, in single blanks."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    done = subprocess.run(
        [CAPI, "drill", "--kind", kind, "--folder", folder, "--hours", "8",
         "--visits-per-day", "40000"],
        cwd=PROJECT, env={**clean, "COLUMNS": "160"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done.returncode, " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_an_expired_token_is_told_planned_and_recovered(tmp_path: Path) -> None:
    status, told = drill("token", tmp_path / "stage")
    assert status == 0, told
    assert "New incident" in told
    assert "because the access token has expired" in told
    assert "What materializing these hours would do" in told
    assert re.search(r"Recovered: .*Coverage of these hours is good again", told)
    before = int(re.search(r"pending ([\d,]+)", told)[1].replace(",", ""))
    assert before > 0
    parts = re.search(r"orders = (.+?) Meta counts", told)[1]
    assert "pending" not in parts
    assert "they agree" in told
    # Its first hour ends 40 minutes later and is settled after five more.
    assert "Detected after 45 min" in told
    assert re.search(r"Recovered in [\d.]+ s \(real time\)", told)


def test_hours_that_nobody_ran_are_told_and_made_up_for(tmp_path: Path) -> None:
    status, told = drill("not_materialized", tmp_path / "stage")
    assert status == 0, told
    assert "because the hours were not materialized" in told
    assert "Recovered: " in told
    assert "they agree" in told
    assert "Detected after 1 h 6 min" in told


def test_missing_visits_come_back_but_not_to_events_that_were_sent(tmp_path: Path) -> None:
    status, told = drill("visits_missing", tmp_path / "stage")
    assert status == 0, told
    assert "because visits are missing" in told
    assert "Detected after 1 h 45 min" in told
    assert (
        int(
            re.search(r"(\d+) events? reached Meta with other match keys than they have now", told)[
                1
            ]
        )
        > 0
    )
    assert "Not recoverable: orders sent without their visit" in told
    assert "they agree" in told


def test_a_drill_never_deletes_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "precious.csv").write_text("mine")
    status, told = drill("token", tmp_path)
    assert status == 1
    assert "move it away" in told
    assert (tmp_path / "precious.csv").read_text() == "mine"
