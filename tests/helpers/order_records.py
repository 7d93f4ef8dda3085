"""Small books for the tests of coverage: events, results and quarantine with sensible defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.outcomes import QUARANTINED_ORDERS
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH, waterfall

EVENTS = arrow_schema(MatchedEvents)
RESULTS = arrow_schema(DeliveryResults)
VISITS = pa.schema(
    {"hour": pa.timestamp("us", tz="UTC"), "visits": pa.int64(), "with_click_id": pa.int64()}
)
H = datetime(2026, 11, 20, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hour(n: int) -> datetime:
    return H + n * HOUR


class OrderRecords:
    """Collects orders; `health` makes the waterfall of them."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.quarantined: list[dict[str, Any]] = []
        self.visits: dict[datetime, int] = {}

    def order(
        self,
        at: datetime = H,
        status: str | None = "delivered",
        reason: str | None = None,
        *,
        times: int = 1,
        value: float | None = 10.0,
        currency: str | None = "EUR",
        dataset: str = "d1",
        name: str = "Purchase",
        verdict: str = "ready",
        visit: str | None = "v1",
        deliver_until: datetime | None = None,
        delivered_at: datetime | None = None,
        **result: Any,
    ) -> OrderRecords:
        for _ in range(times):
            event = {
                "order_id": f"o{len(self.events)}",
                "occurred_at": at,
                "dataset_id": dataset,
                "event_name": name,
                "event_id": f"{name}:o{len(self.events)}",
                "value": value,
                "currency": currency,
                "visit_id": visit,
                "deliver_until": deliver_until or at + timedelta(days=6, hours=23, minutes=30),
                "verdict": verdict,
                "reason": reason if verdict != "ready" else None,
                "subcode": result.get("subcode") if verdict == "invalid" else None,
            }
            self.events.append(event)
            if status is not None:
                shared = {name: event[name] for name in event if name in RESULTS.names}
                arrived = delivered_at or at + timedelta(minutes=20)
                self.results.append(
                    {
                        **shared,
                        "status": status,
                        "reason": reason,
                        "delivered_at": arrived if status == "delivered" else None,
                        **result,
                    }
                )
        return self

    def quarantine(self, at: datetime = H, **columns: Any) -> OrderRecords:
        self.quarantined.append({"hour": at, **columns})
        return self

    def visit(self, at: datetime, visits: int) -> OrderRecords:
        self.visits[at] = visits
        return self

    def tables(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        return (
            pa.Table.from_pylist(self.events, schema=EVENTS),
            pa.Table.from_pylist(self.results, schema=RESULTS),
            pa.Table.from_pylist(self.quarantined, schema=QUARANTINED_ORDERS),
        )

    def health(self, *hours: datetime) -> pa.Table:
        hours = hours or tuple({e["occurred_at"].replace(minute=0) for e in self.events})
        visits = [{"hour": h, "visits": n} for h, n in self.visits.items()]
        return waterfall(hours, *self.tables(), pa.Table.from_pylist(visits, schema=VISITS))


def health_row(at: datetime, **columns: Any) -> dict[str, Any]:
    """A row of `attribution_health` without going through events."""
    row: dict[str, Any] = {
        name: 0 if type_ in (pa.int64(), pa.float64()) else None
        for name, type_ in zip(ATTRIBUTION_HEALTH.names, ATTRIBUTION_HEALTH.types, strict=True)
    }
    return {**row, "hour": at, "dataset_id": "d1", "event_name": "Purchase", **columns}
