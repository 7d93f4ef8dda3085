"""Landing and lake in an object store give what local folders give, however the store answers."""

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
from tests.helpers.object_store import ObjectStore, driver_with, upload


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[list[AssetHarness]]:
    """Two shops with nothing in them yet."""
    now = datetime.now(UTC)
    with (
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as first,
        SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as second,
    ):
        yield [
            AssetHarness(tmp_path / name, dg.DagsterInstance.ephemeral(), meta, now)
            for name, meta in (("local", first), ("store", second))
        ]


def digests(lake: Lake, hour: datetime) -> dict[str, str]:
    rows = lake.read("matched_events", [hour], arrow_schema(MatchedEvents)).to_pylist()
    return {
        row["event_id"]: hashlib.sha256((row["payload"] or "").encode()).hexdigest() for row in rows
    }


def test_an_hour_of_a_shop_is_delivered_with_the_same_payloads_through_503s(
    worlds: list[AssetHarness], store: ObjectStore
) -> None:
    local, remote = worlds
    hour, bucket = local.hour(2), store.bucket("an-hour")
    write_landing(local.root / "landing", local.hour(4), local.hour(1), Shop(7))
    upload(local.root / "landing", f"{bucket}/landing")
    remote.overrides = {"lake": f"{bucket}/lake", "landing": f"{bucket}/landing"}
    lake = Lake(f"{bucket}/lake")
    assert local.run(hour)

    # Meta has the events, and the store refuses what is to record it.
    store.fail(10_000, "PUT /an-hour/lake/delivery_results")
    with driver_with(AWS_MAX_ATTEMPTS="1"):
        assert not remote.run(hour)
    assert lake.stored("delivery_results", [hour]) == []
    assert remote.received() == local.received()

    store.fail(10_000, "GET /an-hour", every=9)
    assert remote.run(hour)
    assert sum(request.endswith(" 503") for request in store.requests()) > 3
    assert len(digests(local.lake, hour)) > 10
    assert digests(local.lake, hour) == digests(lake, hour)
    assert remote.received() == local.received()
    assert not (remote.root / "lake").exists()
