"""The hashed match keys: from a raw column to the SHA-256 digests that Meta accepts.

`hash_column` is called by `ingest.hashing` for each contact column of visits and orders; each
distinct value is normalised once by the rule of its key (`emails`, `phones`, `names`,
`dates_of_birth`, `places`, `countries`). Not done in SQL: engines disagree on lower case and white
space. Keys that are never hashed are in `click_ids` and `ip_addresses`.

    hash_column("em", pa.array([" Ann@Example.com", "null"]))
    # digests: [sha256("ann@example.com"), None], problems: [None, "placeholder"]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys import digests
from capi_assets.meta.match_keys.columns import as_text, encode, map_distinct, map_distinct_pairs
from capi_assets.meta.match_keys.common_forms import normal_forms
from capi_assets.meta.match_keys.countries import country as country_rule
from capi_assets.meta.match_keys.countries import region_of
from capi_assets.meta.match_keys.dates_of_birth import check_format, date_of_birth
from capi_assets.meta.match_keys.digests import sha256_column
from capi_assets.meta.match_keys.emails import email
from capi_assets.meta.match_keys.key_problems import Problem, problem_text
from capi_assets.meta.match_keys.names import gender, name
from capi_assets.meta.match_keys.phones import phone
from capi_assets.meta.match_keys.placeholders import NAME_KEYS, SURNAMES, is_placeholder
from capi_assets.meta.match_keys.places import city, postcode, state

__all__ = [
    "HASHED_KEYS",
    "ExternalIdForm",
    "HashedColumn",
    "Normalised",
    "hash_column",
    "normalise",
    "problem_text",
]

HASHED_KEYS = ("em", "ph", "fn", "ln", "db", "ge", "ct", "st", "zp", "country", "external_id")

MAX_LENGTH = 4_096
"""Characters; a longer text is not a contact field but another column."""

ExternalIdForm: TypeAlias = Literal["pixel", "exact"]
"""What of an external id is hashed. `pixel`: lower case without white space, 32 hexadecimal digits
not hashed at all, as Meta's Pixel, Node SDK and param builder do. `exact`: the trimmed text."""

_ALONE: dict[str, Callable[[str], str | Problem]] = {
    "em": email,
    "fn": name,
    "ln": name,
    "ge": gender,
    "ct": city,
    "country": country_rule,
}
_BY_COUNTRY: dict[str, Callable[[str, str | None], str | Problem]] = {
    "ph": phone,
    "st": state,
    "zp": postcode,
}


class Normalised(NamedTuple):
    """The normal forms of one value: what is hashed, or a digest that was given as such."""

    forms: tuple[str, ...]
    problem: str | None


class HashedColumn(NamedTuple):
    """Two text columns as long as the input.

    `digests`: lower-case SHA-256 in hexadecimal, several separated by one space, null if absent.
    `problems`: why nothing of a value could be kept, as a code of `problem_text`, else null.
    """

    digests: pa.Array
    problems: pa.Array


@dataclass(frozen=True)
class _Reading:
    """How the values of one key are read: its rule and the settings of the rule."""

    key: str
    date_format: str | None = None
    today: date | None = None
    hash_external_id: bool = True
    external_id_form: ExternalIdForm = "pixel"

    def __post_init__(self) -> None:
        if self.key not in HASHED_KEYS:
            raise ValueError(f"{self.key!r} is no hashed match key: {', '.join(HASHED_KEYS)}")
        if self.date_format is not None:
            check_format(self.date_format)

    def forms(self, text: str, region: str | None) -> list[str] | Problem:
        """Normal forms in the order given, none if there is no value; or the first problem."""
        if len(text) > MAX_LENGTH:
            return Problem.TOO_LONG
        if not text.isascii() and ("\ufffd" in text or not _is_utf8(text)):
            return Problem.NOT_TEXT
        value = text.strip()
        if not value:
            return []
        several = _several(self.key, value)
        if several is None:
            form = self._form(value, region)
            return form if isinstance(form, Problem) else [form]
        found = [self._form(each, region) for each in several]
        forms = [form for form in found if isinstance(form, str)]
        problems = [form for form in found if isinstance(form, Problem)]
        return forms if forms or not problems else problems[0]

    def hashed(self, text: str, region: str | None = None) -> tuple[str | None, str | None]:
        """Digests separated by spaces, and the problem's code."""
        forms = self.forms(text, region)
        if isinstance(forms, Problem):
            return None, forms.code
        if self.hash_external_id or self.key != "external_id":
            if len(forms) == 1:
                return digests.digest(forms[0]), None
            forms = [digests.digest(form) for form in forms]
        return " ".join(dict.fromkeys(forms)) or None, None

    @cached_property
    def _rule(self) -> Callable[[str, str | None], str | Problem]:
        if self.key in _BY_COUNTRY:
            return _BY_COUNTRY[self.key]
        if self.key == "db":
            return lambda value, region: date_of_birth(value, self.date_format, self.today)
        rule = _ALONE[self.key]
        return lambda value, region: rule(value)

    def _form(self, value: str, region: str | None) -> str | Problem:
        if is_placeholder(self.key, value):
            return Problem.PLACEHOLDER
        if self.key == "external_id":
            return self._external_id(value)
        is_name = self.key in NAME_KEYS
        if len(value) >= digests.SHORTEST:
            given = digests.given(value, is_name=is_name)
            if given is not None:
                return given
        form = self._rule(value, region)
        if isinstance(form, Problem) or form == value or value in SURNAMES:
            return form
        if is_placeholder(self.key, form):
            return Problem.PLACEHOLDER
        # A digest may be written with spaces or dashes in it.
        if len(form) >= digests.SHORTEST:
            return digests.given(form, is_name=is_name) or form
        return form

    def _external_id(self, value: str) -> str | Problem:
        """The form that equals the browser's, which depends on how the site's Pixel sends it."""
        given = digests.given_id(value)
        if isinstance(given, Problem):
            return given
        if not self.hash_external_id:
            return value if len(value.split()) == 1 else Problem.HAS_SPACE
        if given or self.external_id_form == "pixel":
            return given or "".join(value.split()).lower()
        return value if digests.digest(value) != value else digests.sha256(value)


