"""Our normal forms against those of Meta's own libraries: equal but for what we say and why."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pyarrow as pa
import pytest
from facebook_business.adobjects.serverside.normalize import Normalize

from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS, hash_column
from tests.helpers.generated_values import GENERATED_KEYS, generated
from tests.helpers.hashed_key_differences import ANY
from tests.helpers.metas_libraries import (
    MINTED,
    PLAIN_KEYS,
    our_column,
    ours,
    param_builder,
    theirs,
)
from tools.normalisation_page import DIFFERENCES, PAGE, explanations, page

VALUES_PER_KEY = 700


@cache
def compared(key):
    """Value, country, what Meta's library keeps and what we keep, of each generated value."""
    rows = generated(key, VALUES_PER_KEY)
    values = [value for value, _ in rows]
    if key in PLAIN_KEYS:
        kept = our_column(key, values)
        reference = [param_builder(key, value) for value in values]
    else:
        countries = pa.array([country for _, country in rows], pa.string())
        kept = hash_column(key, pa.array(values), country=countries).digests.to_pylist()
        reference = [digest_of_sdk(key, value) for value in values]
    return [
        (value, country, there, here)
        for (value, country), there, here in zip(rows, reference, kept, strict=True)
    ]


def digest_of_sdk(key, value):
    try:
        return Normalize.normalize_field(key, value)
    except (TypeError, ValueError):
        return None


@pytest.mark.parametrize("key", GENERATED_KEYS)
def test_every_difference_from_metas_libraries_is_intended(key):
    differing = [row for row in compared(key) if row[2] != row[3]]
    unexplained = [row for row in differing if not explanations(key, *row[:2])]
    assert not unexplained


@pytest.mark.parametrize("key", GENERATED_KEYS)
def test_ordinary_values_are_equal(key):
    kept = [row for row in compared(key) if row[2] is not None]
    equal = [row for row in kept if row[2] == row[3]]
    assert len(equal) > 60, Counter(name for row in kept for name in explanations(key, *row[:2]))


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
class TestIntendedDifference:
    def test_its_example_differs_as_it_says(self, difference):
        key, example, country = difference.keys[0], difference.example, difference.country
        assert difference.applies(example, country)
        assert ours(key, example, country) != (theirs(key, example),) or key == "external_id"

    def test_it_occurs_among_the_generated_values(self, difference):
        occurring = [
            row
            for key in difference.keys
            if key in GENERATED_KEYS
            for row in compared(key)
            if row[2] != row[3] and difference.applies(*row[:2])
        ]
        assert occurring or difference.keys == ("external_id",)

    def test_it_does_not_speak_of_ordinary_values(self, difference):
        ordinary = {
            "em": "John.Smith+tag@Example.com",
            "ph": "+1 (650) 555-1212",
            "fn": "Valéry",
            "ln": "Smith",
            "db": "19970216",
            "ge": "F",
            "ct": "St. Louis",
            "st": "N.Y.",
            "zp": "SW1A 1AA",
            "country": "us",
            "fbc": "fb.1.1709136100000.IwAR2F4-dbP0.AQICAQMC",
            "fbp": "fb.1.1596403881668.1116446470.AQICAQMC",
            "fbclid": "IwAR2F4-dbP0",
            "client_ip_address": "168.212.226.204",
        }
        for key in difference.keys:
            if key in ordinary:
                assert not difference.applies(ordinary[key], None), key


def test_names_of_differences_are_unique():
    assert len({difference.name for difference in DIFFERENCES}) == len(DIFFERENCES)
    assert set(ANY) == set(HASHED_KEYS) - {"external_id"}


def test_no_fbp_is_invented_where_the_param_builder_draws_one():
    assert param_builder("fbp", "") == MINTED
    assert our_column("fbp", [""]) == [None]


def test_the_page_is_written_from_these_tables():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tools.normalisation_page`"
