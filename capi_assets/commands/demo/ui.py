"""`capi-assets ui`: the demo's workspace with sandbox, sample shop, webserver and daemon."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType

import requests
from rich.console import Console

from capi_assets.commands.demo.workspace import UI_PORT, Workspace
from capi_assets.hours import HOUR, floor_hour
from capi_assets.web_addresses import open_session

_LAND_EVERY = timedelta(seconds=60)
_START_TIMEOUT = timedelta(minutes=3)  # a first start on a slow machine takes more than one


def run_ui(workspace: Workspace, console: Console, *, port: int = UI_PORT) -> int:
    """Runs until interrupted; returns the exit status of `dagster dev`.

    Each minute, new visits and orders of the shop land, so that schedules and sensors have work.
    The workspace remembers `port`, so that links of alerts, checks and commands lead to this UI.
    """
    if _is_taken(port):
        console.print(
            f"[red]Port {port} of this machine is in use[/red], perhaps by another Dagster, or by"
            f" one that a killed `ui` left behind: stop it (`lsof -ti :{port}` shows its process"
            " id), or choose another port with --port."
        )
        return 1
    if _is_taken(workspace.port):
        console.print(
            f"[red]Port {workspace.port} of the demo's sandbox is in use[/red], perhaps by another"
            " `ui` of this folder: stop it, or run `capi-assets demo` again."
        )
        return 1
    workspace = replace(workspace, ui_port=port)
    workspace.save()
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with ExitStack() as stack:
        sandbox = stack.enter_context(workspace.sandbox())
        # `dg dev` needs another package; its advertisement would be the first that a user reads.
        silent = "ignore:Function `dev_command` is superseded"
        command = ["dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
        # In the workspace's folder: a dagster.yaml or .env of the user's is not the demo's.
        dagster = subprocess.Popen(
            [sys.executable, "-W", silent, "-m", *command],
            stdin=subprocess.DEVNULL,
            cwd=workspace.root,
            env=workspace.environment(),
        )
        stack.callback(_end, dagster)
        landed = _land(workspace, since=None)
        if not _is_ready(workspace.ui_url, dagster, lambda: stopping):
            return dagster.poll() or 1
        console.print(
            f"\n[bold]Dagster  {workspace.ui_url}[/bold]"
            "   (assets, checks, schedules, sensors: all on)"
            f"\n[bold]Sandbox  {sandbox.url}[/bold]   (events received, and faults to switch on)"
            "\nCtrl-C stops everything.\n"
        )
        while not stopping and dagster.poll() is None:
            if datetime.now(UTC) - landed >= _LAND_EVERY:
                landed = _land(workspace, since=landed)
            time.sleep(0.5)
    return 0 if stopping else (dagster.returncode or 0)


def _land(workspace: Workspace, since: datetime | None) -> datetime:
    """Lands what the shop sold up to now, from the hour before `since` on."""
    now = datetime.now(UTC)
    start = workspace.first if since is None else floor_hour(since) - HOUR
    workspace.land(max(workspace.first, start), floor_hour(now) + HOUR, until=now)
    return now


def _is_taken(port: int) -> bool:
    """Whether another server listens there: its pages would be mistaken for the demo's."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_ready(address: str, process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> bool:
    """Waits until the webserver responds; false if it does not, or its process or the user ends."""
    deadline = time.monotonic() + _START_TIMEOUT.total_seconds()
    while time.monotonic() < deadline and process.poll() is None and not stopped():
        try:
            if open_session(address).get(f"{address}/server_info", timeout=2).ok:
                return True
        except requests.RequestException:
            pass
        time.sleep(0.5)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
