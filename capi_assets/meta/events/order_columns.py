"""From ORDER columns to the columns that rules and payloads read: typed, blanks null, JSON parsed.

No rule is applied here, except that an `fbc` Meta would refuse is left out. A fault of a JSON
column is in `<column>_problem`, as the reason of its refusal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.app_data import read_app_data
from capi_assets.meta.events.custom_data import read_custom_data
from capi_assets.meta.events.json_text import text_bytes, text_offsets
from capi_assets.meta.events.limited_data_use import read_privacy
from capi_assets.meta.events.user_data import HASHED_FIELDS, PLAIN_FIELDS, read_user_data
from capi_assets.meta.limits import UTC_MICROSECONDS
from capi_assets.meta.match_keys.click_ids import with_click_id

_TEXT = pa.string()
_TEXTS = (
    "order_id",
    "event_name",
    "event_id",
    "action_source",
    "currency",
    "contents",
    "content_ids",
    "content_type",
    "event_source_url",
    "referrer_url",
    *HASHED_FIELDS,
    *PLAIN_FIELDS,
    "data_processing_options",
    "custom_data",
    "app_data",
    "user_data",
    "messaging_channel",
)
COLUMNS_READ: dict[str, pa.DataType] = {
    **dict.fromkeys(_TEXTS, _TEXT),
    "occurred_at": UTC_MICROSECONDS,
    "value": pa.float64(),
    "num_items": pa.int64(),
    "opt_out": pa.bool_(),
    "data_processing_options_country": pa.int64(),
    "data_processing_options_state": pa.int64(),
}
"""The ORDER columns an event is built from; a missing one reads as null, others are ignored."""

_MICROSECONDS = 1_000_000
_WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))  # Python's, not Arrow's


def read_rows(orders: pa.RecordBatch, site_url: str | None = None) -> dict[str, pa.Array]:
    """Every column of `COLUMNS_READ`, with `event_time` (unix seconds, floored) and what the
    readers of the JSON columns add. `without_browser`: a website event lacks the user agent or the
    page; `site_url` is the page of those that have none."""
    columns: dict[str, pa.Array] = {}
    damaged = np.zeros(len(orders), bool)
    for name, kind in COLUMNS_READ.items():
        values = _typed(orders, name, kind)
        if name in HASHED_FIELDS and name != "external_id":
            values = _empty_null(values)  # damage there is caught as not being a digest
        elif kind == _TEXT:
            values, broken = _decoded(values)
            damaged |= broken
            values = _blanks_null(values)
        if name == "external_id":
            values = _single_spaced(values)  # no digests, where the setting leaves them raw
        columns[name] = values
    website = pc.fill_null(pc.equal(columns["action_source"], "website"), False)
    if site_url:
        page = columns["event_source_url"]
        absent = pc.and_(website, pc.is_null(page))
        columns["event_source_url"] = pc.if_else(absent, site_url, page)
    lacking = [pc.is_null(columns[name]) for name in ("client_user_agent", "event_source_url")]
    columns["without_browser"] = pc.and_(website, pc.or_(*lacking))
    columns["fbc"] = with_click_id(columns["fbc"])
    columns["event_time"] = _unix_seconds(columns["occurred_at"])
    columns["damaged_text"] = pa.array(damaged)
    columns |= read_custom_data(columns)
    columns |= read_app_data(columns["app_data"])
    columns |= read_user_data(columns)
    columns |= read_privacy(columns)
    return columns


def _typed(orders: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    if name not in orders.schema.names:
        return pa.nulls(len(orders), kind)
    values = orders.column(name)
    return values if values.type == kind else pc.cast(values, kind, safe=False)


def _unix_seconds(times: pa.Array) -> pa.Array:
    micros = times.cast(pa.int64())
    floored = np.floor_divide(pc.fill_null(micros, 0).to_numpy(), _MICROSECONDS)
    return pc.if_else(pc.is_valid(micros), pa.array(floored), None)


def _decoded(values: pa.Array) -> tuple[pa.Array, Any]:
    """The column without the texts that are not UTF-8 (they become null), and where those were."""
    try:
        values.validate(full=True)
    except pa.ArrowInvalid:
        texts = [_utf8(raw) for raw in values.cast(pa.binary()).to_pylist()]
        read = pa.array(texts, _TEXT)
        return read, pc.and_(pc.is_null(read), pc.is_valid(values)).to_numpy(zero_copy_only=False)
    return values, False


def _utf8(raw: bytes | None) -> str | None:
    try:
        return None if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _empty_null(values: pa.Array) -> pa.Array:
    empty = pc.equal(pc.binary_length(values), 0)
    return pc.if_else(empty, None, values) if empty.true_count else values


def _single_spaced(values: pa.Array) -> pa.Array:
    """A list of several values with one space between them and none around."""
    if not bool((text_bytes(values) == ord(" ")).any()):
        return values
    return pc.replace_substring_regex(pc.utf8_trim(values, characters=" "), " +", " ")


def _blanks_null(values: pa.Array) -> pa.Array:
    """Text of nothing but white space is absent. Only a value that is empty or begins with white
    space can be, which is cheap to see."""
    if values.null_count == len(values):
        return values
    data, bounds = text_bytes(values), text_offsets(values)
    starts, ends = bounds[:-1] - bounds[0], bounds[1:] - bounds[0]
    empty = starts == ends
    suspect = empty.copy()
    if len(data):
        first = data[np.minimum(starts, len(data) - 1)]
        suspect |= (first <= 0x20) | (first >= 0xC2) & (first <= 0xE3)
    if not (suspect & values.is_valid().to_numpy(zero_copy_only=False)).any():
        return values
    blank = pc.equal(pc.binary_length(pc.utf8_trim(values, characters=_WHITE_SPACE)), 0)
    return pc.if_else(blank, None, values)
