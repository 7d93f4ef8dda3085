"""One contender of `empty_hour`: `python -m benchmarks.empty_hour_contenders NAME`.

A new Dagster instance materializes two empty hours, one run each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.measure import Stopwatch, stay_on_one_core, tell

_UPSTREAM = {
    "visits": [],
    "orders": [],
    "matched_events": ["visits", "orders"],
    "delivery_results": ["matched_events"],
    "attribution_health": ["visits", "orders", "matched_events", "delivery_results"],
}
_CHECKS = {"matched_events": 2, "attribution_health": 2}
"""Checks by asset where it has more than one."""


def ours(folder: Path) -> dg.JobDefinition:
    from capi_assets.definitions import build_definitions
    from capi_assets.settings import Settings

    places = {name: str(folder / name) for name in ("lake", "landing", "erasure_key_file", "views")}
    (folder / "landing").mkdir()
    settings = Settings(
        **places, ledger_url=f"sqlite:///{folder / 'ledger.db'}", dataset_id="1",
        access_token="none is needed", graph_url="http://127.0.0.1:9",
    )  # fmt: skip
    return build_definitions(settings).resolve_job_def("deliver_hour")


def _dagster_alone(folder: Path) -> dg.JobDefinition:
    hourly = dg.HourlyPartitionsDefinition(datetime.now(UTC) - timedelta(days=30))

    def asset(name: str, deps: list[str]) -> dg.AssetsDefinition:
        @dg.asset(name=name, deps=deps, partitions_def=hourly)
        def nothing() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult()

        return nothing

    def check(asset: str, name: str) -> dg.AssetChecksDefinition:
        @dg.asset_check(asset=asset, name=name, partitions_def=hourly)
        def good() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True)

        return good

    return dg.Definitions(
        assets=[asset(name, deps) for name, deps in _UPSTREAM.items()],
        asset_checks=[
            check(name, f"check_{number}")
            for name in _UPSTREAM
            for number in range(_CHECKS.get(name, 1))
        ],
        jobs=[dg.define_asset_job("hour", selection="*", executor_def=dg.in_process_executor)],
    ).resolve_job_def("hour")


QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
CONTENDERS = {"capi_assets": ours, "Dagster alone": _dagster_alone}


def measure(contender: str) -> None:
    stay_on_one_core()
    warnings.simplefilter("ignore")
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        job = CONTENDERS[contender](Path(folder))
        loaded = time.process_time()
        with dg.DagsterInstance.local_temp(folder) as instance:
            hours, runs = [Stopwatch(), Stopwatch()], []
            for back, watch in enumerate(hours, start=3):
                hour = datetime.now(UTC) - timedelta(hours=back)
                with watch:
                    key = f"{hour:%Y-%m-%d-%H}:00"
                    run = job.execute_in_process(QUIET, instance, partition_key=key)
                    runs.append(run)
        assert all(run.success for run in runs)
    first, further = (watch.seconds for watch in hours)
    tell({"cpu": loaded + first, "loading": loaded, "further": further})


if __name__ == "__main__":
    measure(sys.argv[1])
