"""The vectorised path for common forms gives what the rule of the key gives."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capi_assets.meta.match_keys.common_forms import normal_forms
from capi_assets.meta.match_keys.digests import digest, sha256_column
from capi_assets.meta.match_keys.hashed_keys import HASHED_KEYS, hash_column, normalise
from tests.helpers.generated_values import generated

COMMON = {
    "em": (" John.Smith+tag@Mail.Example.co.uk\t", "john.smith+tag@mail.example.co.uk"),
    "ph": ("+44 7700-900 123 ", "447700900123"),
    "fn": ("MARY", "mary"),
    "ln": ("Smith", "smith"),
    "ct": ("Paris", "paris"),
    "zp": ("04101", "04101"),
}
REGIONS = st.sampled_from([None, "US", "GB", "DE", "PR", "United States", "nowhere"])
# Close to the ordinary forms on both sides of their edges.
LIKE = {
    "em": st.from_regex(r"\s?[A-Za-z0-9._+'-]{1,5}@?[A-Za-z0-9.-]{1,8}\.[a-zA-Z0-9]{1,3}\s?"),
    "ph": st.from_regex(r"\+?(1|44|49|33|7|39|590|247|888|0)[0-9 -]{3,16}(\.0|x1)?", fullmatch=True)
    | st.integers(10**5, 10**16).map("+{}".format),
    "fn": st.from_regex(r"[A-Za-z]{1,3}[a-zß' 0-9-]{0,33}", fullmatch=True),
    "ct": st.from_regex(r"[A-Za-z]{1,3}[a-zé. 0-9-]{0,33}", fullmatch=True),
    "zp": st.from_regex(r"\s?[0-9]{3,9}(-[0-9]{4}|\.0)?", fullmatch=True),
}


def by_rule(key: str, value: str, country: str | None) -> tuple[str | None, str | None]:
    forms, problem = normalise(key, value, country)
    return " ".join(dict.fromkeys(map(digest, forms))) or None, problem


def assert_same(key: str, rows: list[tuple[str, str | None]]) -> None:
    values = pa.array([value for value, _ in rows], pa.string())
    countries = pa.array([country for _, country in rows], pa.string())
    hashed = hash_column(key, values, country=countries)
    found = list(zip(hashed.digests.to_pylist(), hashed.problems.to_pylist(), strict=True))
    for row, short, ruled in zip(rows, found, [by_rule(key, *row) for row in rows], strict=True):
        assert short == ruled, row


@pytest.mark.parametrize("key", COMMON)
def test_common_forms_take_the_vectorised_path(key: str) -> None:
    value, form = COMMON[key]
    assert normal_forms(key, pa.array([value, None, "?", ""])).to_pylist() == [form, *[None] * 3]
    assert_same(key, [(value, None), ("?", "US"), (value, "US"), ("", None)])


@pytest.mark.parametrize("key", sorted(set(HASHED_KEYS) - COMMON.keys()))
def test_other_keys_have_no_vectorised_path(key: str) -> None:
    assert normal_forms(key, pa.array(["f"])) is None


@pytest.mark.parametrize("key", COMMON)
def test_both_paths_agree_on_generated_values(key: str) -> None:
    assert_same(key, generated(key, 1_500))


@pytest.mark.parametrize("key", LIKE)
def test_both_paths_agree_at_the_edges(key: str) -> None:
    @settings(deadline=None, max_examples=40)
    @given(st.lists(st.tuples(LIKE[key], REGIONS), min_size=4, max_size=12))
    def holds(rows: list[tuple[str, str | None]]) -> None:
        assert_same(key, rows)

    holds()


def test_a_column_is_hashed_whatever_its_nulls_and_slices() -> None:
    texts = pa.array(["a", None, "é", "", None, "b" * 300], pa.string())
    for part in (texts, texts.slice(1, 4), texts.slice(5), texts.slice(0, 0)):
        expected = [None if text is None else digest(text) for text in part.to_pylist()]
        assert sha256_column(part).to_pylist() == expected
