"""Where the CPU time of a delivery goes, stage by stage, on SQLite and on PostgreSQL.

Meta is a server that answers at once, in a process of its own, and the events are built before:
what is measured is planning, the ledger, the bodies and HTTP. CPU time of the delivering process
counts, since server and database share the machine with it. SQLite's file is in memory if /dev/shm
is there: a disk adds waiting, which is no CPU time.

`python -m benchmarks.delivery_stages [EVENTS]`
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from importlib.util import find_spec
from typing import Any

from benchmarks.accepting_server import accepting_server
from benchmarks.delivery_contenders import DATASET, matched
from benchmarks.measure import Result, Stopwatch, in_child, table, tell
from tests.helpers.postgres_server import database, postgres_server, programs

MODULE = "benchmarks.delivery_stages"
FLIGHTS = (1, 4, 8)
STAGES = ("read", "plan", "claim", "body", "intent", "post", "outcome")
BATCH = 20_000  # as PendingEvents.tables


def fill(path: str, count: str) -> Result:
    """Stores so many pending events as an Arrow file, in batches."""
    import pyarrow as pa

    base = int(datetime.now(UTC).timestamp())
    with pa.OSFile(path, "wb") as file:
        writer = None
        for start in range(0, int(count), BATCH):
            events = matched(start, min(start + BATCH, int(count)), base)
            persons = [
                f"e{number:010x} p{number * 7:010x}"
                for number in range(start, start + events.num_rows)
            ]
            at = events.schema.get_field_index("person")
            events = events.set_column(at, "person", pa.array(persons)).combine_chunks()
            writer = writer or pa.ipc.new_file(file, events.schema)
            writer.write_table(events)
        if writer is not None:
            writer.close()
    return {}


def deliver(path: str, ledger_url: str, url: str, flights: str) -> Result:
    """Plans and delivers them; the CPU seconds of each stage, and of everything."""
    import pyarrow as pa

    from capi_assets.delivery.ledger.ledger import Ledger
    from capi_assets.delivery.plan import plan, to_send
    from capi_assets.delivery.policy import Policy
    from capi_assets.delivery.sending import sender
    from capi_assets.delivery.sending.access import DatasetAccess, clients_for
    from capi_assets.meta.graph.client import MetaClient

    spent: Counter[str] = Counter()
    for owner, name, stage in (
        (Ledger, "state_of", "read"),
        (Ledger, "claim", "claim"),
        (Ledger, "mark_in_flight", "intent"),
        (Ledger, "record", "outcome"),
        (sender, "plan", "plan"),
        (MetaClient, "body", "body"),
        (MetaClient, "post", "post"),
    ):
        _time(owner, name, stage, spent)
    policy = replace(Policy(), requests_in_flight=int(flights), time_budget=timedelta(hours=2))
    with Ledger(ledger_url) as ledger:

        def sends() -> Iterator[pa.Table]:
            with pa.memory_map(path) as file:
                reader = pa.ipc.open_file(file)
                for number in range(reader.num_record_batches):
                    events = pa.Table.from_batches([reader.get_batch(number)])
                    known = ledger.state_of(events)
                    yield to_send(events, plan(events, known, datetime.now(UTC), policy))

        access = DatasetAccess(DATASET, os.environ.get("BENCH_TOKEN", "EAAbench"), graph_url=url)
        watch, began = Stopwatch(), time.monotonic()
        with watch, clients_for([access], policy) as clients:
            done = sender.deliver(
                sends(), ledger, clients, lambda: datetime.now(UTC), policy, run_id="bench"
            )
        seconds = time.monotonic() - began
    return {
        "delivered": done.delivered,
        "cpu": watch.seconds,
        "seconds": seconds,
        "stages": {stage: spent[stage] for stage in STAGES},
    }


def _time(owner: Any, name: str, stage: str, spent: Counter[str]) -> None:
    """Adds the CPU time of a function, in its thread, to that of the stage."""
    function: Callable[..., Any] = getattr(owner, name)

    @wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[stage] += time.thread_time() - began

    setattr(owner, name, timed)


def report(events: int) -> str:
    """CPU time by stage for so many pending events, by database and requests in flight."""
    bin_folder = programs()
    rows = []
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        accepting_server() as meta,
        ExitStack() as opened,
    ):
        path = f"{folder}/events.arrow"
        in_child(MODULE, "fill", path, events)
        ledgers = {"SQLite": f"sqlite:///{folder}/{{}}.db"}
        if bin_folder is not None and find_spec("psycopg2") is not None:
            address = opened.enter_context(postgres_server(bin_folder))
            ledgers["PostgreSQL"] = address + "bench_{}"
        for name, ledger in ledgers.items():
            for flights in FLIGHTS:
                url = ledger.format(flights)
                if name == "PostgreSQL":
                    opened.enter_context(database(address, f"bench_{flights}"))
                done = in_child(MODULE, "deliver", path, url, meta, flights)
                rows.append((f"{name}, {flights} in flight", *_row(done, events)))
    heads = ("microseconds of CPU per event", *STAGES, "rest", "all", "events/s and core")
    return f"{events:,} pending events, a server that answers at once\n\n{table(heads, rows)}"


def _row(done: Result, events: int) -> tuple[str, ...]:
    spent = [done["stages"][stage] for stage in STAGES]
    spent += [done["cpu"] - sum(spent), done["cpu"]]
    each = (f"{seconds / events * 1e6:.1f}" for seconds in spent)
    return *each, f"{events / done['cpu']:,.0f}"


def main() -> None:
    match sys.argv[1:]:
        case ["fill", path, count]:
            tell(fill(path, count))
        case ["deliver", path, ledger_url, url, flights]:
            tell(deliver(path, ledger_url, url, flights))
        case [*events]:
            print(report(int(events[0]) if events else 100_000))


if __name__ == "__main__":
    main()
