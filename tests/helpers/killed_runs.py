"""Two busy hours, and real Dagster runs of them in processes of their own that are killed.

A run gets a `KillPoint`: its process kills itself before or after one call of the production code,
which knows nothing of it. So it dies at the same point on any machine, however loaded.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import event

from capi_assets.commands.runs import job_of
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.defs.automation.active_runs import range_tags
from capi_assets.defs.resources import clock_config
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.hours import HOUR, floor_hour, key_hour
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import MetaClient
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings

DATASET = "1234567890123456"
TOKEN = "EAAtestToken"
HOURS = 2
ORDERS = 3_000  # three requests
MAX_RUN_SECONDS = (
    180.0  # seconds until a run that does nothing is a failure; no test waits for it to pass
)

# Forked from a server that has imported all this once; a process with a Dagster run all the same.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "tests.helpers.killed_runs",
        "alembic.command",
        "dagster._core.storage.sqlite_storage",
        "dagster._daemon",
        "hypothesis",
        "pandera.backends.pandas.register",
        "pandera.strategies.pandas_strategies",
    ]
)
job_of(Settings(), "deliver_hour")  # Dagster builds some parts once, so that no run has to

Place = tuple[type, str, str]
PLACES: dict[str, Place] = {
    "before the claim": (Ledger, "claim", "before"),
    "after the claim": (Ledger, "claim", "after"),
    "after the intent": (Ledger, "mark_in_flight", "after"),
    "after acceptance, before the outcome": (MetaClient, "post", "after"),
    "after the outcome": (Ledger, "record", "after"),
    "before a table is written": (Lake, "write", "before"),
    "after a table is written": (Lake, "write", "after"),
}
"""Where a run can be killed, by the step that it has or has not done then."""

ANY_STATEMENT = "at a statement of the ledger"


@dataclass(frozen=True)
class KillPoint:
    """Where a run is killed: the `nth` time that it comes to the place."""

    place: str
    nth: int = 1


@dataclass
class KilledRuns:
    """The hours' lake and ledger under `root`, and the Meta that runs send to."""

    root: Path
    meta: SandboxServer
    hours: list[datetime]
    at: datetime

    def start(self, kill_point: KillPoint | None = None) -> BaseProcess:
        """A run that delivers the hours, in its own process."""
        given = (self.root, self.meta.url, self.hours, self.at, kill_point)
        run = PROCESSES.Process(target=_deliver_or_fail, args=given)
        run.start()
        return run

    def dies(self, kill_point: KillPoint) -> None:
        """A run that is killed at the point, and at no other."""
        assert ended(self.start(kill_point)) == -signal.SIGKILL, (
            f"it never came there: {kill_point}"
        )

    def recovers(self) -> None:
        """One more run, once the claims of a dead one have expired; it finishes every hour."""
        self.claims_expire()
        assert ended(self.start()) == 0

    def claims_expire(self) -> None:
        """Time passes until the claims of dead runs have expired."""
        self.at += timedelta(minutes=3)

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    def received(self) -> Counter[str]:
        """What Meta did with the events it was sent, by verdict."""
        rows = self.meta.inbox.rows("select verdict, count(*) from events group by 1")
        return Counter(dict(map(tuple, rows)))

    def removed_as_duplicates(self) -> Counter[str]:
        """The events that Meta was sent more often than once, and how often too many."""
        rows = self.meta.inbox.rows("select event_id from events where verdict = 'duplicate'")
        return Counter(row[0] for row in rows)

    def finished(self) -> set[datetime]:
        """The hours that Dagster shows as materialized."""
        with open_dagster(self.root) as instance:
            return {
                key_hour(key)
                for key in instance.get_materialized_partitions(dg.AssetKey("delivery_results"))
            }

    def written(self) -> int:
        """How many hours have a table of results."""
        return len(self.lake.paths("delivery_results", self.hours))

    def statuses(self) -> Counter[str]:
        """The hours' delivery_results by status."""
        schema = arrow_schema(DeliveryResults)
        rows = self.lake.read("delivery_results", self.hours, schema, ["status"])
        return Counter(rows["status"].to_pylist())

    def events(self) -> pa.Table:
        """The hours' matched events."""
        return self.lake.read("matched_events", self.hours, arrow_schema(MatchedEvents))

    def states(self) -> Counter[str]:
        """How many events the ledger knows, by state."""
        with self.ledger() as ledger:
            return Counter(ledger.state_of(self.events())["state"].to_pylist())

    def claimed(self) -> int:
        """How many events are claimed, also by a dead run."""
        with self.ledger() as ledger:
            return int(pc.count(ledger.state_of(self.events())["claimed_by"]).as_py())

    def attempts(self) -> Counter[str]:
        """How many attempts the ledger has of each event."""
        with self.ledger() as ledger:
            return Counter(ledger.attempts_for(self.events())["event_id"].to_pylist())

    def ledger(self) -> Ledger:
        """The ledger of the hours; use it in a `with`."""
        return Ledger(f"sqlite:///{self.root / 'ledger.db'}")


