"""The hashed match keys: Meta's published examples and ours, and what holds for any input."""

from __future__ import annotations

import random
import re
from datetime import date

import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capi_assets.meta.match_keys import HASHED_KEYS, hash_column, normalise, problem_words
from capi_assets.meta.problems import Problem

TODAY = date(2026, 11, 21)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
JOHN = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
MARY = "6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"
DIGEST = re.compile(r"[0-9a-f]{64}")

# key, value, country of the row, normal form
KEPT = [
    ("em", "John_Smith@gmail.com", None, "john_smith@gmail.com"),
    ("em", "  USER@Example.COM \n", None, "user@example.com"),
    ("em", "user+tag@gmail.com", None, "user+tag@gmail.com"),
    ("em", "josé@example.com", None, "josé@example.com"),
    ("em", "jose\u0301@example.com", None, "josé@example.com"),
    ("em", "\ufeffuser@example.com\u200b", None, "user@example.com"),
    ("em", "da..me.@docomo.ne.jp", None, "da..me.@docomo.ne.jp"),
    ("em", "user@münchen.example", None, "user@münchen.example"),
    ("ph", "+1 (650) 555-1212", None, "16505551212"),
    ("ph", "(650)555-1212", "US", "16505551212"),
    ("ph", "(650)555-1212", "United States", "16505551212"),
    ("ph", "0044 7700 900123", None, "447700900123"),
    ("ph", "000447700900123", None, "447700900123"),
    ("ph", "07700900123", "GB", "447700900123"),
    ("ph", "+44 (0)7700 900123", None, "447700900123"),
    ("ph", "+44 (0)7700 900123", "US", "447700900123"),
    ("ph", "+44.7700.900123", None, "447700900123"),
    ("ph", "+1 650 555 1212 x123", None, "16505551212"),
    ("ph", "650-555-1212 ext. 12", "US", "16505551212"),
    ("ph", "tel:+1-650-555-1212;ext=5", None, "16505551212"),
    ("ph", "１６５０５５５１２１２", None, "16505551212"),
    ("ph", "+١٦٥٠٥٥٥١٢١٢", None, "16505551212"),
    ("ph", "16505551212.0", None, "16505551212"),
    ("ph", "447700900123", "US", "447700900123"),
    ("ph", "16505551212", "DE", "16505551212"),
    ("ph", "1511 2345678", "DE", "4915112345678"),  # a spreadsheet ate the zero
    ("ph", "9123456789", "IN", "919123456789"),  # begins like India's own code, but is national
    ("ph", "919123456789", "IN", "919123456789"),
    ("ph", "+39 (0)6 1234 5678", None, "390612345678"),  # Italy keeps the zero
    ("ph", "06 1234 5678", "IT", "390612345678"),
    ("ph", "011 44 7911 123456", "US", "447911123456"),
    ("ph", "0011 44 7911 123456", "AU", "447911123456"),
    ("ph", "0 15 11 91234-5678", "BR", "5511912345678"),  # a carrier code
    ("ph", "011 15-2345-6789", "AR", "5491123456789"),  # the old mobile prefix
    ("ph", "8 912 345-67-89", "RU", "79123456789"),
    ("ph", "+6505551212", "US", "16505551212"),
    ("fn", "Mary", None, "mary"),
    ("fn", "정", None, "정"),
    ("fn", "Valéry", None, "valéry"),
    ("fn", "Vale\u0301ry", None, "valéry"),
    ("fn", "O'Brien", None, "obrien"),
    ("fn", "O’Brien", None, "obrien"),
    ("fn", "Oʼbrien", None, "obrien"),
    ("fn", "Mary Ann", None, "maryann"),
    ("fn", "  JEAN-LUC ", None, "jeanluc"),
    ("fn", "José María", None, "josémaría"),
    ("fn", "Mary \U0001f600", None, "mary"),
    ("ln", "STRAßE", None, "straße"),
    ("ln", "Null", None, "null"),  # people are called so
    ("ct", "New York", None, "newyork"),
    ("ct", "St. Louis", None, "stlouis"),
    ("ct", "Saint-Denis", None, "saintdenis"),
    ("ct", "Washington, D.C.", None, "washingtondc"),
    ("ct", "L'Aquila", None, "laquila"),
    ("ct", "São Paulo", None, "sãopaulo"),
    ("ct", "Paris 15", None, "paris"),
    ("ct", "Москва", None, "москва"),
    ("st", "CA", None, "ca"),
    ("st", "California", None, "ca"),
    ("st", "US-CA", None, "ca"),
    ("st", "N.Y.", None, "ny"),
    ("st", "Washington, D.C.", "US", "dc"),
    ("st", "AE", "US", "ae"),
    ("st", "Ontario", None, "on"),
    ("st", "Québec", "CA", "qc"),
    ("st", "Colombie-Britannique", "CA", "bc"),
    ("st", "New South Wales", None, "newsouthwales"),
    ("st", "Bayern", None, "bayern"),
    ("st", "Montana", "BG", "montana"),
    ("zp", "94035", None, "94035"),
    ("zp", "94035-1234", None, "94035"),
    ("zp", "94035-1234", "US", "94035"),
    ("zp", "12345-6789", "SA", "123456789"),
    ("zp", "940351234", "US", "94035"),
    ("zp", "940351234", None, "940351234"),
    ("zp", "94035 1234", "US", "94035"),
    ("zp", " 04101", None, "04101"),
    ("zp", "4101", "US", "04101"),
    ("zp", "94035.0", "US", "94035"),
    ("zp", "00907", "PR", "00907"),
    ("zp", "M1 1AE", None, "m11ae"),
    ("zp", "SW1A 1AA", "GB", "sw1a1aa"),
    ("zp", "100-0001", None, "1000001"),
    ("zp", "１００－０００１", "JP", "1000001"),
    ("zp", "00-950", None, "00950"),
    ("country", "US", None, "us"),
    ("country", "United States", None, "us"),
    ("country", "usa", None, "us"),
    ("country", "U.S.A.", None, "us"),
    ("country", "UK", None, "gb"),
    ("country", "EL", None, "gr"),
    ("country", "Deutschland", None, "de"),
    ("country", "ESPAÑA", None, "es"),
    ("country", "日本", None, "jp"),
    ("country", "Россия", None, "ru"),
    ("country", "Côte d'Ivoire", None, "ci"),
    ("country", "Cote d’Ivoire", None, "ci"),
    ("ge", "Female", None, "f"),
    ("ge", "M", None, "m"),
    ("ge", "Mrs.", None, "f"),
    ("ge", "männlich", None, "m"),
    ("db", "2/16/1997", None, "19970216"),
    ("db", "1997-02-16", None, "19970216"),
    ("db", "1997-02-16T00:00:00Z", None, "19970216"),
    ("db", "16/2/1997", None, "19970216"),
    ("db", "19970216", None, "19970216"),
    ("db", "19970216.0", None, "19970216"),
    ("db", "16-Feb-1997", None, "19970216"),
    ("db", "February 16th, 1997", None, "19970216"),
    ("db", "3.3.1997", None, "19970303"),
    ("db", "2000-02-29", None, "20000229"),
    ("external_id", "ABC-123", None, "ABC-123"),
    ("external_id", " a b ", None, "a b"),
    ("external_id", "9f86d081884c7d659a2feaa0c55ad015", None, "9f86d081884c7d659a2feaa0c55ad015"),
]

