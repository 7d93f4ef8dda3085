"""The hashed match keys: Meta's published examples and ours, and columns of every kind."""

from __future__ import annotations

import random
import re
from datetime import date

import phonenumbers
import pyarrow as pa
import pytest

from capi_assets.meta.match_keys.hashed_keys import (
    HASHED_KEYS,
    hash_column,
    normalise,
    problem_text,
)
from capi_assets.meta.match_keys.key_problems import Problem
from tests.helpers.factories import digest
from tests.helpers.match_key_vectors import DIGESTS, DROPPED, EMPTY, JOHN, KEPT, MARY, TODAY


def one(key, value, country=None, **options):
    """Digest and problem of a single value."""
    countries = None if country is None else pa.array([country])
    hashed = hash_column(key, pa.array([value]), country=countries, **options)
    return hashed.digests[0].as_py(), hashed.problems[0].as_py()


@pytest.mark.parametrize(("key", "value", "country", "form"), KEPT)
def test_a_value_takes_the_form_that_meta_hashes(key, value, country, form):
    assert normalise(key, value, country, today=TODAY) == ((form,), None)


@pytest.mark.parametrize(("key", "value", "country", "code"), DROPPED)
def test_what_meta_cannot_match_is_dropped_with_its_reason(key, value, country, code):
    assert normalise(key, value, country, today=TODAY) == ((), code)


@pytest.mark.parametrize(
    ("key", "value", "country", "form"), [row for row in KEPT if row[3] in DIGESTS]
)
def test_a_column_holds_the_published_digests(key, value, country, form):
    assert one(key, value, country, today=TODAY) == (DIGESTS[form], None)


def test_every_published_digest_is_reached():
    assert set(DIGESTS) <= {form for *_, form in KEPT}


@pytest.mark.parametrize("key", HASHED_KEYS)
@pytest.mark.parametrize("value", [None, "", "   ", "\u3000\n", "[]", '[null, ""]'])
def test_what_is_absent_is_no_problem(key, value):
    assert one(key, value) == (None, None)
    assert one("em", ", ;") == (None, None)


class TestAlreadyHashed:
    @pytest.mark.parametrize("key", HASHED_KEYS)
    def test_a_sha256_passes_in_lower_case(self, key):
        assert one(key, f" {JOHN.upper()} ") == (JOHN, None)

    @pytest.mark.parametrize("appendix", [".AQQCAQIB", ".AQ", ".Bg"])
    def test_the_appendix_of_the_param_builder_stays(self, appendix):
        assert one("em", JOHN.upper() + appendix) == (JOHN + appendix, None)

    @pytest.mark.parametrize("separator", [" ", ",", "; ", "\n"])
    def test_a_list_of_digests_passes(self, separator):
        given_list = separator.join([JOHN, f"{MARY}.AQQCAQIB", JOHN])
        assert one("ph", given_list) == (f"{JOHN} {MARY}.AQQCAQIB", None)

    def test_a_digest_beside_the_plain_value_counts_once(self):
        assert one("em", f"John_Smith@gmail.com, {JOHN}") == (JOHN, None)


class TestSeveralValues:
    def test_addresses_are_split_at_commas_and_semicolons(self):
        assert normalise("em", "a@b.co,C@d.ee; a@b.co;").forms == ("a@b.co", "c@d.ee")

    @pytest.mark.parametrize(
        ("key", "value", "forms"),
        [
            ("em", '["A@b.co", "c@d.ee"]', ("a@b.co", "c@d.ee")),
            ("fn", '["Mary", "Mary Ann", "mary"]', ("mary", "maryann")),
            ("zp", '["94035", 75018, null, true]', ("94035", "75018")),
            ("external_id", '["A", "b c"]', ("a", "bc")),
        ],
    )
    def test_a_json_list_holds_several_values_of_any_key(self, key, value, forms):
        assert normalise(key, value) == (forms, None)

    def test_digests_keep_the_order_given(self):
        assert one("fn", '["Mary", "Valéry"]') == (f"{MARY} {DIGESTS['valéry']}", None)

    def test_good_values_stay_when_others_are_bad(self):
        assert normalise("em", "foo, a@b.co") == (("a@b.co",), None)

    def test_the_first_problem_speaks_when_none_is_good(self):
        assert normalise("em", '["foo", "d41d8cd98f00b204e9800998ecf8427e"]') == (
            (),
            "not_an_address",
        )

    @pytest.mark.parametrize("value", ["[Mary]", "[" * 3_000 + "]" * 3_000, "[Mary"])
    def test_brackets_alone_make_no_list(self, value):
        assert normalise("fn", value).forms in ((), ("mary",))


