"""A house with one busy hour, runs of it in processes of their own, and a hand on the ledger's
lock: while it is held, the run cannot write its next step, so it can be killed exactly there.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import dagster as dg
import pyarrow as pa

from capi_assets.commands.runs import run_hours
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.ledger import Ledger
from capi_assets.hours import HOUR, floor_hour
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer

DATASET = "1234567890123456"
TOKEN = "EAAtestToken"
ORDERS = 3_000
PATIENCE = 60.0

# Forked from a server that has imported everything once; a real process with a real Dagster run.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["killed_world"])


def materialize(root: Path, graph_url: str, hour: datetime, at: datetime) -> bool:
    """A Dagster run of all assets of the hour; whether it finished."""
    resources = {
        "clock": {"at": at.isoformat()},
        "lake": {"root": str(root / "lake")},
        "ledger": {"url": f"sqlite:///{root / 'ledger.db'}"},
        "sources": {"landing": str(root / "landing")},
        "meta": {
            "dataset_id": DATASET,
            "access_token": TOKEN,
            "graph_url": graph_url,
            "graph_version": "v26.0",
        },
    }
    storage = root / f"dagster-{os.getpid()}"
    storage.mkdir(exist_ok=True)
    off = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(storage), overrides=off) as instance:
        return run_hours(instance, hour, hour, resources)


def _materialize_or_fail(root: Path, graph_url: str, hour: datetime, at: datetime) -> None:
    if not materialize(root, graph_url, hour, at):
        raise SystemExit(1)


@dataclass
class House:
    """The hour's landing, lake and ledger under `root`, and the Meta that runs send to."""

    root: Path
    meta: SandboxServer
    hour: datetime
    at: datetime

    def start(self) -> BaseProcess:
        """A run of the hour, in its own process."""
        run = PROCESSES.Process(
            target=_materialize_or_fail, args=(self.root, self.meta.url, self.hour, self.at)
        )
        run.start()
        return run

    def claims_lapse(self) -> None:
        """Time passes until the claims of dead runs are anyone's."""
        self.at += timedelta(minutes=3)

    def recover(self) -> bool:
        """One more run once the claims of a dead one have lapsed."""
        self.claims_lapse()
        return materialize(self.root, self.meta.url, self.hour, self.at)

    def accepted(self) -> int:
        """How many events Meta counts."""
        return self.received()["accepted"]

    def received(self) -> Counter[str]:
        """What Meta did with the events it was sent, by verdict."""
        rows = self.meta.inbox.rows("select verdict, count(*) from events group by 1")
        return Counter(dict(map(tuple, rows)))

    def removed_as_duplicates(self) -> set[str]:
        """Events that Meta was sent more than once."""
        rows = self.meta.inbox.rows("select event_id from events where verdict = 'duplicate'")
        return {row[0] for row in rows}

    def has_results(self) -> bool:
        """Whether a run came to write the hour's table."""
        return bool(list(self.lake.paths("delivery_results", [self.hour])))

    def events(self) -> pa.Table:
        """The hour's matched events."""
        return self.lake.read("matched_events", [self.hour], arrow_schema(MatchedEvents))

    def statuses(self) -> Counter[str]:
        """The hour's delivery_results by status."""
        schema = arrow_schema(DeliveryResults)
        rows = self.lake.read("delivery_results", [self.hour], schema, ["status"])
        return Counter(rows["status"].to_pylist())

    def attempts(self) -> Counter[str]:
        """How many requests carried each event, as the ledger tells."""
        with Ledger(f"sqlite:///{self.root / 'ledger.db'}") as ledger:
            return Counter(ledger.attempts_for(self.events())["event_id"].to_pylist())

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    @contextmanager
    def holding_the_ledger(self) -> Iterator[sqlite3.Connection]:
        """Nobody else writes the ledger meanwhile."""
        connection = sqlite3.connect(self.root / "ledger.db", timeout=PATIENCE)
        connection.isolation_level = None
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("ROLLBACK")
        finally:
            connection.close()

    def kill_when(self, run: BaseProcess, seen: Callable[[sqlite3.Connection], bool]) -> None:
        """kill -9 in the moment in which the ledger's books are so."""

        def kill_if(books: sqlite3.Connection) -> bool:
            if not seen(books):
                return False
            kill(run)
            return True

        self.wait_for(run, kill_if)

    def wait_for(self, run: BaseProcess, seen: Callable[[sqlite3.Connection], bool]) -> None:
        """Looks at the books, nobody writing meanwhile, until they are so."""
        until = time.monotonic() + PATIENCE
        while True:
            with self.holding_the_ledger() as books:
                if seen(books):
                    return
            assert run.is_alive(), f"the run ended ({run.exitcode}) before it came there"
            assert time.monotonic() < until, "the run never came there"
            time.sleep(0.0005)


def kill(run: BaseProcess) -> None:
    """kill -9, and certainty that it hit a living process."""
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    run.join(PATIENCE)
    assert run.exitcode == -signal.SIGKILL


def wait_until(seen: Callable[[], bool]) -> None:
    """Polls until it is so."""
    until = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.002)


def land(root: Path, hour: datetime, count: int = ORDERS) -> None:
    """So many sound orders of one hour, each with its visit."""
    lines: dict[str, list[str]] = {"visits": [], "orders": []}
    for number in range(count):
        at = hour + timedelta(seconds=number % 3_500)
        visit = {
            "visit_id": f"v-{number}",
            "occurred_at": at.isoformat(),
            "page_url": "https://shop.example/",
            "client_ip_address": f"203.0.{number // 250}.{number % 250 + 1}",
            "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        }
        order = {
            "order_id": f"o-{number}",
            "occurred_at": (at + timedelta(seconds=60)).isoformat(),
            "value": 10.0,
            "currency": "EUR",
            "email": f"person.{number}@example.com",
            "visit_id": f"v-{number}",
        }
        lines["visits"].append(json.dumps(visit))
        lines["orders"].append(json.dumps(order))
    for table, rows in lines.items():
        folder = root / "landing" / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
        folder.mkdir(parents=True)
        (folder / f"{table}.jsonl").write_text("\n".join(rows))


@contextmanager
def a_house(root: Path) -> Iterator[House]:
    """An hour that has landed and an empty ledger."""
    now = datetime.now(UTC)
    hour = floor_hour(now) - 3 * HOUR
    land(root, hour)
    with (
        Ledger(f"sqlite:///{root / 'ledger.db'}"),
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta,
    ):
        yield House(root, meta, hour, now)