# key, value, country of the row, code of the problem
DROPPED = [
    ("em", "foo", None, "not_an_address"),
    ("em", "a b@c.d", None, "not_an_address"),
    ("em", "a@b@c.de", None, "not_an_address"),
    ("em", "a@1.2.3.4", None, "not_an_address"),
    ("em", "Mary <mary@example.com>", None, "not_an_address"),
    ("em", "d41d8cd98f00b204e9800998ecf8427e", None, "md5_digest"),
    ("em", EMPTY, None, "digest_of_empty"),
    ("em", EMPTY.upper(), None, "digest_of_empty"),
    ("em", f"{EMPTY}.AQQCAQIB", None, "digest_of_empty"),
    ("em", "A" * 43 + "=", None, "base64_digest"),
    ("fn", "da39a3ee5e6b4b0d3255bfef95601890afd80709", None, "sha1_digest"),
    ("fn", "ab" * 64, None, "sha512_digest"),
    ("ph", "(650)555-1212", None, "no_country"),
    ("ph", "07700900123", None, "no_country"),
    ("ph", "7700900123", None, "no_country"),
    ("ph", "(650)555-1212", "Atlantis", "no_country"),
    ("ph", "123456", None, "too_short"),
    ("ph", "abc", None, "no_digits"),
    ("ph", "12345678901234567890", None, "too_many_digits"),
    ("ph", "1.6505551212E+10", None, "scientific_notation"),
    ("ph", "+999 123 456 789", None, "unknown_calling_code"),
    ("ph", "+1 111 111 1111", None, "not_a_number"),
    ("fn", ".", None, "no_letters"),
    ("fn", "123", None, "no_letters"),
    ("ct", "123", None, "no_letters"),
    ("st", "...", None, "no_letters"),
    ("st", "Bayern", "US", "unknown_state"),
    ("zp", "7", None, "too_short"),
    ("zp", "K1A 0B6", "US", "not_a_postcode"),
    ("zp", "the second house on the left", None, "not_a_postcode"),
    ("country", "XX", None, "unknown_country"),
    ("country", "XK", None, "unknown_country"),
    ("country", "840", None, "unknown_country"),
    ("ge", "nonbinary", None, "unknown_gender"),
    ("db", "02-03-1997", None, "ambiguous_date"),
    ("db", "31/02/1997", None, "impossible_date"),
    ("db", "1999-02-29", None, "impossible_date"),
    ("db", "31/31/1997", None, "impossible_date"),
    ("db", "97-02-16", None, "not_a_date"),
    ("db", "1899-12-31", None, "year_out_of_range"),
    ("db", "2026-11-22", None, "year_out_of_range"),
    ("external_id", "undefined", None, "placeholder"),
    ("external_id", "0", None, "placeholder"),
    ("external_id", EMPTY, None, "digest_of_empty"),
    ("external_id", "d41d8cd98f00b204e9800998ecf8427e", None, "digest_of_empty"),
    ("fn", "Jos\ufffd", None, "not_text"),
    ("fn", "\ud800", None, "not_text"),
    ("fn", "x" * 1_000_000, None, "too_long"),
]

