"""Whoever can launch a run gets no secret and cannot make an event count twice."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from capi_assets.definitions import build_definitions
from capi_assets.hours import hour_key
from tests.helpers.asset_harness import AssetHarness

CANARY = "EAAcanaryOfTheEnvironment"
VARIABLE = {"env": "SECRET_OF_ANOTHER"}

LAUNCHES: list[dict[str, Any]] = [
    {"ops": {"delivery_results": {"config": {"dry_run": VARIABLE}}}},
    {"ops": {"orders": {"config": VARIABLE}}},
    {"resources": {"capi_clock": {"config": {"at": VARIABLE}}}},
    {"resources": {"capi_duckdb": {"config": {"database": VARIABLE}}}},
    {"resources": {"io_manager": {"config": {"base_dir": VARIABLE}}}},
    {"loggers": {"console": {"config": {"name": VARIABLE}}}},
    {"execution": {"config": VARIABLE}},
]


@pytest.mark.parametrize("run_config", LAUNCHES, ids=lambda config: str(next(iter(config))))
def test_no_launch_reads_an_environment_variable(
    run_config: dict[str, Any],
    world: AssetHarness,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(VARIABLE["env"], CANARY)
    hour = world.hour(2)
    world.land_orders(hour)
    shown = ""
    try:
        result = world.job("deliver_hour").execute_in_process(
            instance=world.instance,
            partition_key=hour_key(hour),
            run_config=run_config,
            raise_on_error=False,
        )
        shown += "".join(map(dg.serialize_value, world.instance.all_logs(result.run_id)))
    except Exception as error:
        shown += repr(error) + str(error.__cause__) + str(error.__context__)
    assert len(shown) > 100  # something was logged or refused
    assert CANARY not in shown + "".join(capfd.readouterr())


def test_a_clock_that_a_launch_sets_is_ignored_where_events_go_to_meta(
    world: AssetHarness,
) -> None:
    settings = world.settings(graph_url="https://graph.facebook.com", now=world.now)
    clock = (
        build_definitions(settings).resolve_job_def("apply_retention").resource_defs["capi_clock"]
    )
    made = clock.resource_fn(dg.build_init_resource_context(config={"at": "2001-01-01T00:00Z"}))
    assert made.now() == world.now
