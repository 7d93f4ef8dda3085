"""`visits`: landings with their match keys, hashed at the door, and the check of what landed."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from capi_assets.contracts.visits import Visits
from capi_assets.defs.conversions.landing_assets import contract_check, report_landed
from capi_assets.defs.hourly_reporting import hourly_asset, hours_of
from capi_assets.defs.resources import LakeResource, RulesResource, SourcesResource
from capi_assets.ingest.visits import ingest_visits


@hourly_asset(
    Visits,
    stage="ingest",
    kinds={"parquet", "duckdb", "pandera"},
    description=(
        "Landings on the site with their match keys, as stored when they happened. Contact data is"
        " normalised and hashed here; raw values go no further. What breaks the contract is kept in"
        " `quarantined_visits` with its reasons."
    ),
)
def visits(
    context: dg.AssetExecutionContext,
    sources: SourcesResource,
    lake: LakeResource,
    duckdb: DuckDBResource,
    rules: RulesResource,
) -> Iterator[Any]:
    """Reads what landed for the run's hours and replaces each hour whole."""
    with duckdb.get_connection() as connection:
        ingested = ingest_visits(sources.visits(), hours_of(context), rules.hashing(), connection)
    yield from report_landed(context, "visits", lake.open(), ingested)


visits_match_contract = contract_check("visits")