class TestCountryOfTheRow:
    def test_each_row_is_read_with_its_own_country(self):
        hashed = hash_column(
            "ph",
            pa.array(["07700900123", "07700900123", "(650)555-1212", "(650)555-1212", None]),
            country=pa.array(["GB", None, "usa", "Atlantis", "US"]),
        )
        assert hashed.digests.to_pylist() == [
            DIGESTS["447700900123"],
            None,
            DIGESTS["16505551212"],
            None,
            None,
        ]
        assert hashed.problems.to_pylist() == [None, "no_country", None, "no_country", None]

    def test_the_default_stands_in_where_the_country_is_absent_not_where_it_is_unreadable(self):
        hashed = hash_column(
            "zp",
            pa.array(["940351234"] * 4),
            country=pa.array([None, " ", "Atlantis", "DE"]),
            default_country="US",
        )
        nine = hash_column("zp", pa.array(["940351234"])).digests[0].as_py()
        assert hashed.digests.to_pylist() == [DIGESTS["94035"]] * 2 + [nine] * 2

    def test_the_default_alone_decides_without_a_country_column(self):
        assert one("ph", "07700 900123", default_country="United Kingdom") == (
            DIGESTS["447700900123"],
            None,
        )

    def test_a_hashed_country_is_recognised(self):
        assert one("ph", "(650)555-1212", DIGESTS["us"]) == (DIGESTS["16505551212"], None)


class TestPhones:
    # Ascension, Tristan da Cunha and Kosovo have numbering plans, but no code in ISO 3166-1.
    REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS - {"AC", "TA", "XK"})

    @pytest.mark.parametrize("region", REGIONS)
    def test_the_example_number_of_every_country_is_read_in_each_notation(self, region):
        number = phonenumbers.example_number_for_type(
            region, phonenumbers.PhoneNumberType.MOBILE
        ) or phonenumbers.example_number(region)
        full = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]
        for notation in ("E164", "INTERNATIONAL", "RFC3966"):
            written = phonenumbers.format_number(
                number, getattr(phonenumbers.PhoneNumberFormat, notation)
            )
            assert normalise("ph", written).forms == (full,), written
        national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        assert normalise("ph", national, region).forms == (full,), national
        assert normalise("ph", full).forms == (full,)
        assert normalise("ph", full, region).forms == (full,)

    def test_valid_numbers_are_read_as_phonenumbers_reads_them(self):
        seeded = random.Random(20261121)
        read = 0
        for _ in range(2_500):
            region = seeded.choice(self.REGIONS)
            example = phonenumbers.example_number(region)
            length = len(phonenumbers.national_significant_number(example))
            digits = "".join(seeded.choice("0123456789") for _ in range(length))
            number = phonenumbers.parse(f"+{example.country_code}{digits}")
            if not phonenumbers.is_valid_number_for_region(number, region):
                continue
            read += 1
            full = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            assert normalise("ph", full).forms == (full[1:],)
            assert normalise("ph", national, region).forms == (full[1:],), (national, region)
        assert read > 200


class TestDates:
    @pytest.mark.parametrize(
        ("written", "date_format", "form"),
        [
            ("02-03-1997", "%d-%m-%Y", "19970302"),
            ("02-03-1997", "%m-%d-%Y", "19970203"),
            ("02-03-1997 10:30", "%m-%d-%Y", "19970203"),
            ("3 March 1997", "%d %B %Y", "19970303"),
            ("1997-02-16", "%d/%m/%Y", "19970216"),
            ("19970216", "%d/%m/%Y", "19970216"),
        ],
    )
    def test_a_declared_format_decides(self, written, date_format, form):
        assert normalise("db", written, date_format=date_format).forms == (form,)

    def test_a_date_in_another_format_than_the_declared_is_not_guessed(self):
        found = normalise("db", "2/16/1997", date_format="%d/%m/%Y")
        assert found == ((), "other_date_format")

    @pytest.mark.parametrize("date_format", ["%d/%m/%y", "%Y-%m", "dd/mm/yyyy", "%Q", ""])
    def test_a_format_that_does_not_say_a_whole_date_stops_at_once(self, date_format):
        with pytest.raises(ValueError, match="date format"):
            hash_column("db", pa.array(["1997-02-16"]), date_format=date_format)

    def test_today_is_a_birthday_and_tomorrow_is_not(self):
        assert normalise("db", "2026-11-21", today=TODAY).problem is None
        assert normalise("db", "2026-11-22", today=TODAY).problem == "year_out_of_range"
        assert normalise("db", "2026-11-22").problem is None


