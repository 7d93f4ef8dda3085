"""Landed visits to `visits`: click ids with the time they were first seen, and digests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.landing import LandedVisits
from capi_assets.contracts.visits import Visits
from capi_assets.ingest.hashing import HashPolicy, add_drops, hash_contacts
from capi_assets.ingest.hours import Ingested, NormalisedHour, finished, ingest
from capi_assets.ingest.landing import ValidatedRows
from capi_assets.ingest.pii_scan import without_stray_contacts
from capi_assets.ingest.sources import Source
from capi_assets.meta.match_keys.click_ids import (
    fbc_column,
    fbclid_from_url_column,
    fbp_column,
    ip_column,
)
from capi_assets.meta.match_keys.page_urls import page_column, with_scheme
from capi_assets.meta.match_keys.placeholders import PLAIN_KEYS, without_placeholders


def ingest_visits(
    source: Source,
    hours: Sequence[datetime],
    policy: HashPolicy,
    connection: duckdb.DuckDBPyConnection,
) -> Ingested:
    """`visits` of `hours`, as they landed now."""

    def finish(judged: ValidatedRows, today: date) -> NormalisedHour:
        return _finish(judged, policy, today)

    return ingest(source, hours, (LandedVisits, Visits), "visit_id", finish, connection)


def _finish(judged: ValidatedRows, policy: HashPolicy, today: date) -> NormalisedHour:
    rows, nothing = without_placeholders(judged.rows, PLAIN_KEYS)
    digests, problems = hash_contacts(rows, policy, today)
    occurred = rows.column("occurred_at").combine_chunks()
    given = rows.column("fbclid").combine_chunks()
    in_url = fbclid_from_url_column(rows.column("page_url"))
    clicks = fbc_column(rows.column("fbc"), pc.coalesce(given, in_url), occurred)
    fbp, fbp_problems = fbp_column(rows.column("fbp"))
    ip, ip_problems = ip_column(rows.column("client_ip_address"))
    page, page_problems = page_column(rows.column("page_url").combine_chunks())
    rows = rows.set_column(rows.column_names.index("page_url"), "page_url", with_scheme(page))
    cleaned, removed = without_stray_contacts(rows, ["page_url", "referrer_url"])
    drops = add_drops(
        judged.drops,
        [
            *nothing.items(),
            *problems.items(),
            ("page_url", page_problems),
            ("fbc", clicks.problems),
            ("fbp", fbp_problems),
            ("client_ip_address", ip_problems),
            *removed.items(),
        ],
    )
    made = {
        **{name: rows.column(name) for name in rows.column_names},
        **digests,
        **cleaned,
        "fbc": clicks.fbc,
        "fbclid": clicks.fbclid,
        "fbp": fbp,
        "client_ip_address": ip,
        "dropped_fields": drops,
    }
    return finished(pa.table(made), Visits, ["visit_id"])