# Normal form and its digest, as published by Meta or computed from UTF-8.
DIGESTS = {
    "john_smith@gmail.com": JOHN,
    "user@example.com": "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514",
    "user+tag@gmail.com": "7ce35ae541c6605e031dc32bb04051a68a22e1f52bed7529b6ca5972dd8b841e",
    "josé@example.com": "b0a53cf19e34d05b57bced7365c6b00ddbe38d62957e863de2a66a56c3b42cea",
    "16505551212": "e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176",
    "447700900123": "033134b911b137918338415ee3d20a064b24773d36a3b02e8b99fdd3fcd6b4cd",
    "mary": MARY,
    "정": "8fa8cd9c440be61d0151429310034083132b35975c4bea67fdd74158eb51db14",
    "valéry": "08e1996b5dd49e62a4b4c010d44e4345592a863bb9f8e3976219bac29417149c",
    "obrien": "b4cb6cb33fe4b865868de825023a1e2790dc12ac01ecc8d7c5afe8254071c8ba",
    "maryann": "16b3f07f0ec2f9dd127b71dc2e6c791b7d93116a1c3bc99d057eaa7a8a077e73",
    "jeanluc": "7fef38066db9900f992fa9926eea8cc648f44c2af50c4d511c415422196c8ef5",
    "josémaría": "a6a9049d39c4dd1cc332a44c64da6e6ce99e4ddbc1e9b6595e7f7bad60ef5ef6",
    "straße": "787f4770613d3824cbc89b6d5da90a123e41b07b90b45ea3738c216b14616140",
    "newyork": "350c754ba4d38897693aa077ef43072a859d23f613443133fecbbd90a3512ca5",
    "stlouis": "8ba24bdf99947996f3000259be455de791b06fcc0e802ce05031030df1ee8ea3",
    "saintdenis": "afa17aaf5387aeff2cb8de52218e194fbe05d6b2631f90c21dddbe5f7f46c92f",
    "washingtondc": "911fa18df8b2a4ff2652c32a0efa25516115d6fb0170849a41f38113e5371fe0",
    "laquila": "6b47947459d80bfbc871802f252f8b5a0b5062eed3cb13ba6596b95e161feca1",
    "sãopaulo": "3eda1428ae1aece064071f8d40f08fe2bc59ffa66c171a163caf15122ec4d7f0",
    "paris": "1670f2e42fefa5044d59a65349e47c566009488fc57d7b4376dd5787b59e3c57",
    "москва": "4ed0608556890f1debeb0947b33bff409c18a80755422c362f4daa5cd5ce0749",
    "ca": "6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126",
    "ny": "1b06e2003f8420d6fa42badd8f77ec0f706b976b7a48b13c567dc5a559681683",
    "on": "b8d31e852725afb1e26d53bab6095b2bff1749c9275be13ed1c05a56ed31ec09",
    "newsouthwales": "96236847af45f93f09c6ba2627cdb8da07e395f009d0e42f782cffb119cc24da",
    "bayern": "52b07f18c831ba4b08ba0b8bc84c6e023a825dfd385d20d8dcbf410d11c546e7",
    "94035": "1794327a4d443904421f5ca1f3d72d0a62ba2f0770d80755ec2220fc0efb052e",
    "04101": "f6ef62ded9ed5022d12288643be977a82cae79efc00443ad4e5b1f86244fc820",
    "m11ae": "1dc694c2070e697769fb959b50671d76cafd430d8ca191fbdd0affcaea344ac5",
    "sw1a1aa": "830e1d4b9838bab1f5c2acdb23e0b502ff13a9832c4632e8d67a1d43d3b7f614",
    "1000001": "443372db1ff98d9737596b4f83a8381ab6aab60e44e29854b48be88c74cdf1f0",
    "00950": "157c5bb53cacd69115a429c3a9257890995f3410caf57a12e1959f70c7b3fbec",
    "us": "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621",
    "gb": "0b407281768f0e833afef47ed464b6571d01ca4d53c12ce5c51d1462f4ad6677",
    "de": "959a45d44e6fcf58361ed004681556fe50129f2109e817dec098c00c9e5d2578",
    "ci": "1b158839f8aa339e89bb50b1603e90ec68e0fd5565fe10a7cb32729fddf7070a",
    "f": "252f10c83610ebca1a059c0bae8255eba2f95be4d1d7bcfa89d7248a82d9f111",
    "m": "62c66a7a5dd70c3146618063c344e531e6d4b59e379808443ce962b3abd63c5a",
    "19970216": "01acdbf6ec7b4f478a225f1a246e5d6767eeab1a7ffa17f025265b5b94f40f0c",
    "ABC-123": "4d156d7bc9c38c000aa1e5b06e46e1f40cafe651f3cabfae9bad48803baf17bf",
    "a b": "c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65",
}


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
            ("external_id", '["A", "b c"]', ("A", "b c")),
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
        for _ in range(4_000):
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
        assert read > 300


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
        words = problem_words(problem.code)
        assert re.fullmatch(r"[a-z0-9_]+", problem.code)
        assert re.fullmatch(r"[A-Z].{30,}\.", words)
        assert ";" in words or ":" in words, f"{problem.code} names no remedy"
    assert problem_words("not_seen_before") == "not seen before."


