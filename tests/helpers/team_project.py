"""Definitions of a team that knows nothing of ours: names that ours have too, and a bad fit."""

from __future__ import annotations

from typing import Any

import dagster as dg


class TeamDuckDB(dg.ConfigurableResource[Any]):
    """A resource under a key that anybody may choose."""

    database: str = "team.duckdb"


class RefusingIOManager(dg.IOManager):
    """An I/O manager of the team, which has no place for anything of ours."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        raise AssertionError(f"stored {context.step_key}")

    def load_input(self, context: dg.InputContext) -> object:
        raise AssertionError(f"loaded {context.upstream_output}")


@dg.asset
def visits() -> dg.MaterializeResult[None]:
    """The team's own visits, under the key that ours have without a prefix."""
    return dg.MaterializeResult()


TEAM_EXECUTOR = dg.multiprocess_executor.configured({"max_concurrent": 1})


def team_definitions() -> dg.Definitions:
    """An asset, a job `deliver_hour`, an executor, an I/O manager and three resources."""
    return dg.Definitions(
        assets=[visits],
        jobs=[dg.define_asset_job("deliver_hour", selection=[visits])],
        executor=TEAM_EXECUTOR,
        resources={
            "io_manager": RefusingIOManager(),
            "duckdb": TeamDuckDB(),
            "clock": dg.ResourceDefinition.hardcoded_resource("ten past two"),
            "settings": dg.ResourceDefinition.hardcoded_resource({}),
        },
    )
