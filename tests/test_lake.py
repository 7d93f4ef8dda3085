"""An hour is in the lake whole or not at all, whoever writes, reads or dies at the same time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from capi_assets.lake import Lake, LakeError
from tests.helpers.factories import HOUR, H

SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


def rows(*ids: int, name: str = "x") -> pa.Table:
    return pa.table({"id": list(ids), "name": [name] * len(ids)}, schema=SCHEMA)


@pytest.fixture(params=["folder", "file url", "memory"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    roots: dict[str, str | Path] = {
        "folder": tmp_path / "lake",
        "file url": f"file://{tmp_path}/lake",
        "memory": f"memory://{tmp_path.name}/lake",
    }
    return Lake(roots[request.param])


def test_what_was_written_is_read(lake: Lake) -> None:
    lake.write("visits", H, rows(1, 2))
    lake.write("visits", H + HOUR, rows(3))
    assert lake.read("visits", [H + HOUR, H], SCHEMA).column("id").to_pylist() == [1, 2, 3]
    assert lake.hours("visits") == [H, H + HOUR]
    assert lake.tables() == ["visits"]


def test_files_of_an_object_store_are_read_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(f"memory://{tmp_path.name}/slow")
    hours = [H + n * HOUR for n in range(60)]
    for number, hour in enumerate(hours):
        lake.write("visits", hour, rows(number))
    met = threading.Barrier(4)  # breaks, and fails the read, unless four come together
    open_file = MemoryFileSystem.open

    def open_together(*args: Any, **kwargs: Any) -> Any:
        met.wait(timeout=30)
        return open_file(*args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "open", open_together)
    assert lake.read("visits", hours, SCHEMA).column("id").to_pylist() == list(range(60))


def test_a_second_write_replaces_the_first(lake: Lake) -> None:
    lake.write("visits", H, rows(1, 2))
    lake.write("visits", H, rows(9))
    assert lake.read("visits", [H], SCHEMA).column("id").to_pylist() == [9]


def test_an_empty_hour_is_an_hour(lake: Lake) -> None:
    lake.write("visits", H, SCHEMA.empty_table())
    assert lake.hours("visits") == [H]
    assert lake.read("visits", [H], SCHEMA).num_rows == 0


def test_what_was_never_written_is_nothing(lake: Lake) -> None:
    assert lake.tables() == []
    assert lake.hours("visits") == []
    assert lake.paths("visits", [H]) == []
    assert lake.read("visits", [H], SCHEMA) == SCHEMA.empty_table()


def test_a_long_range_is_listed_and_gives_the_same_files(lake: Lake) -> None:
    there = [H + n * HOUR for n in (0, 3, 70)]
    for hour in there:
        lake.write("visits", hour, rows(1))
    lake.write("visits", H + 200 * HOUR, rows(1))
    asked = [H + n * HOUR for n in range(72)]
    assert lake.paths("visits", asked) == [lake.path("visits", hour) for hour in there]


def test_expired_hours_are_gone_and_the_others_stay(lake: Lake) -> None:
    for n in range(3):
        lake.write("visits", H + n * HOUR, rows(n))
    assert lake.remove("visits", [H, H + HOUR]) == [H, H + HOUR]
    assert lake.hours("visits") == [H + 2 * HOUR]
    assert lake.remove("visits", [H, H + HOUR]) == []


def test_an_hour_has_one_place_in_whatever_zone_it_is_named() -> None:
    lake = Lake("memory://zones")
    path = lake.path("visits", H)
    assert path.as_posix().endswith("visits/date=2026-11-20/hour=13/part.parquet")
    assert lake.path("visits", H.astimezone(ZoneInfo("Asia/Tokyo"))) == path


def test_a_column_that_an_older_file_lacks_is_null(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("visits", H, rows(1).select(["id"]))
    lake.write("visits", H + HOUR, rows(2, name="b"))
    read = lake.read("visits", [H, H + HOUR], SCHEMA)
    assert read.schema == SCHEMA
    assert read.column("name").to_pylist() == [None, "b"]
    assert lake.read("visits", [H], SCHEMA, ["name"]).to_pylist() == [{"name": None}]


def test_only_the_columns_asked_for_are_read_in_their_order(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.write("visits", H, rows(1))
    assert lake.read("visits", [H], SCHEMA, ["name", "id"]).column_names == ["name", "id"]


@given(cuts=st.lists(st.integers(0, 20_000), max_size=6), label=st.text(max_size=3))
@settings(max_examples=20, deadline=None)
def test_the_same_rows_are_the_same_bytes_however_they_are_held(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], label: str
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    whole = pa.table({"id": range(20_000), "name": [f"n{i % 700}" for i in range(20_000)]})
    edges = [0, *sorted(cuts), 20_000]
    pieces = [whole.slice(a, b - a) for a, b in pairwise(edges)]
    chunked = pa.concat_tables(pieces).replace_schema_metadata({"made_by": label})
    first = lake.write("a", H, whole).read_bytes()
    assert lake.write("b", H, chunked).read_bytes() == first


def test_a_broken_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    path = lake.write("visits", H, rows(1))
    data = Path(path.path).read_bytes()
    for broken in (b"", b"PAR1 no", data[: len(data) // 2], data[:-4] + b"nope"):
        Path(path.path).write_bytes(broken)
        with pytest.raises(LakeError, match=r"part\.parquet.*Materialize that hour again"):
            lake.read("visits", [H], SCHEMA)
        with pytest.raises(LakeError, match=r"part\.parquet.*Materialize that hour again"):
            list(lake.row_groups("visits", H, SCHEMA, ["id"]))


def test_a_column_of_another_type_that_does_not_fit_is_an_error_that_names_the_file(
    tmp_path: Path,
) -> None:
    lake = Lake(tmp_path)
    lake.write("visits", H, pa.table({"id": ["not a number"], "name": ["x"]}))
    with pytest.raises(LakeError, match=r"part\.parquet"):
        lake.read("visits", [H], SCHEMA)


@pytest.mark.parametrize("step", ["os.replace", "os.fsync"])
def test_a_full_disk_leaves_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    lake = Lake(tmp_path)
    path = Path(lake.write("visits", H, rows(1)).path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, full)
    with pytest.raises(LakeError, match=r"No space left on device.*former file is untouched"):
        lake.write("visits", H, rows(2))
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["part.parquet"]


def test_what_killed_writers_left_behind_is_swept_after_a_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    folder = Path(lake.write("visits", H, rows(1)).path).parent
    now = time.time()
    ages = {"old": timedelta(hours=25), "young": timedelta(hours=23)}
    for name, age in ages.items():
        (folder / f".{name}.tmp").write_bytes(b"PAR1")
        os.utime(folder / f".{name}.tmp", (0, now - age.total_seconds()))
    lake.write("visits", H, rows(2))
    assert {path.name for path in folder.iterdir()} == {"part.parquet", ".young.tmp"}
    assert lake.read("visits", [H], SCHEMA).column("id").to_pylist() == [2]


def test_the_row_groups_of_an_hour_make_up_the_whole(
    lake: Lake,
) -> None:
    lake.write("visits", H, rows(*range(10)).select(["id"]), rows_per_group=4)
    pieces = list(lake.row_groups("visits", H, SCHEMA, ["name", "id"]))
    assert [piece.num_rows for piece in pieces] == [4, 4, 2]
    whole = lake.read("visits", [H], SCHEMA, ["name", "id"])
    assert pa.concat_tables(pieces).equals(whole)
    assert list(lake.row_groups("visits", H + HOUR, SCHEMA, ["id"])) == []


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "visits").write_text("a file where the folder should be")
    with pytest.raises(LakeError, match="Cannot write"):
        Lake(tmp_path).write("visits", H, rows(1))


WRITER = """
import sys
from datetime import datetime
import pyarrow as pa
from capi_assets.lake import Lake
lake, hour, n = Lake(sys.argv[1]), datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
while True:
    n += 1
    lake.write("visits", hour, pa.table({"id": [n] * 30_000, "name": [f"writer {n}"] * 30_000}))
    print(n, flush=True)
