"""Contact data in columns where it must not be: in URLs, JSON and ids.

Shops write `?email=…` into links and forms. Meta forbids contact data outside the hashed keys (page
"Customer Information Parameters"), and none may be stored, so the URL parameter or JSON member is
removed and the rest stays unchanged, byte for byte. An id that contains contact data is replaced by
its digest, so that its repeats are still recognised.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote_plus

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem

OWN_IDS = ("order_id", "event_id", "visit_id", "subscription_id")
"""Ids that the advertiser chooses: with contact data in them, they are hashed."""

META_IDS = ("lead_id", "fb_login_id", "anon_id", "madid")
"""Ids that Meta or a device gives out: contact data is none of them, and is removed."""

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
# A local part has at most 64 characters; without that limit the search takes quadratic time.
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]+\.)+[^\W\d][\w-]+")
_PHONE = re.compile(r"\s*\+[0-9](?:[\s().-]*[0-9]){7,14}\s*")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_REMOVED = "removed"

# Only values that match one of these are parsed; most URLs and objects do not.
_ENCODED = "@|%(?:25)?40|%(?:25)?2b"
_SUSPECT_IN_URL = (
    rf"(?i){_ENCODED}|/\+|=\+|(?:[^a-z0-9]|%(?:25)?[0-9a-f]{{2}}){_NAME}(?:\]|%(?:25)?5d)*="
)
_SUSPECT_ID = "[@%+]"
_SUSPECT_IN_JSON = (
    rf'(?i){_ENCODED}|\\u00|"\s*\+[0-9]|"(?:[^"]*[^a-z0-9"])?{_NAME}(?:\]|%(?:25)?5d)*"\s*:'
)


def without_stray_contacts(
    rows: pa.Table, urls: Iterable[str], json_texts: Iterable[str] = ()
) -> tuple[dict[str, pa.Array], dict[str, pa.Array]]:
    """The columns `urls` and `json_texts` of `rows` without contact data, and their problems.

    Both by column; the problem is `contact_removed` where something was removed, else null.
    `normalised_columns` calls it before anything is stored.
    """
    cleaned: dict[str, pa.Array] = {}
    problems: dict[str, pa.Array] = {}
    for name in urls:
        cleaned[name], problems[name] = _clean(rows.column(name), _SUSPECT_IN_URL, _clean_url)
    for name in json_texts:
        cleaned[name], problems[name] = _clean(rows.column(name), _SUSPECT_IN_JSON, _clean_json)
    return cleaned, problems


def without_contact_ids(rows: pa.Table) -> tuple[pa.Table, dict[str, pa.Array]]:
    """`rows` without contact data in ids, and the problems by column.

    Own ids are replaced by `stored_id` (`contact_hashed`), ids of Meta removed (`contact_removed`).
    """
    problems: dict[str, pa.Array] = {}
    for name in (*OWN_IDS, *META_IDS):
        if name in rows.column_names:
            clean = stored_id if name in OWN_IDS else _no_contact
            code = Problem.CONTACT_HASHED if name in OWN_IDS else Problem.CONTACT_REMOVED
            values, problems[name] = _clean(rows.column(name), _SUSPECT_ID, clean, code)
            rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows, problems


def stored_id(text: str) -> str:
    """The id as it is stored and sent: itself, or the SHA-256 of its trimmed lower-case text if it
    contains an e-mail address or is a phone number with its country code.

        stored_id("17")  # "17"
    """
    if not _is_contact(text):
        return text
    return hashlib.sha256(text.strip().lower().encode()).hexdigest()


def _no_contact(text: str) -> str | None:
    return None if _is_contact(text) else text


def _clean(
    values: pa.ChunkedArray,
    suspect: str,
    clean: Callable[[str], str | None],
    code: Problem = Problem.CONTACT_REMOVED,
) -> tuple[pa.Array, pa.Array]:
    whole = values.combine_chunks()
    suspects = pc.fill_null(pc.match_substring_regex(whole, suspect), False)
    nothing = pa.nulls(len(whole), pa.string())
    if not pc.any(suspects).as_py():
        return whole, nothing

    def cleaned_text(text: str) -> tuple[str | None, str | None]:
        cleaned = clean(text)
        return cleaned, None if cleaned == text else code.code

    cleaned, problems = map_distinct(pc.if_else(suspects, whole, nothing), cleaned_text)
    return pc.if_else(suspects, cleaned, whole), problems


def _clean_url(url: str) -> str:
    before_fragment, hash_mark, fragment = url.partition("#")
    place, question_mark, query = before_fragment.partition("?")
    result = _clean_place(place)
    if question_mark:
        parameters = _clean_parameters(query)
        result += question_mark + parameters if parameters else ""
    if hash_mark:
        part = _clean_parameters(fragment)
        result += hash_mark + part if part else ""
    return result


def _clean_place(place: str) -> str:
    """Scheme, host and path, without credentials and segments that are an e-mail or a phone."""
    place = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*@", r"\1//", place)
    start = re.match(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/]*", place)
    host = start.group() if start else ""
    segments = place[len(host) :].split("/")
    return host + "/".join(_REMOVED if _is_contact(segment) else segment for segment in segments)


def _clean_parameters(query: str) -> str:
    """Pairs joined by & or ;, without those that contain contact data."""
    parts = re.split("([&;])", query)
    pairs, marks = parts[::2], ["", *parts[1::2]]
    remaining = [(mark, pair) for mark, pair in zip(marks, pairs, strict=True) if _may_stay(pair)]
    return "".join(
        pair if place == 0 else mark + pair for place, (mark, pair) in enumerate(remaining)
    )


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
    """Whether the text contains an e-mail address or is a phone number with its country code."""
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
    """None for a document that is nested too deeply to be checked."""
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
        return [_without_contacts(item) for item in value if not _contains_contact(item)]
    return value


def _is_contact_member(name: str, member: Any) -> bool:
    if _contains_contact(name) or _contains_contact(member):
        return True
    if isinstance(member, list):
        return _is_contact_name(name) and any(_is_contact_member(name, item) for item in member)
    is_plain = isinstance(member, str | int | float) and not isinstance(member, bool)
    hashed = isinstance(member, str) and _DIGEST.fullmatch(member)
    return is_plain and not hashed and member != "" and _is_contact_name(name)


def _contains_contact(value: Any) -> bool:
    return isinstance(value, str) and _is_contact(value)
