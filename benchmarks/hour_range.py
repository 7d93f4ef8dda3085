"""`python -m benchmarks range`: one run over many hours, a backfill in pieces, and a busy hour.

The same landing files each time, delivered to a server that accepts everything. CPU seconds of each
contender in its own process, on one core; what each does is in `hour_range_contenders.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accepting_server import accepting_server
from benchmarks.measure import Result, in_child, table
from capi_assets.hours import HOUR, floor_hour
from tests.helpers.postgres_server import database, postgres_server, programs

MODULE = "benchmarks.hour_range_contenders"
HOURS = 72
SINGLE_RUNS = 6
"""Hours of the range that are run one by one, spread over it; the others cost as much."""

SIZES = ((50, 1_000), (500, 10_000))
"""Orders and visits an hour: 440,000 and 4.4 million orders a year."""

_MEMORY = Path("/dev/shm")


def against_plain(rounds: int, sizes: Sequence[tuple[int, int]] = SIZES) -> str:
    """One run over 72 hours beside the same work without Dagster, and beside a run per hour."""
    parts = [_one_size(rounds, *size) for size in sizes]
    return "\n\n".join(parts)


def _one_size(rounds: int, orders: int, visits: int) -> str:
    hours = hours_before_now(HOURS)
    first, last = hours[0].isoformat(), hours[-1].isoformat()
    with ExitStack() as opened:
        url = opened.enter_context(accepting_server())
        landed = opened.enter_context(_landed(hours, orders, visits))
        server = None
        if (bin_folder := programs()) and find_spec("dagster_postgres"):
            server = opened.enter_context(postgres_server(bin_folder))

        def run(contender: str, storage: str | None, start: str, end: str) -> Result:
            with _copy(landed) as folder, ExitStack() as ends:
                given = [str(folder), url, start, end]
                if storage:
                    given.append(ends.enter_context(database(storage, "dagster")))
                return in_child(MODULE, contender, *given)

        storages = {"SQLite": None} | ({"PostgreSQL": server} if server else {})
        plain = _best(run("plain", None, first, last) for _ in range(rounds))
        step = HOURS // SINGLE_RUNS
        rows = [("without Dagster", *_figures(plain, plain), "")]
        for name, storage in storages.items():
            ours = _best(run("dagster", storage, first, last) for _ in range(rounds))
            hourly = [hour.isoformat() for hour in hours[step // 2 :: step]]
            singles = [run("dagster", storage, hour, hour) for hour in hourly]
            each = {
                "cpu": sum(one["cpu"] for one in singles) * HOURS / len(singles),
                "loading": sum(one["loading"] for one in singles) * HOURS / len(singles),
                "whole": max(one["whole"] for one in singles),
            }
            rows += [
                (f"one run, {name}", *_figures(ours, plain), "1.0 x"),
                (
                    f"{HOURS} runs, {name}",
                    *_figures(each, plain),
                    f"{each['cpu'] / ours['cpu']:.1f} x",
                ),
            ]
    heads = ("contender, Dagster's storage", "CPU s", "of it loading", "work", "peak MB",
             "work to without Dagster", "to one run")  # fmt: skip
    return (
        f"{HOURS} hours with {orders:,} orders and {visits:,} visits each"
        f" ({SINGLE_RUNS} runs of single hours measured)\n\n{table(heads, rows)}"
    )


def _best(done: Iterable[Result]) -> Result:
    return min(done, key=lambda one: one["cpu"])


def _figures(one: Result, plain: Result) -> tuple[str, ...]:
    work = one["cpu"] - one["loading"]
    ratio = work / (plain["cpu"] - plain["loading"])
    times = (f"{seconds:.1f}" for seconds in (one["cpu"], one["loading"], work))
    return *times, f"{one['whole']:,.0f}", f"{ratio:.2f} x"


def in_pieces(hours: int, orders: int = 10, visits: int = 100) -> str:
    """`capi-assets backfill` over many hours, killed in the middle and started again."""
    every = hours_before_now(hours)
    given = ("pieces", every[0].isoformat(), every[-1].isoformat())
    with _landed(every, orders, visits) as folder, accepting_server() as url:
        command = [sys.executable, "-m", MODULE, given[0], str(folder), url, *given[1:]]
        started = 0
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as first:
            assert first.stderr is not None
            for line in first.stderr:
                started += "..." in line
                if started * 168 > hours // 2:
                    first.send_signal(signal.SIGKILL)
                    break
            _, _, used = os.wait4(first.pid, 0)
            first.returncode = -signal.SIGKILL
        again = in_child(MODULE, given[0], folder, url, *given[1:])
    rows = [
        ("killed", str(started), f"{used.ru_utime + used.ru_stime:.0f}",
         f"{used.ru_maxrss / 1024:,.0f}", ""),
        ("again", str(again["pieces"]), f"{again['cpu']:.0f}", f"{again['whole']:,.0f}",
         f"{again['finished']:,} of {hours:,}"),
    ]  # fmt: skip
    heads = ("start", "pieces begun", "CPU s", "peak MB", "hours finished")
    title = f"{hours:,} hours with {orders} orders and {visits} visits each, in pieces"
    return f"{title}\n\n{table(heads, rows)}"


def busy_hour(orders: int, visits: int = 100_000) -> str:
    """The peak memory of one hour with so many orders: the run's, and by stage without Dagster."""
    hours = hours_before_now(1)
    given = [hour.isoformat() for hour in (hours[0], hours[-1])]
    with _landed(hours, orders, visits) as landed, accepting_server() as url:
        with _copy(landed) as folder:
            run = in_child(MODULE, "dagster", folder, url, *given)
        with _copy(landed) as folder:
            plain = in_child(MODULE, "plain", folder, url, *given)
    rows = [
        ("one run", f"{run['cpu']:.0f}", f"{run['whole']:,.0f}"),
        ("without Dagster", f"{plain['cpu']:.0f}", f"{plain['whole']:,.0f}"),
        *((f"  {stage}", "", f"{peak:,.0f}") for stage, peak in plain["peaks"].items()),
    ]
    title = f"One hour with {orders:,} orders, {visits:,} visits an hour in the week before"
    return f"{title}\n\n{table(('', 'CPU s', 'peak MB'), rows)}"


def report(rounds: int, hours: int, orders: int) -> str:
    """All three; a count of 0 leaves one out."""
    parts = [(against_plain, rounds), (in_pieces, hours), (busy_hour, orders)]
    return "\n\n".join(part(count) for part, count in parts if count)


def hours_before_now(count: int) -> list[datetime]:
    """So many hours, the last of them complete, and all of a short range young enough for Meta."""
    last = floor_hour(datetime.now(UTC) - timedelta(hours=3))
    return [last - n * HOUR for n in range(count)][::-1]


@contextmanager
def _landed(hours: Sequence[datetime], orders: int, visits: int) -> Iterator[Path]:
    """A folder with landed hours, and the visits of the week before in its lake."""
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        in_child(MODULE, "fill", folder, hours[0].isoformat(), len(hours), orders, visits)
        yield Path(folder)


@contextmanager
def _copy(landed: Path) -> Iterator[Path]:
    """The same folder for one contender. Files are links: the lake replaces a file, and never
    writes into it."""
    with tempfile.TemporaryDirectory(dir=landed.parent) as folder:
        shutil.copytree(landed, folder, copy_function=os.link, dirs_exist_ok=True)
        yield Path(folder)


if __name__ == "__main__":
    print(report(*map(int, sys.argv[1:])))
