"""Contact data where none belongs: e-mails, phones and names inside addresses and JSON.

Shops write `?email=…` into links and forms. Meta forbids contact data outside the hashed keys (page
"Customer Information Parameters"), and nothing raw may lie in the lake, so the door takes out the
parameter or member and leaves the rest as it was, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_plus

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem

_OF_WHOM = "(?:(?:user|customer|client|buyer|contact|billing|shipping)[_-]?)?"
_WHAT = (
    "e?mail(?:[_-]?address)?",
    "(?:tele|mobile[_-]?|cell[_-]?)?phone(?:[_-]?(?:number|no))?|tel|mobile|msisdn",
    "(?:first|last|full|given|family|sur)[_-]?name|[fl]name",
    "dob|birth[_-]?da(?:te|y)|date[_-]?of[_-]?birth",
    "street|address(?:[_-]?(?:line[_-]?)?[0-9])?",
    "em|ph|fn|ln",
)
_NAME = f"{_OF_WHOM}(?:{'|'.join(_WHAT)})"
_A_CONTACT = re.compile(_NAME, re.IGNORECASE)
# No local part is longer than 64; without that limit the search takes the square of the length.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]+\.)+[^\W\d][\w-]+")
_PHONE = re.compile(r"\s*\+[0-9](?:[\s().-]*[0-9]){7,14}\s*")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_REMOVED = "removed"

# What only a look at the whole value can judge; most addresses and objects have none of it.
_ENCODED = "@|%(?:25)?40|%(?:25)?2b"
_SUSPECT_IN_URL = (
    rf"(?i){_ENCODED}|/\+|=\+|(?:[^a-z0-9]|%(?:25)?[0-9a-f]{{2}}){_NAME}(?:\]|%(?:25)?5d)*="
)
_SUSPECT_IN_JSON = (
    rf'(?i){_ENCODED}|\\u00|"\s*\+[0-9]|"(?:[^"]*[^a-z0-9"])?{_NAME}(?:\]|%(?:25)?5d)*"\s*:'
)


def without_stray_contacts(
    rows: pa.Table, urls: Iterable[str], json_texts: Iterable[str] = ()
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """The columns `urls` and `json_texts` of `rows` without contact data, and their problems.

    Both by column; the problem is `contact_removed` where something was taken out, else null.
    """
    cleaned: dict[str, pa.Array] = {}
    problems: dict[str, pa.Array] = {}
    for name in urls:
        cleaned[name], problems[name] = _clean(rows.column(name), _SUSPECT_IN_URL, _clean_url)
    for name in json_texts:
        cleaned[name], problems[name] = _clean(rows.column(name), _SUSPECT_IN_JSON, _clean_json)
    return cleaned, problems


def _clean(
    values: pa.ChunkedArray, suspect: str, clean: Callable[[str], str | None]
) -> tuple[pa.Array, pa.Array]:
    whole = values.combine_chunks()
    doubtful = pc.fill_null(pc.match_substring_regex(whole, suspect), False)
    nothing = pa.nulls(len(whole), pa.string())
    if not pc.any(doubtful).as_py():
        return whole, nothing

    def judged(text: str) -> tuple[str | None, str | None]:
        cleaned = clean(text)
        return cleaned, None if cleaned == text else Problem.CONTACT_REMOVED.code

    cleaned, problems = map_distinct(pc.if_else(doubtful, whole, nothing), judged)
    return pc.if_else(doubtful, cleaned, whole), problems


def _clean_url(url: str) -> str:
    before_fragment, hash_mark, fragment = url.partition("#")
    place, question_mark, query = before_fragment.partition("?")
    kept = _clean_place(place)
    if question_mark:
        parameters = _clean_parameters(query)
        kept += question_mark + parameters if parameters else ""
    if hash_mark:
        part = _clean_parameters(fragment)
        kept += hash_mark + part if part else ""
    return kept


def _clean_place(place: str) -> str:
    """Scheme, host and path: no credentials, and no segment that holds an address or a phone."""
    place = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*@", r"\1//", place)
    start = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*", place)
    host = start.group() if start else ""
    segments = place[len(host) :].split("/")
    return host + "/".join(_REMOVED if _is_contact(segment) else segment for segment in segments)


def _clean_parameters(query: str) -> str:
    """Pairs joined by & or ;, without those that hold contact data."""
    parts = re.split("([&;])", query)
    pairs, marks = parts[::2], ["", *parts[1::2]]
    kept = [(mark, pair) for mark, pair in zip(marks, pairs, strict=True) if _may_stay(pair)]
    return "".join(pair if place == 0 else mark + pair for place, (mark, pair) in enumerate(kept))


def _may_stay(pair: str) -> bool:
    name, _, value = pair.partition("=")
    return not (_is_contact_name(name) and value and not _DIGEST.fullmatch(value)) and not (
        _is_contact(pair) or _is_contact(value)
    )


def _is_contact_name(name: str) -> bool:
    """Also the last part of a name such as `form[email]`, `user.phone` or `utm-email`."""
    words = re.split(r"[\[\].:\-]+", unquote_plus(unquote_plus(name)).strip("[]. "))
    return bool(_A_CONTACT.fullmatch(words[-1])) if words else False


def _is_contact(text: str) -> bool:
    """Whether the text holds an e-mail address, or is a phone number with its country code."""
    for _ in range(3):  # links are often encoded twice
        if ("@" in text and _EMAIL.search(text)) or _PHONE.fullmatch(
            text.replace("%2B", "+").replace("%2b", "+")
        ):
            return True
        decoded = unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return False


def _clean_json(text: str) -> str | None:
    """None, which is nothing at all, for what is nested too deep to be gone through."""
    document = orjson.loads(text)
    try:
        cleaned = _without_contacts(document)
        return text if cleaned == document else orjson.dumps(cleaned).decode()
    except (RecursionError, orjson.JSONEncodeError):
        return None


def _without_contacts(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_contacts(member)
            for name, member in value.items()
            if not _is_contact_member(name, member)
        }
    if isinstance(value, list):
        return [_without_contacts(item) for item in value if not _holds_contact(item)]
    return value


def _is_contact_member(name: str, member: Any) -> bool:
    if _holds_contact(name) or _holds_contact(member):
        return True
    if isinstance(member, list):
        return _is_contact_name(name) and any(_is_contact_member(name, item) for item in member)
    is_plain = isinstance(member, str | int | float) and not isinstance(member, bool)
    hashed = isinstance(member, str) and _DIGEST.fullmatch(member)
    return is_plain and not hashed and member != "" and _is_contact_name(name)


def _holds_contact(value: Any) -> bool:
    return isinstance(value, str) and _is_contact(value)