# What people, shops and machines write, and any text at all.
_ANY = st.text(max_size=40)
_TYPICAL = st.sampled_from(
    [value for _, value, *_ in KEPT + DROPPED if len(value) < 200 and value != "\ud800"]
)
_DIGITS = st.from_regex(r"\+?[0-9 ().\-/]{5,20}", fullmatch=True)
_DATES = st.dates(date(1890, 1, 1), date(2030, 1, 1)).map(str)
VALUES = _TYPICAL | _ANY | _DIGITS | _DATES | st.from_regex(r"\w{1,9}@\w{1,9}\.\w{1,5}")
COUNTRIES = st.sampled_from([None, "", "US", "Canada", "gb", "DE", "Atlantis", "IT", "BR", "JP"])
KEYS = st.sampled_from(HASHED_KEYS)


@settings(max_examples=600, deadline=None)
@given(KEYS, VALUES)
@example("fn", "İstanbul")
@example("ct", "ΟΔΥΣΣΕΥΣ ΑΣ")
@example("fn", "e\u200d\u0301")
@example("zp", "K\u212a1\u00aa")
def test_normalising_a_normal_form_changes_nothing(key, value):
    forms = normalise(key, value).forms
    for form in forms:
        assert normalise(key, form).forms == (form,)


@settings(max_examples=300, deadline=None)
@given(KEYS, st.lists(VALUES, max_size=4), COUNTRIES)
def test_hashing_a_hashed_column_changes_nothing(key, values, country):
    countries = pa.array([country] * len(values), pa.string())
    once = hash_column(key, pa.array(values, pa.string()), country=countries).digests
    assert hash_column(key, once, country=countries).digests.equals(once)


