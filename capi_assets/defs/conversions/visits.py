"""`visits`: landings with their match keys, hashed when they are read, and the contract check."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import duckdb

from capi_assets.contracts.visits import Visits
from capi_assets.coverage.formatting import count
from capi_assets.defs.conversions.landing_assets import (
    contract_check,
    report_landed,
    store_landed,
)
from capi_assets.defs.hourly_reporting import Upstream, hourly_asset, hours_of
from capi_assets.defs.names import asset_key
from capi_assets.defs.resources import duckdb_of
from capi_assets.hours import HOUR, hour_key, hours_between, key_hour, key_ranges
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SourceError
from capi_assets.ingest.visits import ingest_visits
from capi_assets.lake import Lake
from capi_assets.policies import hash_policy, stored_tombstones, visits_source
from capi_assets.settings import Settings

BATCH_HOURS = 24
"""Missing hours that are read together: a day of visits fits in memory, a lookback of a shop with
many visits may not."""


def build_visits(
    settings: Settings,
    hourly: dg.HourlyPartitionsDefinition,
    upstream: Sequence[Upstream] = (),
) -> dg.Definitions:
    """The asset `visits`, which depends on a team's assets `upstream`, and its check."""

    @hourly_asset(
        Visits,
        settings,
        hourly,
        upstream=upstream,
        resources=["duckdb"],
        stage="ingest",
        kinds={"parquet", "duckdb", "pandera"},
        description=(
            "Landings on the site with their match keys, as stored when they happened. Contact data"
            " is normalised and hashed here; raw values are not stored. Rows that break the"
            " contract are stored in `quarantined_visits` with their reasons."
        ),
    )
    def visits(context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Reads the landed visits of the run's hours and replaces each hour as a whole.

        Started by `deliver_hour`. Columns: `contracts/visits.py`; times in UTC.

        Raises:
            SourceError: the source cannot be read.
            LedgerError, TombstoneError: who was erased cannot be read; nothing is stored.
            dagster.Failure: files of some hours cannot be read; the others are stored.
        """
        source, policy = visits_source(settings), hash_policy(settings)
        tombstones = stored_tombstones(settings)
        with duckdb_of(context, settings).get_connection() as connection:
            ingested = (
                ingest_visits(source, batch, policy, connection, tombstones)
                for batch in source.batches(hours_of(context))
            )
            yield from report_landed(context, "visits", Lake(settings.lake), ingested)

    return dg.Definitions(
        assets=[visits], asset_checks=[contract_check("visits", settings, hourly)]
    )


def ingest_missing_visits(
    context: dg.AssetExecutionContext,
    settings: Settings,
    hours: Sequence[datetime],
    connection: duckdb.DuckDBPyConnection,
) -> list[datetime]:
    """Stores those of `hours` (none is stored) that the source has; returns them.

    `matched_events` calls it, so that orders find visits that landed although their hour did not
    run yet: hours then give the same events in any order. Each hour is reported as the asset would
    report it, so that files that land afterwards are late, and the asset replaces it as usual. An
    hour of a landing folder without files stays missing; of a SQL model it is stored without rows,
    so that the model is queried once. A source that cannot be read is a warning: the orders do not
    wait for it.
    """
    if not hours:
        return []
    source, lake = visits_source(settings), Lake(settings.lake)
    if isinstance(source, LandingFolder):
        landing = source.listing(hours)
        for name, error in dict(landing.errors.values()).items():
            why = error.strerror or type(error).__name__
            context.log.warning("Visits in %s cannot be listed: %s", name, why)
        hours = [h for h in hours if landing.files[h] and h not in landing.errors]
    done: list[datetime] = []
    for batch in (part for span in _consecutive(hours) for part in source.batches(span)):
        try:
            ingested = ingest_visits(
                source, batch, hash_policy(settings), connection, stored_tombstones(settings)
            )
        except SourceError as error:
            context.log.warning("Matched without the visits of earlier hours: %s", error)
            break
        # Two runs may read the same hour: each writes the whole file, and the lake replaces it at
        # once. What the other has stored by now is not older than what was read here.
        stored_since = set(lake.stored("visits", batch))
        new = [hour for hour in ingested.hours if hour.hour not in stored_since]
        for hour in store_landed(context, "visits", lake, [replace(ingested, hours=new)]):
            if not hour.file_problems:
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key(settings, "visits"),
                        description="Ingested for the orders of later hours.",
                        partition=hour_key(hour.hour),
                        metadata=hour.metadata,
                    )
                )
        done += batch
    if done:
        context.log.info(
            "Visits of %s were ingested first: %s to %s",
            count(len(done), "hour"),
            hour_key(done[0]),
            hour_key(done[-1]),
        )
    return done


def _consecutive(hours: Sequence[datetime]) -> Iterator[list[datetime]]:
    """Hours without a break between them, up to `BATCH_HOURS`: a SQL model is queried by span."""
    for first, last in key_ranges(hours):
        span = hours_between(key_hour(first), key_hour(last) + HOUR)
        for start in range(0, len(span), BATCH_HOURS):
            yield span[start : start + BATCH_HOURS]
