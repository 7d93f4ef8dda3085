"""`orders`: the advertiser's conversions, hashed at the door, and the check of what landed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from capi_assets.contracts.orders import Orders
from capi_assets.defs.landed import landed_metadata, landed_verdicts, store, unreadable
from capi_assets.defs.reporting import (
    GROUP,
    OWNERS,
    HourVerdict,
    column_schema,
    hourly_check,
    hours_of,
    report_hours,
)
from capi_assets.defs.resources import LakeResource, MetaResource, Rules, Sources
from capi_assets.ingest.orders import ingest_orders
from capi_assets.partitions import HOURLY


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "duckdb", "pandera"},
    tags={"stage": "ingest"},
    metadata={"dagster/column_schema": column_schema(Orders)},
    description=(
        "Conversions of the advertiser's books, one row per order in its latest status. Contact"
        " data is normalised and hashed here; raw values go no further. What breaks the contract is"
        " kept in `quarantined_orders` with its reasons and counts as lost until it is mended."
    ),
)
def orders(
    context: dg.AssetExecutionContext,
    sources: Sources,
    lake: LakeResource,
    duckdb: DuckDBResource,
    rules: Rules,
    meta: MetaResource,
) -> Iterator[Any]:
    """Reads what landed for the run's hours and replaces each hour whole."""
    with duckdb.get_connection() as connection:
        ingested = ingest_orders(
            sources.orders(), hours_of(context), rules.hashing(), meta.dataset_id, connection
        )
    store(lake.open(), "orders", ingested)
    for name in ingested.unknown_columns:
        context.log.warning("Landed orders carry a column that is not known: %s", name)
    yield from report_hours(context, landed_metadata(ingested), unreadable(ingested))


def _judge(hours: Sequence[datetime], lake: LakeResource) -> Mapping[datetime, HourVerdict]:
    return landed_verdicts(lake.open(), "orders", hours)


orders_keep_their_contract = hourly_check(
    "orders",
    "orders_keep_their_contract",
    "Every order that landed fits the contract; what does not is listed by reason.",
    _judge,
    {"lake"},
)
