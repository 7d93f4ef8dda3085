"""One contender of `hour_range.py`, a process of its own.

`python -m benchmarks.hour_range_contenders fill FOLDER FIRST HOURS ORDERS VISITS DATASETS` lands
the hours and the visits of the week before, which it ingests. `dagster FOLDER URL FIRST LAST`
materializes the hours from FIRST to LAST in one run of `deliver_hour`, with Dagster's storage on
SQLite or, with a further argument, in that PostgreSQL; `plain` calls what the assets call, without
Dagster, and says where memory peaks; `pieces` is `capi-assets backfill`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, peak_mb, stay_on_one_core, tell

LOOKBACK = 168  # hours, the default of CAPI_LOOKBACK_HOURS
DATASET = "1234567890123456"
TOKEN = "EAAbenchmarkToken"


def _settings(folder: str, url: str = "http://127.0.0.1:9") -> Any:
    from capi_assets.settings import Settings

    places = {name: f"{folder}/{name}" for name in ("lake", "landing", "erasure_key_file", "views")}
    datasets = Path(f"{folder}/datasets.yaml")
    return Settings(
        **places,
        datasets=str(datasets) if datasets.exists() else None,
        ledger_url=f"sqlite:///{folder}/ledger.db",
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        time_budget_seconds=24 * 3_600,
        dataset_id=DATASET,
        access_token=TOKEN,
        graph_url=url,
    )


def fill(
    folder: str, first: str, hours: str, orders: str, visits: str, datasets: str = "1"
) -> Result:
    """Lands the hours, and the visits of the lookback, which are ingested."""
    from benchmarks import landing
    from capi_assets.engine import open_cursor
    from capi_assets.hours import HOUR
    from capi_assets.ingest.visits import ingest_visits
    from capi_assets.lake import Lake
    from capi_assets.policies import hash_policy, visits_source

    settings, start = _settings(folder), datetime.fromisoformat(first)
    every = [start + n * HOUR for n in range(-LOOKBACK, int(hours))]
    landing.write(Path(settings.landing), every, int(orders), int(visits), LOOKBACK, int(datasets))
    if int(datasets) > 1:
        Path(f"{folder}/token").write_text(TOKEN)
        names = [f'  - {{id: "{n}", token_file: {folder}/token}}' for n in range(int(datasets))]
        Path(f"{folder}/datasets.yaml").write_text("\n".join(["datasets:", *names]))
    lake = Lake(settings.lake)
    with open_cursor() as connection:
        for day in range(0, LOOKBACK, 24):
            ingested = ingest_visits(
                visits_source(settings), every[:LOOKBACK][day : day + 24],
                hash_policy(settings), connection,
            )  # fmt: skip
            for hour in ingested.hours:
                lake.write("visits", hour.hour, hour.rows)
    return {}


def dagster(folder: str, url: str, first: str, last: str, storage: str = "") -> Result:
    """One run of `deliver_hour`, with its checks, on an instance of Dagster; on a new one, unless
    its `storage` is in a PostgreSQL."""
    import dagster as dg

    from capi_assets.commands.runs import job_of, run_hours

    settings = _settings(folder, url)
    job_of(settings, "deliver_hour").get_definition()
    given: dict[str, Any] = {"telemetry": {"enabled": False}}
    if storage:
        given["storage"] = {"postgres": {"postgres_url": storage}}
        with dg.DagsterInstance.local_temp(overrides=given) as instance:
            instance.get_runs(limit=1)  # opens the connections and migrates
    loaded = time.process_time()
    Path(f"{folder}/dagster").mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(f"{folder}/dagster", overrides=given) as instance:
        done = run_hours(instance, settings, *map(datetime.fromisoformat, (first, last)))
    assert done, "the run left hours unfinished"
    with sqlite3.connect(f"{folder}/ledger.db") as ledger:
        (requests,) = ledger.execute("select count(*) from attempts").fetchone()
    return {"loading": loaded, "requests": requests}


def plain(folder: str, url: str, first: str, last: str) -> Result:
    """What the five assets call, without Dagster and without the checks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from benchmarks.plain_stages import build, ingest
    from capi_assets.contracts.attribution_health import AttributionHealth
    from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema, conform
    from capi_assets.contracts.delivery_results import DeliveryResults
    from capi_assets.contracts.quarantine import Quarantine
    from capi_assets.contracts.visits import Visits
    from capi_assets.coverage.outcomes import EVENT_COLUMNS, RESULT_COLUMNS
    from capi_assets.coverage.waterfall import waterfall
    from capi_assets.delivery.hours_to_send import batches, plan_hours, results_of
    from capi_assets.delivery.sending.access import clients_for
    from capi_assets.delivery.sending.sender import deliver
    from capi_assets.engine import open_cursor
    from capi_assets.hours import HOUR, hours_between
    from capi_assets.lake import Lake, rows_of
    from capi_assets.policies import (
        datasets_of,
        delivery_policy,
        open_ledger,
    )  # fmt: skip

    settings, lake = _settings(folder, url), Lake(f"{folder}/lake")
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last) + HOUR
    hours, policy = hours_between(start, end), delivery_policy(settings)
    loaded, peaks, seconds = time.process_time(), dict[str, float](), dict[str, float]()
    with open_cursor() as connection, open_ledger(settings) as ledger:
        for table in ("visits", "orders"):
            with _peak(f"ingest {table}", peaks, seconds):
                ingest(settings, table, hours, connection)
        with _peak("match and build", peaks, seconds):
            build(settings, hours, ledger, datetime.now(UTC))
        with _peak("deliver", peaks, seconds):
            backlog = plan_hours(lake, ledger, hours, datetime.now(UTC), policy)
            with clients_for(datasets_of(settings).accesses.values(), policy) as clients:
                done = deliver(
                    backlog.tables(lake), ledger, clients, lambda: datetime.now(UTC), policy,
                    run_id="plain",
                )  # fmt: skip
        with _peak("results", peaks, seconds):
            for batch, folded in results_of(lake, ledger, hours, datetime.now(UTC), policy):
                results = conform(folded, DeliveryResults)
                for hour in batch:
                    lake.write("delivery_results", hour, rows_of(results, hour))
        with _peak("health", peaks, seconds):
            for batch, events in batches(lake, hours, columns=EVENT_COLUMNS):
                results = lake.read(
                    "delivery_results", batch, arrow_schema(DeliveryResults), RESULT_COLUMNS
                )
                visits = lake.read(
                    "visits", batch, arrow_schema(Visits), ["occurred_at", "fbc", "fbclid"]
                )
                floors = pc.floor_temporal(visits["occurred_at"], unit="hour")
                clicked = pc.or_(pc.is_valid(visits["fbc"]), pc.is_valid(visits["fbclid"]))
                counted = pa.table(
                    {"hour": floors.cast(UTC_MICROSECONDS), "clicked": clicked.cast(pa.int64())}
                )
                per_hour = counted.group_by("hour").aggregate(
                    [([], "count_all"), ("clicked", "sum")]
                )
                per_hour = per_hour.rename_columns(["hour", "visits", "with_click_id"])
                refused = lake.read("quarantined_orders", batch, arrow_schema(Quarantine))
                health = conform(
                    waterfall(batch, events, results, refused, per_hour),
                    AttributionHealth,
                )
                for hour in batch:
                    rows = health.filter(
                        pc.equal(health["hour"], pa.scalar(hour, UTC_MICROSECONDS))
                    )
                    lake.write("attribution_health", hour, rows)
    assert done.delivered == backlog.sends.num_rows, done
    return {"loading": loaded, "peaks": peaks, "seconds_by_stage": seconds}


