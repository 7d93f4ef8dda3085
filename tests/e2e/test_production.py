"""What the systemd units start works together, on PostgreSQL: healthy, delivering, and again after
a process was killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from capi_assets.hours import HOUR, floor_hour
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from tests.delivery.conftest import postgres as postgres
from tests.helpers.postgres_server import database
from tests.helpers.production_server import DATASET, EXAMPLE, TOKEN, Server, command_of, land

pytestmark = pytest.mark.e2e
UNITS = sorted((EXAMPLE / "systemd").glob("*.service"))


def test_the_processes_of_the_guide_deliver_and_survive_a_kill(
    tmp_path: Path, postgres: str
) -> None:
    first, second = (floor_hour(datetime.now(UTC)) - n * HOUR for n in (3, 2))
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta,
        database(postgres, "production") as url,
        ExitStack() as processes,
    ):
        server = Server(tmp_path / "capi", url, meta.url)
        for hour in (first, second):
            land(server.root, hour)
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
