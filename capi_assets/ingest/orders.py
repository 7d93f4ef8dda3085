"""Landed orders to `orders`: defaults, digests, own click ids, the latest status of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.landing import LandedOrders
from capi_assets.contracts.orders import Orders
from capi_assets.ingest.hashing import HashPolicy, add_drops, hash_contacts
from capi_assets.ingest.hours import Ingested, NormalisedHour, finished, ingest
from capi_assets.ingest.landing import ValidatedRows
from capi_assets.ingest.pii_scan import without_stray_contacts
from capi_assets.ingest.sources import Source
from capi_assets.meta.events.user_data import EXTRA_FIELDS, lead_ids
from capi_assets.meta.match_keys.click_ids import (
    fbc_column,
    fbclid_from_url_column,
    fbp_column,
    ip_column,
)
from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.page_urls import page_column
from capi_assets.meta.match_keys.placeholders import (
    PLAIN_KEYS,
    is_placeholder,
    without_placeholders,
)

ORDER_KEY = ["dataset_id", "event_name", "order_id"]
_EXTRA_KEYS = frozenset(EXTRA_FIELDS)


def ingest_orders(
    source: Source,
    hours: Sequence[datetime],
    policy: HashPolicy,
    default_dataset_id: str,
    connection: duckdb.DuckDBPyConnection,
) -> Ingested:
    """`orders` of `hours`, as they stand in the books now.

    An order that came several times keeps what came last (files by name, then line), so that a
    later status replaces an earlier one.
    """

    def finish(judged: ValidatedRows, today: date) -> NormalisedHour:
        return _finish(judged, policy, today, default_dataset_id)

    return ingest(source, hours, (LandedOrders, Orders), "order_id", finish, connection)


def _finish(
    judged: ValidatedRows, policy: HashPolicy, today: date, default_dataset_id: str
) -> NormalisedHour:
    rows, nothing = without_placeholders(judged.rows, PLAIN_KEYS)
    digests, problems = hash_contacts(rows, policy, today)
    occurred = rows.column("occurred_at").combine_chunks()
    in_url = fbclid_from_url_column(rows.column("event_source_url"))
    given = pc.coalesce(rows.column("fbclid").combine_chunks(), in_url)
    # When a click id without its cookie was first seen, the visits know: see matching.
    unseen = pa.nulls(rows.num_rows, occurred.type)
    clicks = fbc_column(rows.column("fbc"), given, unseen, row_time=occurred)
    fbp, fbp_problems = fbp_column(rows.column("fbp"))
    ip, ip_problems = ip_column(rows.column("client_ip_address"))
    # A value says nothing without its currency; a Purchase without one is already in quarantine.
    no_currency = pc.and_(pc.is_valid(rows.column("value")), pc.is_null(rows.column("currency")))
    value = pc.if_else(no_currency, pa.scalar(None, pa.float64()), rows.column("value"))
    value_problems = pc.if_else(no_currency, "no_currency", pa.scalar(None, pa.string()))
    page, page_problems = page_column(rows.column("event_source_url").combine_chunks())
    rows = rows.set_column(rows.column_names.index("event_source_url"), "event_source_url", page)
    user_data, user_data_problems = map_distinct(rows.column("user_data"), _known_keys)
    cleaned, removed = without_stray_contacts(
        rows, ["event_source_url", "referrer_url"], ["custom_data", "contents"]
    )
    drops = add_drops(
        judged.drops,
        [
            *nothing.items(),
            *problems.items(),
            ("event_source_url", page_problems),
            ("fbc", clicks.problems),
            ("fbp", fbp_problems),
            ("client_ip_address", ip_problems),
            *removed.items(),
            ("value", value_problems),
            ("user_data", user_data_problems),
        ],
    )
    default_id = pc.binary_join_element_wise(
        rows.column("event_name"), rows.column("order_id"), ":"
    )
    made = {
        **{name: rows.column(name) for name in rows.column_names},
        **digests,
        **cleaned,
        "event_id": pc.coalesce(rows.column("event_id"), default_id),
        "dataset_id": pc.fill_null(rows.column("dataset_id"), default_dataset_id),
        "value": value,
        "fbc": clicks.fbc,
        "fbclid": clicks.fbclid,
        "fbp": fbp,
        "client_ip_address": ip,
        "lead_id": lead_ids(rows.column("lead_id")),
        "user_data": user_data,
        "dropped_fields": drops,
    }
    return finished(pa.table(made), Orders, ORDER_KEY)


def _known_keys(user_data: str) -> tuple[str | None, str | None]:
    """`user_data` if its keys may be there; any other could hold raw contact data."""
    members = orjson.loads(user_data)
    if not members.keys() <= _EXTRA_KEYS:
        return None, "unknown_key"
    given = {name: value for name, value in members.items() if not _is_nothing(value)}
    if len(given) == len(members):
        return user_data, None
    return orjson.dumps(given).decode() if given else None, Problem.PLACEHOLDER.code


def _is_nothing(value: object) -> bool:
    return isinstance(value, str) and is_placeholder("user_data", value)
