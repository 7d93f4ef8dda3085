"""The machines of docs/production.md: one with the database, the queue and Dagster, and workers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from socket import socket
from textwrap import dedent
from typing import Any

from dotenv import dotenv_values
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from capi_assets.hours import key_hour
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.machines import Machine, machines
from tests.helpers.machines import missing as machines_missing
from tests.helpers.postgres_server import database as created_database
from tests.helpers.postgres_server import postgres_server, programs
from tests.helpers.processes import running
from tests.helpers.production_server import DATASET, EXAMPLE, TOKEN, Server
from tests.helpers.redis_server import missing as redis_missing
from tests.helpers.redis_server import redis_server

PROJECT = EXAMPLE.parents[1]
GUIDE = PROJECT / "docs" / "production.md"
LEDGER = "capi-ledger"
"""What sessions of the ledger call themselves in PostgreSQL."""
_GRAPH = 8026
_PATIENCE = 240  # seconds; far longer than anything here takes


@dataclass
class Cluster:
    """Its processes; questions are answered by the database, the workers' logs and Meta."""

    server: Server
    meta: SandboxServer
    database: Engine
    workers: Sequence[Machine]

    def runs_of(self, worker: Machine) -> set[str]:
        """The runs that the worker began."""
        tasks = set(re.findall(r"execute_job\[(.+?)\] received", self._log(worker)))
        found = self.rows("select run_id, value from run_tags where key = 'dagster-celery/task_id'")
        return {run for run, task in found if task in tasks}

    def sending(self, worker: Machine) -> set[str]:
        """The worker's runs that have a request under way."""
        found = self.rows("select distinct run_id from attempts where finished_at is null")
        return {run for (run,) in found} & self.runs_of(worker)

    def statuses(self) -> dict[str, str]:
        """The status of each run."""
        return dict(self.rows("select run_id, status from runs"))

    def is_idle(self) -> bool:
        """Whether every run has ended, and none will be started again."""
        tag = "exists (select 1 from run_tags where run_id = runs.run_id and key = {})"
        will, retried = tag.format(":will and value = 'true'"), tag.format(":retried")
        open_runs = self.rows(
            "select run_id from runs where status not in ('SUCCESS', 'FAILURE', 'CANCELED')"
            f" or (status = 'FAILURE' and {will} and not {retried})",
            will="dagster/will_retry",
            retried="dagster/auto_retry_run_id",
        )
        return not open_runs

    def delivered_hours(self) -> set[datetime]:
        """The hours that Dagster shows as materialized."""
        found = self.rows(
            "select distinct partition from event_logs where asset_key = :asset"
            " and dagster_event_type = 'ASSET_MATERIALIZATION'",
            asset='["delivery_results"]',
        )
        return {key_hour(key) for (key,) in found}

    def sessions(self, application: str = "%", address: str = "") -> set[int]:
        """The processes of PostgreSQL that serve applications of this name."""
        found = self.rows(
            "select pid from pg_stat_activity where application_name like :name"
            " and backend_type = 'client backend' and pid != pg_backend_pid()"
            " and (:address = '' or host(client_addr) = :address)",
            name=application,
            address=address,
        )
        return {pid for (pid,) in found}

    def kill_session(self, worker: Machine) -> None:
        """kill -9 of a session that the worker has with the ledger."""
        session = self.wait(lambda: self.sessions(LEDGER, worker.address))
        os.kill(min(session), signal.SIGKILL)

    def are_pages_up(self) -> bool:
        """Whether the webserver has noticed which of its connections PostgreSQL has cut."""
        run = "runId eventConnection(limit: 1) { cursor }"
        query = f"{{ runsOrError(limit: 1) {{ ... on Runs {{ results {{ {run} }} }} }} }}"
        with suppress(AssertionError):
            return bool(self.server.ask(query, {})["runsOrError"]["results"])
        return False

    def hours_of(self, runs: set[str]) -> set[datetime]:
        """The hours that these runs were launched for."""
        found = self.rows("select run_id, value from run_tags where key = 'dagster/partition'")
        return {key_hour(value) for run, value in found if run in runs}

    def rows(self, query: str, **parameters: object) -> list[Any]:
        """The rows of a query in the database; after a kill it needs a moment to start again."""
        for _ in range(100):
            with suppress(OperationalError), self.database.connect() as connection:
                return list(connection.execute(text(query), parameters).all())
            time.sleep(0.1)
        raise AssertionError("the database does not come back")

    def wait(self, is_so: Callable[[], Any], pause: float = 0.05) -> Any:
        """Waits until it is so; what it returned."""
        until = time.monotonic() + _PATIENCE
        while not (found := is_so()):
            assert time.monotonic() < until, (self.statuses(), self._tails())
            time.sleep(pause)
        return found

    def finished_by(self, worker: Machine) -> int:
        """How many runs the worker has ended."""
        return len(re.findall(r"execute_job\[.+?\] succeeded", self._log(worker)))

    def is_ready(self, worker: Machine) -> bool:
        """Whether the worker takes runs."""
        return " ready." in self._log(worker)

    def logs(self) -> str:
        """Everything that its processes printed."""
        return "".join(path.read_text() for path in sorted(self.server.root.glob("*.log")))

    def _log(self, worker: Machine) -> str:
        return (self.server.root / f"{worker.name}.log").read_text()

    def _tails(self) -> str:
        logs = sorted(self.server.root.glob("*.log"))
        return "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in logs)


