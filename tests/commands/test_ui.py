"""`capi-assets ui` before anything is started."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from capi_assets.commands.demo import ui
from capi_assets.commands.demo.workspace import Workspace, load_stage, set_up

FIRST = datetime(2026, 11, 20, tzinfo=UTC)
ENDS = datetime(2026, 11, 20, 5, 20, tzinfo=UTC)


def test_a_stage_remembers_when_its_token_ends(tmp_path: Path) -> None:
    stage = Workspace(tmp_path / "stage", FIRST, 7, 100, 8026, token_ends=ENDS)
    set_up(stage, "old")
    assert load_stage(stage.root) == stage


def test_a_taken_port_is_told_and_nothing_is_started(tmp_path: Path) -> None:
    stage = Workspace(tmp_path / "stage", FIRST, 7, 100, 8026)
    console = Console(width=200)
    with socket.create_server(("127.0.0.1", 0)) as other, console.capture() as told:
        port = other.getsockname()[1]
        assert ui.run_ui(stage, console, port=port) == 1
    assert f"Port {port} of this machine is taken" in told.get()
    assert "--port" in told.get()


@pytest.mark.parametrize(
    ("ends", "token", "valid"),
    [(ENDS, "old", ENDS), (ENDS, "demo-token-renewed", None), (None, "drill-token", None)],
)
def test_an_interrupted_demo_keeps_its_expired_token(
    tmp_path: Path, ends: datetime | None, token: str, valid: datetime | None
) -> None:
    stage = Workspace(tmp_path / "stage", FIRST, 7, 100, 8026, token_ends=ends)
    tokens = ui.tokens_of(stage, token)
    assert tokens[token] == valid
    assert tokens["demo-token-renewed"] is None
