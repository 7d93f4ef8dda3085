"""From orders to the exact JSON bytes sent to Meta, one server event per order.

Whole columns in, whole columns out, a batch at a time. Refusals are in `refusals.py`, each part of
the event in its own module. Fields: page "Server event parameters".
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.custom_data import custom_data_member
from capi_assets.meta.events.json_text import (
    Columns,
    Member,
    flag_member,
    json_member,
    json_objects,
    text_member,
)
from capi_assets.meta.events.limited_data_use import privacy_members
from capi_assets.meta.events.order_columns import COLUMNS_READ, read_rows
from capi_assets.meta.events.refusals import refuse
from capi_assets.meta.events.user_data import match_keys, user_data_member
from capi_assets.meta.limits import UTC_MICROSECONDS, deliver_until
from capi_assets.meta.match_keys.digests import sha256_column

EVENT_FIELDS = (
    "event_name",
    "event_time",
    "event_id",
    "action_source",
    "event_source_url",
    "referrer_url",
    "opt_out",
    "data_processing_options",
    "data_processing_options_country",
    "data_processing_options_state",
    "messaging_channel",
    "user_data",
    "custom_data",
    "app_data",
    "original_event_data",
)
"""Order of the fields in a payload. Inside `user_data` and `custom_data` see `USER_DATA_FIELDS`
and `CUSTOM_DATA_FIELDS`; keys that come from JSON columns are sorted."""

EVENT_SCHEMA = pa.schema(
    [
        ("event_time", pa.int64()),
        ("deliver_until", UTC_MICROSECONDS),
        ("match_keys", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("subcode", pa.int64()),
        ("payload", pa.string()),
        ("payload_sha256", pa.string()),
        ("without_browser", pa.bool_()),
    ]
)

BATCH_ROWS = 8_192
BATCH_BYTES = 64 * 2**20
"""A batch is halved until it is below both, so that memory does not grow with the table and no
Arrow text column of a batch nears its 2 GB limit (escapes lengthen text up to six times)."""


def build_events(orders: pa.Table, site_url: str | None = None) -> pa.Table:
    """The event of each order as `EVENT_SCHEMA`: same length, same order.

    `orders` are rows of the Orders contract after matching, with the columns that visits supply
    filled in; missing optional columns count as null. Called by `eligibility.matched_events_of`.
    A row that Meta would refuse gets verdict `invalid`, a reason of `REFUSALS`, Meta's subcode if
    known, and no payload; all others are `ready`. `event_time` is unix seconds, `deliver_until`
    UTC, `payload` JSON text. No value of a row raises or changes another row's result.

    A website event without a user agent or a page is `ready`, with `without_browser` true: Meta
    accepts it (page "Customer Information Parameters" on what it may not use it for). `site_url`
    (CAPI_SITE_URL) is the page of website events that have none.
    """
    batches = _batches(orders.select(_known(orders)))
    built = [_build(batch, site_url) for batch in batches]
    return pa.Table.from_batches(built, EVENT_SCHEMA)


def _known(orders: pa.Table) -> list[str]:
    return [name for name in orders.column_names if name in COLUMNS_READ]


def _batches(orders: pa.Table) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(orders), BATCH_ROWS):
        yield from _bounded(orders.slice(start, BATCH_ROWS))


def _bounded(part: pa.Table) -> Iterator[pa.RecordBatch]:
    if part.nbytes > BATCH_BYTES and len(part) > 1:
        half = len(part) // 2
        yield from _bounded(part.slice(0, half))
        yield from _bounded(part.slice(half))
    else:
        yield from part.combine_chunks().to_batches()


def _build(orders: pa.RecordBatch, site_url: str | None) -> pa.RecordBatch:
    rows = read_rows(orders, site_url)
    reason, subcode = refuse(rows)
    ready = pc.is_null(reason)
    payload = _payloads(rows, ready)
    return pa.RecordBatch.from_arrays(
        [
            rows["event_time"],
            deliver_until(rows["event_time"], rows["action_source"]),
            match_keys(rows["key_bits"]),
            pc.if_else(ready, "ready", "invalid"),
            reason,
            subcode,
            payload,
            sha256_column(payload),
            pc.and_(ready, rows["without_browser"]),
        ],
        schema=EVENT_SCHEMA,
    )


def _payloads(rows: Columns, ready: pa.Array) -> pa.Array:
    """The payload of each ready row, null in the others (what is joined for them is no JSON)."""
    if not ready.true_count:
        return pa.nulls(len(ready), pa.string())
    joined = json_objects(_members(rows))
    return pc.if_else(ready, joined, None) if ready.false_count else joined


def _members(rows: Columns) -> list[Member]:
    members = {
        "event_name": text_member("event_name", rows["event_name"]),
        "event_time": json_member("event_time", rows["event_time"].cast(pa.string())),
        "event_id": text_member("event_id", rows["event_id"]),
        "action_source": text_member("action_source", rows["action_source"]),
        "event_source_url": text_member("event_source_url", rows["event_source_url"]),
        "referrer_url": text_member("referrer_url", rows["referrer_url"]),
        "opt_out": flag_member("opt_out", rows["opt_out"]),
        **privacy_members(rows),
        "messaging_channel": text_member("messaging_channel", rows["messaging_channel"]),
        "user_data": user_data_member(rows),
        "custom_data": custom_data_member(rows),
        "app_data": json_member("app_data", rows["app_data"]),
        "original_event_data": json_member("original_event_data", rows["original_event_data"]),
    }
    return [members[name] for name in EVENT_FIELDS]
