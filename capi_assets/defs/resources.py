"""The resources of the assets: the clock and DuckDB, under keys that no team has of its own.

All else comes from the settings that the definitions were built with (`policies.py`): settings,
and the secrets among them, are in no resource, no run configuration and no snapshot of Dagster's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from capi_assets.defs.names import resource_key
from capi_assets.engine import open_cursor
from capi_assets.settings import Settings
from capi_assets.web_addresses import is_loopback


class PrivateDuckDB(DuckDBResource):
    """DuckDB in memory as `engine.open_cursor` opens it."""

    @contextmanager
    def get_connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection for the `with` block."""
        with open_cursor() as connection:
            yield connection


class ClockResource(dg.ConfigurableResource[Any]):
    """The current time of runs and sensors.

    It can be configured at launch only where `CAPI_GRAPH_URL` is a sandbox on loopback: demos and
    tests run an hour as of another time, with
    `{"resources": {"capi_clock": {"config": {"at": "2026-11-20T14:05:00+00:00"}}}}`. With Meta a
    wrong time would send events again after the 48 hours for which Meta deduplicates them.
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


class _Context(Protocol):
    """A context of Dagster for assets, checks, ops or sensors."""

    @property
    def resources(self) -> Any: ...


def clock_of(context: _Context, settings: Settings) -> ClockResource:
    """The clock of this run or tick."""
    clock: ClockResource = getattr(context.resources, resource_key(settings, "clock"))
    return clock


def duckdb_of(context: _Context, settings: Settings) -> DuckDBResource:
    """DuckDB for this step."""
    resource: DuckDBResource = getattr(context.resources, resource_key(settings, "duckdb"))
    return resource


def clock_config(settings: Settings, at: datetime) -> dict[str, Any]:
    """Run configuration that sets the clock, for `resources`; refused where events go to Meta."""
    return {resource_key(settings, "clock"): {"config": {"at": at.isoformat()}}}


def build_resources(settings: Settings) -> dict[str, Any]:
    """Every resource by its key: `capi_clock` and `capi_duckdb`, with the prefix, if any."""
    clock = ClockResource(at=settings.now.isoformat() if settings.now else None)
    return {
        resource_key(settings, "clock"): (
            clock
            if is_loopback(settings.graph_url)
            else dg.ResourceDefinition.hardcoded_resource(clock, "The current time.")
        ),
        resource_key(settings, "duckdb"): dg.ResourceDefinition.hardcoded_resource(
            PrivateDuckDB(database=":memory:"),
            description="The in-memory DuckDB of the process; the tables of a step are its own.",
        ),
    }
