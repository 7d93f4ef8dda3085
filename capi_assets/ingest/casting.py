"""Landed values to the types of the contract, one column at a time.

A value that does not fit becomes null with a problem code; `validation.py` decides whether that
costs the value or the row. Text and native types are accepted alike, so that files of any format
and SQL results follow the same rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Column
from capi_assets.meta.match_keys.columns import map_distinct

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
WHOLE = r"^[+-]?\d{1,18}(\.0*)?$"
TRUE_VALUES = ["true", "t", "yes", "y", "1", "granted"]
FALSE_VALUES = ["false", "f", "no", "n", "0", "denied"]

# Numbers from before September 2001 or after 2099 are no epoch times of orders: 46353.29 is the
# serial number of a day in Excel, 20261127 a date, 20261127080500 a date and a time.
_FIRST_NUMBER, _LAST_NUMBER = 1e15, 4.1e15  # microseconds
_EXCEL_SERIALS = (1.0, 80_000.0)  # to the year 2119
# The only abbreviations that mean one zone everywhere: BST, CST, IST and others mean several.
_UTC_NAME = r"(?i)([\d.]) ?(?:UTC|GMT|Z)$"
_ABBREVIATION = r"(?i)^\d{4}-\d{2}-\d{2}[ T]\d{2}:[\d:.]+ ?[A-Z]{2,5}$"
_AM_PM = r"(?i) ?[AP]M$"

# The unit of an epoch number follows from its size: 1e11 seconds is the year 5138, 1e11
# milliseconds is 1973. Each is the limit below which a number has this factor to microseconds.
_UNITS = {1e11: 1e6, 1e14: 1e3, 1e17: 1.0, 1e20: 1e-3}
# From 1970 to the end of 9999, the last year that Python knows.
_LAST_MICROSECOND = 253_402_300_799_999_999


@dataclass(frozen=True)
class CastColumn:
    """A column in its contract's type; `problems` has a code where a value does not fit."""

    values: pa.Array
    problems: pa.Array


