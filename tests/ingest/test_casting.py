"""Whatever type a value lands in, it means the same; what does not fit costs only itself."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.ingest.casting import absent
from tests.helpers.caster import TYPES, Caster, column


@pytest.fixture(scope="module")
def cast(connection: duckdb.DuckDBPyConnection) -> Caster:
    return Caster(connection)


# Numbers


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        (["49.90", "49.9", " 49.9 ", "+49.9", "4.99e1"], [49.9] * 5),
        (["5.", ".5", "-3", "0", "1e-3"], [5.0, 0.5, -3.0, 0.0, 0.001]),
        ([49.9, None], [49.9, None]),
        ([49.9, float("nan")], [49.9, None]),
        (pa.array([49.9], pa.float32()), [49.9]),
        (pa.array([1.5], pa.float16()), [1.5]),
        (pa.array([7], pa.int8()), [7.0]),
        (pa.array([7], pa.uint64()), [7.0]),
        (pa.array([Decimal("49.90")]), [49.9]),
        (
            pa.array([Decimal("12345678901234567890.12")], pa.decimal256(40, 2)),
            [1.2345678901234567e19],
        ),
        (pa.array([Decimal("-0.05")]), [-0.05]),
        (pa.array(["49.9", "49.9"]).dictionary_encode(), [49.9, 49.9]),
        (pa.array([b"49.9", b""]), [49.9, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_money_is_a_number_in_whatever_type_it_lands(
    cast: Caster, values: Any, meant: list[float | None]
) -> None:
    assert cast.values("money", values) == meant


@pytest.mark.parametrize(
    "values",
    [
        *(["12,50"], ["1,234.56"], ["€ 5"], ["5 EUR"], ["free"], ["NaN"], ["inf"], ["1e999"]),
        *(["0x10"], ["1_000"], ["５"], ["--5"], ["1e"], ["."], ["True"], [True], [float("inf")]),
        *([datetime(2026, 11, 20, tzinfo=UTC)], [[1.0]], [{"amount": 1}]),
    ],
)
def test_what_is_no_number_is_a_problem(cast: Caster, values: list[Any]) -> None:
    assert cast.problems("money", values) == ["not_a_number"]


def test_counts_are_whole_numbers(cast: Caster) -> None:
    texts = ["3", "+3", "3.0", "3.", "-2", "007", "123456789012345678"]
    assert cast.values("count", texts) == [3, 3, 3, 3, -2, 7, 123456789012345678]
    assert cast.values("count", [3.0, float("nan")]) == [3, None]
    assert cast.values("count", pa.array([Decimal("3.00")])) == [3]
    wrong = ["3.5", "three", "1e3", "1234567890123456789", "true", "3,0"]
    assert cast.problems("count", wrong) == ["not_a_whole_number"] * 6


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=1))
@settings(max_examples=40, deadline=None)
def test_a_float_is_the_same_as_text_and_as_a_float(
    cast: Caster, numbers: list[float | None]
) -> None:
    texts = [None if n is None else repr(n) for n in numbers]
    assert cast.values("money", texts, pa.string()) == numbers
    assert cast.values("money", numbers, pa.float64()) == numbers


@pytest.mark.parametrize("kind", TYPES)
def test_bytes_that_are_no_text_are_a_problem(cast: Caster, kind: str) -> None:
    assert cast.problems(kind, [b"\xff", None]) == ["not_utf8", None]


# Flags


def test_flags_are_booleans_numbers_or_text(cast: Caster) -> None:
    yes = ["true", "TRUE", "t", "yes", "Y", "1", "granted", " True "]
    no = ["false", "False", "f", "no", "N", "0", "denied", " FALSE "]
    assert cast.values("flag", yes) == [True] * 8
    assert cast.values("flag", no) == [False] * 8
    assert cast.values("flag", [True, False, None]) == [True, False, None]
    assert cast.values("flag", [1, 0, None]) == [True, False, None]
    assert cast.values("flag", [1.0, float("nan")]) == [True, None]
    assert cast.values("flag", ["1.0", "0.0", "1.00"]) == [True, False, True]
    assert cast.values("flag", pa.array(["yes", "no"]).dictionary_encode()) == [True, False]
    assert cast.problems("flag", ["maybe", "2", "", None]) == [
        *("not_true_or_false", "not_true_or_false", None, None)
    ]


# Text


@pytest.mark.parametrize(
    ("values", "meant"),
    [
        ([" a ", "", "  ", None, "\u3000x\t"], ["a", None, None, None, "x"]),
        ([12345, None], ["12345", None]),
        ([12345.0, None], ["12345", None]),
        ([351912345678.0, 0.5], ["351912345678", "0.5"]),
        (pa.array([Decimal("12345")]), ["12345"]),
        (pa.array(["a", "", "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([1, 2]).dictionary_encode(), ["1", "2"]),
        (pa.array(["a", ""], pa.large_string()), ["a", None]),
        (pa.array(["a", ""], pa.string_view()), ["a", None]),
        (pa.array([b"a", b""]), ["a", None]),
        (pa.array([b"a", b""], pa.large_binary()), ["a", None]),
        (pa.array([b"ab"], pa.binary(2)), ["ab"]),
        ([True, False], ["true", "false"]),
        ([date(1990, 1, 2)], ["1990-01-02"]),
        ([["a@x", "b@x"]], ['["a@x","b@x"]']),
        (pa.nulls(2), [None, None]),
        (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), [str(uuid.UUID(int=5))]),
        (pa.array([], pa.string()), []),
    ],
)
def test_text_is_text_in_whatever_type_it_lands(
    cast: Caster, values: Any, meant: list[str | None]
) -> None:
    assert cast.values("text", values) == meant


def test_text_that_is_not_utf8_is_a_problem(cast: Caster) -> None:
    broken = pa.array([b"jo\xe3o", b"ana", b""])
    assert cast.problems("text", broken) == ["not_utf8", None, None]
    # A Parquet file may call such bytes text all the same.
    mislabelled = pa.StringArray.from_buffers(3, *broken.buffers()[1:])
    assert cast.problems("text", mislabelled) == ["not_utf8", None, None]
    assert cast("text", mislabelled).values.to_pylist() == [None, "ana", None]


def test_values_of_a_closed_list_get_its_case(cast: Caster) -> None:
    landed = ["eur", "Usd ", "website", "Euros", None]
    assert cast.values("text", landed, allowed=("EUR", "USD", "website")) == [
        *("EUR", "USD", "website", "Euros", None),
    ]


# JSON


def test_lists_of_objects_are_json_in_whatever_type_they_land(cast: Caster) -> None:
    item = {"id": "A", "quantity": 2, "item_price": 9.95}
    text = '[{"id":"A","quantity":2,"item_price":9.95}]'
    assert cast.values("text", [[item], None], json="list") == [text, None]
    assert cast.values("text", [text, ""], json="list") == [text, None]
    assert cast.values("text", pa.array([text]).dictionary_encode(), json="list") == [text]
    assert cast.values("text", [["A", "B"], []], json="list") == ['["A","B"]', "[]"]
    assert cast.values("text", [{"a": None, "b": [1]}], json="object") == ['{"a":null,"b":[1]}']
    as_map = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    assert cast.values("text", as_map, json="object") == ['{"a":1}']


def test_json_of_another_shape_is_a_problem(cast: Caster) -> None:
    assert cast.problems("text", ["{}", "[]", '"A"', "1", "A,B", "[1"], json="list") == [
        *("not_a_list", None, "not_a_list", "not_a_list", "not_json", "not_json")
    ]
    assert cast.problems("text", ["{}", "[]", "null"], json="object") == [
        *(None, "not_an_object", "not_an_object")
    ]
    assert cast.problems("text", [b"\xff[]"], json="list") == ["not_utf8"]


@pytest.mark.parametrize("text", ['[{"q": NaN}]', "[Infinity]", "[1,]", "[" * 3000 + "]" * 3000])
def test_json_that_meta_could_not_read_is_no_json(cast: Caster, text: str) -> None:
    assert cast.problems("text", [text], json="list") == ["not_json"]


# What nobody thought of


def test_a_column_that_did_not_land_is_null_without_a_problem() -> None:
    missing = absent(column("time"), 2)
    assert missing.values == pa.nulls(2, UTC_MICROSECONDS)
    assert missing.problems.null_count == 2


def test_an_unforeseen_type_costs_its_column_only(cast: Caster) -> None:
    months = pa.array([(1, 2, 3), None], pa.month_day_nano_interval())
    assert cast.problems("text", months) == ["unknown_type", None]
    assert cast.problems("money", months) == ["unknown_type", None]


STRANGE: dict[str, pa.Array] = {
    "float16": pa.array([np.float16(1), None]),
    "time of day": pa.array([1, None], pa.time64("us")),
    "duration": pa.array([1, None], pa.duration("s")),
    "struct": pa.array([{"a": 1}, None]),
    "nested": pa.array([[[{"a": [b"\xff"]}]], None]),
    "extreme": pa.array([-(2**63), 2**63 - 1]),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["x"])),
    "fixed bytes": pa.array([b"\xff\xfe", None], pa.binary(2)),
    "dictionary of bytes": pa.array([b"\xff", None]).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("values", STRANGE.values(), ids=STRANGE)
def test_no_type_raises(cast: Caster, kind: str, values: pa.Array) -> None:
    assert len(cast(kind, values).values) == len(values)


@given(st.lists(st.text(max_size=12) | st.none(), max_size=8), st.sampled_from(sorted(TYPES)))
@settings(max_examples=80, deadline=None)
def test_no_text_raises_and_every_value_is_cast_or_a_problem(
    cast: Caster, texts: list[str | None], kind: str
) -> None:
    made = cast(kind, texts, pa.string())
    for text, value, problem in zip(texts, made.values, made.problems, strict=True):
        given_at_all = text is not None and bool(text.strip())
        assert given_at_all == (value.is_valid or problem.is_valid) or kind == "text"
