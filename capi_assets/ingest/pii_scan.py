"""Contact data by its shape, and in ids, where it must not be.

Meta forbids contact data outside the hashed keys (page "Customer Information Parameters"), and none
may be stored. An id that is no harmless id is replaced by its digest, so that its repeats are still
recognised. What of page addresses and JSON columns passes is in `free_text.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem

OWN_IDS = ("order_id", "event_id", "visit_id", "subscription_id")
"""Ids that the advertiser chooses: with contact data or a name in them, they are hashed."""

META_IDS = ("lead_id", "fb_login_id", "anon_id", "madid", "messaging_channel")
"""What Meta or a device gives out: contact data and names are none of them, and are removed."""

# A local part has at most 64 characters; without that limit the search takes quadratic time.
_EMAIL = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]+\.)+[^\W\d][\w-]+"
_PHONE = r"(?<![\w+.])\+[0-9](?:[\s().-]{0,3}[0-9]){7,14}(?![0-9])"
_CONTACT = re.compile(f"{_EMAIL}|{_PHONE}")
_TWO_WORDS = re.compile(r"\b([^\W\d_])[^\W\d_]*[.,]?\s+(?=([^\W\d_])[^\W\d_])")
# Only ids that match it are looked at; most do not.
_SUSPECT = r"[@%+\s]"


def without_contact_ids(rows: pa.Table) -> tuple[pa.Table, dict[str, pa.Array]]:
    """`rows` without contact data in ids and user agents, and the problems by column.

    Own ids are replaced by `stored_id` (`contact_hashed`), others removed (`contact_removed`).
    """
    cleaners: dict[str, tuple[Callable[[str], str | None], Problem]] = {
        **dict.fromkeys(OWN_IDS, (stored_id, Problem.CONTACT_HASHED)),
        **dict.fromkeys(META_IDS, (_harmless_id, Problem.CONTACT_REMOVED)),
        "client_user_agent": (_no_contact, Problem.CONTACT_REMOVED),
    }
    problems: dict[str, pa.Array] = {}
    for name, (clean, problem) in cleaners.items():
        if name in rows.column_names:
            suspect = _SUSPECT if clean is not _no_contact else "@|%40|(^|[^/])\\+[0-9]"
            values, problems[name] = _clean(rows.column(name), suspect, clean, problem)
            rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows, problems


def stored_id(text: str) -> str:
    """The id as it is stored and sent: itself, or the SHA-256 of its trimmed lower-case text if it
    contains an e-mail address, a phone number with its country code, or what may be a name.

        stored_id("17")  # "17"
    """
    if _harmless_id(text) is not None:
        return text
    return hashlib.sha256(text.strip().lower().encode()).hexdigest()


def has_contact(text: str) -> bool:
    """Whether the text contains an e-mail address or a phone number with its country code."""
    for _ in range(3):  # links are often encoded twice
        if not ("@" in text or "+" in text or "%" in text):
            return False
        if _CONTACT.search(text):
            return True
        decoded = unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return False


def has_two_words(text: str) -> bool:
    """Whether two words with capitals follow one another, as in a name: `Ana Silva`, `SILVA, Ana`.

    An id such as `INV 2026 17` or `web order 17` has none.
    """
    words = _TWO_WORDS.findall(unquote_plus(text))
    return any(first.isupper() and second.isupper() for first, second in words)


def contacts(values: pa.Array) -> pa.Array:
    """True where a text of the column contains contact data; false for null."""
    suspects = pc.if_else(pc.match_substring_regex(values, _SUSPECT), values, None)
    (found,) = map_distinct(suspects, lambda text: (has_contact(text),), [pa.bool_()])
    return pc.fill_null(found, False)


def _harmless_id(text: str) -> str | None:
    return None if has_contact(text) or has_two_words(text) else text


def _no_contact(text: str) -> str | None:
    return None if has_contact(text) else text


def _clean(
    values: pa.ChunkedArray, suspect: str, clean: Callable[[str], str | None], problem: Problem
) -> tuple[pa.Array, pa.Array]:
    whole = values.combine_chunks()
    suspects = pc.fill_null(pc.match_substring_regex(whole, suspect), False)
    nothing = pa.nulls(len(whole), pa.string())
    if not pc.any(suspects).as_py():
        return whole, nothing

    def cleaned_text(text: str) -> tuple[str | None, str | None]:
        cleaned = clean(text)
        return cleaned, None if cleaned == text else problem.code

    cleaned, problems = map_distinct(pc.if_else(suspects, whole, nothing), cleaned_text)
    return pc.if_else(suspects, cleaned, whole), problems
