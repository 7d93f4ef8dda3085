"""Whatever lands, the good goes on; the broken is named with its file, line and reason."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from upath import UPath

from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SourceError
from tests.helpers.factories import HOUR, H, at, encoded, land, landed_order, landed_visit
from tests.helpers.ingest_harness import IngestHarness

FORMATS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")

ORDERS = [
    landed_order(
        order_id=f"o{n}",
        occurred_at=at(n).isoformat(),
        email=f"Buyer{n}@Example.com",
        phone=f"912 345 0{n:02}",
        zip="1000-001",
        country="pt",
        consent="yes" if n % 2 else None,
        contents=f'[{{"id":"A{n}","quantity":1}}]',
    )
    for n in range(12)
]


@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_gives_the_same_orders(harness: IngestHarness, extension: str) -> None:
    land(harness.landing, "orders", "expected.csv", ORDERS)
    expected = harness.hour("orders").rows
    assert expected.num_rows == 12
    (harness.landing / "orders/2026-11-20/13/expected.csv").unlink()
    land(harness.landing, "orders", f"a.{extension}", ORDERS)
    assert harness.hour("orders").rows == expected


def test_several_files_of_mixed_formats_give_the_same_orders(harness: IngestHarness) -> None:
    for n, extension in enumerate((*FORMATS, "csv")):
        land(harness.landing, "orders", f"{n}.{extension}", ORDERS[2 * n : 2 * n + 2])
    mixed = harness.hour("orders")
    assert mixed.files == 6
    for path in (harness.landing / "orders/2026-11-20/13").iterdir():
        path.unlink()
    land(harness.landing, "orders", "all.csv", ORDERS)
    assert mixed.rows == harness.hour("orders").rows


def test_native_types_in_parquet_give_the_same_orders(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", ORDERS)
    expected = harness.hour("orders").rows
    native = [
        {
            **row,
            "occurred_at": datetime.fromisoformat(row["occurred_at"]),
            "value": float(row["value"]),
            "consent": True if row["consent"] else None,
            "contents": [{"id": f"A{n}", "quantity": 1}],
        }
        for n, row in enumerate(ORDERS)
    ]
    land(harness.landing, "orders", "a.csv", b"")
    land(harness.landing, "orders", "b.parquet", native)
    assert harness.hour("orders").rows == expected


def test_a_hundred_files_are_one_hour(harness: IngestHarness) -> None:
    for n in range(100):
        extension = FORMATS[n % 5]
        land(harness.landing, "visits", f"{n:03}.{extension}", [landed_visit(visit_id=f"v{n}")])
    hour = harness.hour("visits")
    assert (hour.files, hour.rows.num_rows, hour.quarantine.num_rows) == (100, 100, 0)


@pytest.mark.parametrize("table", ["visits", "orders"])
def test_an_hour_where_nothing_landed_is_an_empty_hour(harness: IngestHarness, table: str) -> None:
    (harness.landing / table / "2026-11-20" / "13").mkdir(parents=True)
    for hour in harness.ingest(table, [H, H + HOUR]).hours:
        assert (hour.files, hour.rows.num_rows, hour.quarantine.num_rows) == (0, 0, 0)
        assert hour.file_problems == []


def test_a_landing_folder_that_is_not_there_is_an_error_that_says_what_to_do(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(SourceError, match=r"nowhere does not exist.*CAPI_LANDING"):
        IngestHarness(tmp_path / "nowhere", connection).ingest("orders")


def test_files_that_are_being_written_are_not_read(harness: IngestHarness) -> None:
    for name in ("_SUCCESS", ".hidden.csv", "a.csv.tmp", "_temporary.parquet"):
        land(harness.landing, "visits", name, b"half")
    (harness.landing / "visits/2026-11-20/13/folder.csv").mkdir()
    assert harness.hour("visits").files == 0


def test_files_are_read_by_name_so_that_the_last_one_wins(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "2.csv", [landed_order(status="cancelled")])
    land(harness.landing, "orders", "1.csv", [landed_order(status="confirmed")])
    (order,) = harness.rows("orders")
    assert order["status"] == "cancelled"


def test_the_landing_folder_may_be_anywhere_that_fsspec_reaches(harness: IngestHarness) -> None:
    root = UPath("memory://landing")
    path = root / "visits" / "2026-11-20" / "13" / "a.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded("a.jsonl", [landed_visit()]))
    (visit,) = harness.rows("visits", source=LandingFolder(root, "visits"))
    assert visit["visit_id"] == "v1"


# One bad file never costs the others


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "truncated gzip": ("b.csv.gz", encoded("b.csv.gz", ORDERS)[:-9], "broken_gzip"),
    "truncated parquet": ("b.parquet", encoded("b.parquet", ORDERS)[:-9], "broken_parquet"),
    "open quote": ("b.csv", encoded("b.csv", ORDERS) + b'"o99', "broken_csv"),
    "UTF-16": ("b.csv", encoded("b.csv", ORDERS).decode().encode("utf-16"), "not_utf8"),
    "repeated header": ("b.csv", b"order_id,order_id\no1,o1\n", "repeated_column"),
    "no header": ("b.csv", encoded("b.csv", ORDERS).split(b"\n", 1)[1], "missing_column"),
    "wrong columns": ("b.csv", b"OrderID,Date\no1,2026-11-20\n", "missing_column"),
    "unknown format": ("b.xlsx", b"PK", "unknown_format"),
    "a megabyte of noise": ("b.csv", b"x" * 2**20, "broken_csv"),
}


@pytest.mark.parametrize(("name", "data", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_costs_neither_its_neighbours_nor_the_other_hours(
    harness: IngestHarness, name: str, data: bytes, reason: str
) -> None:
    land(harness.landing, "orders", "a.csv", ORDERS[:1])
    land(harness.landing, "orders", name, data)
    land(harness.landing, "orders", "c.csv", ORDERS[1:2])
    other = landed_order(occurred_at=at(5, H + HOUR).isoformat())
    land(harness.landing, "orders", "a.csv", [other], H + HOUR)
    first, second = harness.ingest("orders", [H, H + HOUR]).hours
    assert (first.rows.num_rows, second.rows.num_rows) == (2, 1)
    assert (first.files, second.files) == (3, 1)
    (problem,) = first.file_problems
    assert (problem.reason, problem.source) == (reason, f"orders/2026-11-20/13/{name}")
    assert second.file_problems == []
    (row,) = first.quarantine.to_pylist()
    assert row["reasons"] == f"file:{reason}"
    assert (row["hour"], row["source"], row["line"]) == (H, problem.source, None)


def test_a_missing_column_is_named_with_the_nearest(harness: IngestHarness) -> None:
    for header, words in {
        "OrderID,occurred_at": "'order_id' is missing; the nearest column is 'OrderID', rename it",
        "ORDER-ID,occurred_at": "the nearest column is 'ORDER-ID'",
        "id,occurred_at": "required column 'order_id' is missing",
        "order_id,ocurred_at": "'occurred_at' is missing; the nearest column is 'ocurred_at'",
    }.items():
        land(harness.landing, "orders", "a.csv", f"{header}\no1,{at().isoformat()}\n".encode())
        (problem,) = harness.hour("orders").file_problems
        assert words in problem.detail


def test_an_unknown_column_is_named_once(harness: IngestHarness) -> None:
    for name in ("a.csv", "b.jsonl"):
        land(harness.landing, "visits", name, [landed_visit(colour="red")])
    later = landed_visit(occurred_at=at(5, H + HOUR).isoformat(), colour="red", shape="round")
    land(harness.landing, "visits", "a.csv", [later], H + HOUR)
    assert harness.ingest("visits", [H, H + HOUR]).unknown_columns == ["colour", "shape"]


def test_a_column_named_like_a_persons_address_is_shown_as_its_shape(
    harness: IngestHarness,
) -> None:
    row = {**landed_visit(), "ana@example.com": "x", "912345678": "y"}
    land(harness.landing, "visits", "a.jsonl", [row])
    assert harness.ingest("visits").unknown_columns == ["999999999", "aaa@aaaaaaa.aaa"]


def test_half_written_json_costs_its_line(harness: IngestHarness) -> None:
    good = encoded("a.jsonl", [landed_visit()])
    land(harness.landing, "visits", "a.jsonl", good + b'{"visit_id": "v2", "email": "ana@exam')
    hour = harness.hour("visits")
    assert hour.rows.column("visit_id").to_pylist() == ["v1"]
    (row,) = hour.quarantine.to_pylist()
    assert (row["source"], row["line"]) == ("visits/2026-11-20/13/a.jsonl", 2)
    assert (row["reasons"], row["shapes"]) == ("line:not_json", '{"line":"37 characters"}')
    assert hour.file_problems == []


def test_a_file_of_nothing_but_half_a_line_is_no_missing_column(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.jsonl", b'{"visit_id": "v')
    hour = harness.hour("visits")
    assert hour.file_problems == []
    assert hour.quarantine.num_rows == 1


def test_a_megabyte_in_one_field_costs_the_field(harness: IngestHarness) -> None:
    long = "a" * 2**20 + "@example.com"
    for name in ("a.csv", "b.jsonl", "c.parquet"):
        land(harness.landing, "orders", name, [landed_order(order_id=name, email=long)])
    for order in harness.rows("orders"):
        assert (order["em"], order["dropped_fields"]) == (None, "email:wrong_length")


def test_a_megabyte_in_a_required_field_is_quarantined_and_not_kept(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(order_id="x" * 2**20)])
    (row,) = harness.refused("orders")
    assert row["reasons"] == "order_id:wrong_length"
    assert row["row_id"] is None
    assert len(row["shapes"]) < 100


def test_a_value_that_is_not_utf8_costs_the_field_or_the_row(harness: IngestHarness) -> None:
    head = b"order_id,occurred_at,value,currency,city\n"
    when = at().isoformat().encode()
    rows = [b"o1,%s,1,EUR,S\xe3o" % when, b"o\xe3,%s,1,EUR,Faro" % when, b"o3,%s,1,EUR,Faro" % when]
    land(harness.landing, "orders", "a.csv", head + b"\n".join(rows))
    hour = harness.hour("orders")
    kept = {row["order_id"]: row["dropped_fields"] for row in hour.rows.to_pylist()}
    assert kept == {"o1": "city:not_utf8", "o3": None}
    (row,) = hour.quarantine.to_pylist()
    assert (row["line"], row["reasons"]) == (3, "order_id:not_utf8")


def test_short_rows_are_quarantined_at_their_line(harness: IngestHarness) -> None:
    good = encoded("a.csv", ORDERS[:2]).splitlines()
    land(harness.landing, "orders", "a.csv", b"\r\n".join([*good[:2], b"o5,half", b"", good[2]]))
    hour = harness.hour("orders")
    assert hour.rows.column("order_id").to_pylist() == ["o0", "o1"]
    (row,) = hour.quarantine.to_pylist()
    assert (row["line"], row["reasons"]) == (3, "line:not_a_row")


def test_a_bom_semicolons_and_windows_lines_are_nothing_special(harness: IngestHarness) -> None:
    text = f"order_id;occurred_at;value;currency\r\no1;{at().isoformat()};49.90;EUR\r\n"
    land(harness.landing, "orders", "a.csv", b"\xef\xbb\xbf" + text.encode())
    (order,) = harness.rows("orders")
    assert (order["order_id"], order["value"]) == ("o1", 49.9)


def test_nul_bytes_cost_the_field(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(email="ana\0@example.com")])
    (order,) = harness.rows("orders")
    assert order["em"] is None
    assert order["dropped_fields"].startswith("email:")


def test_a_file_in_the_place_of_an_hours_folder_costs_its_hour(harness: IngestHarness) -> None:
    day = harness.landing / "orders/2026-11-20"
    day.mkdir(parents=True)
    (day / "13").write_text("a file where the hour's folder should be")
    other = landed_order(occurred_at=at(5, H + HOUR).isoformat())
    land(harness.landing, "orders", "a.csv", [other], H + HOUR)
    first, second = harness.ingest("orders", [H, H + HOUR]).hours
    assert [p.reason for p in first.file_problems] == ["unknown_format"]
    assert second.rows.num_rows == 1


def test_a_folder_that_cannot_be_listed_costs_its_hour(
    harness: IngestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order()])
    other = landed_order(occurred_at=at(5, H + HOUR).isoformat())
    land(harness.landing, "orders", "a.csv", [other], H + HOUR)
    scandir = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("2026-11-20/13"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    first, second = harness.ingest("orders", [H, H + HOUR]).hours
    (problem,) = first.file_problems
    assert (problem.source, problem.reason) == ("orders/2026-11-20/13", "unreadable")
    assert (second.rows.num_rows, second.file_problems) == (1, [])


def test_a_file_that_cannot_be_read_costs_itself(
    harness: IngestHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(harness.landing, "visits", "a.csv", [landed_visit()])
    os.symlink("nowhere", harness.landing / "visits/2026-11-20/13/b.csv")
    assert harness.hour("visits").rows.num_rows == 1
    read = UPath.read_bytes

    def gone(path: UPath) -> bytes:
        if path.name == "c.csv":
            raise FileNotFoundError(2, "No such file or directory")
        return bytes(read(path))

    path = land(harness.landing, "visits", "c.csv", [landed_visit(visit_id="v2")])
    monkeypatch.setattr(type(UPath(path)), "read_bytes", gone)
    hour = harness.hour("visits")
    assert hour.rows.num_rows == 1
    assert [(p.reason, p.detail) for p in hour.file_problems] == [
        ("unreadable", "No such file or directory")
    ]


def test_a_gzip_that_is_no_gzip_shows_nothing_of_itself(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.csv.gz", b"ana@example.com")
    (problem,) = harness.hour("visits").file_problems
    assert problem.detail == "not a complete gzip file"


def test_hours_are_those_of_utc(harness: IngestHarness) -> None:
    hour = datetime(2026, 11, 20, 13, tzinfo=UTC)
    land(
        harness.landing, "visits", "a.csv", [landed_visit(occurred_at="2026-11-20T14:10:00+01:00")]
    )
    assert harness.hour("visits", hours=[hour]).rows.num_rows == 1


def test_a_gzipped_parquet_is_no_format(harness: IngestHarness) -> None:
    land(harness.landing, "visits", "a.parquet.gz", gzip.compress(b"x"))
    assert [p.reason for p in harness.hour("visits").file_problems] == ["unknown_format"]


def test_files_of_a_pattern_are_left_out_and_named(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order()])
    land(harness.landing, "orders", "a.csv.crc", b"\0\1")
    land(harness.landing, "orders", "archive/b.csv", [landed_order(order_id="o2")])
    (harness.landing / "orders" / "notes.txt").write_text("for us\n")
    source = LandingFolder(harness.landing, "orders", ignored=["*.crc", "*/archive/*", "notes*"])
    ingested = harness.ingest("orders", source=source)
    (hour,) = ingested.hours
    assert (hour.files, hour.rows.num_rows, hour.quarantine.num_rows) == (1, 1, 0)
    assert ingested.misplaced == []
    assert [name.rpartition("/")[2] for name in ingested.ignored] == [
        *("a.csv.crc", "b.csv", "notes.txt"),
    ]
