"""The hashed match keys: what holds for any value, any country and any order of rows."""

from __future__ import annotations

import re
from datetime import date

import pyarrow as pa
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS, hash_column, normalise
from capi_assets.meta.match_keys.key_problems import Problem
from tests.helpers.match_key_vectors import DROPPED, EMPTY, KEPT, TODAY

DIGEST = re.compile(r"[0-9a-f]{64}")

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


@settings(max_examples=400, deadline=None)
@given(KEYS, VALUES)
@example("fn", "İstanbul")
@example("ct", "ΟΔΥΣΣΕΥΣ ΑΣ")
@example("fn", "e\u200d\u0301")
@example("zp", "K\u212a1\u00aa")
def test_normalising_a_normal_form_changes_nothing(key, value):
    forms = normalise(key, value).forms
    assume(value.strip() != "Null")  # a surname, in this spelling only
    for form in forms:
        assert normalise(key, form).forms == (form,)


@settings(max_examples=150, deadline=None)
@given(KEYS, st.lists(VALUES, max_size=4), COUNTRIES)
@example("fn", ["Na", "Nil", "Nan"], None)
@example("country", ["NA"], None)
def test_hashing_a_hashed_column_changes_nothing(key, values, country):
    assume("Null" not in map(str.strip, values))  # as above
    countries = pa.array([country] * len(values), pa.string())
    once = hash_column(key, pa.array(values, pa.string()), country=countries).digests
    assert hash_column(key, once, country=countries).digests.equals(once)


@settings(max_examples=200, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
