"""Ingestion with what tests seldom vary: one hour, Portuguese phones, one dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.hours import Ingested, IngestedHour
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.orders import ingest_orders
from capi_assets.ingest.sources import Source
from capi_assets.ingest.visits import ingest_visits
from tests.helpers.factories import DATASET, H

POLICY = HashPolicy(default_country="PT")


class IngestHarness:
    """Ingests from a landing folder, or from another source, with one connection."""

    def __init__(self, landing: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.landing = landing
        self._connection = connection

    def ingest(
        self,
        table: str,
        hours: Sequence[datetime] = (H,),
        *,
        source: Source | None = None,
        policy: HashPolicy = POLICY,
    ) -> Ingested:
        """The ingested hours of what landed."""
        source = source or LandingFolder(self.landing, table)
        if table == "visits":
            return ingest_visits(source, hours, policy, self._connection)
        return ingest_orders(source, hours, policy, DATASET, self._connection)

    def hour(self, table: str, **more: Any) -> IngestedHour:
        """The one hour."""
        (hour,) = self.ingest(table, **more).hours
        return hour

    def rows(self, table: str, **more: Any) -> list[dict[str, Any]]:
        """Stored rows; nothing may be quarantined."""
        hour = self.hour(table, **more)
        assert hour.quarantine.num_rows == 0, hour.quarantine.to_pylist()
        return list(hour.rows.to_pylist())

    def refused(self, table: str, **more: Any) -> list[dict[str, Any]]:
        """Quarantined rows."""
        return list(self.hour(table, **more).quarantine.to_pylist())
