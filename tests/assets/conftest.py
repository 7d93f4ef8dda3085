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
def world(tmp_path: Path) -> Iterator[AssetHarness]:
    (tmp_path / "landing").mkdir()
    (tmp_path / "dagster").mkdir()
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as meta,
        dg.DagsterInstance.local_temp(
            str(tmp_path / "dagster"), overrides={"telemetry": {"enabled": False}}
        ) as instance,
    ):
        yield AssetHarness(tmp_path, instance, meta, datetime.now(UTC))
