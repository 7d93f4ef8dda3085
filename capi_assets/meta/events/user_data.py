"""`user_data`: hashed keys as lists, the others unchanged, plus the ids of the JSON column.

The columns arrive normalised and hashed; here they are only checked for shape, put in order and
written. Rules: page "Customer information parameters"; ids of conversations: page "Conversions
API for business messaging".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.meta.events.json_text import (
    Columns,
    Member,
    escaped,
    json_member,
    list_member,
    object_member,
    read_distinct,
    text_bytes,
    text_member,
)
from capi_assets.meta.events.json_values import dump, identifier, load
from capi_assets.meta.limits import LEAD_ID_DIGITS
from capi_assets.meta.match_keys.digests import APPENDIX

HASHED_FIELDS = (
    "em",
    "ph",
    "fn",
    "ln",
    "db",
    "ge",
    "ct",
    "st",
    "zp",
    "country",
    "external_id",
)
PLAIN_FIELDS = (
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "subscription_id",
    "fb_login_id",
    "lead_id",
    "anon_id",
    "madid",
)
EXTRA_FIELDS = (
    "ctwa_clid",
    "page_id",
    "page_scoped_user_id",
    "whatsapp_business_account_id",
    "ig_account_id",
    "ig_sid",
)
"""Keys the `user_data` JSON column may carry. Whatever else it holds is refused (judgement): a key
Meta does not know matches nobody, and contact data in it would be unhashed."""

USER_DATA_FIELDS = (*HASHED_FIELDS, *PLAIN_FIELDS, *EXTRA_FIELDS)
"""Order of the keys in the object."""

_TEXT = pa.string()
_EXTRAS = {**dict.fromkeys(EXTRA_FIELDS, _TEXT), "user_data_problem": _TEXT}
_BIT = {name: np.int64(1 << place) for place, name in enumerate(USER_DATA_FIELDS)}
_DIGEST = rf"[0-9a-f]{{64}}({APPENDIX})?"
_DIGEST_LIST = rf"^{_DIGEST}( {_DIGEST})*$"
_LEAD_ID = rf"^[0-9]{{{LEAD_ID_DIGITS[0]},{LEAD_ID_DIGITS[1]}}}$"


def read_user_data(columns: Columns) -> dict[str, pa.Array]:
    """The extra keys as columns (text), `user_data_problem` (a reason), and `key_bits` (int64:
    which of `USER_DATA_FIELDS` the row has, first field lowest)."""
    extras = read_distinct(columns["user_data"], _user_data, _EXTRAS)
    present = np.zeros(len(columns["user_data"]), np.int64)
    for name in USER_DATA_FIELDS:
        values = extras[name] if name in extras else columns[name]
        if values.null_count < len(values):
            has = values.is_valid().to_numpy(zero_copy_only=False)
            present |= np.where(has, _BIT[name], 0)
    return {**extras, "key_bits": pa.array(present)}


def user_data_member(rows: Columns) -> Member:
    """The object of rows that all have at least one key."""
    hashed = {name: rows[name] for name in HASHED_FIELDS}
    hashed["external_id"] = escaped(rows["external_id"])  # digests need no escapes, raw ids may
    members = [list_member(name, values) for name, values in hashed.items()]
    members += [text_member(name, rows[name]) for name in PLAIN_FIELDS]
    members += [json_member(name, rows[name]) for name in EXTRA_FIELDS]
    return object_member("user_data", members)


def match_keys(key_bits: pa.Array) -> pa.Array:
    """The names behind each row's bits, sorted, separated by a space; empty text for none."""
    codes = key_bits.dictionary_encode()
    names = [" ".join(sorted(keys_of(bits))) for bits in codes.dictionary.to_pylist()]
    return pa.array(names, _TEXT).take(codes.indices)


def keys_of(bits: int) -> frozenset[str]:
    """The names behind one row's bits."""
    return frozenset(name for name, bit in _BIT.items() if bits & int(bit))


def bits_of(keys: frozenset[str]) -> int:
    """The bits of a set of names."""
    return int(sum(_BIT[name] for name in keys))


def not_digests(values: pa.Array) -> pa.Array:
    """True where a hashed column holds anything but SHA-256 digests in lower-case hex, separated
    by single spaces, each with or without the appendix of Meta's parameter builder."""
    lone = pc.fill_null(pc.equal(pc.binary_length(values), 64), True)
    if lone.false_count == 0 and _all_hexadecimal(text_bytes(values)):
        return pc.invert(lone)
    return pc.invert(pc.fill_null(pc.match_substring_regex(values, _DIGEST_LIST), True))


def _all_hexadecimal(data: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Whether all bytes are 0-9 or a-f. Unsigned differences wrap, so one comparison per range;
    three times as fast as a look-up table, five times as fast as a regular expression."""
    digit = (data - np.uint8(ord("0"))) < 10
    digit |= (data - np.uint8(ord("a"))) < 6
    return bool(digit.all())


def lead_ids(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Lead ids without the `l:` that Meta's own export of leads writes before each."""
    return pc.replace_substring_regex(values, r"^l:\s*([0-9]+)$", r"\1")


def not_lead_ids(values: pa.Array) -> pa.Array:
    """True where a lead id is not 15 or 16 digits."""
    return pc.invert(pc.fill_null(pc.match_substring_regex(values, _LEAD_ID), True))


def _user_data(text: str) -> tuple[Any, ...]:
    given = load(text)
    nothing = (None,) * len(EXTRA_FIELDS)
    if not isinstance(given, dict):
        return *nothing, "malformed_user_data"
    if not given.keys() <= set(EXTRA_FIELDS):
        return *nothing, "unknown_user_data_key"
    read = {name: identifier(value) for name, value in given.items() if not _blank(value)}
    if None in read.values():
        return *nothing, "malformed_user_data"
    return *(dump(read[name]) if name in read else None for name in EXTRA_FIELDS), None


def _blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()
