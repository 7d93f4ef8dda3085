"""One cluster for all tests of a process, and the world of asset tests, computed on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from capi_assets.commands.runs import range_tags
from capi_assets.defs.names import asset_key
from capi_assets.settings import Settings
from capi_assets.spark.session import close_sessions
from tests.assets.conftest import instance as instance
from tests.assets.conftest import world as plain_world
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.object_store import driver_with, missing
from tests.helpers.spark_cluster import Cluster, cluster
from tests.object_storage.conftest import _server as _server

__all__ = ["plain_world"]
STAGES = ("visits", "orders", "matched_events")


@pytest.fixture(scope="package")
def spark(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    """A running cluster, whose workers know the object store of the tests, where there is one."""
    store = {} if missing() else request.getfixturevalue("_server").variables
    with ExitStack() as stack:
        with driver_with(**store) if store else nullcontext():
            running = stack.enter_context(cluster(tmp_path_factory.mktemp("spark")))
        yield running
        close_sessions()


class SparkHarness(AssetHarness):
    """The world of asset tests whose ranges are computed on a cluster."""

    url = "duckdb"

    def settings(self, **changed: Any) -> Settings:
        return super().settings(**{"engine": self.url, **changed})

    def materialize_stages(
        self, engine: str, lake: str | Path, first: datetime, last: datetime
    ) -> None:
        """Materializes what an engine computes, of these hours, in `lake`."""
        result = self.job("deliver_hour", engine=engine, lake=str(lake)).execute_in_process(
            instance=self.instance,
            tags=range_tags(first, last),
            asset_selection=[asset_key(self.settings(), name) for name in STAGES],
            run_config=self.at(),
            raise_on_error=False,
        )
        assert result.success


@pytest.fixture
def world(plain_world: AssetHarness, spark: Cluster) -> SparkHarness:
    world = SparkHarness(plain_world.root, plain_world.instance, plain_world.meta, plain_world.now)
    world.url = spark.url
    return world
