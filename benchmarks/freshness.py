"""`python -m benchmarks.freshness [MINUTES PAUSE]`: from the landing of an order to its receipt.

Dagster's daemon runs our definitions with the default settings; one file of orders, and before it
one of their visits, lands about every `pause` seconds (Poisson). The receipt is the sandbox's. CPU
time is that of daemon and code server with all runs they started; the sandbox is not part of it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.measure import cpu_of, table
from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import floor_hour
from capi_assets.sandbox.reports import events
from capi_assets.sandbox.run import SandboxServer

_WORKSPACE = """load_from:
  - grpc_server:
      host: 127.0.0.1
      port: {port}
      location_name: capi_assets
"""
DATASET, TOKEN = "1234567890123456", "EAAfreshness"
ORDERS_PER_FILE = 3
STARTING = 75.0  # loading and the first looks of all schedules and sensors are not counted
DRAINING = 150.0
_AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36"
_DAGSTER = Path(__file__).parents[1] / "dagster.yaml"


def report(minutes: float, pause: float) -> str:
    """Percentiles of the delay, and the cores used, with and without landing files."""
    with (
        tempfile.TemporaryDirectory() as name,
        SandboxServer(tokens=[TOKEN], datasets=[DATASET]) as sandbox,
    ):
        root = Path(name)
        (root / "home").mkdir()
        (root / "home" / "dagster.yaml").write_text(
            _DAGSTER.read_text(encoding="utf-8").replace("data/", f"{root}/data/")
        )
        port = free_port()
        (root / "workspace.yaml").write_text(_WORKSPACE.format(port=port))
        programs = [
            f"dagster code-server start -m capi_assets.definitions -h 127.0.0.1 -p {port}",
            "dagster-daemon run -w workspace.yaml",
        ]
        bin_folder = Path(sys.executable).parent
        started = [
            subprocess.Popen(
                [bin_folder / command.split()[0], *command.split()[1:]],
                cwd=root,
                env=_environment(root, sandbox.url),
                stdout=(root / f"{command.split()[0]}.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
            for command in programs
        ]
        pids = [process.pid for process in started]
        try:
            _land(root, "start")
            time.sleep(STARTING)
            busy, landed = _cores(pids, lambda: _traffic(root, minutes, pause))
            time.sleep(DRAINING)
            quiet, _ = _cores(pids, lambda: time.sleep(min(minutes, 4) * 60) or {})
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(60)
        received = {
            event["event_id"]: event["received_at"] for event in events(sandbox.inbox, limit=10**6)
        }
    delays = sorted(
        (received[f"Purchase:{order}"] - at).total_seconds()
        for order, at in landed.items()
        if f"Purchase:{order}" in received
    )
    if not delays:
        raise SystemExit("Nothing was received.")
    cut = [delays[min(len(delays) - 1, int(len(delays) * share))] for share in (0.5, 0.95)]
    rows = [
        [
            str(len(landed)),
            str(len(landed) - len(delays)),
            *(f"{seconds:.0f}" for seconds in (*cut, delays[-1])),
            f"{busy:.3f}",
            f"{quiet:.3f}",
        ]
    ]
    heads = ["orders", "missing", "median s", "95 % s", "longest s", "cores", "cores, none landing"]
    return table(heads, rows)


def _environment(root: Path, url: str) -> dict[str, str]:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
    today = floor_hour(datetime.now(UTC)) - timedelta(hours=3)
    return own | {
        "DAGSTER_HOME": f"{root}/home",
        "CAPI_LANDING": f"{root}/landing",
        "CAPI_LAKE": f"{root}/lake",
        "CAPI_LEDGER_URL": f"sqlite:///{root}/ledger.sqlite",
        "CAPI_START_DATE": f"{today:%Y-%m-%dT%H:%M:%S+00:00}",
        "CAPI_DATASET_ID": DATASET,
        "CAPI_ACCESS_TOKEN": TOKEN,
        "CAPI_GRAPH_URL": url,
        "CAPI_AUTOSTART": "true",
    }


def _traffic(root: Path, minutes: float, pause: float) -> dict[str, datetime]:
    """Lands files for so long; when each order landed."""
    chance = random.Random(7)
    landed: dict[str, datetime] = {}
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        landed |= _land(root, str(len(landed)))
        time.sleep(chance.expovariate(1 / pause))
    return landed


def _land(root: Path, name: str) -> dict[str, datetime]:
    """A file of visits of the last seconds, then one of their orders."""
    now = datetime.now(UTC)
    ids = [f"o{name}-{number}" for number in range(ORDERS_PER_FILE)]
    times = [now - timedelta(seconds=2 + number) for number in range(ORDERS_PER_FILE)]
    visits = [
        f"v{one},{at - timedelta(seconds=20):%Y-%m-%dT%H:%M:%S}Z,https://shop.example/a,198.51.100.7,"
        f'"{_AGENT}",visitor-{one}'
        for one, at in zip(ids, times, strict=True)
    ]
    orders = [
        f"{one},{at:%Y-%m-%dT%H:%M:%S}Z,Purchase,website,confirmed,10.5,EUR,v{one},{one}@shop.example"
        for one, at in zip(ids, times, strict=True)
    ]
    heads = {
        "visits": "visit_id,occurred_at,page_url,client_ip_address,client_user_agent,external_id",
        "orders": "order_id,occurred_at,event_name,action_source,status,value,currency,visit_id,"
        "email",
    }
    for kind, rows in (("visits", visits), ("orders", orders)):
        by_hour: dict[str, list[str]] = {}
        for row in rows:
            by_hour.setdefault(row.split(",")[1][:13].replace("T", "/"), []).append(row)
        for hour, lines in by_hour.items():
            folder = root / "landing" / kind / hour
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"{name}.csv.tmp"
            part.write_text("\n".join([heads[kind], *lines]) + "\n", encoding="utf-8")
            part.rename(folder / f"{name}.csv")
    at = datetime.now(UTC)
    return dict.fromkeys(ids, at)


def _cores(
    pids: list[int], work: Callable[[], dict[str, datetime]]
) -> tuple[float, dict[str, datetime]]:
    """CPU seconds per second of the processes and their children while `work` runs; its result."""
    before, began = cpu_of(pids), time.monotonic()
    result = work()
    return (cpu_of(pids) - before) / (time.monotonic() - began), result


if __name__ == "__main__":
    print(report(float(sys.argv[1]), float(sys.argv[2])) if len(sys.argv) > 2 else report(10, 12))
