"""The server of examples/production: its folders, units and settings, where a test may use them."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from dotenv import dotenv_values

from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import hour_key
from tests.helpers.machines import Machine
from tests.helpers.processes import running

EXAMPLE = Path(__file__).parents[2] / "examples" / "production"
DATASET = "1234567890123456"
TOKEN = "EAAproductionTokenOfATest"
LAUNCH = """
mutation ($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = "mutation ($r: String!) { terminateRun(runId: $r) { __typename } }"


def command_of(unit: Path) -> str:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser["Service"]["ExecStart"]


def land(root: Path, hour: datetime, orders: int = 1) -> None:
    """Lands valid orders of one hour."""
    folder = root / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    folder.mkdir(parents=True)
    rows = (
        {
            "order_id": f"o-{hour:%d-%H}-{number}", "occurred_at": hour.isoformat(),
            "value": 10.0 + number, "currency": "EUR", "email": f"ana.{number}@mail.example",
            "client_user_agent": "Mozilla/5.0", "event_source_url": "https://shop.example/thanks",
        }
        for number in range(orders)
    )  # fmt: skip
    (folder / "orders.jsonl").write_text("\n".join(map(json.dumps, rows)))


class Server:
    """The folders and ports of the example, moved to where a test may write and listen.

    `more_yaml` is added to its dagster.yaml, `more_settings` to its capi.env.
    """

    def __init__(
        self, root: Path, database: str, sandbox: str, more_yaml: str = "", **more_settings: str
    ) -> None:
        self.root = root
        self.ports = {port: free_port() for port in ("3000", "4000")}
        (root / "dagster").mkdir(parents=True)
        (root / "token").write_text(TOKEN)
        (root / "token").chmod(0o400)
        for name, place in (("dagster.yaml", "dagster/dagster.yaml"), ("workspace.yaml", "")):
            moved = self._moved((EXAMPLE / name).read_text(encoding="utf-8"))
            (root / (place or name)).write_text(moved)
        with (root / "dagster" / "dagster.yaml").open("a") as instance:
            instance.write(more_yaml)
        own = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "DAGSTER_"))}
        example = dotenv_values(EXAMPLE / "capi.env")
        given = {name: self._moved(value or "") for name, value in example.items()}
        given |= dict.fromkeys(("DAGSTER_PG_URL", "CAPI_LEDGER_URL"), database)
        given |= more_settings
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

    def start(
        self,
        unit: str,
        healthy: Callable[[], bool],
        on: Machine | None = None,
        more: Sequence[str] = (),
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """A unit's process, once it is healthy; on another machine than this thread's, if given.

        `more` is added to its command.
        """
        command = [*self.command(unit), *more]
        log = (self.root / f"{on.name if on else unit}.log").open("ab")
        options = {"env": self.environment, "cwd": self.root, "stdout": log, "stderr": log}
        command = on.command(command) if on else command
        return running(command, healthy, start_new_session=True, **options)

    def healthy(self, command: str) -> Callable[[], bool]:
        """Whether a command of the guide's table ends with 0."""
        words = shlex.split(self._moved(command))
        options = {"env": self.environment, "cwd": self.root, "capture_output": True}

        def ends_well() -> bool:
            time.sleep(2)  # a process of its own: started at once, it slows what it checks
            return subprocess.run(words, check=False, **options).returncode == 0

        return ends_well

    def launch(self, hour: datetime) -> str:
        """Launches the hour's run in the UI's way; its id."""
        location = {
            "repositoryLocationName": "capi_assets",
            "repositoryName": "__repository__",
            "jobName": "deliver_hour",
        }
        tags = [{"key": "dagster/partition", "value": hour_key(hour)}]
        params = {"selector": location, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        launched = self.ask(LAUNCH, {"p": params})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def terminate(self, run: str) -> None:
        """Terminates a run in the UI's way."""
        stopped = self.ask(TERMINATE, {"r": run})["terminateRun"]
        assert stopped["__typename"] == "TerminateRunSuccess", stopped

    def deliver(self, hour: datetime) -> str:
        """Launches the hour's run; its last status."""
        run = self.launch(hour)
        query = "query ($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }"
        for _ in range(240):
            status = str(self.ask(query, {"r": run})["runOrError"]["status"])
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.5)
        return status

    def ask(self, query: str, variables: dict[str, Any]) -> Any:
        """What the webserver answers to a GraphQL query."""
        body = {"query": query, "variables": variables}
        answer = requests.post(f"{self.url}/graphql", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]
