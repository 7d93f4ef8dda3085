"""What goes wrong on a cluster: a worker dies, a file cannot be read, nobody answers."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from benchmarks.measure import family_of
from capi_assets.commands.demo.workspace import free_port
from capi_assets.hours import HOUR
from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.shop import Shop
from capi_assets.spark.engine import SparkEngine
from capi_assets.spark.session import SparkError, close_sessions, open_session
from tests.helpers.spark_cluster import Cluster, add_client, cluster
from tests.spark.conftest import SparkHarness
from tests.spark.test_same_events import stored_by


def test_a_worker_that_is_killed_in_the_middle_costs_nothing(
    plain_world: SparkHarness, tmp_path: Path
) -> None:
    world = SparkHarness(plain_world.root, plain_world.instance, plain_world.meta, plain_world.now)
    last = world.hour(1)
    first = last - 11 * HOUR
    write_landing(world.root / "landing", first, last + HOUR, Shop(11, 60_000, opened=first))
    expected = stored_by(world, "duckdb", "here", first, last)
    (tmp_path / "cluster").mkdir()
    stored_by_then: list[int] = []
    with cluster(tmp_path / "cluster") as spark:

        def kill() -> None:
            there = world.root / "there"
            while not (files := len([*there.glob("orders/**/part.parquet")])):
                time.sleep(0.02)
            for process in reversed(family_of([spark.workers[0]])):
                os.kill(process, signal.SIGKILL)
            stored_by_then.append(files)

        thread = threading.Thread(target=kill)
        thread.start()
        stored = stored_by(world, spark.url, "there", first, last)
        thread.join(10)
        close_sessions()
    assert 0 < stored_by_then[0] < 12, "it was killed after its work"
    assert stored == expected


def test_a_file_that_cannot_be_read_leaves_its_hour_unfinished(world: SparkHarness) -> None:
    good, bad = world.hour(4), world.hour(3)
    world.land_orders(good, 2)
    world.land_orders(bad, 2)
    world.land("orders", bad, "cut.parquet", b"PAR1 and then nothing")
    assert not world.run(good, bad)
    assert [len(world.read("matched_events", [hour])) for hour in (good, bad)] == [2, 2]
    done, failed = world.statuses("orders")
    assert (good in done, bad in failed) == (True, True)
    assert world.received()["accepted"] == 4


def test_a_session_of_the_teams_own_is_not_disturbed_and_does_not_disturb(spark: Cluster) -> None:
    from pyspark.sql import SparkSession

    close_sessions()
    own = SparkSession.builder.remote(spark.url).create()
    try:
        with open_session(spark.url) as session:
            engine = SparkEngine(session)
            engine.materialize("numbers", "SELECT id FROM range(3)")
            assert engine.query("SELECT count(*) AS n FROM numbers").to_pylist() == [{"n": 3}]
        assert SparkSession.getActiveSession() is own
        assert not own.catalog.tableExists("numbers")
    finally:
        own.stop()


def test_a_cluster_that_does_not_answer_is_named_without_its_token() -> None:
    add_client()
    url = f"sc://127.0.0.1:{free_port()}/;user_id=me;token=secret"
    with pytest.raises(SparkError, match=r"sc://127.0.0.1:\d+ cannot") as raised, open_session(url):
        pass
    assert "secret" not in str(raised.value)
