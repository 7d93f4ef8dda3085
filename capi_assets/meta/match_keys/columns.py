"""Columns of text, mapped by a Python function that sees each distinct value once.

Orders repeat countries, cities and birthdays, and often buyers: encode, map, take. The result
depends neither on the order of the rows nor on how the column is chunked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

TEXT_AND_PROBLEM = (pa.string(), pa.string())

_EXACT_IN_FLOAT = 2.0**53


def as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The column as text, whatever its type: whole floats without `.0`, lists as JSON.

    Bytes that are no UTF-8 come out with U+FFFD in their place.
    """
    if pa.types.is_string(values.type):
        return values
    if pa.types.is_floating(values.type):
        return _floats_as_text(values.cast(pa.float64()))
    try:
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array(map(_as_text, values.to_pylist()), pa.string())


def _floats_as_text(values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Arrow writes 16505551212.0 as 1.6505551212e+10."""
    is_number = pc.invert(pc.is_nan(values))
    whole = pc.and_(
        pc.equal(pc.floor(values), values), pc.less(pc.abs(values), pa.scalar(_EXACT_IN_FLOAT))
    )
    integers = pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(pa.int64())
    written = pc.coalesce(integers.cast(pa.string()), values.cast(pa.string()))
    return pc.if_else(is_number, written, pa.scalar(None, pa.string()))


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError:
        return str(value)


def encode(values: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """Distinct values and indices into them, in one piece."""
    encoded = values.dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        return encoded.combine_chunks()
    return encoded


def map_distinct(
    values: pa.Array | pa.ChunkedArray,
    function: Callable[[Any], tuple[Any, ...]],
    types: Sequence[pa.DataType] = TEXT_AND_PROBLEM,
) -> list[pa.Array]:
    """One array per type, of what `function` returns for each value; null stays null."""
    encoded = encode(values)
    mapped: list[list[Any]] = [[] for _ in types]
    for value in encoded.dictionary.to_pylist():
        for column, part in zip(mapped, function(value), strict=True):
            column.append(part)
    return [
        pa.array(column, type_).take(encoded.indices)
        for column, type_ in zip(mapped, types, strict=True)
    ]


def map_distinct_pairs(
    values: pa.Array | pa.ChunkedArray,
    others: pa.Array | pa.ChunkedArray,
    function: Callable[[Any, Any], tuple[Any, ...]],
    types: Sequence[pa.DataType] = TEXT_AND_PROBLEM,
) -> list[pa.Array]:
    """Like `map_distinct` over pairs; a null value stays null, a null other is passed as None."""
    first, second = encode(values), encode(others)
    firsts = first.dictionary.to_pylist()
    seconds = [*second.dictionary.to_pylist(), None]
    width = len(seconds)
    codes = pc.add(
        pc.multiply(first.indices.cast(pa.int64()), width),
        pc.fill_null(second.indices.cast(pa.int64()), width - 1),
    )

    def by_code(code: int) -> tuple[Any, ...]:
        value, other = divmod(code, width)
        return function(firsts[value], seconds[other])

    return map_distinct(codes, by_code, types)
