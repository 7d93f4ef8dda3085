"""The way in."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.delivery.conftest import postgres as postgres
from tests.helpers.ingest_harness import IngestHarness


@pytest.fixture
def harness(landing: Path, connection: duckdb.DuckDBPyConnection) -> IngestHarness:
    """Ingests what lies in `landing`."""
    return IngestHarness(landing, connection)