"""


def _writer(root: Path, start: int) -> subprocess.Popen[bytes]:
    """A process that replaces the hour again and again, and has done so once."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(root), H.isoformat(), str(start)],
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline()
    return writer


def _kill(writer: subprocess.Popen[bytes]) -> None:
    assert writer.poll() is None
    writer.kill()
    writer.wait()
    assert writer.stdout is not None
    writer.stdout.close()


def test_readers_see_a_whole_file_while_writers_are_killed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    dice = random.Random(7)
    for life in range(1, 6):
        writer = _writer(tmp_path, life * 1_000_000)
        end = time.monotonic() + dice.uniform(0.02, 0.2)
        while time.monotonic() < end:
            assert _whole(lake) > life * 1_000_000
        _kill(writer)
        assert _whole(lake) > life * 1_000_000
    # What a killed writer left aside is no part of the lake.
    assert lake.hours("visits") == [H]


def _whole(lake: Lake) -> int:
    read = lake.read("visits", [H], SCHEMA)
    (number,) = set(read.column("id").to_pylist())
    assert read.num_rows == 30_000
    assert set(read.column("name").to_pylist()) == {f"writer {number}"}
    return int(number)


def test_writers_at_the_same_time_do_not_wait_or_mix(tmp_path: Path) -> None:
    writers = [_writer(tmp_path, start) for start in (1_000_000, 2_000_000)]
    lake = Lake(tmp_path)
    seen: set[int] = set()
    end = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < end:
        seen.add(_whole(lake) // 1_000_000)
    for writer in writers:
        _kill(writer)
    assert seen == {1, 2}


def test_a_file_that_goes_while_it_is_expired_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path)
    lake.write("visits", H, rows(1))
    listed = lake.hours("visits")
    lake.path("visits", H).unlink()

    def stale(_: Any) -> Any:
        return listed

    monkeypatch.setattr(lake, "hours", stale)
    assert lake.remove("visits", [H]) == []


def test_any_parquet_reader_reads_an_hour(tmp_path: Path) -> None:
    path = Lake(UPath(tmp_path)).write("visits", H, rows(1, 2))
    assert pq.read_table(Path(path.path), partitioning=None).num_rows == 2


def test_a_version_is_another_one_once_the_content_is(tmp_path: Path) -> None:
    lake, rows = Lake(tmp_path), pa.table({"n": [1]})
    lake.write("orders", H, rows)
    before, file = lake.versions("orders", [H, H + HOUR]), lake.path("orders", H)
    assert list(before) == [H]
    lake.write("orders", H, rows)
    assert lake.versions("orders", [H]) == before
    times, size = file.stat().st_mtime_ns, file.stat().st_size
    # As `Lake.edit` and a restored backup leave it: of the same size and time.
    lake.edit("orders", H, rows.schema, lambda _: pa.table({"n": [2]}))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (times, size)
    assert lake.versions("orders", [H]) != before


def test_a_store_that_cannot_tell_versions_has_no_two_that_are_equal() -> None:
    lake = Lake(UPath("memory://versions"))
    lake.write("orders", H, pa.table({"n": [1]}))
    assert lake.versions("orders", [H]) != lake.versions("orders", [H])
