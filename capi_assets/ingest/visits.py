"""Landed visits to the table `visits`: click ids with the time they were first seen, digests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import duckdb
import pyarrow as pa

from capi_assets.contracts.landing import LandedVisits
from capi_assets.contracts.visits import Visits
from capi_assets.ingest.hashing import HashPolicy, add_drops
from capi_assets.ingest.hours import Ingested, ingest
from capi_assets.ingest.normalise import normalised_columns
from capi_assets.ingest.sources import Source
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.ingest.validation import ValidatedRows
from capi_assets.meta.match_keys.page_urls import with_scheme

VISIT_KEY = ["visit_id"]


def ingest_visits(
    source: Source,
    hours: Sequence[datetime],
    policy: HashPolicy,
    connection: duckdb.DuckDBPyConnection,
    tombstones: Tombstones = NONE,
) -> Ingested:
    """The rows of `visits` for each of `hours`, with what was quarantined.

    The asset `visits` calls it; arguments and errors are those of `ingest_orders`. A visit that
    landed several times is the one that landed last.
    """

    def normalise(landed: ValidatedRows, day: date) -> pa.Table:
        clicked_at = landed.rows.column("occurred_at").combine_chunks()
        columns, problems = normalised_columns(
            landed.rows, policy, day, page_url="page_url", click_seen_at=clicked_at
        )
        # Nobody knows better than the visit: a host without a scheme gets https.
        columns["page_url"] = with_scheme(columns["page_url"])
        return pa.table({**columns, "dropped_fields": add_drops(landed.drops, problems)})

    return ingest(
        source, hours, LandedVisits, Visits, VISIT_KEY, normalise, connection, None, tombstones
    )
