"""`python -m benchmarks.spark`: ingest, matching and event building of a day, here and on Spark.

The cluster has a master, a Connect server and two workers of one core each on this machine; DuckDB
and Arrow have both cores too. CPU time is of all processes of a contender. It needs `make spark`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import landing
from benchmarks.measure import cpu_of, in_child, table, tell
from capi_assets.hours import HOUR, hours_between
from capi_assets.settings import Settings

_FIRST = datetime(2026, 11, 20, tzinfo=UTC)
HOURS = hours_between(_FIRST, _FIRST + 24 * HOUR)
SIZES = (1_000, 10_000, 50_000)
"""Visits of an hour; every fiftieth orders."""


def report(sizes: tuple[int, ...] = SIZES) -> str:
    """A line for each size."""
    from tests.helpers.spark_cluster import cluster

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cluster").mkdir()
        with cluster(folder / "cluster") as spark:
            # A cluster that has just been started compiles its own code first.
            _land(folder / "first", sizes[0])
            in_child("benchmarks.spark", folder / "first", spark.url)
            for visits in sizes:
                _land(folder / str(visits), visits)
                here = in_child("benchmarks.spark", folder / str(visits), "duckdb")
                before = cpu_of(spark.processes)
                there = in_child("benchmarks.spark", folder / str(visits), spark.url)
                on_cluster = cpu_of(spark.processes) - before
                assert here["events"] == there["events"]
                rows.append(
                    [
                        f"{visits * len(HOURS) / 1e6:.2f}",
                        f"{here['cpu']:.1f}",
                        f"{here['seconds']:.1f}",
                        f"{here['peak_mb']:.0f}",
                        f"{there['cpu'] + on_cluster:.1f}",
                        f"{there['seconds']:.1f}",
                        f"{there['peak_mb']:.0f}",
                        f"{(there['cpu'] + on_cluster) / here['cpu']:.1f} x",
                    ]
                )
    heads = ["million visits", "CPU s", "s", "MB", "Spark: CPU s", "s", "MB", "ratio of CPU"]
    return table(heads, rows)


def _land(folder: Path, visits: int) -> None:
    landing.write(folder / "landing", HOURS, visits // 50, visits)


def one(folder: str, engine: str) -> None:
    """One contender, in this process: the three stages, without Dagster."""
    name = "here" if engine == "duckdb" else "there"
    settings = Settings(
        lake=f"{folder}/lake-{name}",
        landing=f"{folder}/landing",
        ledger_url=f"sqlite:///{folder}/{name}.db",
        dataset_id="1234567890123456",
        engine=engine,
    )
    work: Callable[[Settings], int] = _here
    if engine != "duckdb":
        from tests.helpers.spark_cluster import add_client

        add_client()
        work = _there
    began = time.monotonic(), time.process_time()
    events = work(settings)
    seconds, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    tell({"seconds": seconds, "cpu": cpu, "events": events})


def _here(settings: Settings) -> int:
    from benchmarks.plain_stages import build, ingest
    from capi_assets.engine import open_duckdb
    from capi_assets.policies import open_ledger

    with open_duckdb() as duck, open_ledger(settings) as ledger:
        for name in ("visits", "orders"):
            ingest(settings, name, HOURS, duck)
        stored = build(settings, HOURS, ledger, datetime.now(UTC))
    return sum(hour.verdicts.get("ready", 0) for hour in stored)


def _there(settings: Settings) -> int:
    from capi_assets.policies import event_stage, ingest_stage, open_ledger
    from capi_assets.spark.events import EventWork
    from capi_assets.spark.ingest import ingest_hours
    from capi_assets.spark.session import open_session
    from capi_assets.stages.events import known_of_range

    now = datetime.now(UTC)
    stage = event_stage(settings, now)
    with open_session(settings.spark_url) as session:
        for name in ("visits", "orders"):
            ingest_hours(session, ingest_stage(settings, name), HOURS)
        with open_ledger(settings) as ledger:
            known = known_of_range(ledger, now, stage.delivery)
        work = EventWork(stage, HOURS, HOURS, settings.lookback, known)
        stored = work.run(session)
    return sum(hour.verdicts.get("ready", 0) for hour in stored)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        one(*sys.argv[1:])
    else:
        print(report())
