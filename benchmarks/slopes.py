"""`python -m benchmarks.slopes`: what one more visit, order, hour and dataset cost.

The job `deliver_hour` over ranges that differ in one thing only, each in a process of its own on
one core; a slope is the difference of two. Bytes are those of the lake and of the SQLite ledger.
docs/scale.md has the figures.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.accepting_server import accepting_server
from benchmarks.hour_range import MODULE, hours_before_now
from benchmarks.measure import in_child, table


@dataclass(frozen=True)
class Load:
    """What a run is given: numbers of orders and visits are those of an hour."""

    hours: int = 4
    orders: int = 1_000
    visits: int = 1_000
    datasets: int = 1


BASE = Load()
OTHERS = {
    "a million orders": replace(BASE, orders=11_000),
    "a million visits, of which the week before has 42": replace(BASE, visits=11_000),
    "an hour": replace(BASE, hours=28, orders=0, visits=0),
    "a dataset in an hour": replace(BASE, datasets=401),
}


@dataclass(frozen=True)
class Cost:
    cpu: float
    peak_mb: float
    lake: int
    ledger: int
    requests: int


def measure(load: Load, rounds: int) -> Cost:
    """The best of some rounds."""
    found = []
    hours = hours_before_now(load.hours)
    given = [hour.isoformat() for hour in (hours[0], hours[-1])]
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as place, accepting_server() as url:
            size = (load.orders, load.visits, load.datasets)
            in_child(MODULE, "fill", place, given[0], load.hours, *size)
            folder = Path(place)
            before = _bytes(folder / "lake")
            done = in_child(MODULE, "dagster", place, url, *given)
            lake, ledger = _bytes(folder / "lake") - before, _bytes(folder, "ledger.db*")
            found.append(
                Cost(done["cpu"] - done["loading"], done["whole"], lake, ledger, done["requests"])
            )
    return min(found, key=lambda cost: cost.cpu)


def _bytes(folder: Path, pattern: str = "**/*.parquet") -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))


def report(rounds: int) -> str:
    """A table of slopes."""
    base, empty = measure(BASE, rounds), measure(replace(BASE, orders=0, visits=0), rounds)
    rows = []
    for name, load in OTHERS.items():
        cost = measure(load, rounds)
        start, unit = base, 1.0
        if load.orders > BASE.orders:
            unit = (load.orders - BASE.orders) * load.hours / 1e6
        elif load.visits > BASE.visits:
            unit = (load.visits - BASE.visits) * load.hours / 1e6
        elif load.hours > BASE.hours:
            start, unit = empty, load.hours - BASE.hours
        else:
            unit = (load.datasets - BASE.datasets) * load.hours
        rows.append(
            (
                name,
                f"{(cost.cpu - start.cpu) / unit:,.3f}",
                f"{(cost.lake - start.lake) / unit / 2**20:,.3f}",
                f"{(cost.ledger - start.ledger) / unit / 2**20:,.3f}",
                f"{(cost.requests - start.requests) / unit:,.0f}",
                f"{cost.peak_mb:,.0f}",
            )
        )
    fixed = empty.cpu - BASE.hours * float(rows[2][1])
    rows.append(("a run", f"{fixed:,.3f}", "", "", "", f"{empty.peak_mb:,.0f}"))
    return table(("one more", "CPU s", "lake MiB", "ledger MiB", "requests", "peak MB"), rows)


if __name__ == "__main__":
    print(report(int(sys.argv[1]) if len(sys.argv) > 1 else 2))
