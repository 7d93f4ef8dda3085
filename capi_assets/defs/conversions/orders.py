"""`orders`: the advertiser's conversions, hashed at the door, and the check of what landed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from capi_assets.contracts.orders import Orders
from capi_assets.defs.conversions.landing_assets import contract_check, report_landed
from capi_assets.defs.hourly_reporting import hourly_asset, hours_of
from capi_assets.defs.resources import LakeResource, MetaResource, RulesResource, SourcesResource
from capi_assets.ingest.orders import ingest_orders


@hourly_asset(
    Orders,
    stage="ingest",
    kinds={"parquet", "duckdb", "pandera"},
    description=(
        "Conversions of the advertiser's books, one row per order in its latest status. Contact"
        " data is normalised and hashed here; raw values go no further. What breaks the contract is"
        " kept in `quarantined_orders` with its reasons and counts as lost until it is mended."
    ),
)
def orders(
    context: dg.AssetExecutionContext,
    sources: SourcesResource,
    lake: LakeResource,
    duckdb: DuckDBResource,
    rules: RulesResource,
    meta: MetaResource,
) -> Iterator[Any]:
    """Reads what landed for the run's hours and replaces each hour whole."""
    with duckdb.get_connection() as connection:
        ingested = ingest_orders(
            sources.orders(), hours_of(context), rules.hashing(), meta.dataset_id, connection
        )
    yield from report_landed(context, "orders", lake.open(), ingested)


orders_match_contract = contract_check("orders")
