"""`custom_data`: our columns and the free keys of the JSON column become one object.

A key of the JSON column that names a column of ours fills that column where it is empty and is
dropped where it is not: the column wins. Rules: page "Custom data parameters". The nine values of
`customer_segmentation` go here, not to event level, where Meta refuses unknown keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.contents import is_delivery_category, read_content_ids, read_contents
from capi_assets.meta.events.json_text import (
    Columns,
    Member,
    float_literals,
    json_member,
    members_text,
    object_member,
    read_distinct,
    text_member,
)
from capi_assets.meta.events.json_values import dump, load, number
from capi_assets.meta.events.original_event import original_event
from capi_assets.meta.limits import CUSTOMER_SEGMENTATIONS

CUSTOM_DATA_FIELDS = (
    "order_id",
    "value",
    "currency",
    "contents",
    "content_ids",
    "content_type",
    "num_items",
)
"""Order of our own keys in the object. The free keys follow, sorted."""

_TEXT = pa.string()
_READ = {
    "value": pa.float64(),
    "currency": _TEXT,
    "contents": _TEXT,
    "content_ids": _TEXT,
    "content_type": _TEXT,
    "num_items": pa.int64(),
    "free": _TEXT,
    "original_event_data": _TEXT,
    "problem": _TEXT,
}
_NOTHING = (None,) * (len(_READ) - 1)
_INT64 = 2**63


def read_custom_data(columns: Columns) -> dict[str, pa.Array]:
    """The columns of `CUSTOM_DATA_FIELDS` filled from the JSON column and in their final form,
    with `free_custom_data` (members without braces), `original_event_data` (JSON text) and a
    `*_problem` column per JSON column, each holding a reason or null."""
    read = read_distinct(columns["custom_data"], _custom_data, _READ)
    filled = {
        name: pc.coalesce(columns[name], read[name])
        for name in CUSTOM_DATA_FIELDS
        if name != "order_id"
    }
    return {
        **filled,
        "currency": _upper(filled["currency"]),
        **read_contents(filled["contents"]),
        **read_content_ids(filled["content_ids"]),
        "free_custom_data": read["free"],
        "original_event_data": read["original_event_data"],
        "custom_data_problem": read["problem"],
    }


def custom_data_member(rows: Columns) -> Member:
    """The object of rows that all have an order_id; `rows` as `read_custom_data` left them."""
    members = {
        "order_id": text_member("order_id", rows["order_id"]),
        "value": json_member("value", float_literals(rows["value"])),
        "currency": text_member("currency", rows["currency"]),
        "contents": json_member("contents", rows["contents"]),
        "content_ids": json_member("content_ids", rows["content_ids"]),
        "content_type": text_member("content_type", rows["content_type"]),
        "num_items": json_member("num_items", rows["num_items"].cast(_TEXT)),
    }
    ordered = [members[name] for name in CUSTOM_DATA_FIELDS]
    return object_member("custom_data", [*ordered, members_text(rows["free_custom_data"])])


def _upper(currencies: pa.Array) -> pa.Array:
    def upper(text: str) -> tuple[str]:
        code = text.strip()
        return (code.upper() if code.isascii() else code,)

    return read_distinct(currencies, upper, {"currency": _TEXT})["currency"]


def _custom_data(text: str) -> tuple[Any, ...]:
    given = load(text)
    if not isinstance(given, dict):
        return *_NOTHING, "malformed_custom_data"
    original, problem = original_event(given.pop("original_event_data", None))
    if problem:
        return *_NOTHING, problem
    given.pop("order_id", None)
    lifted = [read(given.pop(name)) if name in given else None for name, read in _LIFTS.items()]
    if not all(fits(given[name]) for name, fits in _DOCUMENTED.items() if name in given):
        return *_NOTHING, "bad_custom_data"
    for name in _NUMBERS & given.keys():
        given[name] = number(given[name])
    free = dump(given)
    if free is None:
        return *_NOTHING, "malformed_custom_data"
    return *lifted, free[1:-1] or None, original, None


# What these cannot read becomes a value that the column's own rule refuses, and only where the
# column is empty: a column that wins also wins over nonsense.


def _money(value: Any) -> float:
    read = number(value)
    return math.nan if read is None else float(read)


def _count(value: Any) -> int:
    read = number(value)
    return int(read) if read is not None and 0 <= read < _INT64 and read == int(read) else -1


def _text(value: Any) -> str | None:
    return (value if value.strip() else None) if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return dump(value) or "too deep"


_LIFTS = {
    "value": _money,
    "currency": _text,
    "contents": _json,
    "content_ids": _json,
    "content_type": _text,
    "num_items": _count,
}
_NUMBERS = {"net_revenue", "predicted_ltv"}
_DOCUMENTED: dict[str, Callable[[Any], bool]] = {
    **{name: lambda value: number(value) is not None for name in _NUMBERS},
    "search_string": lambda value: isinstance(value, str),
    "delivery_category": is_delivery_category,
    "customer_segmentation": lambda v: isinstance(v, str) and v in CUSTOMER_SEGMENTATIONS,
    "store_data": lambda value: isinstance(value, dict),
}