def _several(key: str, text: str) -> list[str] | None:
    """The values of a JSON list, a list of digests or of addresses, trimmed; None for one value."""
    values: list[str] | None = None
    if text[0] == "[" and text[-1] == "]":
        values = _json_list(text)
    elif len(text) > 2 * digests.SHORTEST:
        values = digests.several(text)
    if values is None and key == "em" and ("," in text or ";" in text):
        values = text.replace(";", ",").split(",")
    return None if values is None else [value.strip() for value in values if value.strip()]


def _is_utf8(text: str) -> bool:
    """Whether UTF-8 can write it; half a surrogate pair, which Arrow never holds, cannot be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_list(text: str) -> list[str] | None:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    # bool is an int to Python
    return [str(value) for value in values if type(value) in (str, int, float)]


def normalise(
    key: str,
    value: str,
    country: str | None = None,
    *,
    default_country: str | None = None,
    date_format: str | None = None,
    today: date | None = None,
    external_id_form: ExternalIdForm = "pixel",
) -> Normalised:
    """The normal forms of one value, as `hash_column` makes them before hashing."""
    reading = _Reading(key, date_format, today, external_id_form=external_id_form)
    region = _default_region(default_country) if country is None else region_of(country)
    forms = reading.forms(value, region)
    if isinstance(forms, Problem):
        return Normalised((), forms.code)
    return Normalised(tuple(dict.fromkeys(forms)), None)


def hash_column(
    key: str,
    values: pa.Array | pa.ChunkedArray,
    *,
    country: pa.Array | pa.ChunkedArray | None = None,
    default_country: str | None = None,
    date_format: str | None = None,
    today: date | None = None,
    hash_external_id: bool = True,
    external_id_form: ExternalIdForm = "pixel",
) -> HashedColumn:
    """Normalises and hashes one column of any type.

    `country`: each row's country as in the data (code, name, or hashed code), used by `ph`, `st`
    and `zp`; `default_country` replaces it where it is absent, not where it is unreadable.
    `date_format`: the `strptime` format of `db`. `today`: the latest possible `db`.
    `external_id_form`: what of an external id is hashed; `hash_external_id=False` keeps external
    ids as they are, for pixels that send them unhashed.

    Raises ValueError for an unknown key or default country, an incomplete date format or a country
    column of another length; never for a value.
    """
    reading = _Reading(key, date_format, today, hash_external_id, external_id_form)
    default = _default_region(default_country)
    texts = as_text(values)
    if country is not None and key in _BY_COUNTRY and len(country) != len(texts):
        raise ValueError(f"{len(texts)} values of {key}, but {len(country)} countries")
    encoded = encode(texts)
    forms = normal_forms(key, encoded.dictionary)
    if forms is None or forms.null_count == len(forms):
        return _by_rule(reading, texts, country, default)
    digests_of_ordinary = sha256_column(forms).take(encoded.indices)
    others = pc.if_else(pc.is_valid(digests_of_ordinary), pa.scalar(None, pa.string()), texts)
    if others.null_count == len(others):
        return HashedColumn(digests_of_ordinary, pa.nulls(len(texts), pa.string()))
    ruled = _by_rule(reading, others, country, default)
    return HashedColumn(pc.coalesce(digests_of_ordinary, ruled.digests), ruled.problems)


def _by_rule(
    reading: _Reading,
    texts: pa.Array | pa.ChunkedArray,
    country: pa.Array | pa.ChunkedArray | None,
    default: str | None,
) -> HashedColumn:
    """Each distinct value through the rule of its key."""
    if reading.key not in _BY_COUNTRY:
        return HashedColumn(*map_distinct(texts, reading.hashed))
    if country is None:
        regions = pa.repeat(pa.scalar(default, pa.string()), len(texts))
    else:
        regions = _regions(country, default)
    return HashedColumn(*map_distinct_pairs(texts, regions, reading.hashed))


def _default_region(default_country: str | None) -> str | None:
    if not default_country:
        return None
    region = region_of(default_country)
    if region is None:
        raise ValueError(f"default country {default_country!r} is no country of ISO 3166-1")
    return region


def _regions(country: pa.Array | pa.ChunkedArray, default: str | None) -> pa.Array:
    """Upper-case codes: the default where the country is absent, null where it is unreadable."""
    (regions,) = map_distinct(
        pc.fill_null(as_text(country), ""),
        lambda text: (default if is_placeholder("country", text) else region_of(text),),
        [pa.string()],
    )
    return regions
