"""An hour in an object store is whole for every reader, whatever writers and the store do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import duckdb
import pyarrow as pa
import pytest

from capi_assets.commands.sql import query_lake
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.visits import Visits
from capi_assets.engine import DuckDBEngine
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.lake import Lake, LakeError
from tests.helpers.factories import HOUR, H
from tests.helpers.object_store import ObjectStore, driver_with

SCHEMA = pa.schema([("id", pa.int64()), ("version", pa.string())])
WRITER = """
import sys
from datetime import datetime
import pyarrow as pa
from capi_assets.lake import Lake
lake, hour = Lake(sys.argv[1]), datetime.fromisoformat(sys.argv[4])
for number in range(int(sys.argv[3])):
    count = 20_000 + number
    version = [f"{sys.argv[2]}-{number} {count}"] * count
    lake.write("visits", hour, pa.table({"id": range(count), "version": version}))
"""


def rows(version: str, count: int = 10) -> pa.Table:
    """The number of rows tells whether all of a version are there."""
    return pa.table({"id": range(count), "version": [f"{version} {count}"] * count}, schema=SCHEMA)


def is_whole(table: pa.Table) -> bool:
    versions = table["version"].unique().to_pylist()
    return len(versions) == 1 and versions[0].endswith(f" {table.num_rows}")


def writer(address: str, name: str, times: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITER, address, name, str(times), H.isoformat()]
    return subprocess.Popen(command)


def test_readers_see_whole_versions_while_several_processes_write(store: ObjectStore) -> None:
    address = f"{store.bucket('writers')}/lake"
    lake = Lake(address)
    lake.write("visits", H, rows("first"))
    killed = writer(address, "killed", 10_000)
    writers = [writer(address, f"w{number}", 4) for number in range(2)]
    seen = set()
    try:
        while any(process.poll() is None for process in writers) or len(seen) < 3:
            read = lake.read("visits", [H], SCHEMA)
            assert is_whole(read)
            seen.add(read["version"][0].as_py())
            with duckdb.connect(":memory:") as connection:
                engine = DuckDBEngine(connection)
                engine.register("visits", lake.paths("visits", [H]), SCHEMA)
                assert is_whole(engine.query("SELECT * FROM visits"))
            if len(seen) == 3:  # somewhere in a write
                killed.send_signal(signal.SIGKILL)
    finally:
        killed.kill()
        for process in (killed, *writers):
            process.wait(60)
    assert [process.returncode for process in (killed, *writers)] == [-signal.SIGKILL, 0, 0]
    assert is_whole(lake.read("visits", [H], SCHEMA))
    assert lake.remove("visits", [H]) == [H]
    assert lake.tables() == []


@pytest.mark.parametrize("status", [500, 503])
def test_requests_that_the_store_refuses_are_made_again(store: ObjectStore, status: int) -> None:
    lake = Lake(f"{store.bucket(f'refused-{status}')}/lake")
    before = len(store.requests())
    store.fail(3, status=status, every=2)
    lake.write("visits", H, rows("a"))
    lake.write("visits", H + HOUR, rows("b"))
    assert lake.read("visits", [H, H + HOUR], SCHEMA).num_rows == 20
    assert lake.hours("visits") == [H, H + HOUR]
    refused = [line for line in store.requests()[before:] if line.endswith(f" {status}")]
    assert len(refused) == 3


def test_a_store_that_refuses_everything_costs_nothing_that_is_stored(
    store: ObjectStore, one_try: None
) -> None:
    address = store.bucket("busy")
    lake = Lake(f"{address}/lake")
    lake.write("visits", H, rows("old"))
    store.fail(10_000, "PUT")
    with pytest.raises(LakeError, match=r"visits/date=.*part\.parquet: .*request rate.*doctor"):
        lake.write("visits", H, rows("new", 11))
    store.fail(10_000, "GET /busy/lake")
    with pytest.raises(LakeError, match=r"Cannot read s3://busy/lake/visits/.*part\.parquet"):
        lake.read("visits", [H], SCHEMA)
    with duckdb.connect(":memory:") as connection, pytest.raises(LakeError, match="Cannot read"):
        DuckDBEngine(connection).register("visits", [lake.path("visits", H)], SCHEMA)
    store.fail(10_000, "GET /busy")
    with pytest.raises(LakeError, match="Cannot list s3://busy/lake/visits"):
        lake.hours("visits")
    fetched = LandingFolder(f"{address}/landing", "visits").fetch([H])
    assert [problem.hour for problem in fetched.problems] == [H]
    store.fail(0)
    assert lake.read("visits", [H], SCHEMA) == rows("old")


def test_a_store_that_was_down_for_seconds_costs_nothing(store: ObjectStore) -> None:
    lake = Lake(f"{store.bucket('down')}/lake")
    lake.write("visits", H, rows("a"))
    store.stop()
    with driver_with(AWS_MAX_ATTEMPTS="8"):  # its pauses are random: five may end too soon
        writing = writer(str(lake.root), "w", 1)
    time.sleep(3)
    assert writing.poll() is None
    store.start()
    assert writing.wait(120) == 0
    assert lake.read("visits", [H], SCHEMA).num_rows == 20_000


def test_a_small_hour_is_read_once_per_version(store: ObjectStore) -> None:
    lake = Lake(f"{store.bucket('versions')}/lake")
    for version in ("a", "b", "c"):  # of one size, within one second
        lake.write("visits", H, rows(version))
        before = len(store.requests())
        for _ in range(3):
            assert lake.read("visits", [H], SCHEMA) == rows(version)
        methods = [line.split("?")[0] for line in store.requests()[before:]]
        assert sum("part.parquet" in method for method in methods) == 1


def test_a_lake_in_a_store_is_queried(store: ObjectStore) -> None:
    lake = Lake(f"{store.bucket('queries')}/lake")
    lake.write("visits", H, rows("a"))
    assert query_lake(lake, "SELECT count(*) AS n FROM visits").to_pylist() == [{"n": 10}]


def test_visits_are_matched_from_copies_of_one_request_each(store: ObjectStore) -> None:
    lake = Lake(f"{store.bucket('copies')}/lake")
    schema = arrow_schema(Visits)
    for number in range(5):
        lake.write("visits", H + number * HOUR, schema.empty_table())
    paths = lake.paths("visits", [H + number * HOUR for number in range(5)])
    before = len(store.requests())
    with duckdb.connect(":memory:") as connection:
        engine = DuckDBEngine(connection)
        engine.register("visits", paths, schema)
        assert engine.query("SELECT * FROM visits") == schema.empty_table()
    assert len(store.requests()) - before == 5
