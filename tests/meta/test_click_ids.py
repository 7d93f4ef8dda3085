"""fbc, fbp, fbclid and the customer's address: passed on, mended where sure, never made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.meta.match_keys.click_ids import (
    fbc_column,
    fbclid_from_url_column,
    fbp_column,
    ip_column,
)

TIME = pa.timestamp("us", tz="UTC")
MADE = datetime(2024, 2, 28, 16, 2, 47, 115_000, tzinfo=UTC)  # 1709136167115
LATER = MADE + timedelta(hours=1)
FBC = "fb.1.1709136167115.IwAR2F4"
DAYS_90 = timedelta(seconds=7_776_000)


def fbc_of(fbc=None, fbclid=None, first_seen=None, **row_time):
    """fbc, fbclid and problem of a single row."""
    times = {name: pa.array([value], TIME) for name, value in row_time.items()}
    found = fbc_column(
        pa.array([fbc], pa.string()),
        pa.array([fbclid], pa.string()),
        pa.array([first_seen], TIME),
        **times,
    )
    return tuple(column[0].as_py() for column in found)


def checked(column, value):
    return tuple(part[0].as_py() for part in column(pa.array([value], pa.string())))


class TestFbc:
    @pytest.mark.parametrize(
        ("fbc", "click"),
        [
            (
                "fb.1.1554763741205.AbCdEfGhIjKlMnOpQrStUvWxYz1234567890",
                "AbCdEfGhIjKlMnOpQrStUvWxYz1234567890",
            ),
            ("fb.1.1709136167115.IwAR2F4.AQICAQMC", "IwAR2F4"),
            ("fb.1.1709136167115.IwAR2F4.Bg", "IwAR2F4"),
            ("fb.2.1709136167115.IwAR2F4-dbP0_x", "IwAR2F4-dbP0_x"),
        ],
    )
    def test_a_cookie_is_passed_on_unchanged(self, fbc, click):
        assert fbc_of(fbc) == (fbc, click, None)
        assert fbc_of(f" {fbc}\n") == (fbc, click, None)

    def test_a_click_id_becomes_fbc_with_the_time_it_was_first_seen(self):
        seen = datetime(2024, 2, 28, 16, 22, 47, 115_999, tzinfo=UTC)
        made = ("fb.1.1709137367115.IwAR2F4-dbP0", "IwAR2F4-dbP0", None)
        assert fbc_of(fbclid="IwAR2F4-dbP0", first_seen=seen) == made
        assert fbc_of(fbc="IwAR2F4-dbP0", first_seen=seen) == made

    def test_a_column_of_click_ids_may_hold_the_whole_cookie(self):
        assert fbc_of(fbclid=FBC, row_time=LATER) == (FBC, "IwAR2F4", None)
        assert fbc_of(FBC, f"{FBC}9", LATER) == (FBC, "IwAR2F4", None)

    def test_without_that_time_no_fbc_is_made(self):
        assert fbc_of(fbclid="IwAR2F4") == (None, "IwAR2F4", None)
        assert fbc_of(fbclid="IwAR2F4", row_time=LATER) == (None, "IwAR2F4", None)

    def test_the_same_click_never_gets_a_new_time(self):
        assert fbc_of(FBC, "IwAR2F4", LATER) == (FBC, "IwAR2F4", None)

    @pytest.mark.parametrize(
        ("row", "problem"),
        [
            (LATER - timedelta(minutes=6), "click_after_event"),
            (LATER + timedelta(days=91), "click_too_old"),
        ],
    )
    def test_a_click_id_seen_at_no_time_that_fits_the_row_makes_no_fbc(self, row, problem):
        assert fbc_of(None, "IwAR9", LATER, row_time=row) == (None, None, problem)

    def test_a_click_id_that_lost_its_case_does_not_push_out_the_cookie(self):
        assert fbc_of("fb.1.1709136167115.AbCdE", "abcde", LATER) == (
            "fb.1.1709136167115.AbCdE",
            "AbCdE",
            None,
        )

    def test_a_later_click_replaces_the_cookie(self):
        assert fbc_of(FBC, "IwAR9", LATER) == ("fb.1.1709139767115.IwAR9", "IwAR9", None)

    def test_a_click_without_time_leaves_the_cookie_in_place(self):
        assert fbc_of(FBC, "IwAR9", None, row_time=LATER) == (FBC, "IwAR9", None)

    @pytest.mark.parametrize(
        ("row", "kept"),
        [
            (MADE, True),
            (MADE - timedelta(minutes=5), True),
            (MADE - timedelta(minutes=5, milliseconds=1), False),
        ],
    )
    def test_a_click_after_the_event_is_dropped_beyond_a_small_skew(self, row, kept):
        found = (FBC, "IwAR2F4", None) if kept else (None, None, "click_after_event")
        assert fbc_of(FBC, row_time=row) == found
        assert fbc_of(FBC, "IwAR2F4", row) == found

    @pytest.mark.parametrize(
        ("row", "kept"),
        [(MADE + DAYS_90, True), (MADE + DAYS_90 + timedelta(milliseconds=1), False)],
    )
    def test_a_click_older_than_90_days_is_dropped_and_not_made_young(self, row, kept):
        found = (FBC, "IwAR2F4", None) if kept else (None, None, "click_too_old")
        assert fbc_of(FBC, row_time=row) == found
        assert fbc_of(FBC, "IwAR2F4", row) == found

    @pytest.mark.parametrize(
        ("row", "found"),
        [
            (LATER, ("fb.1.1709136167000.IwAR2F4.AQICAQMC", "IwAR2F4", None)),
            (None, (None, None, "seconds_not_milliseconds")),
            (MADE + DAYS_90 * 2, (None, None, "seconds_not_milliseconds")),
            (MADE - timedelta(days=1), (None, None, "seconds_not_milliseconds")),
        ],
    )
    def test_seconds_are_repaired_only_where_the_rows_time_confirms_them(self, row, found):
        assert fbc_of("fb.1.1709136167.IwAR2F4.AQICAQMC", row_time=row) == found

    @pytest.mark.parametrize(
        ("fbc", "problem"),
        [
            ("FB.1.1709136167115.iwar2f4", "case_lost"),
            ("fb.1.1709136167115.iwar2f4", "case_lost"),
            ("fb.1.1709136167115.IWAR2F4", "case_lost"),
            ("fb.1.1709136167115.", "not_fbc"),
            ("fb.1.17091361671150.IwAR2F4", "not_fbc"),
            ("fb.1.1709136167115.IwAR2F4.abc", "not_fbc"),
            ("fb.1.1709136167115.Iw AR", "not_a_click_id"),
            ("fb.1.1795700000000.IwAR0%20abc", "not_a_click_id"),
            ("fb.1.1795700000000.{{fbclid}}", "not_a_click_id"),
            ("fb.1.1795700000000.-", "not_a_click_id"),
            ("fb.x.1709136167115.IwAR2F4", "not_fbc"),
            ("fb.1.1709136167115.undefined", "placeholder"),
            ("GA1.2.123.456", "not_fbc"),
            ("undefined", "placeholder"),
            ("fb.1.1709136167115." + "x" * 1_000_000, "too_long"),
        ],
    )
    def test_what_is_no_cookie_is_dropped_with_its_reason(self, fbc, problem):
        assert fbc_of(fbc, row_time=LATER) == (None, None, problem)

    def test_a_broken_cookie_gives_way_to_the_click_id(self):
        made = ("fb.1.1709139767115.IwAR2F4", "IwAR2F4", None)
        assert fbc_of("FB.1.1709136167115.iwar2f4", "IwAR2F4", LATER) == made

    @pytest.mark.parametrize(
        ("fbclid", "problem"),
        [
            ("iwar2f4", "case_lost"),
            ("null", "placeholder"),
            ("Iw.AR", "not_a_click_id"),
            ("Iw AR", "not_a_click_id"),
            ("x" * 3_000, "too_long"),
            (" ", None),
        ],
    )
    def test_a_broken_click_id_makes_no_fbc(self, fbclid, problem):
        assert fbc_of(fbclid=fbclid, first_seen=LATER) == (None, None, problem)

    def test_naive_times_are_utc_and_columns_may_be_chunked(self):
        seen = pa.chunked_array([pa.array([LATER.replace(tzinfo=None)], pa.timestamp("ns"))])
        found = fbc_column(pa.nulls(1), pa.chunked_array([["IwAR9"]]), seen)
        assert found.fbc.to_pylist() == ["fb.1.1709139767115.IwAR9"]


class TestFbp:
    @pytest.mark.parametrize(
        "fbp",
        [
            "fb.1.1596403881668.1116446470",
            "fb.1.1596403881668.123456789012345678",
            "fb.0.1596403881668.1116446470.AQICAQMC",
        ],
    )
    def test_a_cookie_is_passed_on_unchanged(self, fbp):
        assert checked(fbp_column, fbp) == (fbp, None)
        assert checked(fbp_column, f" {fbp} ") == (fbp, None)

    @pytest.mark.parametrize(
        "fbp",
        [
            "GA1.2.123.456",
            "fb.1.1596403881668.11164x6470",
            "fb.1.1596403881.1116446470",
            "FB.1.1596403881668.1116446470",
            "fb.1.1596403881668.١٢٣",
            "fb.1.1596403881668",
        ],
    )
    def test_another_cookie_is_dropped(self, fbp):
        assert checked(fbp_column, fbp) == (None, "not_fbp")

    @pytest.mark.parametrize("fbp", [None, "", "  "])
    def test_none_is_invented(self, fbp):
        assert checked(fbp_column, fbp) == (None, None)


class TestAddress:
    @pytest.mark.parametrize(
        ("ip", "kept"),
        [
            ("2001:0db8:85a3:0000:0000:8a2e:0370:7334", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
            (" 168.212.226.204 ", "168.212.226.204"),
            ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
            ("10.0.0.1, 203.0.113.7", "203.0.113.7"),
            ("unknown, 203.0.113.7", "203.0.113.7"),
            ("198.51.100.4,203.0.113.7", "198.51.100.4"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("168.212.226.204.ABcDEFGh", "168.212.226.204.ABcDEFGh"),
            ("168.212.226.204.AQ", "168.212.226.204.AQ"),
            ("2001:db8::1.AQICAQMC", "2001:db8::1.AQICAQMC"),
            ("203.0.113.7:443", "203.0.113.7"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ('"[2001:db8::1]"', "2001:db8::1"),
            ("203.0.113.7, 2001:db8::1", "203.0.113.7"),
            ("10.0.0.1, 2001:db8::1, 203.0.113.7", "2001:db8::1"),
            ("fe80::1, 203.0.113.7", "203.0.113.7"),
            ("172.15.0.1", "172.15.0.1"),
            ("172.32.0.1", "172.32.0.1"),
        ],
    )
    def test_the_customers_public_address_is_found(self, ip, kept):
        assert checked(ip_column, ip) == (kept, None)

    @pytest.mark.parametrize(
        "ip",
        [
            *("192.168.1.10", "10.1.2.3", "172.16.0.1", "172.31.255.255", "127.0.0.1", "0.0.0.0"),
            *("169.254.0.1", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1"),
            *("::1", "::", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:10.0.0.1"),
            "192.168.1.10.ABcDEFGh",
            "10.0.0.1, 192.168.0.1",
        ],
    )
    def test_private_and_reserved_addresses_are_dropped(self, ip):
        assert checked(ip_column, ip) == (None, "private_ip")

    @pytest.mark.parametrize(
        "ip", ["256.256.256.256", "unknown", "203.0.113", "203.0.113.07", "1:2", "203.0.113.7.12"]
    )
    def test_what_is_no_address_is_dropped(self, ip):
        assert checked(ip_column, ip) == (None, "not_an_ip")

    def test_a_megabyte_is_no_address(self):
        assert checked(ip_column, "1" * 1_000_000) == (None, "too_long")

    @pytest.mark.parametrize("ip", [None, "", " ", ","])
    def test_absent_is_no_problem(self, ip):
        assert checked(ip_column, ip) == (None, None)


class TestFbclidInUrl:
    @pytest.mark.parametrize(
        ("url", "click"),
        [
            ("https://shop.example/?fbclid=IwAR2F4-dbP0", "IwAR2F4-dbP0"),
            ("https://shop.example/a?x=1&fbclid=IwAR2F4&y=2#top", "IwAR2F4"),
            ("https://shop.example/?fbclid=IwAR%2D2", "IwAR-2"),
            ("https://shop.example/?fbclid=IwAR%252D2", "IwAR%2D2"),  # decoded once
            ("https://shop.example/?fbclid=&fbclid=Qq", "Qq"),
            ("/relative?fbclid=Qq", "Qq"),
            ("https://[broken/?fbclid=Qq", "Qq"),
            ("https://shop.example/?xfbclid=Qq", None),
            ("https://shop.example/#?fbclid=Qq", None),
            ("fbclid=Qq", None),
            ("", None),
            (None, None),
        ],
    )
    def test_it_is_taken_verbatim_from_the_query(self, url, click):
        assert fbclid_from_url_column(pa.array([url], pa.string())).to_pylist() == [click]


# Cookies, click ids, addresses, and near misses of each.
_PARTS = st.sampled_from(
    [
        *("fb", "FB", "1", "2", "x", "1709136167115", "1709136167", "IwAR2F4", "iwar2f4"),
        *("AbC", "abc", "1116446470", "AQICAQMC", "Bg", "", "null"),
    ]
)
_COOKIES = st.lists(_PARTS, max_size=6).map(".".join) | st.sampled_from(
    [FBC, f"{FBC}.AQICAQMC", "fb.1.1709136167.IwAR2F4", "fb.1.1596403881668.1116446470"]
)
_ADDRESSES = (
    st.ip_addresses().map(str)
    | st.lists(st.ip_addresses().map(str), max_size=3).map(", ".join)
    | st.from_regex(r"[0-9a-f.:\[\]%, ]{1,30}", fullmatch=True)
)
TEXTS = st.none() | _COOKIES | _ADDRESSES | st.text(max_size=20)
TIMES = st.none() | st.sampled_from(
    [MADE, LATER, MADE + DAYS_90 * 2, MADE - timedelta(days=1), MADE + timedelta(days=80)]
)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, TIMES, TIMES), max_size=10)


def fbc_table(rows, cut=None):
    """The fbc, fbclid and problems of rows of (fbc, fbclid, first seen, row time)."""
    columns = [
        pa.array([row[i] for row in rows], type_)
        for i, type_ in enumerate((pa.string(), pa.string(), TIME, TIME))
    ]
    if cut is not None:
        columns = [pa.chunked_array([column[:cut], column[cut:]]) for column in columns]
    fbc, fbclid, first_seen, row_time = columns
    found = fbc_column(fbc, fbclid, first_seen, row_time=row_time)
    return list(zip(*(column.to_pylist() for column in found), strict=True))


@settings(max_examples=150, deadline=None)
@given(ROWS, st.randoms())
def test_neither_the_order_of_rows_nor_chunks_matter(rows, shuffler):
    whole = fbc_table(rows)
    assert fbc_table(rows, cut=shuffler.randint(0, len(rows))) == whole
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    assert fbc_table([rows[i] for i in order]) == [whole[i] for i in order]


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_what_was_passed_on_once_is_passed_on_again(rows):
    for row, (fbc, fbclid, problem) in zip(rows, fbc_table(rows), strict=True):
        assert fbc is None or problem is None
        if fbc is not None and fbc.split(".")[3] == fbclid:
            assert fbc_table([(fbc, fbclid, *row[2:])]) == [(fbc, fbclid, None)]


@settings(max_examples=250, deadline=None)
@given(TEXTS)
def test_no_text_raises_and_what_is_kept_is_kept_again(text):
    for column in (fbp_column, ip_column):
        value, problem = checked(column, text)
        assert value is None or problem is None
        assert checked(column, value) == (value, None)
    fbclid_from_url_column(pa.array([text, f"https://shop.example/?fbclid={text}"], pa.string()))
