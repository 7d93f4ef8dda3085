"""`orders`: the advertiser's conversions, hashed when they are read, and the contract check."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.orders import Orders
from capi_assets.defs.conversions.landing_assets import contract_check, report_landed
from capi_assets.defs.hourly_reporting import Upstream, hourly_asset, hours_of
from capi_assets.defs.resources import duckdb_of
from capi_assets.eligibility import withheld_reason, without_match_data
from capi_assets.ingest.hours import Ingested
from capi_assets.ingest.orders import ingest_orders
from capi_assets.lake import Lake
from capi_assets.policies import hash_policy, orders_source, stored_tombstones
from capi_assets.settings import Settings


def _as_needed(orders: pa.Table, consent_required: bool) -> pa.Table:
    """Withheld orders without match data: if they land again as confirmed, it lands with them."""
    withheld = pc.is_valid(withheld_reason(orders, consent_required))
    return without_match_data(orders, withheld)


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
        source, policy = orders_source(settings), hash_policy(settings)
        tombstones = stored_tombstones(settings)
        with duckdb_of(context, settings).get_connection() as connection:

            def ingested(batch: Sequence[datetime]) -> Ingested:
                whole = ingest_orders(
                    source, batch, policy, settings.dataset_id, connection, tombstones
                )
                required = settings.consent_required
                hours = [replace(h, rows=_as_needed(h.rows, required)) for h in whole.hours]
                return replace(whole, hours=hours)

            batches = map(ingested, source.batches(hours_of(context)))
            yield from report_landed(context, "orders", Lake(settings.lake), batches)

    return dg.Definitions(
        assets=[orders], asset_checks=[contract_check("orders", settings, hourly)]
    )
