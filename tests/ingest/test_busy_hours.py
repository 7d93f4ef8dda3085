"""A busy hour gives in parts what it gives as a whole, and is in memory once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from capi_assets.ingest import validation
from tests.helpers.factories import H, at, land, landed_order
from tests.helpers.ingest_harness import IngestHarness


def _lines() -> list[dict[str, Any]]:
    """Orders out of order: repeated, in conflict, refused, and with values that are dropped."""
    rows = [
        landed_order(
            order_id=f"o{n % 4}" if n % 5 == 0 else f"n{n}",
            occurred_at=at((n * 7) % 59 + 0.5).isoformat(),
            email=f"p{n % 40 % 7}@example.com",
            value="many" if n % 11 == 3 else "12.50",
            status=("pending", "confirmed", "cancelled")[n % 3],
            num_items="1" if n % 4 else "one",
        )
        for n in range(60)
    ]
    return [*rows, landed_order(order_id="other hour", occurred_at=at(70).isoformat())]


@pytest.mark.parametrize("rows", [1, 2, 7, 30])
def test_an_hour_is_the_same_in_parts_of_any_size(
    harness: IngestHarness, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    lines = _lines()
    land(harness.landing, "orders", "a.csv", lines[:25])
    land(harness.landing, "orders", "b.parquet", lines[25:40])
    land(harness.landing, "orders", "c.jsonl", b"")
    land(harness.landing, "orders", "d.jsonl", lines[40:])
    broken = b"order_id,occurred_at,value,currency,city\nx,2026-11-20T13:05:00Z,1,EUR,\xff\na,b\n"
    land(harness.landing, "orders", "e.csv", broken)
    land(harness.landing, "orders", "f.csv", b"order_id\nno time\n")
    whole = harness.hour("orders")
    reasons = set(" ".join(whole.quarantine["reasons"].to_pylist()).split())
    assert {"order_id:identity_conflict", "value:not_a_number", "line:not_a_row"} <= reasons
    assert whole.repeats
    assert whole.file_problems
    monkeypatch.setattr(validation, "PART_ROWS", rows)
    assert harness.hour("orders") == whole


_MEASURE = """
import json, os, sys
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from benchmarks import landing
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.engine import open_duckdb
from capi_assets.ingest import validation
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.lake import Lake
from capi_assets.stages.ingest import IngestStage

validation.PART_ROWS = 5_000
folder, orders, hour = Path(sys.argv[1]), int(sys.argv[2]), datetime.fromisoformat(sys.argv[3])
landing.write(folder, [hour], orders, 10)
before = pa.default_memory_pool().max_memory()
stage = IngestStage("orders", LandingFolder(folder, "orders"), f"{folder}/lake", HashPolicy(), "1")
with open_duckdb() as connection:
    stage.run([hour], connection)
rows = Lake(f"{folder}/lake").read("orders", [hour], arrow_schema(Orders))
assert rows.num_rows == orders
print(json.dumps([before, pa.default_memory_pool().max_memory(), rows.nbytes]), flush=True)
# On a machine at its limit a library's thread once aborted the interpreter's end.
os._exit(0)
"""


def test_what_a_busy_hour_takes_grows_as_what_is_stored_of_it(tmp_path: Path) -> None:
    peaks, sizes = [], []
    for orders in (55_000, 75_000):
        given = [str(tmp_path / str(orders)), str(orders), H.isoformat()]
        printed = subprocess.check_output([sys.executable, "-c", _MEASURE, *given], text=True)
        before, peak, size = json.loads(printed)
        assert peak > before
        peaks.append(peak)
        sizes.append(size)
    # Both are written in whole groups of rows, of which one is copied at a time.
    # Raw, typed and normalised values of all rows at once would be twice as much and more.
    assert peaks[1] - peaks[0] < 1.4 * (sizes[1] - sizes[0])