@contextmanager
def _peak(stage: str, peaks: dict[str, float], seconds: dict[str, float]) -> Iterator[None]:
    """Notes a stage's peak memory, in MB (0 where the system cannot tell), and its CPU time."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # the peak so far is forgotten
    began = time.process_time()
    yield
    seconds[stage] = time.process_time() - began
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks[stage] = sum(int(line.split()[1]) for line in lines if line[:6] == "VmHWM:") / 1024


def pieces(folder: str, url: str, first: str, last: str) -> Result:
    """`capi-assets backfill` over the hours; prints each piece as it starts, to standard error."""
    import dagster as dg

    from capi_assets.commands.backfill import backfill
    from capi_assets.hours import HOUR, hours_between

    settings = _settings(folder, url)
    hours = hours_between(datetime.fromisoformat(first), datetime.fromisoformat(last) + HOUR)
    off = {"telemetry": {"enabled": False}}
    Path(f"{folder}/dagster").mkdir(exist_ok=True)
    begun = list[str]()

    def note(text: str) -> None:
        begun.append(text)
        print(text, file=sys.stderr, flush=True)

    with dg.DagsterInstance.local_temp(f"{folder}/dagster", overrides=off) as instance:
        outcomes = backfill(settings, instance, hours, note)
    finished = sum(outcome.is_finished for outcome in outcomes)
    return {"pieces": sum("..." in text for text in begun), "finished": finished}


CONTENDERS: dict[str, Callable[..., Result]] = {
    "fill": fill, "dagster": dagster, "plain": plain, "pieces": pieces,
}  # fmt: skip


def main() -> None:
    name, *given = sys.argv[1:]
    stay_on_one_core()
    warnings.simplefilter("ignore")
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    began = time.monotonic()
    done = CONTENDERS[name](*given)
    whole = max([peak_mb(), *done.get("peaks", {}).values()])
    tell({**done, "cpu": time.process_time(), "seconds": time.monotonic() - began, "whole": whole})


if __name__ == "__main__":
    main()
