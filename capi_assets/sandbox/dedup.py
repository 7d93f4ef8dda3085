"""Deduplicates events within the windows of Meta's deduplication pages.

A window begins with the receipt of the first event with an identity, not with event_time. Meta's
pages do not promise to deduplicate server events against each other; the sandbox does, and shows
as doubled what came later, because Meta would count it twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
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


class Dedup:
    """When each identity was first received in its current window (microseconds since 1970)."""

    def __init__(self, received: Iterable[tuple[str, int]] = ()) -> None:
        self._first: dict[str, int] = dict(received)

    def verdict(self, identity: str | None, now: int) -> tuple[str, int]:
        """accepted, duplicate or doubled; and when the identity was first received.

        A doubled event begins a new window.
        """
        if identity is None:
            return ACCEPTED, now
        first = self._first.get(identity)
        if first is None:
            self._first[identity] = now
            return ACCEPTED, now
        window = STORE_WINDOW if identity.startswith(STORE) else WINDOW
        if now - first <= window:
            return DUPLICATE, first
        self._first[identity] = now
        return DOUBLED, first


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
