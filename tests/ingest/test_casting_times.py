"""A time is the same instant however it is written; any other text is a problem."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.caster import Caster

MOMENT = datetime(2026, 11, 20, 13, 5, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def cast(connection: duckdb.DuckDBPyConnection) -> Caster:
    return Caster(connection)


WRITTEN = [
    "2026-11-20T13:05:06Z",
    "2026-11-20T13:05:06+00:00",
    "2026-11-20T15:05:06+02:00",
    "2026-11-20T15:05:06+0200",
    "2026-11-20T15:05:06+02",
    "2026-11-20T18:35:06+05:30",
    "2026-11-20 05:05:06-08",
    "2026-11-20T13:05:06",
    "2026-11-20 13:05:06",
    "2026-11-20 13:05:06.000",
    "2026-11-20T13:05:06.000000Z",
    "2026-11-20T13:05:06.000000000Z",
    "2026-11-20 13:05:06 UTC",  # BigQuery
    "2026-11-20 13:05:06.000000 UTC",
    "2026-11-20 13:05:06 gmt",
    "2026-11-20 08:05:06 -0500",  # Shopify
    "2026-11-20 08:05:06.000 -0500",  # Snowflake
    "2026-11-20 14:05:06.0000000 +01:00",  # SQL Server
    "2026-11-20 05:05:06 -08",
    "2026-11-20T18:35:06.000+0530",
    "2026-11-20 08:05:06 America/New_York",
    "2026-11-20 09:05:06 America/La_Paz",
    "2026-11-20 13:05:06 Etc/GMT",
    "2026-11-20T13:05:06,000+0000",  # Python's logging, with a comma
    "2026-11-20T14:05:06+01:00[Europe/Berlin]",  # Java
    "2026-11-20T13:05:06Z[UTC]",
    "2026-11-20 13:05:06.000 +0000 UTC",  # Go
    " 2026-11-20T13:05:06Z ",
    str(int(MOMENT.timestamp())),
    f"{MOMENT.timestamp():.3f}",
    str(int(MOMENT.timestamp() * 1000)),
    str(int(MOMENT.timestamp() * 1_000_000)),
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_time_is_understood_however_it_is_written(cast: Caster, text: str) -> None:
    assert cast.values("time", [text, None, ""]) == [MOMENT, None, None]


def test_fractions_are_kept_to_the_microsecond(cast: Caster) -> None:
    fine = MOMENT.replace(microsecond=123456)
    assert cast.values("time", ["2026-11-20T13:05:06.123456789Z"]) == [fine]
    assert cast.values("time", [f"{int(MOMENT.timestamp())}.5"]) == [
        MOMENT.replace(microsecond=500_000)
    ]
    millis = int(MOMENT.timestamp() * 1000) + 123
    assert cast.values("time", [millis]) == [MOMENT.replace(microsecond=123_000)]


EPOCH = int(MOMENT.timestamp())
NAIVE = MOMENT.replace(tzinfo=None)
NATIVE = {
    "naive": pa.array([NAIVE]),
    "seconds": pa.array([NAIVE], pa.timestamp("s")),
    "milliseconds": pa.array([NAIVE], pa.timestamp("ms")),
    "nanoseconds": pa.array([NAIVE], pa.timestamp("ns")),
    "UTC": pa.array([MOMENT], pa.timestamp("us", tz="UTC")),
    "zone": pa.array([MOMENT], pa.timestamp("ms", tz="Asia/Tokyo")),
    "offset": pa.array([MOMENT], pa.timestamp("us", tz="+05:30")),
    "integer seconds": pa.array([EPOCH], pa.int64()),
    "integer milliseconds": pa.array([EPOCH * 1000]),
    "integer microseconds": pa.array([EPOCH * 10**6]),
    "integer nanoseconds": pa.array([EPOCH * 10**9]),
    "text nanoseconds": pa.array([str(EPOCH * 10**9)]),
    "unsigned": pa.array([EPOCH], pa.uint32()),
    "float": pa.array([float(EPOCH)]),
    "float milliseconds": pa.array([EPOCH * 1000.0]),
    "decimal": pa.array([Decimal(EPOCH)]),
    "dictionary": pa.array([MOMENT.isoformat()]).dictionary_encode(),
    "large text": pa.array([MOMENT.isoformat()], pa.large_string()),
    "text view": pa.array([MOMENT.isoformat()], pa.string_view()),
    "bytes": pa.array([MOMENT.isoformat().encode()]),
}


@pytest.mark.parametrize("values", NATIVE.values(), ids=NATIVE)
def test_a_native_time_is_the_same_moment(cast: Caster, values: pa.Array) -> None:
    assert cast.values("time", pa.concat_arrays([values, pa.nulls(1, values.type)])) == [
        MOMENT,
        None,
    ]


@pytest.mark.parametrize("type_", [pa.date32(), pa.date64(), pa.string()])
def test_a_date_is_its_midnight_in_utc(cast: Caster, type_: pa.DataType) -> None:
    day: Any = "2026-11-20" if type_ == pa.string() else date(2026, 11, 20)
    assert cast.values("time", [day], type_) == [datetime(2026, 11, 20, tzinfo=UTC)]


@pytest.mark.parametrize(
    "text",
    [
        *("now", "today", "infinity", "-infinity", "epoch", "13:05", "20/11/2026", "20 Nov 2026"),
        *("2026-13-01", "2026-02-30", "2026-11-20T25:00:00Z", "2026-11-20 infinity", "2026-11"),
        *("2026-11-20T13:05:06 Nowhere/City", "0000-01-01"),
        *("0001-01-01T00:00:00", "1969-12-31T23:59:59Z", "-1", "1e9", "0x10", "None", "NaN"),
        *("99999999999999999", "2026-11-20 (BC)", "2026-11-20'; DROP TABLE visits; --"),
    ],
)
def test_what_is_no_time_is_a_problem(cast: Caster, text: str) -> None:
    assert cast.problems("time", [text, WRITTEN[0]]) == ["not_a_time", None]


@pytest.mark.parametrize("zone", ["BST", "IST", "CST", "EST", "AST", "est", "CEST"])
@pytest.mark.parametrize("space", ["", " "])
def test_a_zone_abbreviation_of_several_zones_is_never_guessed(
    cast: Caster, zone: str, space: str
) -> None:
    texts = [f"2026-11-20 13:05:06{space}{zone}", f"2026-11-20T13:05:06.5{space}{zone}"]
    assert cast.problems("time", texts) == ["ambiguous_zone"] * 2


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("46353.29", "not_a_time_excel_serial"),
        ("46353", "not_a_time_excel_serial"),
        ("20261127", "not_a_time_date_only"),
        ("19991231", "not_a_time_date_only"),
        ("20261327", "not_a_time"),
        ("0", "not_a_time"),
        ("99999999", "not_a_time"),
        ("20261127080500", "not_a_time"),
        ("202611270805", "not_a_time"),
    ],
)
def test_a_number_that_is_no_epoch_time_is_named_for_what_it_may_be(
    cast: Caster, number: str, problem: str
) -> None:
    assert cast.problems("time", [number]) == [problem]
    assert cast.problems("time", [float(number)]) == [problem]


def test_times_beyond_the_years_of_python_are_none(cast: Caster) -> None:
    for far in (
        pa.array([2**62, 0], pa.timestamp("us")),
        pa.array([-(2**62), 0], pa.timestamp("us", tz="UTC")),
        pa.array([2**55, 0], pa.timestamp("s")),
        pa.array([-1, EPOCH], pa.int64()),
        pa.array([2**63 - 1, EPOCH], pa.int64()),
        pa.array([float("inf"), float(EPOCH)]),
    ):
        assert cast.problems("time", far) == ["not_a_time", None]


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),  # noqa: DTZ001
    st.integers(-12 * 60, 14 * 60),
)
@settings(max_examples=40, deadline=None)
def test_any_iso_time_with_a_zone_is_its_instant(
    cast: Caster, naive: datetime, minutes: int
) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert cast.values("time", [moment.isoformat()]) == [moment]
