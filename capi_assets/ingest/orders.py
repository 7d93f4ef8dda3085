"""Landed orders to the table `orders`: defaults, digests, own click ids, the latest status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.landing import LandedOrders
from capi_assets.contracts.orders import Orders
from capi_assets.ingest.hashing import HashPolicy, add_drops
from capi_assets.ingest.hours import Ingested, IngestedHour, ingest
from capi_assets.ingest.normalise import normalised_columns
from capi_assets.ingest.pii_scan import stored_id
from capi_assets.ingest.sources import Source
from capi_assets.ingest.tombstones import NONE, Tombstones
from capi_assets.ingest.validation import ValidatedRows
from capi_assets.meta.events.user_data import lead_ids
from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.placeholders import (
    is_placeholder,
)
from capi_assets.order_identity import joined_key, person_of, same_conversion

ORDER_KEY = ["dataset_id", "event_name", "order_id"]
_MARKED = ("em", "ph", "external_id", "fbp")


def ingest_orders(
    source: Source,
    hours: Sequence[datetime],
    policy: HashPolicy,
    default_dataset_id: str,
    connection: duckdb.DuckDBPyConnection,
    tombstones: Tombstones = NONE,
    as_needed: Callable[[pa.Table], pa.Table] = lambda rows: rows,
) -> Ingested:
    """The rows of `orders` for each of `hours`, with what was quarantined.

    The asset `orders` calls it for all hours of a run. Hours are timezone-aware starts of hours; a
    row belongs to the hour of its `occurred_at`. An order that landed several times is the row
    that landed last (files by name, then line), so that a later status replaces an earlier one; a
    different order with the first one's id is quarantined as `identity_conflict`. Orders of erased
    people (`tombstones`) are left out; `as_needed` empties values that are not stored.

        source = LandingFolder("data/landing", "orders")
        ingested = ingest_orders(source, [hour], HashPolicy(), "1234567890", connection)
        ingested.hours[0].rows        # conforms to contracts.orders.Orders
        ingested.hours[0].quarantine  # conforms to contracts.quarantine.Quarantine

    Raises:
        SourceError: the source as a whole cannot be read. A bad file or row never raises.
    """

    def normalise(landed: ValidatedRows, day: date) -> pa.Table:
        return _normalised(landed, policy, day, default_dataset_id)

    return ingest(
        source, hours, LandedOrders, Orders, ORDER_KEY, normalise, connection, _is_same, tombstones,
        as_needed,
    )  # fmt: skip


def _is_same(rows: pa.Table, others: pa.Table) -> pa.ChunkedArray:
    """Which rows are the same conversion as the row of the same place in `others`."""
    return same_conversion(*(_conversion(table) for table in (rows, others)))


def _conversion(rows: pa.Table) -> pa.Table:
    seconds = pc.divide(rows.column("occurred_at").cast(pa.int64()), 1_000_000)
    columns = {"person": person_of(rows), "event_time": seconds}
    return pa.table({**columns, "value": rows["value"], "currency": rows["currency"]})


def _normalised(
    landed: ValidatedRows, policy: HashPolicy, day: date, default_dataset_id: str
) -> pa.Table:
    rows = landed.rows
    columns, problems = normalised_columns(
        rows,
        policy,
        day,
        page_url="event_source_url",
        # Only visits know when a click id without its cookie was first seen: see matching.
        click_seen_at=pa.nulls(rows.num_rows, rows.schema.field("occurred_at").type),
        json_texts=["custom_data", "contents", "content_ids", "app_data", "user_data"],
    )
    # A value means nothing without its currency; a Purchase without one is already in quarantine.
    no_currency = pc.and_(pc.is_valid(rows.column("value")), pc.is_null(rows.column("currency")))
    user_data, placeholders = map_distinct(columns["user_data"], _without_placeholders)
    problems += [
        ("value", pc.if_else(no_currency, "no_currency", pa.scalar(None, pa.string()))),
        ("user_data", placeholders),
    ]
    default_id = pc.binary_join_element_wise(columns["event_name"], columns["order_id"], ":")
    return pa.table(
        {
            **columns,
            "lead_id": lead_ids(columns["lead_id"]),
            "event_id": pc.coalesce(columns["event_id"], default_id),
            "dataset_id": pc.fill_null(columns["dataset_id"], default_dataset_id),
            "value": pc.if_else(no_currency, pa.scalar(None, pa.float64()), rows.column("value")),
            "user_data": user_data,
            "person": person_of(pa.table({name: columns[name] for name in _MARKED})),
            "dropped_fields": add_drops(landed.drops, problems),
        }
    )


def keep_former_ids(hour: IngestedHour, stored: pa.Table) -> IngestedHour:
    """The hour with the order and event ids under which its orders are in the lake in clear.

    Before 0.1.0, ids with contact data were stored and sent as they are. Meta and the ledger know
    such an order under that id only: under its digest it would be sent again.
    """
    is_in_clear = pc.not_equal(*_clear_and_stored(stored))
    if not pc.any(is_in_clear).as_py():
        return hour
    former = stored.filter(is_in_clear)
    _, digests = _clear_and_stored(former)
    known = former.set_column(former.column_names.index("order_id"), "order_id", digests)
    keys = joined_key(known, ORDER_KEY).combine_chunks()
    place = pc.index_in(joined_key(hour.rows, ORDER_KEY), value_set=keys)
    rows = hour.rows
    for name in ("order_id", "event_id"):
        ids = pc.coalesce(former[name].take(place), rows[name])
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), ids)
    return replace(hour, rows=rows)


def _clear_and_stored(rows: pa.Table) -> tuple[pa.Array, pa.Array]:
    ids = rows["order_id"].combine_chunks()
    (digests,) = map_distinct(ids, lambda text: (stored_id(text),), [pa.string()])
    return ids, digests


def _without_placeholders(user_data: str) -> tuple[str | None, str | None]:
    members = orjson.loads(user_data)
    given = {name: value for name, value in members.items() if not _is_nothing(value)}
    if len(given) == len(members):
        return user_data if given else None, None
    return orjson.dumps(given).decode() if given else None, Problem.PLACEHOLDER.code


def _is_nothing(value: object) -> bool:
    return isinstance(value, str) and is_placeholder("user_data", value)
