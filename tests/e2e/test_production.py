"""What the systemd units start works together, on PostgreSQL: healthy, delivering, and again after
a process was killed."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from dotenv import dotenv_values
from sqlalchemy import create_engine, text

from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from tests.delivery.conftest import postgres as postgres
from tests.helpers.processes import running

pytestmark = pytest.mark.e2e
EXAMPLE = Path(__file__).parents[2] / "examples" / "production"
UNITS = sorted((EXAMPLE / "systemd").glob("*.service"))
DATASET = "1234567890123456"
TOKEN = "EAAproductionTokenOfATest"
LAUNCH = """
mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


def command_of(unit: Path) -> str:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser["Service"]["ExecStart"]


class Server:
    """The folders and ports of the example, moved to where a test may write and listen."""

    def __init__(self, root: Path, database: str, sandbox: str) -> None:
        self.root = root
        self.ports = {port: free_port() for port in ("3000", "4000")}
        (root / "dagster").mkdir(parents=True)
        (root / "token").write_text(TOKEN)
        (root / "token").chmod(0o400)
        for name, place in (("dagster.yaml", "dagster/dagster.yaml"), ("workspace.yaml", "")):
            moved = self._moved((EXAMPLE / name).read_text(encoding="utf-8"))
            (root / (place or name)).write_text(moved)
        own = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
        example = dotenv_values(EXAMPLE / "capi.env")
        given = {name: self._moved(value or "") for name, value in example.items()}
        given |= dict.fromkeys(("DAGSTER_PG_URL", "CAPI_LEDGER_URL"), database)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = own | given | {
            "CAPI_GRAPH_URL": sandbox, "DAGSTER_HOME": f"{root}/dagster", "PATH": path,
        }  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['3000']}"

    def _moved(self, text: str) -> str:
        text = text.replace("/opt/capi/bin", str(Path(sys.executable).parent))
        text = text.replace("/etc/capi", str(self.root)).replace("/var/lib/capi", str(self.root))
        return re.sub(r"\b(3000|4000)\b", lambda port: str(self.ports[port[0]]), text)

    def command(self, unit: str) -> list[str]:
        return shlex.split(self._moved(command_of(EXAMPLE / "systemd" / f"{unit}.service")))

    def start(self, unit: str, healthy: Callable[[], bool]) -> Any:
        """A unit's process, once it is healthy."""

        def ready() -> bool:
            time.sleep(2)  # each check is a process of its own: started at once, it slows the unit
            return healthy()

        log = (self.root / f"{unit}.log").open("ab")
        options = {"env": self.environment, "cwd": self.root, "stdout": log, "stderr": log}
        return running(self.command(unit), ready, start_new_session=True, **options)

    def healthy(self, command: str) -> Callable[[], bool]:
        """Whether a command of the guide's table ends with 0."""
        words = shlex.split(self._moved(command))
        return lambda: (
            subprocess.run(
                words, env=self.environment, cwd=self.root, capture_output=True, check=False
            ).returncode
            == 0
        )

    def deliver(self, hour: datetime) -> str:
        """Launches the hour's run in the UI's way; its last status."""
        location = {
            "repositoryLocationName": "capi_assets",
            "repositoryName": "__repository__",
            "jobName": "deliver_hour",
        }
        tags = [{"key": "dagster/partition", "value": hour_key(hour)}]
        params = {"selector": location, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        launched = self._ask(LAUNCH, {"p": params})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run = launched["run"]["runId"]
        query = "query ($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
        for _ in range(240):
            status = str(self._ask(query, {"r": run})["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.5)
        return status

    def _ask(self, query: str, variables: dict[str, Any]) -> Any:
        body = {"query": query, "variables": variables}
        answer = requests.post(f"{self.url}/graphql", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


def _land(root: Path, hour: datetime) -> None:
    folder = root / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    folder.mkdir(parents=True)
    order = {
        "order_id": f"o-{hour:%H}", "occurred_at": hour.isoformat(), "value": 10.0,
        "currency": "EUR", "email": "ana@mail.example", "client_user_agent": "Mozilla/5.0",
        "event_source_url": "https://shop.example/thanks",
    }  # fmt: skip
    (folder / "orders.jsonl").write_text(json.dumps(order) + "\n")


def test_the_processes_of_the_guide_deliver_and_survive_a_kill(
    tmp_path: Path, postgres: str
) -> None:
    admin = create_engine(postgres + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE production"))
    admin.dispose()
    first, second = (floor_hour(datetime.now(UTC)) - n * HOUR for n in (3, 2))
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta,
        ExitStack() as processes,
    ):
        server = Server(tmp_path / "capi", postgres + "production", meta.url)
        for hour in (first, second):
            _land(server.root, hour)
        guide = (EXAMPLE.parents[1] / "docs" / "production.md").read_text(encoding="utf-8")
        checks = re.findall(r"^\| (?:code server|daemon|webserver) \| `(.+?)`", guide, re.M)
        code, daemon, pages = map(server.healthy, checks)
        code_server = ExitStack()
        processes.callback(code_server.close)
        process = code_server.enter_context(server.start("capi-code", code))
        processes.enter_context(server.start("capi-webserver", pages))
        processes.enter_context(server.start("capi-daemon", daemon))
        assert server.deliver(first) == "SUCCESS"
        assert totals(meta.inbox)["events"]["accepted"] == 1

        os.killpg(process.pid, signal.SIGKILL)
        code_server.close()
        assert not code()
        code_server.enter_context(server.start("capi-code", code))  # as Restart=always does
        assert server.deliver(second) == "SUCCESS"
        assert server.deliver(first) == "SUCCESS"
        received = totals(meta.inbox)["events"]
        assert (received["accepted"], received["doubled"]) == (2, 0)
    said = "".join(path.read_text() for path in server.root.glob("*.log"))
    assert TOKEN not in said


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_valid_and_private(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "UMask=0077" in text
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed (apt: systemd)")
    copied = tmp_path / unit.name
    copied.write_text(text.replace("/opt/capi/bin", str(Path(sys.executable).parent)))
    done = subprocess.run([verify, "verify", copied], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if copied.name in line]
    assert told == []


def test_containers_run_the_commands_of_the_units() -> None:
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name, unit in (("code", "capi-code"), ("daemon", "capi-daemon")):
        command = command_of(EXAMPLE / "systemd" / f"{unit}.service")
        assert services[name]["command"] == command.removeprefix("/opt/capi/bin/")
    page = services["webserver"]["command"].replace("0.0.0.0 -p 3001", "127.0.0.1 -p 3000")
    unit = command_of(EXAMPLE / "systemd" / "capi-webserver.service")
    assert page == unit.removeprefix("/opt/capi/bin/")
    # Published on the host's loopback only.
    assert services["database"]["ports"] == ["127.0.0.1:3000:3001"]
