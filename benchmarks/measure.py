"""One contender, one process, one core: CPU time and peak memory, handed to the parent as JSON.

A process of its own, because peak memory never falls again; CPU time and not the clock, because
others use the machine as well.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def in_child(module: object, *arguments: object) -> Result:
    """What `python -m module arguments` printed, as its last line.

    The parent must stay small: Linux counts what it holds at this moment as the child's peak.
    """
    command = [sys.executable, "-m", str(module), *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def in_turns(
    rounds: int, runs: Mapping[str, Sequence[object]], by: str = "cpu"
) -> dict[str, Result]:
    """The round with the least CPU time (`by`) of each run (arguments of `in_child`), by its name.

    All take part in every round, so that what else the machine does falls on all of them; noise
    only ever adds.
    """
    results = [{name: in_child(*run) for name, run in runs.items()} for _ in range(rounds)]
    return {
        name: min((result[name] for result in results), key=lambda result: float(result[by]))
        for name in runs
    }


def stay_on_one_core() -> None:
    """Binds this process, and the threads Arrow would start, to one core."""
    import pyarrow as pa

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)


class Stopwatch:
    """CPU seconds of what runs inside `with`, of all threads, added up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.process_time()

    def __exit__(self, *failure: object) -> None:
        self.seconds += time.process_time() - self._began


def peak_mb() -> float:
    """Peak memory of this process so far, in MB of 2^20 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def tell(result: Result) -> None:
    """Hands the result, with this process's peak memory, to the parent."""
    print(json.dumps({**result, "peak_mb": peak_mb()}))


def family_of(processes: Iterable[int]) -> list[int]:
    """Processes with their living children and the children of these."""
    family = [*processes]
    for process in family:
        for thread in Path(f"/proc/{process}/task").glob("*/children"):
            with suppress(OSError):  # it has just ended
                family += map(int, thread.read_text().split())
    return family


def cpu_of(processes: Iterable[int]) -> float:
    """CPU seconds so far of processes, their living children, and those they have waited for."""
    total = 0.0
    for process in family_of(processes):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as they need, the first to the left, the others to the right."""
    lines = [heads, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
