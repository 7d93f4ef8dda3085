"""`visits`: landings with their match keys, hashed when they are read, and the contract check."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from capi_assets.contracts.visits import Visits
from capi_assets.defs.conversions.landing_assets import contract_check, report_landed
from capi_assets.defs.hourly_reporting import hourly_asset, hours_of
from capi_assets.defs.resources import DuckDB
from capi_assets.ingest.visits import ingest_visits
from capi_assets.lake import Lake
from capi_assets.policies import hash_policy, visits_source
from capi_assets.settings import Settings


def build_visits(settings: Settings, hourly: dg.HourlyPartitionsDefinition) -> dg.Definitions:
    """The asset `visits` and its check."""

    @hourly_asset(
        Visits,
        hourly,
        stage="ingest",
        kinds={"parquet", "duckdb", "pandera"},
        description=(
            "Landings on the site with their match keys, as stored when they happened. Contact data"
            " is normalised and hashed here; raw values are not stored. Rows that break the"
            " contract are stored in `quarantined_visits` with their reasons."
        ),
    )
    def visits(context: dg.AssetExecutionContext, duckdb: DuckDB) -> Iterator[Any]:
        """Reads the landed visits of the run's hours and replaces each hour as a whole.

        Started by `deliver_hour`. Columns: `contracts/visits.py`; times in UTC.

        Raises:
            SourceError: the source cannot be read.
            dagster.Failure: files of some hours cannot be read; the others are stored.
        """
        with duckdb.get_connection() as connection:
            ingested = ingest_visits(
                visits_source(settings), hours_of(context), hash_policy(settings), connection
            )
        yield from report_landed(context, "visits", Lake(settings.lake), ingested)

    return dg.Definitions(
        assets=[visits], asset_checks=[contract_check("visits", settings, hourly)]
    )
