"""Landed values to the contract's types, a column at a time.

A value that does not fit becomes null with a problem code; whether that costs the field or the row
is decided elsewhere. Casts accept text and native types alike, so that files of any format and SQL
results pass through the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Column

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
WHOLE = r"^[+-]?\d{1,18}$"
TRUE_WORDS = ["true", "t", "yes", "y", "1", "granted"]
FALSE_WORDS = ["false", "f", "no", "n", "0", "denied"]

# Epoch numbers are told apart by magnitude: 1e11 seconds is the year 5138.
_SECONDS_BELOW, _MILLISECONDS_BELOW, _MICROSECONDS_BELOW = 1e11, 1e14, 1e17


@dataclass(frozen=True)
class Cast:
    """A column in its contract's type; `problems` has a code where a value did not fit."""

    values: pa.Array
    problems: pa.Array


def cast_column(
    values: pa.ChunkedArray | pa.Array, column: Column, connection: duckdb.DuckDBPyConnection
) -> Cast:
    """`values` as the type that the contract gives `column`; never raises for a value."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_null(values.type):
        values = values.cast(pa.string())
    if pa.types.is_floating(values.type):
        # pandas writes an absent value of a numeric column as NaN.
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    if column.metadata.get("json"):
        return _json(values, connection)
    cast = _CASTS[column.arrow_type](values, connection)
    if column.metadata.get("upper"):
        return Cast(pc.utf8_upper(cast.values), cast.problems)
    return cast


def absent(column: Column, rows: int) -> Cast:
    """A column that did not land."""
    return Cast(pa.nulls(rows, column.arrow_type), pa.nulls(rows, pa.string()))


def to_text(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> pa.Array:
    """Any type as text without surrounding space; blank is null; nested types are JSON."""
    kind = values.type
    if pa.types.is_nested(kind):
        values = _in_duckdb(values, "to_json(v)::VARCHAR", connection)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        values = _in_duckdb(values, "try(decode(v))", connection)
    elif pa.types.is_floating(kind):
        # 12345.0 is the number 12345 that a spreadsheet or a null in the column made a float.
        whole = pc.fill_null(pc.equal(values, pc.floor(values)), False)
        small = pc.fill_null(pc.less(pc.abs(values), 1e15), False)
        as_int = pc.if_else(pc.and_(whole, small), values, None).cast(pa.int64())
        values = pc.if_else(pc.is_valid(as_int), as_int.cast(pa.string()), values.cast(pa.string()))
    elif not pa.types.is_string(kind):
        values = values.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(values)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def _text(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    text = to_text(values, connection)
    broken = pc.and_(pc.is_valid(values), pc.and_(pc.is_null(text), _not_blank(values)))
    return Cast(text, _problem(broken, "not_text"))


def _not_blank(values: pa.Array) -> pa.Array | pa.Scalar:
    if pa.types.is_string(values.type):
        return pa.scalar(False)
    return pa.scalar(True)


def _money(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    return _number(values, connection, pa.float64(), NUMBER, "not_a_number")


def _count(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    return _number(values, connection, pa.int64(), WHOLE, "not_a_whole_number")


def _number(
    values: pa.Array,
    connection: duckdb.DuckDBPyConnection,
    kind: pa.DataType,
    pattern: str,
    problem: str,
) -> Cast:
    if pa.types.is_boolean(values.type):
        return Cast(pa.nulls(len(values), kind), _problem(pc.is_valid(values), problem))
    text = to_text(values, connection)
    fits = pc.match_substring_regex(text, pattern)
    number = pc.if_else(fits, text, pa.scalar(None, pa.string())).cast(kind)
    if pa.types.is_floating(kind):
        number = pc.if_else(pc.is_finite(number), number, pa.scalar(None, kind))
    return Cast(number, _problem(pc.and_(pc.is_valid(text), pc.is_null(number)), problem))


def _flag(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    if pa.types.is_boolean(values.type):
        return Cast(values, pa.nulls(len(values), pa.string()))
    text = pc.utf8_lower(to_text(values, connection))
    yes = pc.is_in(text, pa.array(TRUE_WORDS))
    no = pc.is_in(text, pa.array(FALSE_WORDS))
    flag = pc.if_else(yes, True, pc.if_else(no, False, pa.scalar(None, pa.bool_())))
    return Cast(flag, _problem(pc.and_(pc.is_valid(text), pc.is_null(flag)), "not_true_or_false"))


def _json(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    text = to_text(values, connection)
    valid = _in_duckdb(text, "json_valid(v)", connection)
    kept = pc.if_else(pc.fill_null(valid, False), text, pa.scalar(None, pa.string()))
    return Cast(kept, _problem(pc.and_(pc.is_valid(text), pc.is_null(kept)), "not_json"))


def _time(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> Cast:
    kind = values.type
    if pa.types.is_timestamp(kind):
        # A naive timestamp is UTC; one with a zone keeps its instant.
        moved = values.cast(pa.timestamp("us", tz=kind.tz), safe=False)
        return Cast(moved.cast(UTC_MICROSECONDS), pa.nulls(len(values), pa.string()))
    if pa.types.is_date(kind):
        moved = values.cast(pa.timestamp("us")).cast(UTC_MICROSECONDS)
        return Cast(moved, pa.nulls(len(values), pa.string()))
    text = to_text(values, connection)
    numeric = pc.fill_null(pc.match_substring_regex(text, r"^\d{1,18}(\.\d+)?$"), False)
    epoch = _epoch(pc.if_else(numeric, text, pa.scalar(None, pa.string())).cast(pa.float64()))
    # Words such as 'now' or 'infinity' are times to DuckDB, never to us.
    dated = pc.fill_null(pc.match_substring_regex(text, r"^\d{4}-\d{2}-\d{2}([ T]|$)"), False)
    written = _in_duckdb(
        pc.if_else(dated, text, pa.scalar(None, pa.string())),
        "try_cast(v AS TIMESTAMPTZ)",
        connection,
    ).cast(UTC_MICROSECONDS)
    moment = pc.if_else(numeric, epoch, written)
    return Cast(moment, _problem(pc.and_(pc.is_valid(text), pc.is_null(moment)), "not_a_time"))


def _epoch(number: pa.Array) -> pa.Array:
    factor = pc.case_when(
        pc.make_struct(
            pc.less(number, _SECONDS_BELOW),
            pc.less(number, _MILLISECONDS_BELOW),
            pc.less(number, _MICROSECONDS_BELOW),
        ),
        pa.scalar(1e6),
        pa.scalar(1e3),
        pa.scalar(1.0),
    )
    return pc.round(pc.multiply(number, factor)).cast(pa.int64()).cast(UTC_MICROSECONDS)


def _in_duckdb(
    values: pa.Array, expression: str, connection: duckdb.DuckDBPyConnection
) -> pa.Array:
    """`expression` over `v`, order kept."""
    connection.register("cast_input", pa.table({"i": range(len(values)), "v": values}))
    result = connection.sql(f"SELECT {expression} AS r FROM cast_input ORDER BY i")
    column = result.to_arrow_table().column("r").combine_chunks()
    connection.unregister("cast_input")
    return column


def _problem(broken: pa.Array, code: str) -> pa.Array:
    return pc.if_else(pc.fill_null(broken, False), code, pa.scalar(None, pa.string()))


_CASTS: dict[pa.DataType, Callable[[pa.Array, duckdb.DuckDBPyConnection], Cast]] = {
    pa.string(): _text,
    pa.float64(): _money,
    pa.int64(): _count,
    pa.bool_(): _flag,
    UTC_MICROSECONDS: _time,
}