def warm_up() -> None:
    """Starts what runs are forked from where it finds this module, which it does not by itself."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[2]), before])
    )
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def ended(run: BaseProcess) -> int | None:
    """The exit status of a run, which is waited for."""
    run.join(MAX_RUN_SECONDS)
    if run.is_alive():
        run.kill()
        run.join()
        raise AssertionError("the run hangs")
    return run.exitcode


def kill(run: BaseProcess) -> None:
    """kill -9, which must hit a living process."""
    assert run.pid is not None
    os.kill(run.pid, signal.SIGKILL)
    assert ended(run) == -signal.SIGKILL


def wait_until(is_so: Callable[[], bool], run: BaseProcess) -> None:
    """Waits until it is so, while the run lives."""
    until = time.monotonic() + MAX_RUN_SECONDS
    while not is_so():
        assert run.is_alive(), f"the run ended ({run.exitcode}) before it came to that"
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.005)


def _deliver_or_fail(
    root: Path, graph_url: str, hours: list[datetime], at: datetime, kill_point: KillPoint | None
) -> None:
    if kill_point is not None:
        arm(kill_point)
    if not materialize(root, graph_url, hours, at, "delivery_results"):
        raise SystemExit(1)


def materialize(
    root: Path, graph_url: str, hours: list[datetime], at: datetime, *assets: str
) -> bool:
    """A Dagster run of some assets of the job over the range; whether it finished every hour."""
    settings = Settings(
        lake=str(root / "lake"),
        ledger_url=f"sqlite:///{root / 'ledger.db'}",
        landing=str(root / "landing"),
        dataset_id=DATASET,
        access_token=TOKEN,
        graph_url=graph_url,
    )
    with (
        open_dagster(root) as instance,
        dg.execute_job(
            job_of(settings, "deliver_hour"),
            instance=instance,
            tags=range_tags(hours[0], hours[-1]),
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "resources": clock_config(settings, at),
            },
            asset_selection=[dg.AssetKey(asset) for asset in assets],
        ) as result,
    ):
        return result.success


@contextmanager
def open_dagster(root: Path) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of all runs; it outlives them."""
    storage = root / "dagster"
    storage.mkdir(exist_ok=True)
    off = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(storage), overrides=off) as instance:
        yield instance


class _Killer:
    def __init__(self, nth: int) -> None:
        self.left = nth

    def __call__(self, *_: object, **__: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(kill_point: KillPoint) -> None:
    """Arms the kill point; this process is the run's own."""
    kill_self = _Killer(kill_point.nth)
    if kill_point.place == ANY_STATEMENT:
        opened = Ledger.__init__

        def opening(self: Ledger, *args: Any, **kwargs: Any) -> None:
            opened(self, *args, **kwargs)
            event.listen(self.engine, "before_cursor_execute", kill_self)
            event.listen(self.engine, "commit", kill_self)

        Ledger.__init__ = opening  # type: ignore[method-assign]
        return
    owner, name, moment = PLACES[kill_point.place]
    real = getattr(owner, name)

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if moment == "before":
            kill_self()
        result = real(self, *args, **kwargs)
        if moment == "after":
            kill_self()
        return result

    setattr(owner, name, call)


def matched(root: Path) -> list[datetime]:
    """Lands and matches the orders of two hours, once for all tests; returns the hours."""
    warm_up()
    last = floor_hour(datetime.now(UTC)) - 3 * HOUR
    hours = [last - (HOURS - 1 - n) * HOUR for n in range(HOURS)]
    for n, hour in enumerate(hours):
        _land(root, hour, range(n, ORDERS, HOURS))
    now = datetime.now(UTC)
    assert materialize(root, "http://127.0.0.1:9", hours, now, "visits", "orders", "matched_events")
    return hours


def _land(root: Path, hour: datetime, numbers: range) -> None:
    """Valid orders of one hour."""
    folder = root / "landing" / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    folder.mkdir(parents=True)
    (folder / "orders.jsonl").write_text(
        "\n".join(
            json.dumps(
                {
                    "order_id": f"o-{number}",
                    "occurred_at": (hour + timedelta(seconds=number % 3_600)).isoformat(),
                    "value": 10.0 + number % 7,
                    "currency": "EUR",
                    "email": f"person.{number}@example.com",
                    "action_source": "email",
                }
            )
            for number in numbers
        )
    )


@contextmanager
def killed_runs(root: Path, made: Path, hours: list[datetime]) -> Iterator[KilledRuns]:
    """The matched hours and the Dagster that knows them, copied; no ledger yet; and Meta."""
    shutil.copytree(made, root, dirs_exist_ok=True)
    with SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta:
        yield KilledRuns(root, meta, hours, datetime.now(UTC))
