"""`python -m benchmarks.dagster_storage`: what runs leave in Dagster's storage, and its
cost.

A real run of one hour is materialized, and one of 72; their rows are counted. Then the rows of the
hour are copied, as SQL, for so many further hours, and what our sensors, checks and the UI ask is
timed. SQLite, on one core. The most hours get the materializations of one asset only.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.empty_hour_contenders import QUIET, ours
from benchmarks.measure import stay_on_one_core, table
from capi_assets.defs.automation.active_runs import (
    active_runs,
    done_at,
    failure_texts,
    materialized,
    range_tags,
)
from capi_assets.hours import HOUR, hour_key
from capi_assets.partitions import Partitions
from capi_assets.settings import Settings

ASSET = dg.AssetKey("attribution_health")
YEAR = 9_000  # hours, a little more than a year
WATCHED = 8 * 24  # hours that the sensors look at

_MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION


def main(many: int) -> None:
    stay_on_one_core()
    warnings.simplefilter("ignore")
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        print(_rows_of_runs(Path(folder)))
    sizes = (1, YEAR, many)
    asked = [dict(_timed(size, whole=size < many)) for size in sizes]
    heads = ("milliseconds of CPU", *(f"{size:,} hours" for size in sizes))
    rows = [(name, *(f"{found[name] * 1e3:,.0f}" for found in asked)) for name in asked[0]]
    print(f"\n{table(heads, rows)}")


def _rows_of_runs(folder: Path) -> str:
    job = ours(folder)
    rows = []
    for hours in (1, 72):
        home = folder / f"dagster-{hours}"
        home.mkdir()
        first = datetime.now(UTC) - timedelta(hours=100)
        tags = range_tags(first, first + (hours - 1) * HOUR)
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            before = _bytes(home)
            began = time.process_time()
            done = job.execute_in_process(QUIET, instance, tags=tags)
            spent = time.process_time() - began
            assert done.success
        counted = _counts(home)
        index, run = counted.pop("index"), counted.pop("run")
        kib = f"{(_bytes(home) - before) / 2**10:,.0f}"
        executions = str(counted["asset_check_executions"])
        rows.append((f"{hours} h", f"{spent:.1f}", str(run), str(index), executions, kib))
    heads = ("a run of", "CPU s", "events", "of assets and checks", "check executions", "KiB")
    return table(heads, rows)


def _counts(home: Path) -> dict[str, int]:
    found = {"run": 0}
    for path in home.rglob("*.db"):
        with sqlite3.connect(path) as database:
            names = {name for (name,) in database.execute("select name from sqlite_master")}
            if "event_logs" in names:
                count = database.execute("select count(*) from event_logs").fetchone()[0]
                found["index" if path.stem == "index" else "run"] = count
            if path.stem == "index":
                (found["asset_check_executions"],) = database.execute(
                    "select count(*) from asset_check_executions"
                ).fetchone()
    return found


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.db"))


def _timed(hours: int, whole: bool) -> Iterator[tuple[str, float]]:
    """CPU seconds of each call on a storage with so many hours; the best of three."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        job, home = ours(folder), folder / "dagster"
        home.mkdir()
        now = datetime.now(UTC)
        key = hour_key(now - 3 * HOUR)
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            assert job.execute_in_process(QUIET, instance, partition_key=key).success
        _fill(home, key, hours, whole)
        start = now - (hours + 3) * HOUR if hours < 200_000 else datetime(1950, 1, 1, tzinfo=UTC)
        partitions = Partitions.since(start.replace(minute=0, second=0, microsecond=0)).hourly
        settings = Settings()
        watched = [
            now.replace(minute=0, second=0, microsecond=0) - n * HOUR for n in range(WATCHED)
        ]
        check = dg.AssetCheckKey(ASSET, "coverage_above_threshold")
        with dg.DagsterInstance.local_temp(str(home)) as instance:
            calls: dict[str, Callable[[], Any]] = {
                "a check: the hour's last materialization": lambda: materialized(
                    instance, ASSET, watched[3:4]
                ),
                "late_files_sensor: 192 hours of an asset": lambda: done_at(
                    instance, ASSET, watched
                ),
                "coverage_sensor: active runs": lambda: active_runs(instance, now),
                "coverage_sensor: why 192 hours failed": lambda: failure_texts(
                    instance, settings, watched
                ),
                "UI: materialized hours of an asset, cache cold": lambda: _partitions(
                    instance, partitions, cold=True
                ),
                "UI: the same, cache warm": lambda: _partitions(instance, partitions, cold=False),
                "UI: an asset's last 50 materializations": lambda: instance.fetch_materializations(
                    ASSET, limit=50
                ),
                "UI: a check's last 25 results": lambda: (
                    instance.event_log_storage.get_asset_check_execution_history(check, limit=25)
                ),
                "UI: the last 25 runs": lambda: instance.get_run_records(limit=25),
                "Dagster: all partition keys": partitions.get_partition_keys,
            }
            for name, call in calls.items():
                yield name, min(_cpu(call) for _ in range(3))
        yield "MiB", _bytes(home) / 2**20 / 1e3


def _partitions(instance: dg.DagsterInstance, partitions: Any, *, cold: bool) -> Any:
    from capi_assets.defs.dagster_private import get_and_update_asset_status_cache_value

    if cold:
        instance.wipe_asset_cached_status([ASSET])
    return get_and_update_asset_status_cache_value(instance, ASSET, partitions)


def _cpu(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _fill(home: Path, key: str, hours: int, whole: bool) -> None:
    """Copies the rows of the hour `key` for the hours before it, as if a run had each."""
    (index,) = home.rglob("index.db")
    with sqlite3.connect(index) as database:
        events = "event_logs where partition = ?" if whole else (
            "event_logs where partition = ? and dagster_event_type = 'ASSET_MATERIALIZATION'"
            " and asset_key like '%attribution_health%'"
        )  # fmt: skip
        _copy(database, "event_logs", events, key, hours)
        if whole:
            executions = "asset_check_executions where partition = ?"
            _copy(database, "asset_check_executions", executions, key, hours)
    if whole:
        (runs,) = home.rglob("runs.db")
        with sqlite3.connect(runs) as database:
            for name in ("runs", "run_tags"):
                _copy(database, name, f"{name} where ? != ''", key, hours)


def _copy(database: sqlite3.Connection, name: str, where: str, key: str, hours: int) -> None:
    found = database.execute(f"select * from {where}", [key])
    columns = [column[0] for column in found.description]
    rows = found.fetchall()
    last = datetime.strptime(key, "%Y-%m-%d-%H:%M").replace(tzinfo=UTC)
    run = next((row[columns.index("run_id")] for row in rows), "")
    marks = ", ".join("?" * (len(columns) - 1))
    given = columns[1:]  # the first is the number of the row

    def copies() -> Iterator[list[Any]]:
        for back in range(1, hours):
            other, other_run = hour_key(last - back * HOUR), f"{back:08x}{run[8:]}"
            for row in rows:
                yield [
                    value.replace(key, other).replace(run, other_run)
                    if isinstance(value, str) else value
                    for value in row[1:]
                ]  # fmt: skip

    database.executemany(f"insert into {name} ({', '.join(given)}) values ({marks})", copies())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 250_000)
