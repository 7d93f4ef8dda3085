"""Placeholders: what systems write where a value is missing.

Hashed and sent, one such word would make all its strangers one person at Meta; as a key it would
join every order to every visit. So it counts as no value in every text key of visits and orders,
before anything is matched, supplied, hashed or sent, and is reported as `placeholder`.
docs/normalisation.md prints these tables. `is_placeholder` and `placeholders` read the same ones.

    is_placeholder("external_id", "{{user_id}}")  # True
    is_placeholder("ln", "Na")  # False: people are called so
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.columns import map_distinct
from capi_assets.meta.match_keys.key_problems import Problem

IN_EVERY_KEY = frozenset(
    {"null", "(null)", "<null>", "undefined", "none", "(none)", "<none>", "n/a", "(n/a)", "#n/a"}
    | {"(not set)", "not set", "(not provided)", "not provided", "not available", "not applicable"}
    | {"not specified", "unspecified", "unknown", "(unknown)", "anonymous", "empty", "(empty)"}
    | {"<empty>", "no value", "nullnull", "undefinedundefined", r"\n", "[object object]"}
)
"""In any letter case, quoted or not; nearly every cell with one of these is a missing value."""

SURNAMES = frozenset({"Null"})
"""Spelled like this, a last name: systems write `null` or `NULL`, people have been called Null."""

NOT_IN_NAMES = frozenset(
    {"nan", "nil", "na", "n.a.", "anon", "guest", "false", "true", "-1"} | {"xxx", "xxxx", "xxxxx"}
)
"""In every key but names, places and countries: Nan is a city and a first name, Nil a first name,
Na and Guest are surnames, and NA is the code of Namibia and of Naples."""

PLAIN_KEYS = frozenset(
    {"event_id", "dataset_id", "visit_id", "fbclid", "fbc", "fbp", "client_ip_address"}
    | {"client_user_agent", "page_url", "event_source_url", "referrer_url", "subscription_id"}
    | {"lead_id", "fb_login_id", "anon_id", "madid"}
)
"""The landed columns that are not hashed and in which a placeholder counts as no value."""

COUNTED = frozenset({"order_id", "visit_id"})
"""Ids that may be numbers counted from 0 or below."""

NAME_KEYS = frozenset({"fn", "ln", "ct", "st", "country"})

SHAPES = {
    "only punctuation: `-`, `--`, `?`, `{}`": r"[\s!-/:-@\[-`{-~\u2013\u2014\u2026]+",
    "zeros, grouped or not: `0`, `00000`, `0000-00-00`, an empty UUID": r"[0\s.:/t-]*0[0\s.:/t-]*",
    "`{{user_id}}`, `${id}`, `{user.id}`": r"\$?\{.*\}",
    "`<%= id %>`, `<user_id>`": r"<.*>",
    "`[[id]]`, `[%id%]`": r"\[[\[%].*[%\]]\]",
    "`%s`, `%d`, `%id%`, `%%ID%%`": r"%(?:[sdi@]|.*%)",
    "`$user_id`": r"\$[a-z_][a-z_.]*",
    "`__CLICKID__`": r"__[a-z_]+__",
    r"`*\|EMAIL\|*`": r"\*\|.*\|\*",
}
"""Forms of placeholders, as examples and patterns of the lower-case text: template variables that
were never filled in, punctuation, zeros."""

PLACEHOLDER_MAILBOXES = (
    *("null", "undefined", "none", "nan", "unknown", "anonymous", "guest", "noreply", "no-reply"),
    *("donotreply", "do-not-reply", "noemail", "no-email", "nomail", "no-mail", "notprovided"),
)
"""Local parts of addresses that shops fill in for customers without one."""

SAME_ON_BOTH_SIDES = ("test", "na", "a", "x", "asdf", "example", "email", "mail")
"""Words that are a placeholder before the @ if the domain begins with the same one."""

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
