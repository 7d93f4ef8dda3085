"""Where our match keys differ from Meta's own libraries on purpose, each with its reason.

`python -m tests.meta.intended_differences` writes docs/normalisation.md from this table and from
the rules in `capi_assets.meta.key_rules`. Any difference that the table does not explain fails
test_differential.py.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import phonenumbers
import pyarrow as pa
import pycountry
from capi_param_builder import ParamBuilder
from facebook_business.adobjects.serverside.normalize import Normalize

from capi_assets.meta.click_ids import fbc_column, fbclid_from_url_column, fbp_column, ip_column
from capi_assets.meta.key_rules import ANY_HASHED_KEY, RULES
from capi_assets.meta.match_keys import HASHED_KEYS, normalise
from capi_assets.meta.problems import Problem

def _code(text: str | None) -> str:
    if text is None:
        return "refused"
    escaped = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    shown = escaped if len(escaped) <= 40 else f"{escaped[:12]}...{escaped[-12:]}"
    return f"`{shown}`" if shown else "the empty text"


def page() -> str:
    """docs/normalisation.md: the rules, the reasons a value is dropped, the differences."""
    lines = [
        "# Normalisation",
        "",
        "Written by `python -m tests.meta.intended_differences`; a test fails if it is not up to"
        " date.",
        "",
        "What happens to contact data, click ids and addresses before they are stored and sent."
        " Meta's published rules and examples decide; where they are silent, or where Meta's own"
        " libraries disagree with each other, the choice and its reason stand here.",
        "",
        "## Every hashed key",
        "",
        *(f"- {rule}" for rule in ANY_HASHED_KEY),
        "",
        "## Key by key",
        "",
        "| key | rule |",
        "|---|---|",
        *(f"| `{key}` | {rule} |" for key, rule in RULES.items()),
        "",
        "## Why a value was dropped",
        "",
        "`dropped_fields` names each dropped field with one of these codes.",
        "",
        "| code | meaning and remedy |",
        "|---|---|",
        *(f"| `{problem.code}` | {problem.words} |" for problem in Problem),
        "",
        "## Where we differ from Meta's libraries",
        "",
        "Compared with `facebook-business` (hashed keys) and with Meta's Python param builder (fbc,"
        " fbp, fbclid, addresses) on some thousand generated values. Everything that is not in this"
        " table is equal. Values are shown before hashing; the param builder's are shown without"
        " the appendix it adds to everything.",
        "",
        "| difference | keys | value | Meta's library | ours | reason |",
        "|---|---|---|---|---|---|",
        *map(_row, DIFFERENCES),
        "",
    ]
    return "\n".join(lines)


def _row(difference: Difference) -> str:
    key = difference.keys[0]
    value = _code(difference.example) + (f", {difference.country}" if difference.country else "")
    library = _code(theirs(key, difference.example))
    if "random" in difference.reason:
        library = "a random one"
    forms = ours(key, difference.example, difference.country)
    kept = " and ".join(map(_code, forms)) or "dropped"
    if key == "external_id":
        kept += ", hashed"
        library += ", not hashed"
    keys = "any" if difference.keys == ALL_TEXT else ", ".join(f"`{k}`" for k in difference.keys)
    return f"| {difference.name} | {keys} | {value} | {library} | {kept} | {difference.reason} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
