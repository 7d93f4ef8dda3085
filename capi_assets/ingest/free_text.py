"""Page addresses and JSON columns, reduced to what is known to be harmless.

An allow-list: the keys of free_text.toml, those of Meta's ids and app data, and what
`CAPI_CUSTOM_DATA_KEYS` adds; and of their values those of a harmless shape. So it does not depend
on the language in which a shop names a customer. All else is removed before anything is stored, and
is counted in `dropped_fields` under its key, if the key itself is harmless. `normalised_columns`
calls it. What no list can know: a name in the title of a product.

    reduced_json(pa.array(['{"value": 1, "vorname": "Jo"}']), "custom_data", NO_OWN_KEYS)
    # '{"value":1}', 'custom_data.vorname:key_removed'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, Final
from urllib.parse import unquote_plus

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.ingest.pii_scan import has_contact, has_two_words
from capi_assets.meta.events.app_data import APP_DATA_FIELDS
from capi_assets.meta.events.user_data import EXTRA_FIELDS
from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.table_files import table_beside

NO_OWN_KEYS: Final[frozenset[str]] = frozenset()

_TABLE = table_beside(__file__)
_CUSTOM_DATA = frozenset(_TABLE["custom_data"])
_TEXTS = frozenset(_TABLE["texts"])
_IDS = frozenset({*_TABLE["ids"], *EXTRA_FIELDS})
_PARAMETERS = frozenset(_TABLE["page_parameters"])
_QUERIES = frozenset({"install_referrer"})
_POSITIONS = frozenset({"extinfo"})

MAX_TEXT = 256
"""Characters of a value with white space: product titles have up to 150 in Meta's catalogues, and
what is longer is a message. One without white space is an id or a receipt and may be longer."""

_MAX_DIGITS = 8
"""Digits in a row of a text, separators between them aside: a date has 8, phone numbers with their
area code 9 or more in the countries with the shortest (Portugal, Spain)."""

_MAX_NAMED = 8
"""Removed keys of one value that are named; more are counted as one."""

_DIGITS = re.compile(rf"[0-9](?:[\s().,/-]{{0,3}}[0-9]){{{_MAX_DIGITS},}}")
_PLAIN = re.compile(r"[\w.,:/#|~+-]*={0,2}")
_A_KEY = re.compile(r"(?!.*[0-9]{5})[^\W\d]\w{0,31}")
_SEGMENT = re.compile(r"[\w.,:@!~$'()*&+-]*")
_START = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*")
_GONE: Final = object()
_MARK = "\x01"

Removed = list[tuple[str, Problem]]


def reduced_json(
    values: pa.Array | pa.ChunkedArray, column: str, own_keys: frozenset[str]
) -> tuple[pa.Array, pa.Array]:
    """A JSON column with its known keys and harmless values, and its `column:reason` entries.

    `column` names the landed column. `own_keys` are allowed besides (and with a minus before them
    not allowed) in `custom_data`, `contents` and `content_ids`. A document that is nested too
    deeply becomes null. An item that loses its id is removed, since Meta would refuse the event.
    """
    keys = _keys_of(column, own_keys)

    def reduce(text: str) -> tuple[str | None, str | None]:
        removed: Removed = []
        try:
            document = _reduced(orjson.loads(text), column, keys, removed)
            # Written anew, since of a key that is there twice only the last value was checked.
            return orjson.dumps(document).decode(), _entries(column, tuple(removed))
        except (RecursionError, orjson.JSONEncodeError):
            return None, f"{column}:{Problem.KEY_REMOVED.code}"

    return _reduce_others(values, _harmless_json(keys), lambda texts: map_distinct(texts, reduce))


def reduced_urls(
    values: pa.Array | pa.ChunkedArray, column: str, own_keys: frozenset[str]
) -> tuple[pa.Array, pa.Array]:
    """Page addresses with scheme, host, path and known parameters, and their entries.

    A part of the path that is contact data is replaced by `removed`; what follows a # is removed.
    """
    keys = _with_own(_PARAMETERS, frozenset(map(str.lower, own_keys)))
    harmless = _harmless_url(keys)

    def reduce(url: str) -> tuple[str, str | None]:
        removed: Removed = []
        return _reduced_url(url, keys, removed), _entries(column, tuple(removed))

    def named(names: str) -> tuple[str | None]:
        each = (name.removesuffix("=") for name in re.split("[&;]", names) if name)
        unknown = (_decoded(name).lower() for name in each)
        return (_entries(column, tuple((name, Problem.KEY_REMOVED) for name in unknown)),)

    def reduce_all(urls: pa.Array) -> tuple[pa.Array, pa.Array]:
        rest, names = _without_unknown(urls, keys)
        (unknown,) = map_distinct(names, named, [pa.string()])
        reduced, others = _reduce_others(rest, harmless, lambda urls: map_distinct(urls, reduce))
        both = pc.binary_join_element_wise(unknown, others, " ")
        return reduced, pc.coalesce(both, unknown, others)

    return _reduce_others(values, harmless, reduce_all)


def _without_unknown(urls: pa.Array, keys: frozenset[str]) -> tuple[pa.Array, pa.Array]:
    """Addresses without fragment and unknown parameters, and the names of these, after an & or ;.

    In whole columns, since many shops have a parameter of their own in every address. Known ones
    are marked, since RE2 cannot look ahead.
    """
    parts = pc.extract_regex(
        pc.replace_substring(urls, _MARK, ""),
        r"(?s)^(?P<place>[^?#]*)\??(?P<query>[^#]*)#?(?P<fragment>.*)$",
    )
    query = pc.binary_join_element_wise("&", pc.struct_field(parts, "query"), "")
    known = rf"(?i)[&;]((?:{'|'.join(map(re.escape, sorted(keys)))})=)"
    marked = pc.replace_substring_regex(query, known, rf"{_MARK}\1")
    left = pc.replace_substring_regex(marked, rf"[&;][^&;{_MARK}]*", "")
    left = pc.replace_substring(pc.replace_substring_regex(left, f"^{_MARK}", "?"), _MARK, "&")
    unknown = pc.replace_substring_regex(marked, rf"{_MARK}[^&;{_MARK}]*|(=)[^&;{_MARK}]*", r"\1")
    has_fragment = pc.greater(pc.binary_length(pc.struct_field(parts, "fragment")), 0)
    unknown = pc.binary_join_element_wise(unknown, pc.if_else(has_fragment, "&fragment", ""), "")
    return pc.binary_join_element_wise(pc.struct_field(parts, "place"), left, ""), unknown


def _reduce_others(
    values: pa.Array | pa.ChunkedArray,
    harmless: str,
    reduce: Callable[[pa.Array], Sequence[pa.Array]],
) -> tuple[pa.Array, pa.Array]:
    """`values`, with `reduce` of those that do not match `harmless` as a whole, and its entries."""
    whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    nothing = pa.nulls(len(whole), pa.string())
    others = pc.invert(pc.fill_null(pc.match_substring_regex(whole, harmless), True))
    if others.true_count == 0:
        return whole, nothing
    reduced, entries = reduce(whole.filter(others))
    return (
        pc.replace_with_mask(whole, others, reduced),
        pc.replace_with_mask(nothing, others, entries),
    )


def _keys_of(column: str, own_keys: frozenset[str]) -> frozenset[str]:
    if column == "user_data":
        return frozenset(EXTRA_FIELDS)
    return APP_DATA_FIELDS if column == "app_data" else _with_own(_CUSTOM_DATA, own_keys)


def _with_own(known: frozenset[str], own_keys: frozenset[str]) -> frozenset[str]:
    taken_out = {key[1:] for key in own_keys if key.startswith("-")}
    return (known | {key for key in own_keys if not key.startswith("-")}) - taken_out


@cache
def _harmless_json(keys: frozenset[str]) -> str:
    """What most documents match, so that they are not parsed: known keys, ids, numbers, and texts
    of few digits. It accepts nothing that `_reduced` would change."""
    named = "|".join(map(re.escape, sorted(keys - _TEXTS - _QUERIES)))
    texts = "|".join(map(re.escape, sorted(_TEXTS)))
    few_digits = rf"[^\"\\@%+=0-9]{{0,200}}(?:[0-9][^\"\\@%+=0-9]{{0,5}}){{0,{_MAX_DIGITS}}}"
    parts = [
        r"[\s\[\]{},]|-?[0-9][0-9.eE+-]*|true|false|null",
        '"[A-Za-z0-9_.:/#|-]*"',
        rf'"(?:{named})"\s*:',
        *([rf'"(?:{texts})"\s*:\s*"{few_digits}"'] if keys >= _TEXTS else []),
    ]
    return f"^(?:{'|'.join(parts)})*$"


@cache
def _harmless_url(keys: frozenset[str]) -> str:
    names = "|".join(map(re.escape, sorted(keys)))
    pair = rf"(?:{names})=[A-Za-z0-9_.~:|,-]*"
    return (
        r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://)?[A-Za-z0-9.:-]*(?:/[A-Za-z0-9_.~!$'(),*:-]*)*"
        rf"(?:\?{pair}(?:&{pair})*)?$"
    )


def _reduced(value: Any, key: str, keys: frozenset[str], removed: Removed) -> Any:
    """`value` of `key` without what is not allowed, or `_GONE`."""
    if isinstance(value, dict):
        members = {}
        for name, member in value.items():
            if name not in keys:
                removed.append((name, Problem.KEY_REMOVED))
            elif (left := _reduced(member, name, keys, removed)) is not _GONE:
                members[name] = left
        return _GONE if "id" in value and "id" not in members else members
    if isinstance(value, list):
        items = (_reduced(item, key, keys, removed) for item in value)
        return [item for item in items if item is not _GONE]
    if key in _QUERIES and isinstance(value, str):
        return "&".join(_known_parameters(value, _PARAMETERS, removed))
    if isinstance(value, str | int | float) and not _is_harmless(str(value), key):
        removed.append((key, Problem.CONTACT_REMOVED))
        # A position keeps its place, or Meta refuses the event.
        return "" if key in _POSITIONS else _GONE
    return value


def _is_harmless(text: str, key: str) -> bool:
    """Whether a value has the shape of what its key is for."""
    if has_contact(text) or (key in _IDS and has_two_words(text)):
        return False
    if key in _TEXTS and _DIGITS.search(text):
        return False
    return bool(_PLAIN.fullmatch(text)) or (len(text) <= MAX_TEXT and not re.search(r"\w=\w", text))


def _reduced_url(url: str, keys: frozenset[str], removed: Removed) -> str:
    place, _, query = url.partition("?")
    place = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*@", r"\1//", place)
    start = _START.match(place)
    host = start.group() if start else ""
    path = "/".join(_reduced_segment(each, removed) for each in place[len(host) :].split("/"))
    parameters = "&".join(_known_parameters(query, keys, removed))
    return f"{host}{path}?{parameters}" if parameters else host + path


def _reduced_segment(segment: str, removed: Removed) -> str:
    if _SEGMENT.fullmatch(_decoded(segment)) and not has_contact(segment):
        return segment
    removed.append(("path", Problem.CONTACT_REMOVED))
    return "removed"


def _known_parameters(query: str, keys: frozenset[str], removed: Removed) -> Iterator[str]:
    for pair in filter(None, re.split("[&;]", query)):
        name, _, value = pair.partition("=")
        plain = _decoded(name).lower()
        if plain not in keys:
            removed.append((plain, Problem.KEY_REMOVED))
        elif not has_contact(value) and _is_harmless(_decoded(value), plain):
            yield pair
        else:
            removed.append((plain, Problem.CONTACT_REMOVED))


def _decoded(text: str) -> str:
    """Links are often encoded twice."""
    return unquote_plus(unquote_plus(text)) if "%" in text or "+" in text else text


@lru_cache(1_024)  # the same keys are removed from many rows
def _entries(column: str, removed: tuple[tuple[str, Problem], ...]) -> str | None:
    """`column.key:reason` for each removed key, without the keys that may be data themselves."""
    names = (f"{column}.{key}" if _A_KEY.fullmatch(key) else column for key, _ in removed)
    codes = (problem.code for _, problem in removed)
    entries = list(dict.fromkeys(f"{name}:{code}" for name, code in zip(names, codes, strict=True)))
    if len(entries) > _MAX_NAMED:
        entries = [*entries[:_MAX_NAMED], f"{column}:{Problem.KEY_REMOVED.code}"]
    return " ".join(entries) or None
