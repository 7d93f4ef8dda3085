"""All intended differences from Meta's libraries, and the page that is written from them.

`python -m tools.normalisation_page` writes docs/normalisation.md; test_differential.py fails
if it is not up to date, and at any difference that is not in the tables.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.key_rules import RULES
from capi_assets.meta.match_keys.placeholders import (
    IN_EVERY_KEY,
    NOT_IN_NAMES,
    PLACEHOLDER_MAILBOXES,
    SHAPES,
)
from capi_assets.shared_ids import MOST_ADDRESSES, MOST_CONTACTS
from tests.helpers import click_id_differences, hashed_key_differences
from tests.helpers.differences import Difference
from tests.helpers.metas_libraries import ours, theirs

PAGE = Path(__file__).parents[1] / "docs" / "normalisation.md"
DIFFERENCES = hashed_key_differences.DIFFERENCES + click_id_differences.DIFFERENCES

ANY_HASHED_KEY = (
    "Blank values and placeholders count as absent. White space around a value is removed.",
    "Text is lower-cased (the sharp s stays) and composed (NFC); scripts other than Latin stay.",
    "A SHA-256 digest (64 hexadecimal characters) passes in lower case, with the appendix of Meta's"
    " param builder if it has one. MD5, SHA-1, SHA-512 and base64 digests, and the digest of an"
    " empty text, are dropped.",
    'Several values may be in a JSON list (`["a","b"]`), several digests in a list separated by'
    " spaces or commas. Each is hashed once, in the order given.",
    "A value that Meta could not match is dropped and counted with its reason; the row stays.",
)


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


_PLACEHOLDERS = (
    "## Placeholders",
    "",
    "What systems write where a value is missing counts as no value in every key that is text,"
    " before it can match, be supplied by a visit, be hashed or be sent. The row stays; the"
    " field is"
    " reported as `placeholder`. An `order_id`, or a visit's `visit_id`, that is a placeholder is"
    " missing, and its row is quarantined.",
    "",
    "| where | what counts as no value |",
    "|---|---|",
    f"| every key, in any letter case, quoted or not | {_code(IN_EVERY_KEY)} |",
    f"| every key but names, places and `country` | {_code(NOT_IN_NAMES)} |",
    *(f"| every key | {name} |" for name in SHAPES),
    f"| `em`: before the @ | {_code(PLACEHOLDER_MAILBOXES)} |",
    "| `em` | the same word before the @ and behind it, such as `test@test.com` |",
    "| `ph` | ten times the same digit |",
    "",
    "Kept, because people and places have such names: `Null` in this spelling as a last name, Nan,"
    " Nil, Na and Guest in names and places, and NA for Namibia. `0` is a value of `order_id` and"
    " `visit_id`.",
    "",
    "What no table can know, such as the customer number of a till, is found by its company: an id"
    f" that comes with more than {MOST_CONTACTS} e-mail addresses or phone numbers, or with"
    f" more than"
    f" {MOST_ADDRESSES} IP addresses, within one hour finds no visit for the orders of that"
    f" hour, or"
    " for those that look back to it. `matched_events.shared_keys` names it per order. It is sent"
    " nevertheless: whether the id is right, only you can know.",
    "",
)
_EXTERNAL_ID = (
    "## external_id and the Pixel",
    "",
    "Meta joins browser and server by external_id only where both send the same text. So the"
    " default"
    " (`CAPI_EXTERNAL_ID_FORM=pixel`) is what the Pixel makes of it: lower case, no white space,"
    " SHA-256, with 64 hexadecimal digits passed as a digest and 32 passed unhashed. If your site"
    " hashes the id itself before it gives it to the Pixel, without changing its case, set"
    " `exact`.",
    "",
    "A change of this setting changes the digest of ids with capitals or spaces. Events that Meta"
    " accepted are not sent again: delivery goes by event_id. But Meta knows those people under the"
    " former digest, and learns the new one from the next events on; and visits stored before the"
    " change are not found by external_id until their hours are materialized again.",
    "",
)


def explanations(key: str, value: str, country: str | None) -> list[str]:
    """Names of the differences that speak of this value."""
    return [
        difference.name
        for difference in DIFFERENCES
        if key in difference.keys and difference.applies(value, country)
    ]


def page() -> str:
    """The rules, why a value is dropped, and where Meta's libraries do otherwise."""
    lines = [
        "# Normalisation",
        "",
        "What happens to contact data, click ids and addresses before they are stored and sent."
        " Meta's published rules and examples decide; where they are silent, or Meta's own"
        " libraries disagree with each other, the choice and its reason are given here.",
        "",
        "This page is written by `python -m tools.normalisation_page`.",
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
        *_PLACEHOLDERS,
        *_EXTERNAL_ID,
        "## Why a value was dropped",
        "",
        "`dropped_fields` names each dropped field with one of these codes.",
        "",
        "| code | meaning and remedy |",
        "|---|---|",
        *(f"| `{problem.code}` | {problem.text} |" for problem in Problem),
        "",
        "## Where Meta's libraries do otherwise",
        "",
        "Hashed keys are compared with `facebook-business`, the others with Meta's Python param"
        " builder, on some thousand generated values. What is not in this table is equal. Values"
        " are shown before hashing, and the param builder's without the appendix it adds to each.",
        "",
        "| difference | keys | value | Meta's library | ours | why |",
        "|---|---|---|---|---|---|",
        *map(_row, DIFFERENCES),
        "",
    ]
    return "\n".join(lines)


def _row(difference: Difference) -> str:
    key, example, country = difference.keys[0], difference.example, difference.country
    keys = ", ".join(f"`{each}`" for each in difference.keys)
    if difference.keys == hashed_key_differences.ANY:
        keys = "any hashed"
    value = _shown(example) + (f", row of {country}" if country else "")
    library = theirs(key, example)
    kept = " and ".join(map(_shown, ours(key, example, country))) or "dropped"
    if key == "external_id":
        kept += ", hashed"
    return (
        f"| {difference.name} | {keys} | {value} | {_shown(library)} | {kept} |"
        f" {difference.reason} |"
    )


def _shown(text: str | None) -> str:
    """Text as code, invisible characters and combining accents as escapes, digests shortened."""
    if text is None:
        return "refused"
    escaped = "".join(f"\\u{ord(c):04x}" if unicodedata.category(c)[0] in "CM" else c for c in text)
    if len(escaped) > 40:
        escaped = f"{escaped[:12]}...{escaped[-12:]}"
    return f"`{escaped}`" if escaped else "the empty text"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
