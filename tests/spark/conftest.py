"""One cluster for all tests of a process, and the world of asset tests, computed on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from capi_assets.settings import Settings
from tests.assets.conftest import instance as instance
from tests.assets.conftest import world as plain_world
from tests.helpers.asset_harness import AssetHarness
from tests.helpers.spark_cluster import Cluster, close_session, cluster

__all__ = ["plain_world"]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("spark")) as running:
        yield running
        close_session()


class SparkHarness(AssetHarness):
    """The world of asset tests whose ranges are computed on a cluster."""

    url = "duckdb"

    def settings(self, **changed: Any) -> Settings:
        return super().settings(**{"engine": self.url, **changed})


@pytest.fixture
def world(plain_world: AssetHarness, spark: Cluster) -> SparkHarness:
    world = SparkHarness(plain_world.root, plain_world.instance, plain_world.meta, plain_world.now)
    world.url = spark.url
    return world
