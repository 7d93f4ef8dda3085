"""Small readers for values in JSON columns, shared by the modules that each read one.

For any text they return a value or `MALFORMED`, and never raise.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import orjson

MALFORMED: Final = object()

_LARGEST_EXACT_FLOAT = 2**53
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def load(text: str, *, keep_nulls: bool = False) -> Any:
    """The value of a JSON text, without its nulls at any depth, or `MALFORMED`."""
    try:
        value = orjson.loads(text)
        return without_nulls(value) if "null" in text and not keep_nulls else value
    except (ValueError, RecursionError):
        return MALFORMED


def dump(value: Any) -> str | None:
    """Compact JSON text with sorted keys; None if it is nested too deeply to write."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return None


def without_nulls(value: Any) -> Any:
    """The same value without null members and null items."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value if item is not None]
    return value


def identifier(value: Any) -> str | None:
    """An id as text: text that is not blank, or a whole number; None otherwise."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT_FLOAT:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def number(value: Any) -> int | float | None:
    """A number, or text of one (Meta's own samples show both); None otherwise."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return None
    read = float(value)
    return read if math.isfinite(read) else None
