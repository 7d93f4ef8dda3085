"""A file made to fill the memory costs itself only: it is refused with a reason, in linear time."""

from __future__ import annotations

import gzip
import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capi_assets.delivery.identity import identity_of
from capi_assets.ingest import readers
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.hours import IngestedHour
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.orders import ingest_orders, keep_former_ids
from capi_assets.ingest.pii_scan import stored_id
from capi_assets.ingest.readers import UnreadableFile, read_rows
from tests.helpers.factories import orders

HOUR = datetime(2026, 11, 20, 13, tzinfo=UTC)


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def lists(values: pa.Array, rows: int = 1) -> pa.Array:
    """A list column, with all values in the first row."""
    offsets = [0, *[len(values)] * rows]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def many() -> pa.Array:
    """A long text many times."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * 50_000), ["x" * 2**20])


def refusal(name: str, data: bytes) -> str:
    with pytest.raises(UnreadableFile) as error:
        read_rows(name, data)
    return error.value.reason


def test_a_small_gzip_file_does_not_unpack_to_hundreds_of_megabytes() -> None:
    data = gzip.compress(b"order_id\n" + b"0" * 200 * 2**20, 9)
    assert len(data) < 300_000
    assert refusal("a.csv.gz", data) == "too_large"


def test_an_export_that_shrinks_well_is_read() -> None:
    text = b"order_id,currency\n" + b"".join(b"%d,EUR\n" % n for n in range(100_000))
    assert read_rows("a.csv.gz", gzip.compress(text, 9)).table.num_rows == 100_000


@pytest.mark.parametrize(
    "columns",  # made by each test, since they would be in memory for as long as the session
    [
        lambda: {"a": many()},
        lambda: {"a": pa.nulls(readers.MAX_ROWS + 1, pa.int8())},
        lambda: {f"c{n}": [1] for n in range(readers.MAX_COLUMNS + 1)},
        lambda: {"a": lists(many())},
        lambda: {"a": pa.StructArray.from_arrays([many()], ["id"])},
        lambda: {"a": lists(pa.StructArray.from_arrays([lists(many(), 50_000)], ["id"]), 1)},
        lambda: {"a": lists(pa.nulls(200_000_000, pa.int8()))},
        lambda: {"a": lists(pa.nulls(500_000, pa.binary(1_000)))},
    ],
    ids=[
        *("one long text many times", "rows", "columns", "the text in a list", "in a struct"),
        *("in both", "items of a list", "long items of a list"),
    ],
)
def test_a_small_parquet_file_does_not_fill_the_memory(
    columns: Callable[[], dict[str, Any]],
) -> None:
    data = parquet(pa.table(columns()))
    assert len(data) < 2**20
    pool = pa.default_memory_pool()
    counted = pa.proxy_memory_pool(pool)
    pa.set_memory_pool(counted)
    try:
        assert refusal("a.parquet", data) in ("too_large", "too_many_columns")
    finally:
        pa.set_memory_pool(pool)
    assert counted.max_memory() < 2**28


def test_nested_columns_are_read_as_they_are() -> None:
    items = [[{"id": "A", "tags": ["x", None], "more": [("k", "v")]}], None, []]
    kind = pa.struct(
        [
            ("id", pa.string()),
            ("tags", pa.large_list(pa.string())),
            ("more", pa.map_(pa.string(), pa.string())),
        ]
    )
    table = pa.table({"order_id": ["1", "2", "3"], "contents": pa.array(items, pa.list_(kind))})
    assert read_rows("a.parquet", parquet(table)).table.to_pylist() == table.to_pylist()


def test_many_column_names_take_linear_time_and_are_refused() -> None:
    head = ",".join(f"c{n}" for n in range(60_000)).encode()
    start = time.monotonic()
    assert refusal("a.csv", head + b"\n1\n") == "too_many_columns"
    assert refusal("a.csv", b"x" * (readers.MAX_HEADER_BYTES + 1) + b"\n1\n") == "broken_csv"
    assert time.monotonic() - start < 2


def test_rows_without_a_value_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_ROWS", 10)
    assert refusal("a.csv", b"order_id\n" + b"\n" * 10) == "too_large"
    assert refusal("a.jsonl", b"{}\n" * 11) == "too_large"


def test_other_files_and_hours_are_read(landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = landing / "orders/2026-11-20/13"
    folder.mkdir(parents=True)
    (folder / "bomb.csv.gz").write_bytes(gzip.compress(b"a\n" + b"0" * 100 * 2**20, 9))
    (folder / "good.csv").write_text("order_id\n1\n")
    (folder / "memory.csv").write_text("order_id\n2\n")
    read = readers.read_rows

    def no_memory(name: str, data: bytes) -> readers.RawRows:
        if b"2" in data:
            raise MemoryError
        return read(name, data)

    monkeypatch.setattr("capi_assets.ingest.landing_folder.read_rows", no_memory)
    fetched = LandingFolder(landing, "orders").fetch([HOUR])
    assert [entry.source.rpartition("/")[2] for entry in fetched.landed] == ["good.csv"]
    assert {p.source.rpartition("/")[2]: p.reason for p in fetched.problems} == {
        "bomb.csv.gz": "too_large",
        "memory.csv": "too_large",
    }


@pytest.mark.parametrize("link", ["file", "folder"])
def test_a_link_that_leads_out_is_refused_and_named(
    landing: Path, tmp_path_factory: pytest.TempPathFactory, link: str
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("order_id\nsecret\n")
    hour = landing / "orders/2026-11-20/13"
    hour.mkdir(parents=True)
    (hour / "own.csv").write_text("order_id\n1\n")
    os.symlink(hour / "own.csv", hour / "inside.csv")
    if link == "file":
        os.symlink(outside / "secret.csv", hour / "out.csv")
    else:
        os.symlink(outside, hour / "out")
    fetched = LandingFolder(landing, "orders").fetch([HOUR])
    assert sorted(entry.source.rpartition("/")[2] for entry in fetched.landed) == [
        "inside.csv",
        "own.csv",
    ]
    [problem] = fetched.problems
    assert problem.reason == "link_leads_out"
    assert "/out" in problem.source


def test_a_separator_in_an_id_makes_no_two_events_one() -> None:
    parts = [("1", "A\x1fB", "C"), ("1", "A", "B\x1fC"), ("1", "A\x1e1B", "C"), ("1", "A", "B")]
    names = ("dataset_id", "event_name", "event_id")
    columns = dict(zip(names, map(list, zip(*parts, strict=True)), strict=True))
    found = identity_of(pa.table(columns)).to_pylist()
    assert len(set(found)) == len(parts)
    assert found[3] == "1\x1fA\x1fB"  # as it always was


def test_an_order_for_a_dataset_that_no_ledger_stores_is_refused_alone(
    landing: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = landing / "orders/2026-11-20/13"
    folder.mkdir(parents=True)
    lines = [
        f"{n},2026-11-20T13:05:00Z,1,EUR,{dataset}" for n, dataset in enumerate(["1" * 70, "2"])
    ]
    header = "order_id,occurred_at,value,currency,dataset_id"
    (folder / "a.csv").write_text("\n".join([header, *lines]))
    [hour] = ingest_orders(
        LandingFolder(landing, "orders"), [HOUR], HashPolicy(), "42", connection
    ).hours
    assert hour.rows.column("dataset_id").to_pylist() == ["2"]
    assert hour.quarantine.column("reasons").to_pylist()[0].startswith("dataset_id:")


@pytest.mark.parametrize(
    ("event_name", "order_id", "event_id"),
    [("A\x1fB", "x@y.example", "former"), ("A", "B\x1fx@y.example", "own")],
    ids=["the same order", "another order"],
)
def test_an_order_takes_its_own_former_id_and_no_other(
    event_name: str, order_id: str, event_id: str
) -> None:
    former = {"event_name": "A\x1fB", "order_id": "x@y.example", "event_id": "former"}
    # Joined without escapes, both orders would be one: the digest is of the whole id.
    digests = orders({"event_name": event_name, "order_id": stored_id(order_id), "event_id": "own"})
    hour = IngestedHour(HOUR, digests, pa.table({}), files=1, repeats=0)
    assert keep_former_ids(hour, orders(former)).rows["event_id"].to_pylist() == [event_id]
