"""All intended differences from Meta's libraries, and the page that is written from them.

`python -m tools.normalisation_page` writes docs/normalisation.md; test_differential.py fails
if it is not up to date, and at any difference that is not in the tables.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.meta.match_keys.key_rules import RULES
from tests.helpers import click_id_differences, hashed_key_differences
from tests.helpers.differences import Difference
from tests.helpers.metas_libraries import ours, theirs

PAGE = Path(__file__).parents[1] / "docs" / "normalisation.md"
DIFFERENCES = hashed_key_differences.DIFFERENCES + click_id_differences.DIFFERENCES

ANY_HASHED_KEY = (
    "Blank values count as absent. White space around a value is removed.",
    "Text is lower-cased (the sharp s stays) and composed (NFC); scripts other than Latin stay.",
    "A SHA-256 digest (64 hexadecimal characters) passes in lower case, with the appendix of Meta's"
    " param builder if it has one. MD5, SHA-1, SHA-512 and base64 digests, and the digest of an"
    " empty text, are dropped.",
    'Several values may stand in a JSON list (`["a","b"]`), several digests in a list separated by'
    " spaces or commas. Each is hashed once, in the order given.",
    "A value that Meta could not match is dropped and counted with its reason; the row stays.",
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
        " libraries disagree with each other, the choice and its reason stand here.",
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
