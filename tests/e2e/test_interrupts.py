"""Ctrl-C ends what plays a scenario, in the middle of a run, with a sentence and no stack trace."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.test_command_line import BIN

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("command", [["demo"], ["drill", "--kind", "token"]], ids=["demo", "drill"])
def test_ctrl_c_ends_a_scenario(tmp_path: Path, command: list[str]) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    process = subprocess.Popen(
        [BIN / "capi-assets", *command, "--folder", "stage", "--hours", "20"],
        cwd=tmp_path, env={**clean, "DAGSTER_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        # While hours are played, most of the time is inside Dagster's runs.
        deadline = time.monotonic() + 120
        while not list((tmp_path / "stage" / "lake" / "matched_events").rglob("*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output[-2000:] + errors[-2000:]
    assert "Stopped" in errors
    assert "Traceback" not in output + errors
    played = list((tmp_path / "stage" / "lake" / "visits").rglob("*.parquet"))
    assert len(played) < 20
