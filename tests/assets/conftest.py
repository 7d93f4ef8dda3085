"""The world of asset tests, made new for each test and taken down after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.sandbox.run import SandboxServer
from tests.delivery.conftest import any_url as any_url
from tests.delivery.conftest import postgres as postgres
from tests.delivery.conftest import sqlite_url as sqlite_url
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness


@pytest.fixture
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster with its storage in memory, which makes a run a third cheaper; in files where a test
    has the mark `dagster_in_files`, because it searches them or starts processes."""
    storage = tmp_path / "dagster"
    storage.mkdir()
    if request.node.get_closest_marker("dagster_in_files"):
        off = {"telemetry": {"enabled": False}}
        with dg.DagsterInstance.local_temp(str(storage), overrides=off) as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral(tempdir=str(storage)) as instance:
            yield instance


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[AssetHarness]:
    (tmp_path / "landing").mkdir()
    with SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta:
        yield AssetHarness(tmp_path, instance, meta, datetime.now(UTC))