@settings(max_examples=400, deadline=None)
@given(KEYS, st.lists(st.none() | VALUES, max_size=8), COUNTRIES)
def test_a_row_has_digests_or_a_known_problem_or_was_absent(key, values, country):
    countries = pa.array([country] * len(values), pa.string())
    hashed = hash_column(key, pa.array(values, pa.string()), country=countries, today=TODAY)
    codes = {problem.code for problem in Problem}
    for value, digests, problem in zip(
        values, hashed.digests.to_pylist(), hashed.problems.to_pylist(), strict=True
    ):
        assert digests is None or problem is None
        assert problem is None or problem in codes
        if digests is not None:
            assert all(DIGEST.fullmatch(digest.partition(".")[0]) for digest in digests.split(" "))
            assert EMPTY not in digests
        if problem is None and digests is None:
            assert value is None or not any(map(str.isalnum, value)) or value.startswith("[")


@settings(max_examples=150, deadline=None)
@given(KEYS, st.lists(st.tuples(st.none() | VALUES, COUNTRIES), max_size=12), st.randoms())
def test_neither_the_order_of_rows_nor_chunks_matter(key, rows, shuffler):
    def columns(rows):
        values, countries = zip(*rows, strict=True) if rows else ((), ())
        return pa.array(values, pa.string()), pa.array(countries, pa.string())

    values, countries = columns(rows)
    whole = hash_column(key, values, country=countries)

    cut = shuffler.randint(0, len(rows))
    chunked = hash_column(
        key,
        pa.chunked_array([values[:cut], values[cut:]]),
        country=pa.chunked_array([countries[: cut // 2], countries[cut // 2 :]]),
    )
    assert chunked.digests.equals(whole.digests)
    assert chunked.problems.equals(whole.problems)

    order = list(range(len(rows)))
    shuffler.shuffle(order)
    values, countries = columns([rows[i] for i in order])
    shuffled = hash_column(key, values, country=countries)
    assert shuffled.digests.equals(whole.digests.take(pa.array(order, pa.int64())))
    assert shuffled.problems.equals(whole.problems.take(pa.array(order, pa.int64())))
