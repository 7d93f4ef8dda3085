"""The three verbs on DuckDB: tables and files alike, old files too, always in UTC."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.engine import DuckDBEngine, open_duckdb
from capi_assets.lake import Lake
from tests.helpers.factories import HOUR, H, at

SCHEMA = pa.schema([("id", pa.int64()), ("seen", UTC_MICROSECONDS), ("name", pa.string())])
ROWS = pa.Table.from_pylist([{"id": 1, "seen": at(), "name": "a"}], schema=SCHEMA)


@pytest.fixture
def engine(connection: duckdb.DuckDBPyConnection) -> DuckDBEngine:
    return DuckDBEngine(connection)


@pytest.mark.parametrize("root", ["{tmp}/lake", "file://{tmp}/lake", "memory://engine{tmp}"])
def test_a_table_and_its_files_give_the_same_rows(
    engine: DuckDBEngine, tmp_path: Path, root: str
) -> None:
    lake = Lake(root.format(tmp=tmp_path))
    lake.write("t", H, ROWS)
    engine.register("table_of_it", ROWS, SCHEMA)
    engine.register("files_of_it", lake.paths("t", [H]), SCHEMA)
    from_table, from_files = (
        engine.query(f"SELECT * FROM {name}") for name in ("table_of_it", "files_of_it")
    )
    assert from_table.schema == from_files.schema == SCHEMA
    assert from_files == from_table == ROWS


def test_no_files_are_an_empty_table(engine: DuckDBEngine) -> None:
    engine.register("t", [], SCHEMA)
    assert engine.query("SELECT * FROM t") == SCHEMA.empty_table()


def test_columns_that_files_lack_are_null_even_if_all_lack_them(
    engine: DuckDBEngine, tmp_path: Path
) -> None:
    lake = Lake(tmp_path)
    lake.write("t", H, ROWS.select(["id"]))
    engine.register("t", lake.paths("t", [H]), SCHEMA)
    assert engine.query("SELECT * FROM t").schema == SCHEMA
    lake.write("t", H + HOUR, ROWS)
    engine.register("t", lake.paths("t", [H, H + HOUR]), SCHEMA)
    read = engine.query("SELECT * FROM t ORDER BY name NULLS FIRST")
    assert read.column("name").to_pylist() == [None, "a"]


def test_a_name_can_be_used_again_for_either_kind(engine: DuckDBEngine, tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("t", H, ROWS)
    for _ in range(2):
        engine.register("t", SCHEMA.empty_table(), SCHEMA)
        assert engine.query("SELECT * FROM t").num_rows == 0
        engine.register("t", lake.paths("t", [H]), SCHEMA)
        assert engine.query("SELECT * FROM t").num_rows == 1


def test_a_materialized_statement_is_run_once_and_can_be_replaced(engine: DuckDBEngine) -> None:
    engine.materialize("kept", "SELECT random() AS r")
    assert engine.query("SELECT r FROM kept") == engine.query("SELECT r FROM kept")
    engine.materialize("kept", "SELECT 2 AS r")
    assert engine.query("SELECT r FROM kept").to_pylist() == [{"r": 2}]


def test_times_are_utc_whatever_the_machine_says(tmp_path: Path) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        engine = DuckDBEngine(connection)
        engine.register("t", ROWS, SCHEMA)
        result = engine.query("SELECT date_trunc('day', seen) AS day FROM t")
        assert result.schema.field("day").type == UTC_MICROSECONDS
        assert result.to_pylist()[0]["day"] == H.replace(hour=0)


def test_paths_with_quotes_and_signs_are_files_too(engine: DuckDBEngine, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "it's a lake")
    lake.write("t", H, ROWS)
    engine.register("t", lake.paths("t", [H]), SCHEMA)
    assert engine.query("SELECT * FROM t").num_rows == 1


def test_what_takes_more_memory_than_a_usual_hour_is_spilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("capi_assets.engine.MIN_MEMORY_MB", 100)
    monkeypatch.setattr("capi_assets.engine.MEMORY_MB_PER_THREAD", 0)
    with open_duckdb() as connection:
        connection.execute("SET threads = 2")
        busy = DuckDBEngine(connection)
        busy.materialize("keys", "SELECT repeat(md5(i::VARCHAR), 4) AS k FROM range(1000000) t(i)")
        [(spilled,)] = connection.sql(
            "SELECT sum(temporary_storage_bytes) FROM duckdb_memory()"
        ).fetchall()
        assert spilled
        found = busy.query("SELECT count(*) AS n FROM keys a JOIN keys b ON b.k = a.k")
        assert found["n"].to_pylist() == [1_000_000]
