"""Shared by the delivery tests: events as matching builds them, and a clock that can be moved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DATASET = "1111222233334444"
OTHER_DATASET = "5555666677778888"
TOKEN = "EAAtesttoken0001"

_TIME = pa.timestamp("us", tz="UTC")

MATCHED = pa.schema(
    [
        ("order_id", pa.string()),
        ("occurred_at", _TIME),
        ("dataset_id", pa.string()),
        ("event_name", pa.string()),
        ("event_id", pa.string()),
        ("action_source", pa.string()),
        ("event_time", pa.int64()),
        ("value", pa.float64()),
        ("currency", pa.string()),
        ("person", pa.string()),
        ("pixel_reported_at", _TIME),
        ("deliver_until", _TIME),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("subcode", pa.int64()),
        ("payload", pa.string()),
        ("payload_sha256", pa.string()),
    ]
)

# Retries without waiting: the delays themselves are tested with a clock of their own.
QUICK = Policy(
    backoff_base=timedelta(milliseconds=1),
    backoff_cap=timedelta(milliseconds=5),
    claim_patience=timedelta(seconds=0),
)


class Clock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


def event(order: str, **changes: Any) -> dict[str, Any]:
    """One row of matched_events: a good Purchase an hour old, with the changes given."""
    occurred = changes.pop("occurred_at", NOW - timedelta(hours=1))
    name = changes.pop("event_name", "Purchase")
    event_id = changes.pop("event_id", f"{name}:{order}")
    value = changes.pop("value", 10.0)
    body = {
        "event_name": name,
        "event_time": int(occurred.timestamp()),
        "event_id": event_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {
            "em": [hashlib.sha256(order.encode()).hexdigest()],
            "client_ip_address": "198.51.100.7",
            "client_user_agent": "Mozilla/5.0",
        },
        "custom_data": {"value": value, "currency": "EUR", **changes.pop("custom_data", {})},
    }
    payload = json.dumps(body, separators=(",", ":"))
    return {
        "order_id": order,
        "occurred_at": occurred,
        "dataset_id": DATASET,
        "event_name": name,
        "event_id": event_id,
        "action_source": "website",
        "event_time": int(occurred.timestamp()),
        "value": value,
        "currency": "EUR",
        "pixel_reported_at": None,
        "deliver_until": occurred + timedelta(days=7) - timedelta(minutes=30),
        "verdict": "ready",
        "reason": None,
        "subcode": None,
        "payload": payload,
        "payload_sha256": hashlib.sha256(payload.encode()).hexdigest(),
        **changes,
    }


def table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=MATCHED)


def orders(count: int, **changes: Any) -> pa.Table:
    """`count` good events, their ids `order-0000` and on."""
    return table(event(f"order-{i:04d}", **changes) for i in range(count))


def register(ledger: Ledger, events: pa.Table) -> None:
    """Makes the events known to the ledger, as pending and unclaimed."""
    for start in range(0, events.num_rows, 1_000):
        ledger.claim(events.slice(start, 1_000), "registers", NOW, timedelta(minutes=1))
    ledger.release("registers")


def ids(rows: pa.Table) -> Sequence[str]:
    return rows["order_id"].to_pylist()


def column(rows: pa.Table, name: str) -> list[Any]:
    return rows[name].to_pylist()
