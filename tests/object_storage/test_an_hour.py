"""Landing and lake in an object store give what local folders give."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.shop import Shop
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness
from tests.helpers.object_store import ObjectStore, upload


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[list[AssetHarness]]:
    now = datetime.now(UTC)
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as first,
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as second,
    ):
        made = []
        for name, meta in (("local", first), ("store", second)):
            (tmp_path / name / "landing").mkdir(parents=True)
            instance = dg.DagsterInstance.ephemeral()
            made.append(AssetHarness(tmp_path / name, instance, meta, now))
        yield made


def test_an_hour_of_a_shop_is_delivered_with_the_same_payloads(
    worlds: list[AssetHarness], store: ObjectStore
) -> None:
    local, remote = worlds
    hour = local.hour(2)
    shop = Shop(7)
    write_landing(local.root / "landing", local.hour(4), local.hour(1), shop)
    bucket = store.bucket("an-hour")
    upload(local.root / "landing", f"{bucket}/landing")
    remote.overrides = {"lake": f"{bucket}/lake", "landing": f"{bucket}/landing"}
    for world in worlds:
        assert world.run(hour)
    digests = []
    for lake in (local.lake, Lake(f"{bucket}/lake")):
        rows = lake.read("matched_events", [hour], arrow_schema(MatchedEvents)).to_pylist()
        digests.append(
            {
                row["event_id"]: hashlib.sha256((row["payload"] or "").encode()).hexdigest()
                for row in rows
            }
        )
    assert len(digests[0]) > 10
    assert digests[0] == digests[1]
    assert remote.received() == local.received()
    assert not (remote.root / "lake").exists()
