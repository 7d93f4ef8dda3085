"""The resources of the code location: the clock, DuckDB, and no place for outputs.

All else comes from the settings that the definitions were built with (`policies.py`): settings,
and the secrets among them, are in no resource, no run configuration and no snapshot of Dagster's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from capi_assets.engine import open_duckdb
from capi_assets.settings import Settings
from capi_assets.web_addresses import is_loopback


class PrivateDuckDB(DuckDBResource):
    """DuckDB in memory as `engine.open_duckdb` opens it."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the `with` block."""
        with open_duckdb() as connection:
            yield connection


DuckDB = dg.ResourceParam[DuckDBResource]


class ClockResource(dg.ConfigurableResource[Any]):
    """The current time of runs and sensors.

    It can be configured at launch only where `CAPI_GRAPH_URL` is a sandbox on loopback: demos and
    tests run an hour as of another time, with
    `{"resources": {"clock": {"config": {"at": "2026-11-20T14:05:00+00:00"}}}}`. With Meta a wrong
    time would send events again after the 48 hours for which Meta deduplicates them.
    """

    at: str | None = Field(
        None, description="Fixed current time (ISO 8601), for demos and tests; now when absent."
    )

    def now(self) -> datetime:
        """The current time, timezone-aware UTC."""
        if self.at is None:
            return datetime.now(UTC)
        try:
            return datetime.fromisoformat(self.at)
        except ValueError:
            # The value may be a secret: a launch may take it from any environment variable.
            raise ValueError("The clock's `at` is not a time in ISO 8601.") from None


def build_resources(settings: Settings) -> dict[str, Any]:
    """Every resource by its key."""
    clock = ClockResource(at=settings.now.isoformat() if settings.now else None)
    return {
        "clock": (
            clock
            if is_loopback(settings.graph_url)
            else dg.ResourceDefinition.hardcoded_resource(clock, "The current time.")
        ),
        # Assets hand nothing on. Dagster's default would write wherever a launch says.
        "io_manager": dg.mem_io_manager,
        "duckdb": dg.ResourceDefinition.hardcoded_resource(
            PrivateDuckDB(database=":memory:"),
            description="An in-memory DuckDB per step; it reads and joins the files of the lake.",
        ),
    }
