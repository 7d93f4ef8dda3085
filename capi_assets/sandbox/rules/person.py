"""Rules over user_data: shapes, hashing, lead ids, and sets too weak to be accepted.

From Meta's customer information parameters and best practices pages. external_id is only
recommended to be hashed, so it is not checked; a null in a list is ignored, as the SDK sends it.
"""

from __future__ import annotations

import re
from typing import Any

from capi_assets.sandbox.rules.refusal import META, Refusal, known, schema

Event = dict[str, Any]

HASHED: list[str] = META["hashed_keys"]
LISTS = frozenset({*HASHED, "external_id"})
SINGLE = frozenset(META["single_keys"])

# Meta's list names the sets that are not enough, each with all its subsets (since v13.0).
TOO_WEAK = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
STRONG = (LISTS | SINGLE) - frozenset().union(*TOO_WEAK)

# 64 hex digits, with or without the 2 or 8 characters that Meta's parameter builder appends.
is_digest = re.compile(r"[0-9a-f]{64}(?:\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?").fullmatch
# fb, subdomain index, milliseconds, click id; Meta's parameter builder may add a fifth part.
is_click = re.compile(r"[^.]*\.[^.]*\.[^.]*\.(?=[-_]*[0-9A-Za-z])[-0-9A-Z_a-z]+(?:\..*)?").fullmatch
is_lead_id = re.compile(r"[0-9]{15,16}").fullmatch


def shapes(event: Event) -> Refusal | None:
    """user_data is an object; its lists hold plain values; its single values are not lists."""
    person = event.get("user_data")
    if person is None:
        return schema("{param} is required.", "user_data")
    if not isinstance(person, dict):
        return schema("{param} must be an object.", "user_data")
    for key, value in person.items():
        kind = type(value)
        if kind is str or value is None or kind is int:
            continue
        if kind is list and key in LISTS:
            for item in value:
                if type(item) is not str and type(item) is not int and item is not None:
                    return schema("{param} must be a list of strings.", "user_data", key)
        elif key in LISTS or key in SINGLE:
            return schema("{param} must be a string.", "user_data", key)
    return None


def hashed(event: Event) -> Refusal | None:
    """Contact fields are SHA-256 in lower-case hex (2804016); a lead id has 15 or 16 digits; the
    click id in fbc is of letters, digits, _ and - (2804001)."""
    person = event["user_data"]
    for key in HASHED:
        values = person.get(key)
        if values is None:
            continue
        for value in values if type(values) is list else (values,):
            if value is not None and (type(value) is not str or is_digest(value) is None):
                return known(2804016, key=key)
    lead_id = person.get("lead_id")
    if lead_id is not None and is_lead_id(str(lead_id)) is None:
        return known(2804036)
    click = person.get("fbc")
    if type(click) is str and click and is_click(click) is None:
        return known(2804001)
    return None


def strength(event: Event) -> Refusal | None:
    """At least one known key, and not only one of the sets that are too broad (2804050)."""
    person = event["user_data"]
    weak = set()
    for key, value in person.items():
        if has_value(value):
            if key in STRONG:
                return None
            if key in LISTS or key in SINGLE:
                weak.add(key)
    return known(2804050) if any(weak <= named for named in TOO_WEAK) else None


def has_value(value: Any) -> bool:
    """Whether a user_data entry is not empty: not null, not "", not a list of such."""
    if type(value) is not list:
        return value is not None and value != ""
    for item in value:  # noqa: SIM110 - any() over a generator costs three times as much here
        if item is not None and item != "":
            return True
    return False
