"""Orders for the tests of events and refusals: one good row of each kind, to be spoilt at will."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from capi_assets.meta.events.build import build_events
from capi_assets.meta.events.order_columns import COLUMNS_READ

SCHEMA = pa.schema(list(COLUMNS_READ.items()))
PLACED = datetime(2026, 11, 20, 13, 37, 5, 999_999, tzinfo=UTC)

EXTINFO = ["a2", "com.shop", "1.0", "1.0 long", "14", "Pixel 8", "de_DE", "CET"] + [""] * 8
APP_DATA = {"advertiser_tracking_enabled": 1, "extinfo": EXTINFO}


def digest(text: str) -> str:
    """SHA-256 as the door stores it."""
    return hashlib.sha256(text.encode()).hexdigest()


def purchase(**changes: Any) -> dict[str, Any]:
    """A Purchase on the website that Meta takes (vector B1)."""
    row = {
        "order_id": "1001",
        "occurred_at": PLACED,
        "event_name": "Purchase",
        "event_id": "Purchase:1001",
        "action_source": "website",
        "value": 142.52,
        "currency": "EUR",
        "event_source_url": "https://shop.example.com/thanks",
        "em": digest("john_smith@gmail.com"),
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Mozilla/5.0",
        "fbc": "fb.1.1554763741205.AbCdEfGh",
    }
    return row | changes


def bare(action_source: str, **changes: Any) -> dict[str, Any]:
    """A Purchase of another source, with an e-mail as its only match key."""
    spare = dict.fromkeys(("event_source_url", "client_ip_address", "client_user_agent", "fbc"))
    return purchase(action_source=action_source, **(spare | changes))


def app(**changes: Any) -> dict[str, Any]:
    """A Purchase in an app."""
    return bare("app", **({"app_data": json.dumps(APP_DATA)} | changes))


def whatsapp(**changes: Any) -> dict[str, Any]:
    """A Purchase from a WhatsApp conversation."""
    ids = json.dumps({"ctwa_clid": "ARAkLkA8rmlFeiCktEJQ", "page_id": "1053"})
    given = {"messaging_channel": "whatsapp", "user_data": ids, "em": None}
    return bare("business_messaging", **(given | changes))


def table(*rows: dict[str, Any]) -> pa.Table:
    """Rows as ORDER columns."""
    return pa.Table.from_pylist(list(rows), SCHEMA)


def build(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """What `build_events` says of each row."""
    return build_events(table(*rows)).to_pylist()  # type: ignore[no-any-return]


def event(row: dict[str, Any]) -> dict[str, Any]:
    """The event of a row that must be ready."""
    (built,) = build(row)
    assert built["verdict"] == "ready", built["reason"]
    return orjson.loads(built["payload"])  # type: ignore[no-any-return]