def cast_column(
    values: pa.ChunkedArray | pa.Array, column: Column, connection: duckdb.DuckDBPyConnection
) -> CastColumn:
    """`values` in the type of the contract's `column`; a value never raises.

    `concat_files` calls it once per column and run of files with the same type. Numbers may be
    text, `12,5` is not a number; naive times are UTC, numbers are epoch seconds to nanoseconds.
    `connection` must have its time zone set to UTC.

        cast_column(pa.array(["yes", "perhaps"]), consent, connection)
        # values [true, null], problems [null, "not_true_or_false"]
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    try:
        plain = plain_values(values, connection)
        cast = _CASTS[column.arrow_type](plain.values, connection)
    except (pa.ArrowException, duckdb.Error):
        # An unforeseen type costs its column, not the run.
        nothing = pa.nulls(len(values), column.arrow_type)
        return CastColumn(nothing, _problem(pc.is_valid(values), "unknown_type"))
    cast = CastColumn(cast.values, pc.coalesce(plain.problems, cast.problems))
    if shape := column.metadata.get("json"):
        return _json(cast, shape)
    return CastColumn(_in_listed_case(cast.values, column.allowed), cast.problems)


def _in_listed_case(text: pa.Array, allowed: Sequence[str]) -> pa.Array:
    """Values of a closed list as the list writes them, in whatever case they landed."""
    if not allowed:
        return text
    lower = pa.array([value.lower() for value in allowed])
    return pc.coalesce(pa.array(allowed).take(pc.index_in(pc.utf8_lower(text), lower)), text)


def absent(column: Column, rows: int) -> CastColumn:
    """A column that did not land."""
    return CastColumn(pa.nulls(rows, column.arrow_type), pa.nulls(rows, pa.string()))


def plain_values(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    """The same values in a type that the casts accept; bytes as text, if they are UTF-8."""
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if isinstance(values, pa.UuidArray):
        values = in_duckdb(values, "v::VARCHAR", connection)
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    no_problems = pa.nulls(len(values), pa.string())
    if pa.types.is_floating(kind):
        # pandas writes an absent value of a numeric column as NaN.
        single = values.cast(pa.float32()) if pa.types.is_float16(kind) else values
        return CastColumn(_where(pc.invert(pc.is_nan(single)), single), no_problems)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        try:
            values.validate(full=True)
            return CastColumn(values.cast(pa.string()), no_problems)
        except pa.ArrowInvalid:
            values = values.cast(pa.binary())
    elif pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        values = values.cast(pa.binary())
    if pa.types.is_binary(values.type):
        text = in_duckdb(values, "try(decode(v))", connection)
        return CastColumn(text, _misfit(values, text, "not_utf8"))
    return CastColumn(values, no_problems)


def to_text(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> pa.Array:
    """Any plain type as text without surrounding space; blank is null; nested types are JSON."""
    kind = values.type
    if pa.types.is_nested(kind):
        values = in_duckdb(values, "to_json(v)::VARCHAR", connection)
    elif pa.types.is_floating(kind):
        # 12345.0 is the number 12345 that a spreadsheet or a null in the column made a float.
        whole = pc.fill_null(pc.equal(values, pc.floor(values)), False)
        small = pc.fill_null(pc.less(pc.abs(values), 1e15), False)
        as_int = _where(pc.and_(whole, small), values).cast(pa.int64())
        values = pc.coalesce(as_int.cast(pa.string()), values.cast(pa.string()))
    elif not pa.types.is_string(kind):
        values = values.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(values)
    return _where(pc.not_equal(trimmed, ""), trimmed)


def _text(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    text = to_text(values, connection)
    # PostgreSQL, which may hold the ledger, stores no NUL.
    without_nul = _where(pc.invert(pc.match_substring(text, "\0")), text)
    return CastColumn(without_nul, _misfit(text, without_nul, "nul_character"))


def _money(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    text = to_text(values, connection)
    number = _where(pc.match_substring_regex(text, NUMBER), text).cast(pa.float64())
    number = _where(pc.is_finite(number), number)
    return CastColumn(number, _misfit(text, number, "not_a_number"))


def _count(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    text = to_text(values, connection)
    digits = pc.replace_substring_regex(
        _where(pc.match_substring_regex(text, WHOLE), text), r"^\+|\.0*$", ""
    )
    number = digits.cast(pa.int64())
    return CastColumn(number, _misfit(text, number, "not_a_whole_number"))


def _flag(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    if pa.types.is_boolean(values.type):
        return CastColumn(values, pa.nulls(len(values), pa.string()))
    text = to_text(values, connection)
    # 1.0 is a flag that a null in its column made a float.
    word = pc.utf8_lower(pc.replace_substring_regex(text, r"^([01])\.0+$", r"\1"))
    no = pc.is_in(word, pa.array(FALSE_VALUES))
    known = pc.or_(no, pc.is_in(word, pa.array(TRUE_VALUES)))
    flag = _where(known, pc.invert(no))
    return CastColumn(flag, _misfit(text, flag, "not_true_or_false"))


def _json(cast: CastColumn, shape: str) -> CastColumn:
    """Text that is JSON of `shape`, `list` or `object`.

    Parsed by orjson, as in `meta`: DuckDB's parser accepts NaN and nesting that orjson refuses.
    """
    expected, problem = (list, "not_a_list") if shape == "list" else (dict, "not_an_object")

    def problem_of(text: str) -> tuple[str | None]:
        try:
            return (None if isinstance(orjson.loads(text), expected) else problem,)
        except (orjson.JSONDecodeError, RecursionError):
            return ("not_json",)

    (problems,) = map_distinct(cast.values, problem_of, [pa.string()])
    return CastColumn(
        _where(pc.is_null(problems), cast.values), pc.coalesce(cast.problems, problems)
    )


def _time(values: pa.Array, connection: duckdb.DuckDBPyConnection) -> CastColumn:
    kind = values.type
    if pa.types.is_timestamp(kind):
        # A naive timestamp is UTC; one with a zone keeps its instant.
        moment = values.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(UTC_MICROSECONDS)
        return _bounded(values, moment)
    if pa.types.is_date(kind):
        return _bounded(values, values.cast(pa.timestamp("us")).cast(UTC_MICROSECONDS))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _from_epoch(values.cast(pa.float64(), safe=False))
    text = to_text(values, connection)
    numeric = pc.fill_null(pc.match_substring_regex(text, r"^\d{1,19}(\.\d+)?$"), False)
    of_number = _from_epoch(_where(numeric, text).cast(pa.float64()))
    # Text such as 'now' or 'infinity' is a time to DuckDB, and must not be one here.
    dated = pc.match_substring_regex(text, r"^\d{4}-\d{2}-\d{2}([ T]|$)")
    iso = iso_text(_where(dated, text))
    ambiguous = pc.and_(
        pc.match_substring_regex(iso, _ABBREVIATION),
        pc.invert(pc.match_substring_regex(iso, _AM_PM)),
    )
    ambiguous = pc.fill_null(ambiguous, False)
    readable = _where(pc.invert(ambiguous), iso)
    moment = in_duckdb(readable, "try_cast(v AS TIMESTAMPTZ)", connection).cast(UTC_MICROSECONDS)
    of_text = _bounded(text, moment)
    problems = pc.if_else(ambiguous, "ambiguous_zone", of_text.problems)
    return CastColumn(
        pc.if_else(numeric, of_number.values, of_text.values),
        pc.if_else(numeric, of_number.problems, problems),
    )


def iso_text(text: pa.Array) -> pa.Array:
    """The same times with offsets as ISO 8601 writes them.

    A space may come before the zone (Shopify, Snowflake, BigQuery, SQL Server), the offset may be
    without a colon, and a fraction may follow a comma (ISO 8601, Python's logging) and have more
    than six digits (SQL Server, Snowflake). The zone's name may follow its offset (Java, Go).
    """
    for pattern, replacement in (
        (r"(:\d{2}),(\d)", r"\1.\2"),
        (r"(\.\d{6})\d+", r"\1"),
        (r"(Z|[+-]\d{2}:?\d{2})\[[\w/+-]+\]$", r"\1"),
        (r"([+-]00:?00) (?:UTC|GMT)$", r"\1"),
        (_UTC_NAME, r"\1Z"),
        (r"(:\d{2}(?:\.\d+)?) ?([+-]\d{2}):?(\d{2})$", r"\1\2:\3"),
        (r"(:\d{2}(?:\.\d+)?) ([+-]\d{2})$", r"\1\2"),
    ):
        text = pc.replace_substring_regex(text, pattern, replacement)
    return text


def _bounded(landed: pa.Array, moment: pa.Array) -> CastColumn:
    ticks = moment.cast(pa.int64())
    known = pc.and_(pc.greater_equal(ticks, 0), pc.less_equal(ticks, _LAST_MICROSECOND))
    moment = _where(known, moment)
    return CastColumn(moment, _misfit(landed, moment, "not_a_time"))


def _from_epoch(number: pa.Array) -> CastColumn:
    """Epoch numbers to times; the problem names what another number may be."""
    microseconds = _microseconds(number)
    plausible = pc.and_(
        pc.greater_equal(microseconds, _FIRST_NUMBER), pc.less_equal(microseconds, _LAST_NUMBER)
    )
    cast = _bounded(number, _where(plausible, microseconds).cast(pa.int64()).cast(UTC_MICROSECONDS))
    is_serial = pc.and_(
        pc.greater_equal(number, _EXCEL_SERIALS[0]), pc.less_equal(number, _EXCEL_SERIALS[1])
    )
    is_date = pc.match_substring_regex(
        pc.round(_where(pc.and_(pc.greater(number, 1.9e7), pc.less(number, 2.2e7)), number))
        .cast(pa.int64())
        .cast(pa.string()),
        r"^(19|20|21)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$",
    )
    named = pc.if_else(
        pc.fill_null(is_serial, False),
        "not_a_time_excel_serial",
        pc.if_else(pc.fill_null(is_date, False), "not_a_time_date_only", cast.problems),
    )
    return CastColumn(cast.values, named)


def _microseconds(number: pa.Array) -> pa.Array:
    below = pc.make_struct(*(pc.less(number, limit) for limit in _UNITS))
    factor = pc.case_when(below, *(pa.scalar(factor) for factor in _UNITS.values()))
    return pc.round(pc.multiply(number, factor))


def in_duckdb(values: pa.Array, expression: str, connection: duckdb.DuckDBPyConnection) -> pa.Array:
    """`expression` over `v`, in the order of `values`."""
    connection.register("cast_input", pa.table({"i": np.arange(len(values)), "v": values}))
    result = connection.sql(f"SELECT {expression} AS r FROM cast_input ORDER BY i")
    column = result.to_arrow_table().column("r").combine_chunks()
    connection.unregister("cast_input")
    return column


def _where(condition: pa.Array, values: pa.Array) -> pa.Array:
    """`values` where the condition is true, else null."""
    return pc.if_else(condition, values, pa.scalar(None, values.type))


def _misfit(landed: pa.Array, cast: pa.Array, code: str) -> pa.Array:
    return _problem(pc.and_(pc.is_valid(landed), pc.is_null(cast)), code)


def _problem(broken: pa.Array, code: str) -> pa.Array:
    return pc.if_else(broken, code, pa.scalar(None, pa.string()))


_CASTS: dict[pa.DataType, Callable[[pa.Array, duckdb.DuckDBPyConnection], CastColumn]] = {
    pa.string(): _text,
    pa.float64(): _money,
    pa.int64(): _count,
    pa.bool_(): _flag,
    UTC_MICROSECONDS: _time,
}
