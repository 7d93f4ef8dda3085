"""A shop of a few hours with a gap, and `capi-assets ui` over it, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from capi_assets.commands.demo.workspace import Workspace, free_port
from capi_assets.commands.runs import run_hours
from capi_assets.hours import HOUR, floor_hour, hours_between
from tests.helpers.processes import running

CAPI = Path(sys.executable).parent / "capi-assets"
GOOD_HOURS, FAILED_HOURS = 3, 2
UI_READY = "Ctrl-C stops everything"


@dataclass(frozen=True)
class OpenUI:
    """Addresses of Dagster and of the sandbox, and the file with all that was printed."""

    url: str
    sandbox: str
    log: Path


def clean_env() -> dict[str, str]:
    """The environment of a user's shell, without settings of ours or of Dagster's."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    return {**clean, "COLUMNS": "160", "PYTHONUNBUFFERED": "1"}


def play_gap(folder: Path) -> list[datetime]:
    """Delivers `GOOD_HOURS` of a shop in `folder`, then fails for an expired token, which is
    renewed afterwards; returns the hours that failed."""
    end = floor_hour(datetime.now(UTC))
    first = end - (GOOD_HOURS + FAILED_HOURS) * HOUR
    failing = end - FAILED_HOURS * HOUR
    workspace = Workspace(folder, first, 7, 40_000, free_port())
    workspace.create()
    workspace.land(first, end, until=end + HOUR)
    settings = workspace.settings()
    with workspace.sandbox() as sandbox, workspace.instance() as instance:
        assert run_hours(instance, settings, first, failing - HOUR)
        sandbox.set_fault("expired_token")
        assert not run_hours(instance, settings, failing, end - HOUR)
        sandbox.clear_faults()
    return hours_between(failing, end)


@contextmanager
def open_ui(folder: Path, log: Path) -> Iterator[OpenUI]:
    """`capi-assets ui` over the workspace in `folder`, at a free port, until the block ends."""
    port = free_port()
    command = [CAPI, "ui", "--folder", folder, "--port", str(port)]
    with running(
        command, lambda: UI_READY in log.read_text(), seconds=600, stop=signal.SIGINT, patience=60,
        log=log, cwd=folder.parent, env=clean_env(),
    ) as process:  # fmt: skip
        addresses = dict(re.findall(r"(Dagster|Sandbox)  (http://\S+)", log.read_text()))
        yield OpenUI(addresses["Dagster"], addresses["Sandbox"], log)
    assert process.returncode == 0
