"""Contact data in URLs and JSON is removed before anything is stored, and nothing else is."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.ingest.pii_scan import without_stray_contacts

SHOP = "https://shop.example/checkout"


def cleaned(text: str, column: str = "url") -> tuple[str, str | None]:
    rows = pa.table({column: pa.chunked_array([[text]], pa.string())})
    urls, json_texts = (["url"], []) if column == "url" else ([], ["json"])
    values, problems = without_stray_contacts(rows, urls, json_texts)
    return values[column][0].as_py(), problems[column][0].as_py()


@pytest.mark.parametrize(
    ("url", "left"),
    [
        (f"{SHOP}?email=jo@shop.example&utm_source=fb", f"{SHOP}?utm_source=fb"),
        (f"{SHOP}?utm_source=fb&u=jo%40shop.example#top", f"{SHOP}?utm_source=fb#top"),
        (f"{SHOP}?a=1&next=%2Fx%3Fe%3Djo%2540shop.example", f"{SHOP}?a=1"),
        (f"{SHOP}?phone=16505551212&fbclid=IwAR0aB", f"{SHOP}?fbclid=IwAR0aB"),
        (f"{SHOP}?c=%2B1+650+555+1212&b=2", f"{SHOP}?b=2"),
        (f"{SHOP}?form[email]=x%40y.example", SHOP),
        (f"{SHOP}?billing%5Bphone%5D=0612345678&fbclid=IwAR0aB", f"{SHOP}?fbclid=IwAR0aB"),
        (f"{SHOP}?form%255Btel%255D=0612345678&x=1", f"{SHOP}?x=1"),
        (f"{SHOP}?u=jo@b\u00fccher.example&x=1", f"{SHOP}?x=1"),
        (f"{SHOP}?firstName=Zoe;lname=Doe;size=4", f"{SHOP}?size=4"),
        (f"{SHOP}?billing_first_name=Zoe&x=1", f"{SHOP}?x=1"),
        (f"{SHOP}#email=jo@shop.example", SHOP),
        ("https://shop.example/u/jo@shop.example/orders", "https://shop.example/u/removed/orders"),
        ("https://shop.example/call/+16505551212", "https://shop.example/call/removed"),
        ("https://me:secret@shop.example/x", "https://shop.example/x"),
        ("//me@shop.example/x", "//shop.example/x"),
    ],
)
def test_contact_data_leaves_an_address(url: str, left: str) -> None:
    assert cleaned(url) == (left, "contact_removed")
    assert cleaned(left) == (left, None)


@pytest.mark.parametrize(
    "url",
    [
        f"{SHOP}?utm_source=fb&fbclid=IwAR0aBcD_-x&gclid=1&a=&a=2",
        "https://shop.example/@brand/shoes",
        "https://maps.example/@48.137,11.575,12z",
        f"{SHOP}?q=mail+order&range=1+2&date=2026-11-20T10:00:00%2B01:00",
        f"{SHOP}?em={'a' * 64}",
        f"{SHOP}?email=",
        f"{SHOP}?product_name=Tee&emblem=1&phrase=2",
        "android-app://com.google.android.googlequicksearchbox/",
        "not an address at all",
        "",
    ],
)
def test_an_address_without_contact_data_is_kept_to_the_byte(url: str) -> None:
    assert cleaned(url) == (url, None)


def test_members_of_json_that_hold_contact_data_are_taken_out() -> None:
    given_ = {
        "search_string": "jo@shop.example",
        "email": "x",
        "phone": 16505551212,
        "note": "call +16505551212",
        "nested": [{"contact": "+1 650 555 1212", "id": "A"}, "a@b.example", 4],
        "em": "b" * 64,
        "content_name": "Mail-order shoes",
    }
    left, problem = cleaned(orjson.dumps(given_).decode(), "json")
    assert problem == "contact_removed"
    assert orjson.loads(left) == {
        "note": "call +16505551212",
        "nested": [{"id": "A"}, 4],
        "em": "b" * 64,
        "content_name": "Mail-order shoes",
    }


def test_json_without_contact_data_is_kept_to_the_byte() -> None:
    text = '{"b": 1,  "a":[{"id":"x@2"}], "emails_sent": 4}'
    assert cleaned(text, "json") == (text, None)


@pytest.mark.parametrize(
    "member",
    [
        '"jo@shop.example": 1',
        r'"e": "jo\u0040shop.example"',
        '"page": "https://shop.example/?email=jo%40shop.example"',
        '"call": "%2B16505551212"',
        '"customer.phone": "0612345678"',
        '"billing[phone]": "0612345678"',
        '"phone": ["0612345678"]',
    ],
)
def test_contact_data_in_other_guises_is_taken_out_of_json(member: str) -> None:
    assert cleaned(f'{{{member}, "id": "A"}}', "json") == ('{"id":"A"}', "contact_removed")


@pytest.mark.parametrize("depth", [300, 1000])
def test_json_too_deep_to_go_through_is_dropped_and_does_not_fail_the_hour(depth: int) -> None:
    text = "[" * depth + '"jo@shop.example"' + "]" * depth
    rows = pa.table({"json": pa.chunked_array([[text]])})
    values, problems = without_stray_contacts(rows, [], ["json"])
    assert values["json"].to_pylist() == [None]
    assert problems["json"].to_pylist() == ["contact_removed"]


def test_a_long_text_takes_no_time_and_a_version_is_no_e_mail() -> None:
    path = "a" * 1_000_000
    for text in (f"{path}?x=@", "https://cdn.example/pkg@1.2.3/x"):
        assert cleaned(text) == (text, None)


def test_absent_values_stay_absent() -> None:
    rows = pa.table({"url": pa.chunked_array([[None, f"{SHOP}?email=jo@shop.example"], []])})
    values, problems = without_stray_contacts(rows, ["url"])
    assert values["url"].to_pylist() == [None, SHOP]
    assert problems["url"].to_pylist() == [None, "contact_removed"]


@given(st.text(max_size=60), st.sampled_from(["", "?", "?a=", "#", "/", "?x=1&y=", "//"]))
def test_no_address_raises_and_none_keeps_an_e_mail(rest: str, mark: str) -> None:
    left, _ = cleaned(f"https://shop.example{mark}jo.doe@mail.example{rest}")
    assert "jo.doe@mail.example" not in left
    assert cleaned(left)[0] == left
