"""Ingest, matching and event building as the assets do it, without Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.matching import MATCHED_ON, best_visits
from capi_assets.policies import event_stage, ingest_stage
from capi_assets.settings import Settings
from capi_assets.stages.events import EventHour, known_of


def ingest(
    settings: Settings, table: str, hours: Sequence[datetime], duck: duckdb.DuckDBPyConnection
) -> None:
    """`visits` or `orders` of these hours."""
    ingest_stage(settings, table).run(hours, duck)


def build(
    settings: Settings,
    hours: Sequence[datetime],
    ledger: Ledger,
    now: datetime,
) -> list[EventHour]:
    """`matched_events` of these hours."""
    lake, stage = Lake(settings.lake), event_stage(settings, now)
    orders = lake.snapshot("orders", hours, arrow_schema(Orders))
    searched = hours_between(floor_hour(hours[0] - settings.lookback), hours[-1] + HOUR)
    files = lake.paths("visits", searched)
    with open_duckdb() as duck:
        best = best_visits(orders.select(MATCHED_ON), files, settings.lookback, DuckDBEngine(duck))
    return [
        *stage.run_range(
            hours, orders, best, lambda batch, events: known_of(events, batch, lake, ledger, now)
        )
    ]
