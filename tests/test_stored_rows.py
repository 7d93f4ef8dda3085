"""A snapshot of hours gives what a table of them gives, and whatever is written since."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from capi_assets.lake import Lake, LakeError
from tests.helpers.factories import HOUR, H

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])
LATER = pa.schema([*SCHEMA, ("city", pa.string())])
HOURS = [H, H + HOUR, H + 3 * HOUR]


def _rows(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table({"id": list(numbers), "name": [f"n{n}" for n in numbers]}, schema=SCHEMA)


@pytest.fixture(params=["folder", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    of_store = f"memory://{tmp_path.name}/snapshots"
    lake = Lake(tmp_path / "lake" if request.param == "folder" else of_store)
    for hour, first, count in zip(HOURS, (0, 7, 7), (7, 0, 12), strict=True):
        lake.write("orders", hour, _rows(first, count), rows_per_group=5)
    return lake


def test_a_snapshot_is_sliced_and_selected_as_a_table(lake: Lake) -> None:
    stored = lake.snapshot("orders", [H - HOUR, *HOURS], LATER)
    table = lake.read("orders", HOURS, LATER)
    assert table.num_rows == stored.num_rows == 19
    assert stored.select(["name", "city"]) == table.select(["name", "city"])
    assert stored.of(HOURS[1:]).select(["id"]) == table.select(["id"]).slice(7)
    for start in range(20):
        for rows in range(20):
            assert stored.slice(start, rows) == table.slice(start, rows)


def test_a_snapshot_keeps_what_was_stored_when_it_was_made(lake: Lake) -> None:
    stored = lake.snapshot("orders", HOURS, SCHEMA)
    before = lake.read("orders", HOURS, SCHEMA)
    lake.write("orders", H, _rows(100, 3))
    assert stored.slice(0, 19) == before


def test_a_snapshot_of_nothing_is_empty(lake: Lake) -> None:
    stored = lake.snapshot("orders", [H - HOUR], SCHEMA)
    assert stored.select(["id"]).num_rows == stored.slice(0, 10).num_rows == 0


def test_a_broken_file_is_named(lake: Lake) -> None:
    lake.path("orders", H).write_bytes(b"no Parquet")
    stored = lake.snapshot("orders", HOURS, SCHEMA)
    with pytest.raises(LakeError, match="hour=13"):
        stored.select(["id"])


def test_how_rows_are_chunked_does_not_change_the_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    names = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(60_000)]
    whole = pa.table({"id": range(60_000), "name": names}, schema=SCHEMA)
    before = lake.write("orders", H, whole).read_bytes()
    for size in (7_000, 25_000):
        pieces = [whole.slice(start, size) for start in range(0, 60_000, size)]
        copies = [pa.table(piece.to_pydict(), schema=SCHEMA) for piece in pieces]
        for rows in (pa.concat_tables(copies), iter(copies)):
            assert lake.write("orders", H, rows).read_bytes() == before
