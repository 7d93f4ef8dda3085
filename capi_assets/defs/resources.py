"""The two resources of the code location: the clock, and DuckDB.

All else comes from the settings that the definitions were built with (`policies.py`): settings,
and the secrets among them, are in no resource, no run configuration and no snapshot of Dagster's.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from capi_assets.settings import Settings

DuckDB = dg.ResourceParam[DuckDBResource]


class ClockResource(dg.ConfigurableResource[Any]):
    """The current time of runs and sensors.

    The only resource that can be configured at launch: demos and tests run an hour as of another
    time, with `{"resources": {"clock": {"config": {"at": "2026-11-20T14:05:00+00:00"}}}}`.
    """

    at: str | None = Field(
        None, description="Fixed current time (ISO 8601), for demos and tests; now when absent."
    )

    def now(self) -> datetime:
        """The current time, timezone-aware UTC."""
        return datetime.now(UTC) if self.at is None else datetime.fromisoformat(self.at)


def build_resources(settings: Settings) -> dict[str, Any]:
    """Every resource by its key."""
    return {
        "clock": ClockResource(at=settings.now.isoformat() if settings.now else None),
        "duckdb": dg.ResourceDefinition.hardcoded_resource(
            DuckDBResource(database=":memory:"),
            description="An in-memory DuckDB per step; it reads and joins the files of the lake.",
        ),
    }
