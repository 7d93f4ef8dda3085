"""Masks an order for display: shapes, shortened digests and cookies; codes and amounts as they are.

It keeps personal data off screens, tickets and chats; what is sent to Meta is not affected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from capi_assets.coverage.formatting import count, format_utc
from capi_assets.ingest.quarantine import shape_of
from capi_assets.meta.events.custom_data import CUSTOM_DATA_FIELDS
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS

SHOWN_CHARACTERS = 12
"""Characters of a digest that are shown: enough to compare, too few to look up."""

# Values from closed lists, our own ids, and amounts.
_OPEN = frozenset(
    {"order_id", "event_name", "event_id", "action_source", "status", "value", "currency"}
    | {"content_type", "num_items", "consent", "opt_out", "visit_id", "dataset_id"}
    | {"data_processing_options", "messaging_channel", "event_time"}
    | {"data_processing_options_country", "data_processing_options_state"}
)
_DIGEST = re.compile(r"[0-9a-f]{64}(\.[\w-]{2,8})?")
_COOKIE = re.compile(r"(fb\.\d\.\d+\.)(.+)")


def short(digest: str) -> str:
    """The first characters of a digest."""
    return f"{digest[:SHOWN_CHARACTERS]}…"


def cell(column: str, value: Any) -> str:
    """One value of a stored order as its shape; codes, our own ids and amounts as they are."""
    if isinstance(value, datetime):
        return format_utc(value)
    if column in HASHED_KEYS:
        digests = str(value).split()
        if all(map(_DIGEST.fullmatch, digests)):
            return count(len(digests), "digest")
        return shape_of(value)
    if column in _OPEN:
        return str(value)
    return shape_of(value)


def payload(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as it is sent, with everything masked that could be personal data."""
    return {name: _member(name, value) for name, value in event.items()}


def user_value(key: str, value: Any) -> Any:
    """One match key's value: digests shortened, click ids and cookies cut, the rest a shape."""
    if isinstance(value, list):
        return [user_value(key, each) for each in value]
    if not isinstance(value, str):
        return shape_of(value)
    if _DIGEST.fullmatch(value):
        return short(value)
    cookie = _COOKIE.fullmatch(value) if key in ("fbc", "fbp") else None
    if cookie:
        return f"{cookie[1]}{cookie[2][:4]}…"
    return shape_of(value)


def address(url: str) -> str:
    """A URL without query values; only its shape where its path contains an e-mail address."""
    try:
        parts = urlsplit(url)
        names = [pair.partition("=")[0] for pair in parts.query.split("&") if pair]
        host = parts.hostname or ""
    except ValueError:
        return shape_of(url)
    if not host or "@" in parts.path or "%40" in parts.path:
        return shape_of(url)
    safe = [name if re.fullmatch(r"[\w.-]{1,30}", name) else "…" for name in names]
    query = f"?{'&'.join(f'{name}=…' for name in safe)}" if safe else ""
    return f"{parts.scheme}://{host}{parts.path}{query}"


def _member(name: str, value: Any) -> Any:
    if name == "user_data":
        return {key: user_value(key, each) for key, each in value.items()}
    if name == "custom_data":
        return {
            key: each if key in CUSTOM_DATA_FIELDS else shape_of(each)
            for key, each in value.items()
        }
    if name in ("event_source_url", "referrer_url"):
        return address(value)
    if name in _OPEN:
        return value
    return shape_of(value)