class TestExternalId:
    def test_it_takes_the_form_that_the_pixel_hashes(self):
        assert one("external_id", "ABC-123") == (digest("abc-123"), None)
        assert one("external_id", "a b") == (digest("ab"), None)

    def test_32_hexadecimal_digits_are_sent_unhashed_as_the_pixel_does(self):
        found = one("external_id", "3469A92B54B28A6DC1FC923950D99BE6")
        assert found == ("3469a92b54b28a6dc1fc923950d99be6", None)

    @pytest.mark.parametrize("value", ["ABC-123", "a b", "3469A92B54B28A6DC1FC923950D99BE6"])
    def test_a_setting_keeps_the_text_as_it_is(self, value):
        assert one("external_id", f" {value} ", external_id_form="exact") == (digest(value), None)


class TestUnhashedExternalId:
    @pytest.mark.parametrize(
        ("value", "kept", "problem"),
        [
            (" ABC-123 ", "ABC-123", None),
            (JOHN.upper(), JOHN.upper(), None),
            ('["A", "b", "A"]', "A b", None),
            ("a b", None, "has_space"),
            ("undefined", None, "placeholder"),
            (EMPTY, None, "digest_of_empty"),
        ],
    )
    def test_it_is_kept_as_the_pixel_sends_it(self, value, kept, problem):
        assert one("external_id", value, hash_external_id=False) == (kept, problem)

    def test_other_keys_are_hashed_all_the_same(self):
        assert one("fn", "Mary", hash_external_id=False) == (MARY, None)


class TestColumnsOfAnyType:
    @pytest.mark.parametrize(
        ("key", "values", "form"),
        [
            ("ph", pa.array([16505551212]), "16505551212"),
            ("ph", pa.array([16505551212.0]), "16505551212"),
            ("zp", pa.array([94035.0, None, float("nan")]), "94035"),
            ("db", pa.array([date(1997, 2, 16)]), "19970216"),
            ("fn", pa.array(["Mary"], pa.large_string()), "mary"),
            ("fn", pa.array(["Mary"]).dictionary_encode(), "mary"),
            ("fn", pa.array([b"Mary"]), "mary"),
            ("fn", pa.array([["Mary"]]), "mary"),
        ],
    )
    def test_values_are_read_as_they_were_meant(self, key, values, form):
        digests = hash_column(key, values).digests.to_pylist()
        assert digests == [DIGESTS[form]] + [None] * (len(values) - 1)

    @pytest.mark.parametrize("key", HASHED_KEYS)
    @pytest.mark.parametrize(
        "values",
        [
            pa.array([b"\xff\xfe", None]),
            pa.array([{"a": 1}, None]),
            pa.array([[1, None], []]),
            pa.array([True, False]),
            pa.array([float("inf"), float("nan"), 1e300, -0.0]),
            pa.nulls(3),
            pa.array([], pa.string()),
            pa.chunked_array([], pa.string()),
            pa.array(["x" * 1_000_000]),
            pa.array(["a\x00b", "\U0010ffff", "\u0301"]),
        ],
        ids=lambda values: str(values.type),
    )
    def test_no_column_raises(self, key, values):
        hashed = hash_column(key, values, country=values)
        assert len(hashed.digests) == len(hashed.problems) == len(values)
        assert hashed.digests.type == hashed.problems.type == pa.string()

    def test_bytes_that_are_no_text_are_named_so(self):
        assert one("fn", b"Jos\xe9") == (None, "not_text")


class TestMistakesOfTheCaller:
    def test_an_unknown_key_is_refused(self):
        with pytest.raises(ValueError, match="'client_ip_address' is no hashed match key"):
            hash_column("client_ip_address", pa.array(["x"]))

    def test_an_unknown_default_country_is_refused(self):
        with pytest.raises(ValueError, match="Atlantis"):
            hash_column("ph", pa.array(["x"]), default_country="Atlantis")

    def test_a_country_column_of_another_length_is_refused(self):
        with pytest.raises(ValueError, match="2 values of ph, but 1 countries"):
            hash_column("ph", pa.array(["x", "y"]), country=pa.array(["US"]))


def test_every_problem_has_a_sentence_with_the_remedy():
    for problem in Problem:
        words = problem_text(problem.code)
        assert re.fullmatch(r"[a-z0-9_]+", problem.code)
        assert re.fullmatch(r"[A-Z].{30,}\.", words)
        assert ";" in words or ":" in words, f"{problem.code} names no remedy"
    assert problem_text("not_seen_before") == "not seen before."
