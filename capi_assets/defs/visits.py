"""`visits`: landings with their match keys, hashed at the door, and the check of what landed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from capi_assets.contracts.visits import Visits
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
from capi_assets.defs.resources import LakeResource, Rules, Sources
from capi_assets.ingest.visits import ingest_visits
from capi_assets.partitions import HOURLY


@dg.asset(
    partitions_def=HOURLY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet", "duckdb", "pandera"},
    tags={"stage": "ingest"},
    metadata={"dagster/column_schema": column_schema(Visits)},
    description=(
        "Landings on the site with their match keys, as stored when they happened. Contact data is"
        " normalised and hashed here; raw values go no further. What breaks the contract is kept in"
        " `quarantined_visits` with its reasons."
    ),
)
def visits(
    context: dg.AssetExecutionContext,
    sources: Sources,
    lake: LakeResource,
    duckdb: DuckDBResource,
    rules: Rules,
) -> Iterator[Any]:
    """Reads what landed for the run's hours and replaces each hour whole."""
    with duckdb.get_connection() as connection:
        ingested = ingest_visits(sources.visits(), hours_of(context), rules.hashing(), connection)
    store(lake.open(), "visits", ingested)
    for name in ingested.unknown_columns:
        context.log.warning("Landed visits carry a column that is not known: %s", name)
    yield from report_hours(context, landed_metadata(ingested), unreadable(ingested))


def _judge(hours: Sequence[datetime], lake: LakeResource) -> Mapping[datetime, HourVerdict]:
    return landed_verdicts(lake.open(), "visits", hours)


visits_keep_their_contract = hourly_check(
    "visits",
    "visits_keep_their_contract",
    "Every visit that landed fits the contract; what does not is listed by reason.",
    _judge,
    {"lake"},
)
