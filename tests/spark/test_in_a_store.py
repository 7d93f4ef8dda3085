"""Lake and landing folder in an object store, which the workers reach with their own driver."""

from __future__ import annotations

from capi_assets.contracts.base import arrow_schema
from capi_assets.hours import HOUR, hours_between
from capi_assets.lake import Lake
from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.shop import Shop
from tests.helpers.asset_harness import TABLES
from tests.helpers.object_store import ObjectStore, upload
from tests.object_storage.conftest import store as store
from tests.spark.conftest import STAGES, SparkHarness


def test_a_store_gets_what_a_folder_gets(world: SparkHarness, store: ObjectStore) -> None:
    first, last, bucket = world.hour(4), world.hour(2), store.bucket("spark")
    write_landing(world.root / "landing", first - HOUR, last + HOUR, Shop(7, 20_000))
    upload(world.root / "landing", f"{bucket}/landing")
    world.materialize_stages("duckdb", world.root / "lake", first, last)

    world.overrides = {"landing": f"{bucket}/landing"}
    world.materialize_stages(world.url, f"{bucket}/lake", first, last)
    hours = hours_between(first - HOUR, last + HOUR)
    for table in STAGES:
        here, there = (
            Lake(address).read(table, hours, arrow_schema(TABLES[table]))
            for address in (world.root / "lake", f"{bucket}/lake")
        )
        assert there.equals(here), table
        assert here.num_rows
