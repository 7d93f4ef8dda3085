"""How deliveries compare: requests in flight, what faults do to each contender, bounded memory.

Meta is the sandbox, in this process; each contender delivers the same purchases from a process
of its own. What they do is in `delivery_contenders.py`.

`python -m benchmarks.delivery [--events N] [--faulty N] [--many N]`
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

from benchmarks.accepting_server import accepting_server
from benchmarks.delivery_contenders import DATASET, is_poison
from benchmarks.delivery_range import HOURS
from benchmarks.delivery_stages import report as stages
from benchmarks.measure import Result, in_child, table
from capi_assets.sandbox.run import SandboxServer

MODULE = "benchmarks.delivery_contenders"
RANGE = "benchmarks.delivery_range"
TOKEN = "EAAbenchmarkToken"
LATENCY_MS = 200
FLIGHTS = (1, 2, 4, 8)
RENEWED_AFTER = (timedelta(hours=1), timedelta(hours=49))
"""A token that is renewed at once; and one that died on Friday evening and is renewed on Sunday,
past the 48 hours in which Meta removes duplicates."""

NEEDS = {"ours": "capi_assets", "facebook-business": "facebook_business", "drt-core": "drt"}


def throughput(count: int) -> str:
    """Seconds for `count` pending events, by requests in flight."""
    rows = []
    for flights in FLIGHTS:
        with _meta() as meta:
            meta.set_fault("slow", latency_ms=LATENCY_MS)
            done = _deliver("ours", meta.url, count, flights, datetime.now(UTC))
        rate = f"{count / done['seconds']:,.0f}"
        shown = (f"{done['seconds']:.1f}", rate, f"{done['cpu']:.1f}", f"{done['peak_mb']:,.0f}")
        rows.append((str(flights), *shown))
    heads = ("requests in flight", "s", "events/s", "CPU s", "peak MB")
    title = f"{count:,} pending events, {LATENCY_MS} ms to each answer"
    return f"{title}\n\n{table(heads, rows)}"


def faults(count: int) -> str:
    """What becomes of `count` events under faults, and after one more run of all."""
    poison = sum(map(is_poison, range(count)))
    words = (
        f"{count:,} events, {poison} of them poison; 5 % of requests answered 503, one hung up on"
        " after acceptance,\nthe token dead from the middle on. Then the token renewed, and all run"
        " once more. Missing are\nsound events that Meta has not; held are those of unknown fate,"
        " for a person to decide."
    )
    return "\n\n".join([words, *(_faults(count, span) for span in RENEWED_AFTER)])


def _faults(count: int, renewed_after: timedelta) -> str:
    rows = []
    for name, package in NEEDS.items():
        if find_spec(package) is None:
            rows.append((name, "not installed", *[""] * 8))
            continue
        rows.append((name, *_under_faults(name, count, renewed_after)))
    heads = ("contender", "accepted", "requests", "s", "accepted", "doubled", "missing", "held")
    return f"Renewed after {renewed_after // timedelta(hours=1)} h\n\n" + table(
        (*heads, "requests", "s"),
        [("", "first run", "", "", "both runs", "", "", "", "", ""), *rows],
    )


def _under_faults(name: str, count: int, renewed_after: timedelta) -> tuple[str, ...]:
    sound = count - sum(map(is_poison, range(count)))
    with _meta() as meta, tempfile.TemporaryDirectory() as folder:
        at = datetime.now(UTC)
        poison = {"BENCH_POISON": "1", "BENCH_BASE": str(int(at.timestamp()))}
        meta.set_fault("server_error", share=0.05, seed=7)
        meta.set_fault("hang_up_after_accepting", count=1, after=at + timedelta(milliseconds=1))
        with _token_dies_when(meta, count // 2):
            first = _deliver(name, meta.url, count, 4, at, folder, poison)
        met = _received(meta), _requests(meta)

        meta.clear_faults()
        meta.renew_token(TOKEN)
        meta.set_clock(at + renewed_after, ticking=True)
        again = _deliver(name, meta.url, count, 4, at + renewed_after, folder, poison)
        received, requests = _received(meta), _requests(meta)
    return (
        f"{met[0]['accepted']:,}",
        f"{met[1]:,}",
        f"{first['seconds']:.1f}",
        f"{received['accepted']:,}",
        f"{received['doubled']:,}",
        f"{sound - received['accepted']:,}",
        f"{again['held']:,}",
        f"{requests:,}",
        f"{first['seconds'] + again['seconds']:.1f}",
    )


def memory(count: int) -> str:
    """Peak memory of the asset over 72 hours with `count` pending events, and with a tenth."""
    rows = []
    at = datetime.now(UTC).isoformat()
    for some in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder, _environment({"BENCH_TOKEN": TOKEN}):
            in_child(RANGE, "fill", folder, some, at)
            with accepting_server() as url:
                done = in_child(RANGE, "deliver", folder, url, at)
        megabytes = (f"{done['before_mb']:,.0f}", f"{done['peak_mb']:,.0f}")
        rows.append((f"{some:,}", f"{done['delivered']:,}", f"{done['seconds']:.0f}", *megabytes))
    heads = ("pending events", "delivered", "s", "MB before", "peak MB")
    return f"One run of the asset over {HOURS} hours\n\n" + table(heads, rows)


def _deliver(
    name: str,
    url: str,
    count: int,
    flights: int,
    at: datetime,
    folder: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    given = {"BENCH_TOKEN": TOKEN, "BENCH_BASE": str(int(at.timestamp())), **(env or {})}
    with tempfile.TemporaryDirectory() as own, _environment(given):
        return in_child(MODULE, name, url, count, flights, folder or own, at.isoformat())


@contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _meta() -> Iterator[SandboxServer]:
    with SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta:
        yield meta


@contextmanager
def _token_dies_when(meta: SandboxServer, received: int) -> Iterator[None]:
    """Ends the token's life as soon as so many events were accepted."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if _received(meta)["accepted"] >= received:
                meta.expire_token(TOKEN)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _received(meta: SandboxServer) -> Counter[str]:
    rows = meta.inbox.rows("select verdict, count(*) from events group by 1")
    return Counter(dict(map(tuple, rows)))


def _requests(meta: SandboxServer) -> int:
    return int(meta.inbox.rows("select count(*) from requests")[0][0])


def report(events: int, faulty: int, many: int) -> str:
    """All four comparisons; a count of 0 leaves one out."""
    # Memory first: by the end of the others this process has grown, and its children begin with it.
    parts = [(memory, many), (throughput, events), (stages, events), (faults, faulty)]
    return "\n\n".join(part(count) for part, count in parts if count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="pending, for throughput")
    parser.add_argument("--faulty", type=int, default=50_000, help="events of the faults run")
    parser.add_argument("--many", type=int, default=1_000_000, help="pending, for memory")
    chosen = parser.parse_args()
    print(report(chosen.events, chosen.faulty, chosen.many))


if __name__ == "__main__":
    main()
