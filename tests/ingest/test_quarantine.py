"""Quarantine says what was wrong and where, and nobody can be recognised in it or anywhere else."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capi_assets.contracts.base import conform
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.ingest.quarantine import shape_of
from capi_assets.ingest.sources import SourceError
from capi_assets.lake import Lake
from tests.helpers.factories import DATASET, H, at, encoded, land, landed_order, landed_visit
from tests.helpers.ingest_harness import IngestHarness

EMAIL = "Ana.Silva@Example.com"
PHONE = "+351 912 345 678"
NAME = "Zebedeia"

# Shapes


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "absent"),
        ("", ""),
        ("Ana.Silva@example", "aaa.aaaaa@aaaaaaa"),
        ("+351 912-3", "+999 999-9"),
        ("x" * 40, "a" * 40),
        ("x1" * 300, "a9" * 15 + "… (600 characters)"),
        ("अनीता", "aaaaa"),
        ("São ١٢٣", "aaa aaa"),
        (12.5, "99.9"),
        (b"jo\xe3o", "aaaa"),
    ],
)
def test_a_shape_shows_letters_and_digits_and_not_which(value: Any, shape: str) -> None:
    assert shape_of(value) == shape


@given(st.text(max_size=40))
def test_no_letter_or_digit_of_a_value_is_in_its_shape(text: str) -> None:
    shape = shape_of(text)
    assert len(shape) == len(text)
    assert shape.isascii()
    assert not any(sign.isalnum() and sign not in "a9" for sign in shape)


# What a refused row keeps


def test_a_refused_order_keeps_what_the_waterfall_counts(harness: IngestHarness) -> None:
    row = landed_order(status="paid", currency="usd", dataset_id="77", event_name="Lead")
    land(harness.landing, "orders", "a.csv", [row])
    assert harness.refused("orders") == [
        {
            "hour": H,
            "source": "orders/2026-11-20/13/a.csv",
            "line": 2,
            "row_id": "o1",
            "reasons": "status:not_allowed",
            "shapes": '{"status":"aaaa"}',
            "dataset_id": "77",
            "event_name": "Lead",
            "value": 49.9,
            "currency": "USD",
        }
    ]


def test_what_is_refused_is_not_kept(harness: IngestHarness) -> None:
    row = landed_order(
        order_id="x" * 300, value="-5", currency=EMAIL, event_name=EMAIL * 3, num_items=PHONE
    )
    land(harness.landing, "orders", "a.jsonl", [row])
    (refused,) = harness.refused("orders")
    for column in ("row_id", "value", "currency", "event_name", "dataset_id"):
        assert refused[column] is None, column
    assert json.loads(refused["shapes"]).keys() == {"order_id", "event_name"}


def test_an_address_in_the_place_of_an_id_is_not_kept(harness: IngestHarness) -> None:
    row = landed_order(order_id=EMAIL, event_name="Ana Silva", status="paid")
    land(harness.landing, "orders", "a.csv", [row])
    (refused,) = harness.refused("orders")
    assert (refused["row_id"], refused["event_name"]) == (None, None)


def test_a_row_whose_columns_are_mixed_up_keeps_no_id_and_no_name(harness: IngestHarness) -> None:
    mixed_up = landed_order(order_id=NAME, event_name=NAME, status=NAME, occurred_at=NAME)
    badly_timed = landed_order(occurred_at="20/11/2026", event_name="Lead")
    land(harness.landing, "orders", "a.csv", [mixed_up, badly_timed])
    first, second = harness.refused("orders")
    assert (first["row_id"], first["event_name"]) == (None, None)
    assert (second["row_id"], second["event_name"]) == ("o1", "Lead")
    assert (second["value"], second["currency"]) == (49.9, "EUR")


def test_a_number_without_a_currency_is_no_money(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(value="912345678", currency="phone")])
    (refused,) = harness.refused("orders")
    assert (refused["value"], refused["currency"]) == (None, None)


def test_the_shapes_are_those_of_the_values_that_landed(harness: IngestHarness) -> None:
    row = landed_order(value="12,50 EUR", occurred_at="20/11/2026 13:05")
    land(harness.landing, "orders", "a.csv", [landed_order(order_id="fine"), row])
    (refused,) = harness.refused("orders")
    assert json.loads(refused["shapes"]) == {
        "occurred_at": "99/99/9999 99:99",
        "value": "99,99 aaa",
    }


def test_a_column_that_did_not_land_is_absent(harness: IngestHarness) -> None:
    land(
        harness.landing, "orders", "a.jsonl", [{"order_id": "o1", "occurred_at": at().isoformat()}]
    )
    (refused,) = harness.refused("orders")
    assert json.loads(refused["shapes"]) == {"currency": "absent", "value": "absent"}


def test_every_refused_row_has_its_own_file_and_line(harness: IngestHarness) -> None:
    good, bad = landed_order(order_id="good"), landed_order(order_id="bad", status="?")
    land(harness.landing, "orders", "a.csv", [good, bad, good, bad])
    land(harness.landing, "orders", "b.jsonl", [bad, good])
    land(harness.landing, "orders", "c.parquet", [good, good, bad])
    land(harness.landing, "orders", "d.csv", b"order_id,occurred_at\nshort\n")
    found = [(Path(r["source"]).name, r["line"], r["reasons"]) for r in harness.refused("orders")]
    assert found == [
        ("a.csv", 3, "status:not_allowed"),
        ("a.csv", 5, "status:not_allowed"),
        ("b.jsonl", 1, "status:not_allowed"),
        ("c.parquet", 3, "status:not_allowed"),
        ("d.csv", 2, "line:not_a_row"),
    ]


def test_quarantine_keeps_its_contract(harness: IngestHarness) -> None:
    land(harness.landing, "orders", "a.csv", [landed_order(status="?"), landed_order()])
    land(harness.landing, "orders", "b.csv", b"x")
    table = harness.hour("orders").quarantine
    assert conform(table, Quarantine) == table


def test_strange_native_values_have_a_shape_too(harness: IngestHarness) -> None:
    sink = io.BytesIO()
    broken = pa.array([b"jo\xe3o", b"ok"])
    columns = {
        "order_id": pa.StringArray.from_buffers(2, *broken.buffers()[1:]),
        "occurred_at": pa.array([2**62, 2**61], pa.timestamp("us")),
        "status": pa.array([["confirmed"], []]),
    }
    pq.write_table(pa.table(columns), sink)
    land(harness.landing, "orders", "a.parquet", sink.getvalue())
    first, _ = harness.refused("orders")
    assert "order_id:not_utf8" in first["reasons"]
    assert "occurred_at:not_a_time" in first["reasons"]


# Nobody's data


def _people(index: int) -> dict[str, str]:
    return {
        "email": f"maria.{index}.ferreira@mail{index}.example",
        "phone": f"+35191{7_000_000 + index * 137}",
        "first_name": f"Zebedeia{index}",
        "last_name": f"Quaresma{index}",
        "date_of_birth": f"19{70 + index % 30}-03-{10 + index % 18}",
        "city": f"Vilarinho{index}",
        "zip": f"{4_000 + index}-{100 + index}",
    }


def _traces(people: list[dict[str, str]]) -> set[str]:
    """What would give a person away: addresses, names, and runs of digits of phones."""
    found = set()
    for person in people:
        found |= {person["email"], person["first_name"], person["last_name"], person["city"]}
        found |= {person["phone"], person["phone"].removeprefix("+"), person["phone"][-7:]}
        found |= {person["date_of_birth"], person["zip"]}
        found.add(person["email"].partition("@")[0])
    return {trace.lower() for trace in found}


DAMAGES = ("none", "status", "value", "time", "id", "shifted", "swapped", "cut", "latin")
damages = st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=8)
extensions = st.sampled_from(["csv", "csv.gz", "jsonl", "parquet"])
torn = st.sampled_from(["whole", "half", "quote", "headless", "twice", "utf-16"])


@given(damages, extensions, torn)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_message_or_table_shows_personal_data(
    harness: IngestHarness,
    caplog: pytest.LogCaptureFixture,
    damage: list[str],
    extension: str,
    tear: str,
) -> None:
    people = [_people(index) for index in range(len(damage))]
    rows = [
        _damaged(n, person, how) for n, (person, how) in enumerate(zip(people, damage, strict=True))
    ]
    data = _torn(encoded(f"a.{extension}", rows), extension, tear)
    if "latin" in damage and extension == "csv":
        data = data.replace(b"Vilarinho", b"Vil\xe3rinho")
    for path in (harness.landing / "orders").rglob("*.*"):
        path.unlink()
    land(harness.landing, "orders", f"a.{extension}", data)

    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        ingested = harness.ingest("orders")
    (hour,) = ingested.hours
    texts = [
        json.dumps(hour.rows.to_pylist(), default=str),
        json.dumps(hour.quarantine.to_pylist(), default=str),
        repr(hour.file_problems),
        *ingested.unknown_columns,
        caplog.text,
    ]
    everything = "\n".join(texts).lower()
    assert [trace for trace in _traces(people) if trace in everything] == []


def _damaged(n: int, person: dict[str, str], how: str) -> dict[str, Any]:
    row = landed_order(order_id=f"o{n}", status="confirmed", event_name="Purchase", **person)
    if how == "status":
        row["status"] = person["email"]
    elif how == "value":
        row["value"], row["currency"] = person["email"], person["first_name"]
    elif how == "time":
        row["occurred_at"] = person["date_of_birth"]
    elif how == "id":
        row["order_id"] = person["email"]
        row["status"] = "?"
    elif how == "shifted":
        # One delimiter too many: every value stands one column further left.
        values = list(row.values())
        row = dict(zip(row, values[4:] + values[:4], strict=True))
    elif how == "swapped":
        row["event_name"], row["email"] = person["email"], row["event_name"]
        row["status"] = "?"
    elif how == "cut":
        row["occurred_at"] = ""
    return row


def _torn(data: bytes, extension: str, tear: str) -> bytes:
    text = extension in ("csv", "jsonl")
    if tear == "half":
        return data[: len(data) * 2 // 3]
    if tear == "quote" and text:
        return data.replace(b"Zebedeia", b'"Zebedeia', 1)
    if tear == "headless" and extension == "csv":
        return data.partition(b"\n")[2]
    if tear == "twice" and extension == "csv":
        first = data.partition(b"\n")[2].partition(b"\n")[0]
        return first + b"," + first + b"\n" + data
    if tear == "utf-16" and text:
        return data.decode().encode("utf-16-le")
    return data


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_no_raw_contact_is_at_rest_in_the_bytes_of_the_lake(
    harness: IngestHarness, tmp_path: Path, extension: str
) -> None:
    people = [_people(index) for index in range(40)]
    orders = [landed_order(order_id=f"o{n}", **person) for n, person in enumerate(people)]
    orders += [landed_order(order_id=f"b{n}", status="?", **p) for n, p in enumerate(people)]
    contacts = [{"email": person["email"], "phone": person["phone"]} for person in people]
    visits = [landed_visit(visit_id=f"v{n}", **contact) for n, contact in enumerate(contacts)]
    land(harness.landing, "orders", f"a.{extension}", orders)
    land(harness.landing, "visits", f"a.{extension}", visits)
    lake = Lake(tmp_path / "lake")
    for table in ("orders", "visits"):
        hour = harness.hour(table)
        assert hour.rows.num_rows == 40
        assert hour.rows.column("em").null_count == hour.rows.column("ph").null_count == 0
        lake.write(table, H, hour.rows)
        lake.write(f"quarantined_{table}", H, hour.quarantine)
    files = [path for path in (tmp_path / "lake").rglob("*") if path.suffix]
    assert len(files) == 4
    for path in files:
        for stored in (path.read_bytes(), _uncompressed(path)):
            assert [t for t in _traces(people) if t.encode() in stored.lower()] == []


def _uncompressed(path: Path) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pq.read_table(path, partitioning=None), sink, compression="none")
    return sink.getvalue()


def test_a_headless_file_shows_no_first_row(harness: IngestHarness) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["order_idx@example.com", PHONE, NAME, NAME]] * 2)
    land(harness.landing, "orders", "a.csv", text.getvalue().encode())
    (problem,) = harness.hour("orders").file_problems
    assert "@" not in problem.detail
    assert NAME not in problem.detail
    text = io.StringIO()
    csv.writer(text).writerows([["order_idx@example.com", PHONE, NAME, "x"]] * 2)
    land(harness.landing, "orders", "a.csv", text.getvalue().encode())
    (problem,) = harness.hour("orders").file_problems
    assert problem.reason == "missing_column"
    assert not {"order_idx@example.com", PHONE, NAME} & set(problem.detail.split("'"))


def test_an_error_of_the_source_names_the_folder_only(
    tmp_path: Path, harness: IngestHarness
) -> None:
    harness.landing = tmp_path / "nowhere"
    with pytest.raises(SourceError) as error:
        harness.ingest("orders")
    assert DATASET not in str(error.value)
