"""`orders`: the advertiser's conversions, hashed when they are read, and the contract check."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from capi_assets.contracts.orders import Orders
from capi_assets.defs.conversions.landing_assets import (
    contract_check,
    ingest_hours,
    report_landed,
)
from capi_assets.defs.hourly_reporting import Upstream, hourly_asset, hours_of
from capi_assets.settings import Settings


def build_orders(
    settings: Settings,
    hourly: dg.HourlyPartitionsDefinition,
    upstream: Sequence[Upstream] = (),
) -> dg.Definitions:
    """The asset `orders`, which depends on a team's assets `upstream`, and its check."""

    @hourly_asset(
        Orders,
        settings,
        hourly,
        upstream=upstream,
        resources=["duckdb"],
        stage="ingest",
        kinds={"parquet", "duckdb", "pandera"},
        description=(
            "Conversions from the advertiser's order records, one row per order in its latest"
            " status. Contact data is normalised and hashed here; raw values are not stored. Rows"
            " that break the contract are stored in `quarantined_orders` with their reasons and"
            " count as lost until they are corrected."
        ),
    )
    def orders(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Reads the landed orders of the run's hours and replaces each hour as a whole.

        Started by `deliver_hour`. Columns: `contracts/orders.py`; times in UTC, money in the
        order's own currency. An order without a dataset gets `CAPI_DATASET_ID`.

        Raises:
            SourceError: the source cannot be read.
            LedgerError, TombstoneError: who was erased cannot be read; nothing is stored.
            dagster.Failure: files of some hours cannot be read; the others are stored.
        """
        stored = ingest_hours(context, settings, "orders", hours_of(context))
        yield from report_landed(context, "orders", stored)

    return dg.Definitions(
        assets=[orders], asset_checks=[contract_check("orders", settings, hourly)]
    )
