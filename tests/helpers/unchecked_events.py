"""The event of any order, fit to be sent or not, as somebody without rules would build it.

`plain_events` is the same for orders that are fit. What cannot be read here stands as it is: a
text that is no JSON goes out as that text, what is absent is left out.
"""

from __future__ import annotations

import math
from typing import Any

import orjson
import pyarrow.compute as pc

from capi_assets.meta.events.order_columns import read_rows
from capi_assets.meta.events.refusals import REFUSALS
from tests.helpers.order_rows import table
from tests.helpers.plain_events import HASHED, OURS, PLAIN, blank, tidy

Row = dict[str, Any]

AS_THEY_ARE = (
    "event_name",
    "event_id",
    "action_source",
    "event_source_url",
    "referrer_url",
    "opt_out",
    "data_processing_options_country",
    "data_processing_options_state",
    "messaging_channel",
)


def unchecked_event(order: Row) -> Row:
    """What would be sent for an order if nothing were refused."""
    given = {name: value for name, value in order.items() if not blank(value)}
    free = read(given.get("custom_data"))
    event = {name: given.get(name) for name in AS_THEY_ARE} | {
        "event_time": math.floor(given["occurred_at"].timestamp())
        if "occurred_at" in given
        else None,
        "data_processing_options": read(given.get("data_processing_options")),
        "user_data": user_data(order, given),
        "custom_data": custom_data(given, free),
        "app_data": read(given.get("app_data")),
        "original_event_data": free.get("original_event_data") if isinstance(free, dict) else None,
    }
    return {name: value for name, value in event.items() if value is not None}


def read(text: str | None) -> Any:
    """The value of a JSON text, else the text, which is also where nobody could write it again."""
    if text is None:
        return None
    try:
        value = orjson.loads(text)
        orjson.dumps(value)
    except (orjson.JSONDecodeError, TypeError):
        return text
    return value


def user_data(order: Row, given: Row) -> Any:
    extra = read(given.get("user_data", "{}"))
    if not isinstance(extra, dict):
        return extra
    # A blank is no digest; only where none is asked for can it be absent.
    hashed = {name: order[name] for name in HASHED[:-1] if order.get(name)}
    hashed |= {"external_id": given["external_id"]} if "external_id" in given else {}
    return (
        {name: text.split(" ") for name, text in hashed.items()}
        | {name: given[name] for name in PLAIN if name in given}
        | {name: value for name, value in extra.items() if not blank(value)}
    )


def custom_data(given: Row, free: Any) -> Any:
    if free is not None and not isinstance(free, dict):
        return free
    free = tidy({} if free is None else free)
    sent = {name: value for name, value in free.items() if name not in OURS}
    for name in OURS - {"original_event_data", "order_id"}:
        value = given.get(name, free.get(name))
        if name in given and name in ("contents", "content_ids"):
            value = tidy(read(value))
        if name == "currency" and isinstance(value, str) and value.isascii():
            value = value.strip().upper()
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON has no such number
        if not blank(value):
            sent[name] = value
    return sent | ({"order_id": given["order_id"]} if "order_id" in given else {})


def reasons_of(orders: list[Row]) -> list[set[str]]:
    """Every reason for which each order is refused, not only the first."""
    (batch,) = table(*orders).combine_chunks().to_batches()
    rows = read_rows(batch)
    broken = {
        refusal.reason: pc.fill_null(refusal.broken(rows), False).to_pylist()
        for refusal in REFUSALS
    }
    found = [{reason for reason in broken if broken[reason][i]} for i in range(len(orders))]
    return [reasons - _only_hidden(reasons) for reasons in found]


def _only_hidden(reasons: set[str]) -> set[str]:
    """Whoever cannot read app_data sees nothing in it; what is missing there may well be there."""
    unread = reasons & {"malformed_app_data", "unknown_app_data_key"}
    return {"missing_app_data", "missing_advertiser_tracking", "bad_extinfo"} if unread else set()
