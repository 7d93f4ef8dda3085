"""Of page addresses and JSON columns, only known keys and harmless values are stored and sent."""

from __future__ import annotations

from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capi_assets.ingest import free_text
from capi_assets.ingest.free_text import NO_OWN_KEYS, reduced_json, reduced_urls
from capi_assets.settings import Settings

SHOP = "https://shop.example/checkout"
REMOVED = "contact_removed"


def url(text: str, own: frozenset[str] = NO_OWN_KEYS) -> tuple[str, str | None]:
    values, entries = reduced_urls(pa.array([text]), "page_url", own)
    return values[0].as_py(), entries[0].as_py()


def document(
    value: Any, column: str = "custom_data", own: frozenset[str] = NO_OWN_KEYS
) -> tuple[Any, str | None]:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    values, entries = reduced_json(pa.array([text]), column, own)
    return orjson.loads(values[0].as_py()), entries[0].as_py()


@pytest.mark.parametrize(
    ("given", "left", "entries"),
    [
        ("?vorname=J%C3%BCrgen&utm_source=fb", "?utm_source=fb", ["vorname:key_removed"]),
        ("?page=1&nom=Lef%C3%A8vre&size=4", "?page=1&size=4", ["nom:key_removed"]),
        ("?t%C3%A9l%C3%A9phone=0612345678", "", ["téléphone:key_removed"]),
        ("?apellido=Garc%C3%ADa;sku=A1", "?sku=A1", ["apellido:key_removed"]),
        ("?form%5Bsoyad%C4%B1%5D=Y%C4%B1lmaz&fbclid=IwAR0aB", "?fbclid=IwAR0aB", [":key_removed"]),
        ("?utm_term=jo%2540shop.example&page=2", "?page=2", [f"utm_term:{REMOVED}"]),
        ("?sku=%2B1+650+555+1212", "", [f"sku:{REMOVED}"]),
        ("?utm_content=a%3Fnome%3DAna", "", [f"utm_content:{REMOVED}"]),
        ("#e-mail=jo@shop.example", "", ["fragment:key_removed"]),
        ("/u/jo@shop.example/orders", "/u/removed/orders", [f"path:{REMOVED}"]),
        ("/J%C3%BCrgen%20M%C3%BCller;nome=Ana", "/removed", [f"path:{REMOVED}"]),
        ("/call/+16505551212?Size=4", "/call/removed?Size=4", [f"path:{REMOVED}"]),
        ("?x=1&vorname=Jo", "", ["x:key_removed", "vorname:key_removed"]),
    ],
)
def test_an_address_keeps_its_path_and_known_parameters(
    given: str, left: str, entries: list[str]
) -> None:
    names = " ".join(f"page_url.{each}".replace(".:", ":") for each in entries)
    assert url(SHOP + given) == (SHOP + left, names)
    assert url(SHOP + left) == (SHOP + left, None)


@pytest.mark.parametrize("who", ["https://me:secret@shop.example/x", "https://me@shop.example/x"])
def test_credentials_leave_an_address(who: str) -> None:
    assert url(who)[0] == "https://shop.example/x"


@pytest.mark.parametrize(
    "address",
    [
        f"{SHOP}?utm_source=fb&fbclid=IwAR0aBcD_-x&gclid=1&utm_campaign=summer+sale",
        f"{SHOP}?utm_content=120208123456789012&UTM_Medium=cpc",
        "https://shop.example/@brand/shoes/caf%C3%A9",
        "https://maps.example/@48.137,11.575,12z",
        "https://cdn.example/pkg@1.2.3/x",
        "android-app://com.google.android.googlequicksearchbox/",
        "shop.example/x",
        "",
    ],
)
def test_a_harmless_address_is_kept_to_the_byte(address: str) -> None:
    assert url(address) == (address, None)


@pytest.mark.parametrize(
    ("column", "given", "left", "entries"),
    [
        ("custom_data", {"value": 1, "Vorname": "Jo"}, {"value": 1}, "Vorname:key_removed"),
        ("custom_data", {"status": {"soyadı": "Su"}}, {"status": {}}, "soyadı:key_removed"),
        ("custom_data", {"Ana Silva": 1}, {}, ":key_removed"),
        ("custom_data", {"k17101234567": 1}, {}, ":key_removed"),
        ("custom_data", {"content_name": "for jo@x.example"}, {}, f"content_name:{REMOVED}"),
        ("custom_data", {"search_string": "0171 234 56 78"}, {}, f"search_string:{REMOVED}"),
        ("custom_data", {"search_string": 491712345678}, {}, f"search_string:{REMOVED}"),
        ("custom_data", {"content_category": "a " * 200}, {}, f"content_category:{REMOVED}"),
        ("custom_data", {"status": "call +49 171 2345678"}, {}, f"status:{REMOVED}"),
        ("custom_data", {"status": "?nome=Ana"}, {}, f"status:{REMOVED}"),
        ("content_ids", ["A", "Ana Silva", 5], ["A", 5], f"content_ids:{REMOVED}"),
        ("contents", [{"id": "A", "nome": "Ana"}], [{"id": "A"}], "nome:key_removed"),
        ("contents", [{"id": "a@b.example"}, {"id": "B"}], [{"id": "B"}], f"id:{REMOVED}"),
        ("app_data", {"vendor_id": "x", "nome": "Ana"}, {"vendor_id": "x"}, "nome:key_removed"),
        ("app_data", {"extinfo": ["a2", "a@b.cc"]}, {"extinfo": ["a2", ""]}, f"extinfo:{REMOVED}"),
        ("app_data", *({"install_referrer": f"pid=1{n}"} for n in ("&a=J", "")), "a:key_removed"),
        ("user_data", {"page_id": 1, "em": "a@b.example"}, {"page_id": 1}, "em:key_removed"),
    ],
)
def test_of_json_known_keys_and_harmless_values_remain(
    column: str, given: Any, left: Any, entries: str
) -> None:
    name = f"{column}.{entries}".replace(".:", ":")
    assert document(given, column) == (left, name)
    assert document(left, column) == (left, None)


