"""A column map renames, maps and reads as the source writes; what it does not know is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capi_assets.contracts.landing import LandedOrders
from capi_assets.ingest.column_map import ColumnMap, read_column_map
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SourceError, SqlModel
from capi_assets.settings import SettingsError
from tests.helpers.factories import H, land
from tests.helpers.ingest_harness import IngestHarness

GERMAN = """
decimal = "comma"
time_format = "%d.%m.%Y %H:%M"
time_zone = "Europe/Berlin"
[columns]
"Bestell-Nr." = "order_id"
"Datum" = "occurred_at"
"Summe" = "value"
"Zustand" = "status"
"Einwilligung" = "consent"
"Kanal" = "action_source"
"State" = ""
[values.status]
bezahlt = "confirmed"
"in Bearbeitung" = "pending"
[values.consent]
Ja = true
Nein = false
[values.action_source]
Laden = "physical_store"
[defaults]
currency = "EUR"
"""
HEADER = " bestell-nr. ;Datum;Summe;Zustand;Einwilligung;KANAL;State;E-Mail;VALUE"


def map_of(tmp_path: Path, text: str) -> ColumnMap:
    (tmp_path / "map.toml").write_text(text)
    return read_column_map(str(tmp_path / "map.toml"), LandedOrders, "CAPI_ORDERS_COLUMNS")


def rows_of(
    harness: IngestHarness, tmp_path: Path, text: str, *lines: str, refused: bool = False
) -> list[dict[str, Any]]:
    land(harness.landing, "orders", "a.csv", "\n".join(lines).encode())
    source = LandingFolder(harness.landing, "orders", columns=map_of(tmp_path, text))
    return (harness.refused if refused else harness.rows)("orders", source=source)


def test_an_export_in_german_becomes_orders(harness: IngestHarness, tmp_path: Path) -> None:
    # H is 13:00 UTC in November: 14:00 in Berlin.
    first, second, third = rows_of(
        harness,
        tmp_path,
        GERMAN,
        HEADER,
        "A-1;20.11.2026 14:05;1.234,50; Bezahlt ;JA;laden;versandt;a@example.com;7",
        "A-2;20.11.2026 14:06;1.234;IN BEARBEITUNG;nein;Website;versandt;;7",
        "A-3;2026-11-20 14:07:01;12,5;confirmed;;;;;",
    )
    assert [first[n] for n in ("order_id", "value", "status", "consent", "action_source")] == [
        *("A-1", 1234.5, "confirmed", True, "physical_store"),
    ]
    assert first["occurred_at"] == datetime(2026, 11, 20, 13, 5, tzinfo=UTC)
    assert [second[n] for n in ("value", "status", "consent", "action_source")] == [
        *(1234.0, "pending", False, "website"),
    ]
    assert (third["value"], third["occurred_at"].hour, third["consent"]) == (12.5, 13, None)
    assert {row["currency"] for row in (first, second, third)} == {"EUR"}
    assert {row["st"] for row in (first, second, third)} == {None}


def test_what_is_not_used_is_not_named_and_what_is_unknown_is(
    harness: IngestHarness, tmp_path: Path
) -> None:
    line = "A-1;20.11.2026 14:05;1,5;bezahlt;;;x;;7"
    land(harness.landing, "orders", "a.csv", f"{HEADER}\n{line}".encode())
    source = LandingFolder(harness.landing, "orders", columns=map_of(tmp_path, GERMAN))
    assert harness.ingest("orders", source=source).unknown_columns == ["E-Mail"]


@pytest.mark.parametrize(
    ("line", "reasons", "shape"),
    [
        ("A-1;20.11.2026 14:05;1,5;storniert", "status:not_allowed", "aaaaaaaaa"),
        ("A-1;20.11.2026 14:05;1.2.3,4;bezahlt", "value:not_a_number", "9.9.9,9"),
        ("A-1;11/20/2026 14:05;1,5;bezahlt", "occurred_at:not_a_time", "99/99/9999 99:99"),
        ("A-1;20.11.2026 13:05;1,5;bezahlt", "occurred_at:outside_hour", "9999-99-99"),
    ],
)
def test_what_the_map_does_not_know_is_refused_by_its_shape(
    harness: IngestHarness, tmp_path: Path, line: str, reasons: str, shape: str
) -> None:
    header = "Bestell-Nr.;Datum;Summe;Zustand"
    (row,) = rows_of(harness, tmp_path, GERMAN, header, line, refused=True)
    assert row["reasons"] == reasons
    assert shape in row["shapes"]


def test_numbers_with_a_decimal_comma(harness: IngestHarness, tmp_path: Path) -> None:
    texts = ["12,5", "1.234", "1 234,5", "1'234'567,89", "1.234.567", "49.90", "7"]
    lines = [f"o{n};{H.isoformat()};{text}" for n, text in enumerate(texts)]
    text = 'decimal = "comma"\n[defaults]\ncurrency = "EUR"'
    rows = rows_of(harness, tmp_path, text, "order_id;occurred_at;value", *lines)
    assert [row["value"] for row in rows] == [12.5, 1234, 1234.5, 1234567.89, 1234567, 49.9, 7]


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("America/New_York", "11/01/2026 01:30 AM", "2026-11-01T06:30Z"),  # comes twice
        ("America/New_York", "03/08/2026 02:30 AM", "2026-03-08T07:30Z"),  # does not come
        ("Asia/Kolkata", "07/01/2026 05:45 PM", "2026-07-01T12:15Z"),
        ("Europe/Berlin", "2026-07-01T05:45:00Z", "2026-07-01T05:45Z"),
        ("Europe/Berlin", "2026-07-01 05:45:00.123456789", "2026-07-01T03:45:00.123456Z"),
        ("Europe/Berlin", "1782877500", "2026-07-01T03:45Z"),
    ],
)
def test_a_time_without_a_zone_is_in_the_maps(
    harness: IngestHarness, tmp_path: Path, zone: str, text: str, expected: str
) -> None:
    moment = datetime.fromisoformat(expected)
    hour = moment.replace(minute=0, second=0, microsecond=0)
    content = f"order_id,occurred_at,value,currency\no1,{text},1,EUR\n".encode()
    land(harness.landing, "orders", "a.csv", content, hour)
    source = LandingFolder(
        harness.landing,
        "orders",
        columns=map_of(tmp_path, f'time_format = "%m/%d/%Y %I:%M %p"\ntime_zone = "{zone}"'),
    )
    (row,) = harness.rows("orders", source=source, hours=[hour])
    assert row["occurred_at"] == moment


def test_native_times_of_a_model_are_in_the_maps_zone(
    harness: IngestHarness, tmp_path: Path
) -> None:
    (tmp_path / "model.sql").write_text(
        "SELECT 1 AS ID, TIMESTAMP '2026-11-20 14:05' AS made, 5 AS total, 'Refunded' AS Status,"
        " false AS consent, 'eur' AS CURRENCY"
    )
    text = """time_zone = "Europe/Berlin"
