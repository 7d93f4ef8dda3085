"""A backfill of 72 hours by the asset itself, for `delivery.py`: what memory it takes.

`python -m benchmarks.delivery_range fill FOLDER EVENTS AT` stores the hours' matched events;
`... deliver FOLDER URL AT` materializes `delivery_results` of them all in one Dagster run. Each is
a process of its own, since peak memory never falls again.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from datetime import datetime

from benchmarks.delivery_contenders import DATASET, matched
from benchmarks.measure import Result, Stopwatch, peak_mb, tell
from capi_assets.hours import HOUR, floor_hour, hour_key

HOURS = 72


def hours_before(at: datetime) -> list[datetime]:
    """The hours of the backfill, the last one closed at `at`."""
    return [floor_hour(at) - (HOURS - n) * HOUR for n in range(HOURS)]


def fill(folder: str, count: str, at: str) -> Result:
    """Spreads so many pending events over the hours."""
    from capi_assets.lake import Lake

    lake, edges = Lake(f"{folder}/lake"), [int(count) * n // HOURS for n in range(HOURS + 1)]
    for n, hour in enumerate(hours_before(datetime.fromisoformat(at))):
        # Purchases lie 3,600 to 6,600 seconds before the base.
        base = int((hour + HOUR).timestamp()) + 3_599
        lake.write("matched_events", hour, matched(edges[n], edges[n + 1], base))
    return {}


def deliver(folder: str, url: str, at: str) -> Result:
    """One run of the asset over all hours."""
    import dagster as dg

    # Only the table is to be read.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)

    from capi_assets.definitions import build_definitions
    from capi_assets.settings import Settings

    hours = hours_before(datetime.fromisoformat(at))
    settings = Settings(
        lake=f"{folder}/lake",
        ledger_url=f"sqlite:///{folder}/ledger.db",
        lookback_hours=1,
        time_budget_seconds=24 * 3_600,
        dataset_id=DATASET,
        access_token=os.environ["BENCH_TOKEN"],
        graph_url=url,
    )
    definitions = build_definitions(settings)
    before = peak_mb()
    off = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(folder, overrides=off) as instance:
        run = dg.materialize(
            [definitions.resolve_assets_def("delivery_results")],
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": hour_key(hours[0]),
                "dagster/asset_partition_range_end": hour_key(hours[-1]),
            },
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    return {"finished": run.success, "before_mb": before, "delivered": _delivered(folder, hours)}


def _delivered(folder: str, hours: list[datetime]) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    from capi_assets.lake import Lake

    schema = pa.schema([("status", pa.string())])
    rows = Lake(f"{folder}/lake").read("delivery_results", hours, schema)
    return int(pc.sum(pc.equal(rows["status"], "delivered")).as_py())


DEEDS: dict[str, Callable[..., Result]] = {"fill": fill, "deliver": deliver}


def main() -> None:
    deed, *given = sys.argv[1:]
    began, watch = time.monotonic(), Stopwatch()
    with watch:
        done = DEEDS[deed](*given)
    tell({**done, "seconds": time.monotonic() - began, "cpu": watch.seconds})


if __name__ == "__main__":
    main()
