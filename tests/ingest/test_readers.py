"""Bytes of any format become the same rows, and broken bytes cost no more than they must."""

from __future__ import annotations

import csv
import gzip
import io
import json
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.ingest.readers import BadLine, UnreadableFile, read_rows
from tests.helpers.factories import encoded

FORMATS = ("a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet")
HEADER = b"order_id,email,value\n"
SECRET = "ana.silva@example.com"


def rows_of(name: str, data: bytes) -> list[dict[str, Any]]:
    return list(read_rows(name, data).table.to_pylist())


def lines_of(name: str, data: bytes) -> list[int]:
    return list(read_rows(name, data).lines.to_pylist())


def refusal(name: str, data: bytes) -> tuple[str, str]:
    with pytest.raises(UnreadableFile) as error:
        read_rows(name, data)
    return error.value.reason, str(error.value)


# What lands well


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(name: str) -> None:
    rows: list[dict[str, Any]] = [
        {"order_id": "o1", "email": "ção@x.pt", "note": 'two\nlines, "quoted" and a ; too'},
        {"order_id": "o2", "email": None, "note": " "},
        {"order_id": "o3", "email": "c@x.pt", "note": None},
    ]
    assert rows_of(name, encoded(name, rows)) == rows


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_array_gives_the_rows_of_json_lines(name: str, indent: int | None) -> None:
    rows = [{"order_id": "o1", "items": [{"id": "ção"}], "n": 2**80}, {"order_id": "o2"}]
    array = json.dumps(rows, indent=indent).encode()
    packed = gzip.compress(array) if name.endswith(".gz") else array
    assert rows_of(name, packed) == rows_of("a.jsonl", encoded("a.jsonl", rows))
    assert lines_of(name, packed) == [1, 2]


def test_an_element_that_is_no_object_costs_only_itself() -> None:
    found = read_rows("a.json", b'[{"order_id": "o1"}, null, 5, {"order_id": "o2"}]')
    assert found.lines.to_pylist() == [1, 4]
    assert [(bad.line, bad.reason) for bad in found.bad_lines] == [(2, "not_json"), (3, "not_json")]
    assert rows_of("a.json", b" [ ] ") == []


def test_an_array_that_was_cut_off_is_refused_with_the_remedy() -> None:
    reason, message = refusal("a.json", b'[{"order_id": "o1"},\n{"order_id": "o')
    assert reason == "broken_json"
    assert "one object per line" in message


values = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=20)


@given(st.lists(st.fixed_dictionaries({"id": values.map("x{}".format), "b": values})))
@settings(max_examples=60, deadline=None)
def test_csv_and_json_lines_give_what_was_written(rows: list[dict[str, str]]) -> None:
    wanted = [{name: value or None for name, value in row.items()} for row in rows]
    null_word = [{n: None if v == "\\N" else v for n, v in row.items()} for row in wanted]
    assert rows_of("a.jsonl", encoded("a.jsonl", rows)) == wanted
    if rows:
        assert rows_of("a.csv", encoded("a.csv", rows)) == null_word


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    data = "order_id,email\no1,a@x\n".replace(",", delimiter).encode()
    assert rows_of("a.csv", data) == [{"order_id": "o1", "email": "a@x"}]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_lines_end_as_they_do_anywhere(newline: bytes, bom: bytes) -> None:
    data = bom + b"order_id,email\no1,a@x\n\no2,b@x\n".replace(b"\n", newline)
    assert rows_of("a.csv", data) == [
        {"order_id": "o1", "email": "a@x"},
        {"order_id": "o2", "email": "b@x"},
    ]
    assert lines_of("a.csv", data) == [2, 4]


def test_json_lines_end_as_they_do_anywhere() -> None:
    data = b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n{"a": 2}'
    assert (rows_of("a.jsonl", data), lines_of("a.jsonl", data)) == (
        [{"a": "1"}, {"a": "2"}],
        [1, 4],
    )