def test_what_metas_pages_name_stays_as_it_is() -> None:
    known = {
        "value": 9.5,
        "content_name": "Linen shirt, size 42 (new!)",
        "content_category": "Men > Shirts",
        "content_type": "product",
        "contents": [
            {"id": "978-3-16-148410-0", "quantity": 2, "item_price": 1.5, "brand": "Müller & Co"}
        ],
        "content_ids": ["4006381333931", "Shirt L"],
        "search_string": "red shoes 2026",
        "store_data": {"store_code": "9", "store_page_id": 4},
        "travel_start": "2026-11-20T10:00:00+01:00",
        "original_event_data": {"event_id": "Purchase:17", "event_time": 1795181825},
    }
    assert document(known) == (known, None)
    app = {"extinfo": ["a2", "com.x", "", "", "14", "Pixel 9 Pro"], "receipt_data": "aB+/" * 999}
    assert document(app, "app_data") == (app, None)


def test_a_key_that_is_there_twice_is_stored_once() -> None:
    text = '{"content_name":"jo@shop.example","content_name":"Shoe"}'
    assert reduced_json(pa.array([text]), "custom_data", NO_OWN_KEYS)[0].to_pylist() == [
        '{"content_name":"Shoe"}'
    ]


def test_own_keys_are_added_and_known_ones_taken_out() -> None:
    own = frozenset({"margin", "-search_string"})
    given_ = {"margin": "12 %", "search_string": "x", "note": "y", "content_name": "Shoe"}
    left = {"margin": "12 %", "content_name": "Shoe"}
    assert document(given_, own=own)[0] == left
    assert document({"margin": "jo@shop.example"}, own=own) == ({}, f"custom_data.margin:{REMOVED}")
    assert url(f"{SHOP}?margin=2&gtm=3", own)[0] == f"{SHOP}?margin=2"


def test_no_more_than_eight_keys_of_a_value_are_named() -> None:
    left, entries = document({f"k{n}": n for n in range(500)})
    assert left == {}
    assert entries is not None
    assert len(entries.split()) == 9


@pytest.mark.parametrize("depth", [300, 1000])
def test_json_too_deep_to_go_through_is_dropped_and_does_not_fail_the_hour(depth: int) -> None:
    text = "[" * depth + '"jo@shop.example"' + "]" * depth
    values, entries = reduced_json(pa.array([text]), "contents", NO_OWN_KEYS)
    assert values.to_pylist() == [None]
    assert entries.to_pylist() == ["contents:key_removed"]


def test_a_long_text_takes_no_time() -> None:
    path = "a" * 1_000_000
    assert url(f"{SHOP}/{path}?x=@{path}") == (f"{SHOP}/{path}", "page_url.x:key_removed")


def test_absent_values_stay_absent() -> None:
    urls = pa.chunked_array([[None, f"{SHOP}?email=jo@shop.example"], []], pa.string())
    values, entries = reduced_urls(urls, "page_url", NO_OWN_KEYS)
    assert values.to_pylist() == [None, SHOP]
    assert entries.to_pylist() == [None, "page_url.email:key_removed"]


words = st.sampled_from(
    [*"&?;#=/%:", "vorname", "utm_source", "fbclid", "jo@x.example", "+49171234567", "\x01", "%3D"]
)
PERSON = "Yıldız Öztürk"


@given(st.lists(words | st.text(max_size=3), max_size=12).map("".join), st.booleans())
@example("?=?", True)
def test_no_parameter_of_an_unknown_name_passes(rest: str, first: bool) -> None:
    mark = "?" if first else "&"
    left, entries = url(f"https://shop.example/{rest}{mark}soyad={PERSON}")
    assert PERSON not in left
    assert "jo@x.example" not in left
    assert entries is not None
    assert url(left)[0] == left


members = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**53), 2**53)
    | st.sampled_from(["A-1", "Linen shirt", "0171 2345678", "Ana Silva", "a=b", "x" * 300])
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "title", "content_name", "value", "vorname", "a"]) | st.text(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["contents", "title", "status", "nome"]), members))
def test_the_pattern_for_whole_columns_accepts_nothing_that_would_be_changed(value: Any) -> None:
    keys = free_text._keys_of("custom_data", NO_OWN_KEYS)
    text = orjson.dumps(value).decode()
    if pc.match_substring_regex(pa.scalar(text), free_text._harmless_json(keys)).as_py():
        removed: list[Any] = []
        assert free_text._reduced(value, "custom_data", keys, removed) == value
        assert removed == []
    else:
        left, entries = document(text)
        assert document(left) == (left, None)
        assert (left == value) == (entries is None)


def test_the_lists_have_each_key_once_and_the_setting_is_off_by_default() -> None:
    for keys in free_text._TABLE.values():
        assert len(keys) == len(set(keys))
    assert free_text._TEXTS | set(free_text._TABLE["ids"]) <= free_text._CUSTOM_DATA
    assert Settings().custom_data_keys is None
