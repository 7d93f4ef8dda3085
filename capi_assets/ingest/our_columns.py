"""Landed tables under our names: headers in any case, and what the column map says.

`validate` calls it before anything else, for files and SQL models; withdrawals are read by it too.
Whole columns only: what a map does not know stays as it landed, and is judged as such.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, Column
from capi_assets.ingest.casting import in_duckdb, iso_text, plain_values, to_text
from capi_assets.ingest.column_map import ColumnMap, fold, quoted
from capi_assets.ingest.sources import LandedTable
from capi_assets.meta.match_keys.columns import map_distinct

NOT_USED = "not used: "
"""Before the name of a landed column that the map leaves out, or replaces by another."""

# Grouped by three, or not at all: 12.50 has no decimal comma and stays what it is.
_WITH_COMMA = r"^[+-]?(?:\d{1,3}(?:[. \x{a0}\x{202f}'’]\d{3})+|\d+)(?:,\d+)?$"
_GROUPING = r"[. \x{a0}\x{202f}'’]"
_NAIVE = r"(?i)^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[AP]M)?)?$"
_ISO_UTC = "strftime({} AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f') || 'Z'"


def in_our_columns(
    landed: LandedTable,
    columns: Sequence[Column],
    column_map: ColumnMap,
    connection: duckdb.DuckDBPyConnection,
) -> LandedTable:
    """`landed` with the names, closed values, numbers and times of the contract's `columns`.

    A column that is ours in another case is renamed, unless several are. `connection` is in UTC.
    """
    names = landed.rows.table.column_names
    renamed = _names(names, [column.name for column in columns], column_map)
    table = landed.rows.table.rename_columns(renamed)
    by_old = dict(zip(names, renamed, strict=True))
    for place, name in enumerate(renamed):
        column = next((column for column in columns if column.name == name), None)
        if column is None:
            continue
        values = table.column(place)
        if (changed := _in_our_form(values, column, column_map, connection)) is not None:
            table = table.set_column(place, name, changed)
    not_utf8 = {by_old[name]: rows for name, rows in landed.rows.not_utf8.items()}
    return replace(landed, rows=replace(landed.rows, table=table, not_utf8=not_utf8))


def _names(landed: Sequence[str], ours: Iterable[str], column_map: ColumnMap) -> list[str]:
    """The names of the landed columns under the map; no two are the same."""
    left_out = {fold(name) for name in column_map.left_out}
    taken = {fold(name) for name in column_map.sources.values()} | left_out
    near: dict[str, list[str]] = defaultdict(list)
    for name in landed:
        near[fold(name)].append(name)
    found: dict[str, str] = {}
    for name in ours:
        source = column_map.sources.get(name)
        if source is None and name in taken:
            continue
        candidates = near.get(fold(source or name), [])
        exact = [other for other in candidates if other == (source or name)]
        if len(exact or candidates) == 1:
            found[(exact or candidates)[0]] = name
    replaced = set(column_map.sources)
    return [
        found.get(name) or (f"{NOT_USED}{name}" if fold(name) in left_out | replaced else name)
        for name in landed
    ]


def _in_our_form(
    values: pa.ChunkedArray,
    column: Column,
    column_map: ColumnMap,
    connection: duckdb.DuckDBPyConnection,
) -> pa.Array | None:
    """The column as the map changes it, None where it does not."""
    words = column_map.values.get(column.name)
    is_money = column.arrow_type == pa.float64() and column_map.decimal_comma
    zone, pattern = column_map.time_zone, column_map.time_format
    is_time = column.arrow_type == UTC_MICROSECONDS and bool(zone or pattern)
    if not (words or is_money or is_time):
        return None
    usable = plain_values(values.combine_chunks(), connection)
    if usable.problems.null_count < len(usable.problems):
        return None  # not UTF-8, which the cast reports
    if words:
        return _mapped(to_text(usable.values, connection), words)
    if is_money:
        kind = usable.values.type
        return _with_points(to_text(usable.values, connection)) if _is_text(kind) else None
    return _in_utc(usable.values, pattern, zone or "UTC", connection)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind))


def _mapped(text: pa.Array, words: Mapping[str, str]) -> pa.Array:
    (mapped,) = map_distinct(text, lambda value: (words.get(fold(value)),), [pa.string()])
    return pc.coalesce(mapped, text)


def _with_points(text: pa.Array) -> pa.Array:
    has_comma = pc.fill_null(pc.match_substring_regex(text, _WITH_COMMA), False)
    points = pc.replace_substring(pc.replace_substring_regex(text, _GROUPING, ""), ",", ".")
    return pc.if_else(has_comma, points, text)


def _in_utc(
    values: pa.Array, pattern: str | None, zone: str, connection: duckdb.DuckDBPyConnection
) -> pa.Array | None:
    """Times of the map's format and zone as times in UTC; all others as they are."""
    kind = values.type
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None):
        local = values.cast(pa.timestamp("us"), safe=False)
        return in_duckdb(local, f"timezone({quoted(zone)}, v)", connection)
    if not _is_text(kind):
        return None
    text = to_text(values, connection)
    naive = pc.fill_null(pc.match_substring_regex(text, _NAIVE), False)
    local = pc.if_else(naive, iso_text(text), pa.scalar(None, pa.string()))
    moment = f"timezone({quoted(zone)}, try_cast(v AS TIMESTAMP))"
    result = pc.coalesce(in_duckdb(local, _ISO_UTC.format(f"({moment})"), connection), text)
    if not pattern:
        return result
    parsed = f"try_strptime(v, {quoted(pattern)})"
    (kind,) = connection.sql(f"SELECT {parsed} FROM (SELECT '' AS v)").types
    moment = parsed if "ZONE" in str(kind) else f"timezone({quoted(zone)}, {parsed})"
    return pc.coalesce(in_duckdb(text, _ISO_UTC.format(f"({moment})"), connection), result)
