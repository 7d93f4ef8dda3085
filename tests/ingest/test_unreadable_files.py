"""A file that cannot be read is refused whole, with a reason and without a word of its own."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.ingest import readers
from capi_assets.ingest.readers import UnreadableFile, read_rows
from tests.helpers.factories import encoded
from tests.ingest.test_readers import FORMATS, HEADER, refusal, rows_of

SECRET = "ana.silva@example.com"


OPEN_QUOTES = {
    "to the end": b'1,a@x,1\n2,"b@x,2\n3,c@x,3\n',
    "to the next quote": b'1,a@x,1\n2,"b@x,2\n3,"c@x",3\n4,d@x,4\n',
    "over the end of a row": b'1,a@x,1\n2,b@x,"2\n3,c@x,"3"\n4,d@x,4\n',
    "twice": b'1,a@x,1\n2,b@x,"2\n3,c@x,"3\n4,d@x,4\n',
    "in the last row": b'1,a@x,1\n2,b@x,2\n3,c@x,"3\n',
    "in a row half written": b'1,a@x,1\n2,b@x,2\n3,"c@',
    "in a last value half written": b'1,a@x,1\n2,b@x,2\n3,c@x,"3',
}


@pytest.mark.parametrize("content", OPEN_QUOTES.values(), ids=OPEN_QUOTES)
def test_an_open_quote_never_swallows_rows(content: bytes) -> None:
    reason, words = refusal("a.csv", HEADER + content)
    assert reason == "broken_csv"
    assert ("line 3" in words) or ("line 4" in words) or "quote left open" in words


def test_the_line_of_an_open_quote_is_named() -> None:
    assert "line 3 " in refusal("a.csv", HEADER + OPEN_QUOTES["twice"])[1]


def test_a_quote_inside_a_value_is_a_sign() -> None:
    assert rows_of("a.csv", HEADER + b'1,5" tv,2\n')[0]["email"] == '5" tv'


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_truncated_gzip_is_refused_whole(name: str) -> None:
    data = encoded(name, [{"order_id": f"o{i}", "email": SECRET} for i in range(500)])
    for broken in (data[: len(data) // 2], data[:-4], b"", data[:5], SECRET.encode()):
        assert refusal(name, broken) == ("broken_gzip", "not a complete gzip file")


def test_a_truncated_parquet_is_refused_whole() -> None:
    data = encoded("a.parquet", [{"order_id": "o1", "email": SECRET}])
    for broken in (data[: len(data) // 2], data[:-1], b"", b"PAR1", SECRET.encode(), data[4:]):
        assert refusal("a.parquet", broken) == ("broken_parquet", "not a complete Parquet file")


def test_a_repeated_column_is_refused_without_showing_it() -> None:
    data = f"{SECRET},o1,{SECRET}\n".encode()
    reason, words = refusal("a.csv", data)
    assert (reason, words) == ("repeated_column", "columns 1 and 3 have one name")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"x" * 2**20 + b"\n1\n", id="a megabyte for a header"),
        pytest.param(b'"order_id,email\no1,a@x\n', id="an open quote in the header"),
        pytest.param(b'"order\nid",email\no1,a@x\n', id="a newline in the header"),
    ],
)
def test_a_first_line_that_is_no_header_is_refused(data: bytes) -> None:
    assert refusal("a.csv", data) == ("broken_csv", "the first line is no header")


def test_objects_with_data_for_keys_are_refused() -> None:
    data = "\n".join(json.dumps({f"user {i}": 1}) for i in range(readers.MAX_COLUMNS + 1)).encode()
    assert refusal("a.jsonl", data)[0] == "too_many_columns"


def test_a_file_beyond_two_gigabytes_asks_to_be_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_BYTES", 100)
    data = encoded("a.csv", [{"order_id": f"o{i}"} for i in range(100)])
    assert refusal("a.csv", data)[0] == "too_large"
    assert refusal("a.csv.gz", gzip.compress(data))[0] == "too_large"


@given(st.binary(max_size=200), st.sampled_from(FORMATS))
@settings(max_examples=150, deadline=None)
def test_no_bytes_do_more_than_be_refused(data: bytes, name: str) -> None:
    try:
        found = read_rows(name, data)
    except UnreadableFile:
        return
    assert len(found.lines) == found.table.num_rows


@given(st.binary(max_size=60), st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_no_bytes_in_a_csv_do_more_than_be_refused(noise: bytes, place: int) -> None:
    good = HEADER + b'1,"a@x",2\n2,b@x,3\n3,c@x,4\n'
    message = ""
    try:
        found = read_rows("a.csv", good[:place] + noise + good[place:])
        assert len(found.lines) == found.table.num_rows
    except UnreadableFile as error:
        message = str(error)
    assert "@" not in message
