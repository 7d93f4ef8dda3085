"""A world for assets: a landing zone, a lake, a ledger, a Dagster instance and the Meta sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from capi_assets.commands.runs import run_hours
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits
from capi_assets.definitions import build_definitions
from capi_assets.defs.dagster_private import get_and_update_asset_status_cache_value
from capi_assets.defs.names import asset_key
from capi_assets.defs.resources import clock_config
from capi_assets.hours import HOUR, floor_hour, hour_key, key_hour
from capi_assets.lake import Lake
from capi_assets.partitions import Partitions
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings

DATASET = "1234567890123456"
TOKEN = "EAAtestTokenThatMustNeverBeSeen"
TABLES: dict[str, type[Contract]] = {
    "visits": Visits,
    "orders": Orders,
    "matched_events": MatchedEvents,
    "delivery_results": DeliveryResults,
    "attribution_health": AttributionHealth,
    "quarantined_orders": Quarantine,
    "quarantined_visits": Quarantine,
}


@dataclass
class AssetHarness:
    """What a test of assets works with; hours are counted back from the open one.

    `overrides` are settings by their name, such as `{"pixel": "redundant"}`.
    """

    root: Path
    instance: dg.DagsterInstance
    meta: SandboxServer
    now: datetime
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def lake(self) -> Lake:
        return Lake(self.root / "lake")

    def hour(self, back: int) -> datetime:
        """The start of the hour `back` hours before the open one."""
        return floor_hour(self.now) - back * HOUR

    def land(self, table: str, hour: datetime, name: str, content: str | bytes) -> Path:
        """One landing file of an hour."""
        folder = self.root / "landing" / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def land_orders(
        self, hour: datetime, count: int = 3, name: str = "orders.jsonl", **fields: Any
    ) -> None:
        """Sound orders, each with the visit that it came from."""
        orders, visits = [], []
        for number in range(count):
            at = hour + timedelta(minutes=10 + number)
            mark = f"{hour:%d%H}-{name.partition('.')[0]}-{number}"
            visits.append(
                {
                    "visit_id": f"v-{mark}",
                    "occurred_at": (at - timedelta(minutes=5)).isoformat(),
                    "page_url": f"https://shop.example/?fbclid=IwAR{number}x{hour:%d%H}",
                    "client_ip_address": f"203.0.113.{number + 1}",
                    "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
                    "fbp": f"fb.1.1596403881668.{number + 1}",
                }
            )
            orders.append(
                {
                    "order_id": f"o-{mark}",
                    "occurred_at": at.isoformat(),
                    "value": 10.0 + number,
                    "currency": "EUR",
                    "email": f"person.{mark}@example.com",
                    "phone": "+44 7700 900123",
                    "visit_id": f"v-{mark}",
                    **fields,
                }
            )
        self.land("visits", hour, f"visits-{name}", _lines(visits))
        self.land("orders", hour, name, _lines(orders))

    def run(
        self,
        first: datetime,
        last: datetime | None = None,
        at: datetime | None = None,
        dry_run: bool = False,
    ) -> bool:
        """Materializes all assets of the hours, as the job does; true if none is unfinished."""
        ops = {"delivery_results": {"config": {"dry_run": dry_run}}}
        return run_hours(
            self.instance, self.settings(), first, last or first, at=at or self.now, ops=ops
        )

    def settings(self, **changed: Any) -> Settings:
        """The settings of this world, with `overrides` and then `changed` in their place."""
        own = {
            "lake": str(self.root / "lake"),
            "ledger_url": f"sqlite:///{self.root / 'ledger.db'}",
            "landing": str(self.root / "landing"),
            "views": str(self.root / "capi.duckdb"),
            "erasure_key_file": str(self.root / "erasure.key"),
            "dataset_id": DATASET,
            "access_token": TOKEN,
            "graph_url": self.meta.url,
        }
        return Settings(**{**own, **self.overrides, **changed})

    def job(self, name: str, **changed: Any) -> dg.JobDefinition:
        """A job of this world's definitions."""
        settings = self.settings(**changed)
        return build_definitions(settings).resolve_job_def(settings.prefixed(name))

    def at(self, moment: datetime | None = None) -> dict[str, Any]:
        """Run configuration with the clock at `moment` (default: now)."""
        return {"resources": clock_config(self.settings(), moment or self.now)}

    def materialize_alone(self, asset: str, hour: datetime) -> None:
        """Materializes one asset alone, as a person might."""
        self.job("deliver_hour").execute_in_process(
            instance=self.instance,
            partition_key=hour_key(hour),
            asset_selection=[asset_key(self.settings(), asset)],
            run_config=self.at(),
        )

    def judge(self, hour: datetime) -> None:
        """Materializes attribution_health alone, as a person might."""
        self.job("evaluate_hour").execute_in_process(
            instance=self.instance, partition_key=hour_key(hour)
        )

    def read(self, table: str, hours: Iterable[datetime]) -> list[dict[str, Any]]:
        """Stored rows."""
        return self.lake.read(table, hours, arrow_schema(TABLES[table])).to_pylist()

    def stored_bytes(self, table: str) -> dict[str, bytes]:
        """Every file of a table."""
        folder = self.root / "lake" / table
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*.parquet")}

    def statuses(self, asset: str) -> tuple[set[datetime], set[datetime]]:
        """Materialized and failed hours, as the UI's partition bar shows them."""
        hourly = Partitions.since(self.settings().start_date).hourly
        cached = get_and_update_asset_status_cache_value(
            self.instance, asset_key(self.settings(), asset), hourly
        )
        assert cached is not None
        done = cached.deserialize_materialized_partition_subsets(hourly).get_partition_keys()
        failed = cached.deserialize_failed_partition_subsets(hourly).get_partition_keys()
        return {key_hour(k) for k in done} - {key_hour(k) for k in failed}, {
            key_hour(k) for k in failed
        }

    def received(self) -> dict[str, int]:
        """Meta's own count: received, accepted, duplicates, doubled."""
        counts: dict[str, int] = totals(self.meta.inbox)["events"]
        return counts

    def requests(self) -> int:
        """How many requests Meta was sent."""
        calls: int = totals(self.meta.inbox)["requests"]["calls"]
        return calls


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