def test_header_names_lose_their_spaces_and_nameless_columns_get_a_name() -> None:
    assert rows_of("a.csv", b' order_id ,"email",,\no1,a@x,,9\n') == [
        {"order_id": "o1", "email": "a@x", "column 3": None, "column 4": "9"}
    ]


def test_empty_text_and_backslash_n_are_absent() -> None:
    assert rows_of("a.csv", HEADER + b'1,,\\N\n2,"","\\N"\n') == [
        {"order_id": "1", "email": None, "value": None},
        {"order_id": "2", "email": None, "value": None},
    ]
    assert rows_of("a.jsonl", b'{"a": "", "b": null, "c": 1}') == [{"a": None, "b": None, "c": "1"}]


def test_json_values_come_as_they_are_written() -> None:
    data = (
        b'{"n": 49.9, "big": 12345678901234567890, "t": true, "l": [{"id": "A", "q": 1}],'
        b' "o": {"x": null}, "odd/~\'name": "v", "nul": "a\\u0000b"}'
    )
    assert rows_of("a.jsonl", data) == [
        {
            "n": "49.9",
            "big": "12345678901234567890",
            "t": "true",
            "l": '[{"id":"A","q":1}]',
            "o": '{"x":null}',
            "odd/~'name": "v",
            "nul": "a\0b",
        }
    ]


def test_objects_may_have_different_keys() -> None:
    assert rows_of("a.jsonl", b'{"a": 1}\n{}\n{"b": 2}\n') == [
        {"a": "1", "b": None},
        {"a": None, "b": None},
        {"a": None, "b": "2"},
    ]


def test_parquet_values_keep_their_types_and_rows_their_numbers() -> None:
    table = pa.table({"id": [1, 2], "tags": [["a"], []]})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    found = read_rows("a.parquet", sink.getvalue())
    assert found.table == table
    assert found.lines.to_pylist() == [1, 2]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_has_no_rows(name: str, data: bytes) -> None:
    found = read_rows(name, gzip.compress(data) if name.endswith(".gz") else data)
    assert (found.table.num_rows, found.bad_lines) == (0, [])


@pytest.mark.parametrize("data", [b"order_id,email", b"order_id,email\n", b"order_id,email\r\n"])
def test_a_header_alone_has_its_columns_and_no_rows(data: bytes) -> None:
    found = read_rows("a.csv", data)
    assert (found.table.column_names, found.table.num_rows) == (["order_id", "email"], 0)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_megabyte_in_one_field_is_a_value(name: str) -> None:
    long = "x" * 2**20
    rows = [{"order_id": "o1", "email": long}, {"order_id": "o2", "email": "b@x"}]
    assert rows_of(name, encoded(name, rows)) == rows


def test_a_megabyte_with_newlines_in_quotes_is_a_value() -> None:
    rows = [{"order_id": "o1", "email": "x\n" * 2**19}]
    assert rows_of("a.csv", encoded("a.csv", rows)) == rows
    assert csv.field_size_limit() < 2**20


# Lines that are no rows


def test_lines_with_too_few_or_too_many_columns_are_named_and_the_others_go_on() -> None:
    data = HEADER + b'1,"a\nb",2\n2,b@x\n\n3,c@x,4\n5,d,6,7\n   \n6,e,7'
    found = read_rows("a.csv", data)
    assert found.table.column("order_id").to_pylist() == ["1", "3", "6"]
    assert found.lines.to_pylist() == [2, 6, 9]
    assert found.bad_lines == [
        BadLine(4, "not_a_row", "2 of 3 columns"),
        BadLine(7, "not_a_row", "4 of 3 columns"),
    ]


def test_blank_lines_before_the_header_are_counted() -> None:
    found = read_rows("a.csv", b"\n\r\norder_id,email\no1,a@x\no2\n")
    assert found.lines.to_pylist() == [4]
    assert found.bad_lines == [BadLine(5, "not_a_row", "1 of 2 columns")]