[columns]
id = "order_id"
made = "occurred_at"
total = "value"
"""
    model = SqlModel(tmp_path / "model.sql", columns=map_of(tmp_path, text))
    (row,) = harness.rows("orders", source=model)
    assert row["occurred_at"] == datetime(2026, 11, 20, 13, 5, tzinfo=UTC)
    assert [row[n] for n in ("order_id", "status", "consent", "currency")] == [
        *("1", "refunded", False, "EUR"),
    ]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["2026-11-20T14:05"]).cast(pa.timestamp("ns")),
        pa.array(["2026-11-20T14:05"]).cast(pa.timestamp("s")),
        pa.array([datetime(2026, 11, 20, 13, 5, tzinfo=UTC)], pa.timestamp("ms", "UTC")),
        pa.array(["2026-11-20 14:05"]).dictionary_encode(),
        pa.array([b"20.11.2026 14:05"]),
        pa.array([1795179900]),
    ],
    ids=lambda values: str(values.type),
)
def test_times_in_parquet(harness: IngestHarness, tmp_path: Path, values: pa.Array) -> None:
    table = pa.table({"Order_ID": [7], "occurred_at": values, "Value": [1.5], "currency": ["eur"]})
    path = land(harness.landing, "orders", "a.parquet", b"")
    pq.write_table(table, path)
    text = 'time_format = "%d.%m.%Y %H:%M"\ntime_zone = "Europe/Berlin"\ndecimal = "comma"'
    source = LandingFolder(harness.landing, "orders", columns=map_of(tmp_path, text))
    (row,) = harness.rows("orders", source=source)
    assert row["occurred_at"] == datetime(2026, 11, 20, 13, 5, tzinfo=UTC)
    assert (row["order_id"], row["value"], row["currency"]) == ("7", 1.5, "EUR")


def test_a_date_without_a_time_is_midnight_of_the_maps_zone(
    harness: IngestHarness, tmp_path: Path
) -> None:
    (tmp_path / "model.sql").write_text("SELECT 1 AS order_id, DATE '2026-11-20' AS occurred_at")
    model = SqlModel(
        tmp_path / "model.sql", columns=map_of(tmp_path, 'time_zone = "America/New_York"')
    )
    hour = harness.hour("orders", source=model, hours=[datetime(2026, 11, 20, 5, tzinfo=UTC)])
    assert [row["reasons"] for row in hour.quarantine.to_pylist()] == [
        "currency:missing value:missing"
    ]
    assert date(2026, 11, 20) == hour.hour.date()


# Without a map


def test_headers_and_closed_values_come_in_any_case(harness: IngestHarness) -> None:
    content = (
        "Order_ID, Occurred_At ,VALUE,Currency,STATUS,action_Source,Content_Type,Consent\n"
        f"o1,{H.isoformat()},1,Eur, Confirmed ,WEBSITE,Product,YES\n"
    )
    land(harness.landing, "orders", "a.csv", content.encode())
    (row,) = harness.rows("orders")
    assert [row[n] for n in ("status", "action_source", "content_type", "currency", "consent")] == [
        *("confirmed", "website", "product", "EUR", True),
    ]


def test_of_two_columns_of_one_name_the_exact_one_counts(harness: IngestHarness) -> None:
    content = f"order_id,occurred_at,Value,value,currency\no1,{H.isoformat()},1,2,EUR\n"
    land(harness.landing, "orders", "a.csv", content.encode())
    assert [row["value"] for row in harness.rows("orders")] == [2]
    assert harness.ingest("orders").unknown_columns == ["Value"]


def test_of_two_columns_of_one_name_none_is_guessed(harness: IngestHarness) -> None:
    content = f"order_id,occurred_at,Value,VALUE,currency\no1,{H.isoformat()},1,2,EUR\n"
    land(harness.landing, "orders", "a.csv", content.encode())
    (row,) = harness.refused("orders")
    assert row["reasons"] == "value:missing"
    assert harness.ingest("orders").unknown_columns == ["VALUE", "Value"]


def test_a_missing_column_is_named_with_its_source(harness: IngestHarness, tmp_path: Path) -> None:
    (tmp_path / "model.sql").write_text("SELECT 1 AS bestellnr")
    model = SqlModel(tmp_path / "model.sql", columns=map_of(tmp_path, GERMAN))
    with pytest.raises(SourceError) as error:
        harness.ingest("orders", source=model)
    assert (
        "required column 'order_id' (from 'Bestell-Nr.', in CAPI_ORDERS_COLUMNS) is missing; the"
        " nearest column is 'bestellnr', rename it or map it" in str(error.value)
    )


# Maps that cannot be meant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[columns]\nNr = 'oder_id'", "no column 'oder_id' of ours; the nearest is 'order_id'"),
        ("[columns]\na = 'value'\nb = 'value'", "'a' and 'b' are both 'value'; keep the one"),
        ("[columns]\na = 'value'\nA = 'city'", "'a' and 'A' are one name; keep one"),
        ("[columns]\nOrder No = 'order_id'", 'line 2, column 7); write "their name" = "our name"'),
        ("[columns]\na.b = 'value'", "column 'a' must be a text"),
        ("colums = 1", "no key 'colums'; the nearest is 'columns'"),
        ("columns = 1", "begin it with a line [columns]"),
        ("[values]\nstatus = 'paid'", "begin it with [values.status]"),
        ("[values.status]\npaid = 'done'", "must be one of confirmed, pending, cancelled"),
        ("[values.status]\npaid = 'test'\nPAID = 'pending'", "'PAID' is there twice"),
        ("[values.email]\na = 'b'", "no closed list; use a SQL model"),
        ("[values.consent]\nx = 'perhaps'", "must be one of true, false"),
        ("[defaults]\ncurrency = 'euros'", "currency: 'euros' must be one of AED"),
        ("decimal = ','", 'decimal must be "comma" or "point"'),
        ("time_zone = 'Europe/Berlon'", "Unknown TimeZone 'Europe/Berlon'; Candidate time zones"),
        ("time_format = '%d.%m.%Q'", "Failed to parse format specifier"),
        ("time_format = 1", "must be texts"),
    ],
)
def test_a_map_that_cannot_be_meant_is_refused_with_its_remedy(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(SettingsError) as error:
        map_of(tmp_path, text)
    assert str(error.value).startswith(f"CAPI_ORDERS_COLUMNS: {tmp_path / 'map.toml'}: ")
    assert words in str(error.value)


def test_a_map_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file or directory; name the TOML file"):
        read_column_map(str(tmp_path / "none.toml"), LandedOrders, "CAPI_ORDERS_COLUMNS")


def test_a_false_consent_may_be_the_default(harness: IngestHarness, tmp_path: Path) -> None:
    header = "order_id,occurred_at,value,currency,consent"
    lines = [f"o1,{H.isoformat()},1,EUR,", f"o2,{H.isoformat()},1,EUR,yes"]
    rows = rows_of(harness, tmp_path, "[defaults]\nconsent = false", header, *lines)
    assert [row["consent"] for row in rows] == [False, True]
