"""Values of common form, normalised a column at a time in Arrow: most of what lands.

A fast path for values that their key's rule would only trim and lower-case. Any other value is
left to the rule; tests hold that both give the same. Measured on distinct values, hash included:
e-mails 1.0 us instead of 4.4, phones with plus and calling code 1.4 instead of 5.8.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.match_keys.digests import SHORTEST
from capi_assets.meta.match_keys.phones import full_numbers
from capi_assets.meta.match_keys.placeholders import (
    PLACEHOLDER_MAILBOXES,
    SAME_ON_BOTH_SIDES,
    words_of,
)

_LONGEST = 254  # the longest e-mail address (RFC 5321); the rule decides on longer ones
_TEXT = pa.string()

_PLACEHOLDER_ADDRESS = f"^(?:{'|'.join(PLACEHOLDER_MAILBOXES + SAME_ON_BOTH_SIDES)})@"
_WORD = f"^[a-z]{{1,{SHORTEST - 1}}}$"
_LOWER_CASE = {
    "em": r"^[a-z0-9][a-z0-9._+'-]*@([a-z0-9-]+\.)+[a-z]{2,24}$",
    "fn": _WORD,
    "ln": _WORD,
    "ct": _WORD,
    "zp": r"^[0-9]{5}$",
}


def normal_forms(key: str, values: pa.Array) -> pa.Array | None:
    """The normal form of each value of common form, null for all others.

    None if the key has no common form. The form never depends on the row's country.
    """
    if key == "ph":
        return full_numbers(pc.ascii_trim_whitespace(values))
    if key not in _LOWER_CASE:
        return None
    lowered = pc.ascii_lower(pc.ascii_trim_whitespace(values))
    common = pc.and_(
        pc.match_substring_regex(lowered, _LOWER_CASE[key]),
        pc.less_equal(pc.binary_length(lowered), _LONGEST),
    )
    common = pc.and_not(common, _maybe_placeholder(key, lowered))
    return pc.if_else(common, lowered, pa.scalar(None, _TEXT))


def _maybe_placeholder(key: str, lowered: pa.Array) -> pa.Array:
    """Where the text may be a placeholder, which its rule then decides."""
    if key == "em":
        return pc.match_substring_regex(lowered, _PLACEHOLDER_ADDRESS)
    return pc.is_in(lowered, pa.array([*words_of(key), "00000"]))