def test_half_written_json_costs_its_line() -> None:
    found = read_rows("a.jsonl", b'{"a": 1}\n{"a": 2, "b\n[1]\nnull\n"x"\n{"a": 3}')
    assert found.table.to_pylist() == [{"a": "1"}, {"a": "3"}]
    assert found.lines.to_pylist() == [1, 6]
    assert [(bad.line, bad.reason) for bad in found.bad_lines] == [
        (2, "not_json"),
        (3, "not_json"),
        (4, "not_json"),
        (5, "not_json"),
    ]


def test_json_without_one_good_line_has_no_rows() -> None:
    found = read_rows("a.jsonl", b'{"a": 1')
    assert (found.table.num_rows, len(found.bad_lines)) == (0, 1)


LINES = {
    "good": "i,v\n",
    "tall": 'i,"v\nv\nv"\n',
    "short": "i\n",
    "long": "i,v,w\n",
    "short and tall": '"i\ni"\n',
    "blank": "\n",
}


@given(st.lists(st.sampled_from(sorted(LINES)), max_size=12))
@settings(max_examples=80, deadline=None)
def test_every_row_and_every_bad_line_is_counted_at_its_line(kinds: list[str]) -> None:
    starts = accumulate((LINES[kind].count("\n") for kind in kinds), initial=2)
    placed = list(zip(kinds, starts, strict=False))
    found = read_rows("a.csv", "".join(["id,b\n", *(LINES[kind] for kind in kinds)]).encode())
    assert found.lines.to_pylist() == [at for kind, at in placed if kind in ("good", "tall")]
    bad = [at for kind, at in placed if kind not in ("good", "tall", "blank")]
    assert [entry.line for entry in found.bad_lines] == bad


# Text that is not UTF-8


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", HEADER + b"1,jo\xe3o@x,2\n2,b@x,3\n"),
        (
            "a.jsonl",
            b'{"order_id": "1", "email": "jo\xe3o@x", "value": "2"}\n'
            b'{"order_id": "2", "email": "b@x", "value": "3"}\n',
        ),
    ],
)
def test_a_value_that_is_not_utf8_costs_the_value(name: str, data: bytes) -> None:
    found = read_rows(name, data)
    assert found.table.to_pylist() == [
        {"order_id": "1", "email": None, "value": "2"},
        {"order_id": "2", "email": "b@x", "value": "3"},
    ]
    assert found.not_utf8 == {"email": [0]}


def test_a_row_whose_only_value_is_not_utf8_is_still_a_row() -> None:
    found = read_rows("a.csv", b"a,b\n\xe9,\n,\nx,y\n")
    assert found.lines.to_pylist() == [2, 4]
    assert found.not_utf8 == {"a": [0]}


def test_a_short_row_that_is_not_utf8_is_a_bad_line(recwarn: pytest.WarningsRecorder) -> None:
    found = read_rows("a.csv", HEADER + b"1,a@x,2\n2,b\xe9@x\n3,c@x,4\n")
    assert found.lines.to_pylist() == [2, 4]
    assert found.bad_lines == [BadLine(3, "not_a_row", "2 of 3 columns")]
    assert not recwarn


def test_a_whole_file_in_latin_1_loses_only_the_values_it_garbles() -> None:
    rows = [{"order_id": f"o{i}", "email": "joão@x", "city": "Faro"} for i in range(50)]
    data = encoded("a.csv", rows).decode().encode("latin-1")
    found = read_rows("a.csv", data)
    assert found.not_utf8 == {"email": list(range(50))}
    assert found.table.column("city").to_pylist() == ["Faro"] * 50


def test_a_replacement_sign_in_good_utf8_is_a_sign() -> None:
    assert rows_of("a.csv", "a\n\ufffd\n".encode()) == [{"a": "\ufffd"}]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_utf_16_is_refused_by_name(name: str, encoding: str) -> None:
    data = 'order_id,email\no1,"a@x"\n'.encode(encoding)
    assert refusal(name, data) == ("not_utf8", "the file is UTF-16; save it as UTF-8")


def test_nul_bytes_are_part_of_a_value() -> None:
    assert rows_of("a.csv", HEADER + b"1,a\0b,2\n")[0]["email"] == "a\0b"