def guide_block(first: str) -> str:
    """The block of the guide that begins with this line."""
    blocks = re.findall(r"```[a-z]+\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in map(dedent, blocks) if block.startswith(first))


@contextmanager
def cluster(root: Path) -> Iterator[Cluster]:
    """Three machines, started as the guide says."""
    bin_folder = programs()
    assert bin_folder is not None
    root.mkdir()
    with ExitStack() as stack:
        enter = stack.enter_context
        head, *workers = enter(machines("head", "worker-1", "worker-2"))
        enter(head.entered())
        meta = enter(SandboxServer(host=head.address, tokens=[TOKEN], datasets={DATASET: "Shop"}))
        server = enter(postgres_server(bin_folder, head.address))
        database = enter(created_database(server, "capi"))
        redis = enter(redis_server(head.address, 6379, root / "redis.log"))
        added = dotenv_values(stream=StringIO(guide_block("CELERY_BROKER_URL")))
        server = Server(
            root,
            database,
            f"http://127.0.0.1:{_GRAPH}",
            guide_block("run_launcher:"),
            **dict.fromkeys(added, redis),
            CAPI_LEDGER_URL=f"{database}?application_name={LEDGER}",
            PYTHONPATH=str(PROJECT),
        )
        _poll_soon(root / "dagster" / "dagster.yaml")
        opened = Cluster(server, meta, create_engine(database, poolclass=NullPool), workers)
        for worker in workers:
            # Tokens are sent to Meta and to loopback only: Meta listens on loopback, too.
            listen = f"TCP-LISTEN:{_GRAPH},bind=127.0.0.1,fork,reuseaddr"
            to_meta = ["socat", listen, f"TCP:{meta.url.removeprefix('http://')}"]
            enter(running(worker.command(to_meta), lambda: True))
            more = ["--include", "tests.helpers.short_claims"]
            enter(server.start("capi-worker", lambda: True, on=worker, more=more))
        enter(server.start("capi-code", lambda: _listens(server.ports["4000"])))
        enter(server.start("capi-daemon", lambda: True))
        enter(server.start("capi-webserver", lambda: server.ask("{ version }", {}) != {}))
        opened.wait(lambda: all(map(opened.is_ready, workers)))
        yield opened


def missing() -> str | None:
    """What this machine lacks for a cluster; None if nothing."""
    reasons = [machines_missing(), redis_missing()]
    if programs() is None:
        reasons.append("PostgreSQL is not installed (apt: postgresql)")
    if shutil.which("socat") is None:
        reasons.append("socat is not installed (apt: socat)")
    for module in ("dagster_celery", "redis"):
        if find_spec(module) is None:
            reasons.append(f"{module} is not installed (extra: celery)")
    return "; ".join(filter(None, reasons)) or None


def _poll_soon(instance: Path) -> None:
    """Runs are checked every two seconds, so that a test need not wait half a minute."""
    before = instance.read_text()
    assert "poll_interval_seconds: 30" in before
    instance.write_text(before.replace("poll_interval_seconds: 30", "poll_interval_seconds: 2"))


def _listens(port: int) -> bool:
    with socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
