"""Placeholders: what systems write where a value is missing.

Hashed and sent, one such word would make all its strangers one person at Meta; as a key it would
join every order to every visit. So it counts as no value in every text key of visits and orders,
before anything is matched, supplied, hashed or sent, and is reported as `placeholder`.
The tables are in placeholders.toml; docs/normalisation.md prints them.

    is_placeholder("external_id", "{{user_id}}")  # True
    is_placeholder("ln", "Na")  # False: people are called so
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem
from capi_assets.table_files import table_beside

_TABLE = table_beside(__file__)
IN_EVERY_KEY = frozenset(_TABLE["in_every_key"])
NOT_IN_NAMES = frozenset(_TABLE["not_in_names"])
PLAIN_KEYS = frozenset(_TABLE["plain_keys"])
PLACEHOLDER_MAILBOXES: list[str] = _TABLE["mailboxes"]
SAME_ON_BOTH_SIDES: list[str] = _TABLE["same_on_both_sides"]
SHAPES: dict[str, str] = _TABLE["shapes"]

SURNAMES = frozenset({"Null"})
"""Spelled like this, a last name: systems write `null` or `NULL`, people have been called Null."""

COUNTED = frozenset({"order_id", "visit_id"})
"""Ids that may be numbers counted from 0 or below."""

NAME_KEYS = frozenset({"fn", "ln", "ct", "st", "country"})

_LONGEST = 64  # characters; no template variable is longer, and page addresses need no check
_IN_OTHER_KEYS = IN_EVERY_KEY | NOT_IN_NAMES
_LONGEST_WORD = max(map(len, _IN_OTHER_KEYS))
_QUOTES = " \t\r\n\"'`"
_SHAPE = re.compile("|".join(f"(?:{pattern})" for pattern in SHAPES.values()), re.S)
_SAME_NAME = re.compile(rf"({'|'.join(SAME_ON_BOTH_SIDES)})@\1\.[a-z.]+")
_MAILBOX = re.compile(rf"(?:{'|'.join(PLACEHOLDER_MAILBOXES)})@.*")
_ONE_DIGIT = re.compile(r"(\d)\1{9}$")


def words_of(key: str) -> frozenset[str]:
    """The words, in lower case, that are placeholders in this key."""
    return IN_EVERY_KEY if key in NAME_KEYS else _IN_OTHER_KEYS


def is_placeholder(key: str, text: str) -> bool:
    """Whether this text is a placeholder; `key` is a match key or the name of a landed column."""
    if len(text) > _LONGEST:
        return False
    bare = text.strip(_QUOTES).lower()
    if key == "em" and "@" in bare:
        return bool(_MAILBOX.fullmatch(bare) or _SAME_NAME.fullmatch(bare))
    if key == "ph" and bare.count(bare[-1:]) >= 10:
        return _ONE_DIGIT.search("".join(filter(str.isdecimal, bare))) is not None
    if (key == "ln" and text in SURNAMES) or (key in COUNTED and bare in ("0", "-1")):
        return False
    if not bare or bare in words_of(key):
        return True
    # Every shape begins with zero or a sign.
    return not ("a" <= bare[0] <= "z" or "1" <= bare[0] <= "9") and bool(_SHAPE.fullmatch(bare))


def without_placeholders(
    rows: pa.Table, columns: frozenset[str]
) -> tuple[pa.Table, dict[str, pa.Array]]:
    """`rows` with null for each placeholder in `columns` (text), and the problems by column.

    Called by ingest for the keys that are not hashed; `hash_column` does the same for the others.
    """
    problems: dict[str, pa.Array] = {}
    for name in sorted(columns.intersection(rows.column_names)):
        values = rows.column(name).combine_chunks()
        nothing = placeholders(name, values)
        if nothing.true_count:
            kept = pc.if_else(nothing, pa.scalar(None, values.type), values)
            rows = rows.set_column(rows.column_names.index(name), name, kept)
            code = pa.scalar(Problem.PLACEHOLDER.code)
            problems[name] = pc.if_else(nothing, code, pa.scalar(None, pa.string()))
    return rows, problems


def placeholders(key: str, values: pa.Array) -> pa.Array:
    """True where a text of the column is a placeholder; false for null.

    A longer text that begins with a letter or digit is surely none, which spares most ids the
    check: it takes 1 us, and the ids of a million visits are all distinct.
    """
    short = pc.less_equal(pc.binary_length(values), _LONGEST_WORD)
    suspect = pc.or_(short, pc.match_substring_regex(values, "^[^A-Za-z1-9]"))
    (found,) = map_distinct(
        pc.if_else(suspect, values, pa.scalar(None, pa.string())),
        lambda text: (is_placeholder(key, text),),
        [pa.bool_()],
    )
    return pc.fill_null(found, False)
