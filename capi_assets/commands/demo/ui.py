"""`capi-assets ui`: the demo's stage with everything running: sandbox, shop, webserver, daemon."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import FrameType

import requests
from rich.console import Console

from capi_assets.commands.demo.demo import NEW_TOKEN
from capi_assets.commands.demo.workspace import DATASET_ID, Workspace
from capi_assets.hours import HOUR, floor_hour
from capi_assets.sandbox.run import SandboxServer

_FEED_EVERY = timedelta(seconds=60)
_START_PATIENCE = timedelta(minutes=3)


def run_ui(stage: Workspace, console: Console, *, port: int = 3000) -> int:
    """Runs until interrupted; returns the exit status of `dagster dev`.

    The shop goes on selling: each minute, what it has landed since is written, so that schedules
    and sensor have something to do.
    """
    if _taken(port):
        console.print(
            f"[red]Port {port} of this machine is taken[/red], perhaps by another Dagster: stop"
            " that one, or choose another port with --port."
        )
        return 1
    stage.activate()
    token = stage.token_file.read_text(encoding="utf-8").strip()
    tokens = tokens_of(stage, token)
    stopping = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with ExitStack() as stack:
        sandbox = stack.enter_context(
            SandboxServer(
                tokens=tokens,
                datasets={DATASET_ID: "Sample shop"},
                state_path=stage.sandbox_state,
                port=stage.port,
            )
        )
        command = [
            "dagster",
            "dev",
            "-w",
            str(stage.workspace.absolute()),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        # In the stage's own folder: a dagster.yaml or .env of the user's is not the demo's.
        dagster = subprocess.Popen(
            [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, cwd=stage.root
        )
        stack.callback(_end, dagster)
        address = f"http://127.0.0.1:{port}"
        fed = _feed(stage, since=None)
        if not _answers(address, dagster, lambda: stopping):
            return dagster.poll() or 1
        console.print(
            f"\n[bold]Dagster  {address}[/bold]   (assets, checks, schedules, sensor: all on)"
            f"\n[bold]Meta     {sandbox.url}[/bold]   (the sandbox: what arrived, and faults to"
            " switch on)\nCtrl-C stops everything.\n"
        )
        if tokens[token] is not None:
            console.print(
                "[yellow]The demo was interrupted before its token was renewed, so Meta refuses"
                f" it.[/yellow]\nRenew it with:  echo {NEW_TOKEN} > {stage.token_file}\n",
                soft_wrap=True,
            )
        while not stopping and dagster.poll() is None:
            if datetime.now(UTC) - fed >= _FEED_EVERY:
                fed = _feed(stage, since=fed)
            time.sleep(0.5)
    return 0 if stopping else (dagster.returncode or 0)


def tokens_of(stage: Workspace, token: str) -> dict[str, datetime | None]:
    """What the sandbox takes, until when (None: for ever), while the stage's token is `token`.

    A demo that was interrupted before its token was renewed goes on with the expired one.
    """
    return {token: stage.token_ends if token != NEW_TOKEN else None, NEW_TOKEN: None}


def _feed(stage: Workspace, since: datetime | None) -> datetime:
    """Lands what the shop sold up to now, from the hour before `since` on."""
    now = datetime.now(UTC)
    start = stage.first if since is None else floor_hour(since) - HOUR
    stage.land(max(stage.first, start), floor_hour(now) + HOUR, until=now)
    return now


def _taken(port: int) -> bool:
    """Whether something else answers there: its pages would be taken for the demo's."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(address: str, process: subprocess.Popen[bytes], stopped: Callable[[], bool]) -> bool:
    """Waits until the webserver answers, or its process or the user gives up."""
    deadline = time.monotonic() + _START_PATIENCE.total_seconds()
    while time.monotonic() < deadline and process.poll() is None and not stopped():
        try:
            if requests.get(f"{address}/server_info", timeout=2).ok:
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
