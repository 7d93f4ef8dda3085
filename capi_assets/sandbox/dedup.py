"""Deduplicates events within the windows of Meta's deduplication pages.

A window begins with the receipt of the first event with an identity, not with event_time. Meta's
pages do not promise to deduplicate server events against each other; the sandbox does, and shows
as doubled what came later, because Meta would count it twice.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from capi_assets.sandbox.rules.event import seconds_of

ACCEPTED = "accepted"
DUPLICATE = "duplicate"
DOUBLED = "doubled"

MICROSECONDS = 1_000_000
WINDOW = 48 * 3600 * MICROSECONDS
STORE_WINDOW = 7 * 86_400 * MICROSECONDS

ONLINE = "online"
STORE = "store"


def verdict_of(identity: str | None, first: int | None, now: int) -> str:
    """accepted, duplicate or doubled, when the identity's current window began at `first`.

    Both times are microseconds since 1970. An accepted or doubled event begins a new window.
    """
    if identity is None or first is None:
        return ACCEPTED
    window = STORE_WINDOW if identity.startswith(STORE) else WINDOW
    return DUPLICATE if now - first <= window else DOUBLED


def identity_of(dataset: str, event: dict[str, Any]) -> str | None:
    """What Meta deduplicates an event by, or None for an event it always counts.

    Online: dataset, event_name, event_id. physical_store: dataset, event_time, event_name and
    item_number with order_id, or the user fields where neither is given; only against its kind.
    """
    if event["action_source"] != "physical_store":
        event_id = event.get("event_id")
        if event_id is None or event_id == "":
            return None
        return f"{ONLINE}\x1f{dataset}\x1f{event['event_name']}\x1f{event_id}"
    details = event.get("custom_data") or {}
    item, order = details.get("item_number"), details.get("order_id")
    if item is None and order is None:
        person = orjson.dumps(event["user_data"], option=orjson.OPT_SORT_KEYS)
        what = hashlib.sha256(person).hexdigest()
    else:
        what = f"{item}\x1f{order}"
    happened = seconds_of(event["event_time"])
    return f"{STORE}\x1f{dataset}\x1f{happened}\x1f{event['event_name']}\x1f{what}"
