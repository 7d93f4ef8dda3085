"""`capi-assets ui` before anything is started."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from capi_assets.commands.demo import ui
from capi_assets.commands.demo.workspace import Workspace, load_workspace
from capi_assets.sandbox.shop.outages import Outage
from capi_assets.settings import read_settings

FIRST = datetime(2026, 11, 20, tzinfo=UTC)


OUTAGE = Outage("visits_missing", FIRST, FIRST + timedelta(hours=2))


def test_a_workspace_is_read_as_it_was_created(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "demo", FIRST, 7, 100, 8026, (OUTAGE,), 3100)
    workspace.create()
    assert load_workspace(workspace.root) == workspace
    assert workspace.settings().ui_url == "http://127.0.0.1:3100"


def test_a_workspace_ignores_the_users_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPI_ORDERS_SQL", "own.sql")
    monkeypatch.setenv("CAPI_LAKE", "own-lake")
    workspace = Workspace(tmp_path / "demo", FIRST, 7, 100, 8026)
    settings = workspace.settings()
    assert (settings.orders_sql, settings.lake) == (None, str(workspace.root / "lake"))
    assert read_settings(workspace.environment()) == settings


def test_a_port_in_use_is_named_and_nothing_is_started(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "demo", FIRST, 7, 100, 8026)
    console = Console(width=200)
    with socket.create_server(("127.0.0.1", 0)) as other, console.capture() as told:
        port = other.getsockname()[1]
        assert ui.run_ui(workspace, console, port=port) == 1
    assert f"Port {port} of this machine is in use" in told.get()
    assert "--port" in told.get()
