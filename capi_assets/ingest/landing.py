"""Judges landed rows against their landing contract: good rows, dropped fields, quarantine.

A broken required column sends the row to quarantine with every reason; a broken optional one is
nulled and remembered in `drops`. The tables that leave here still hold raw contact data and are
hashed at once by `visits.py` and `orders.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import (
    UTC_MICROSECONDS,
    Breach,
    Column,
    Contract,
    column_breaches,
    columns,
    row_breaches,
)
from capi_assets.hours import hour_range
from capi_assets.ingest.concat import Stacked, stack
from capi_assets.ingest.hashing import add_drops
from capi_assets.ingest.quarantine import quarantine, shape_of
from capi_assets.ingest.sources import Fetched, FileProblem, LandedTable, SourceError
from capi_assets.meta.match_keys.placeholders import placeholders

# pandera's names of checks, in the words of our reasons.
_REASONS = {
    "not_nullable": "missing",
    "isin": "not_allowed",
    "str_length": "wrong_length",
    "greater_than_or_equal_to": "negative",
    "less_than": "too_large",
}
# A name that is none of a column: a row where the header should be.
_NO_NAME = re.compile(r"[^\w .-]|\d{5}|.{65}|^\W*$")


@dataclass(frozen=True)
class ValidatedRows:
    """What became of landed rows.

    `rows` has the landing contract's columns plus `hour` (its partition) and `position` (order of
    arrival); `drops` holds one text per row, `column:reason` separated by spaces, or null.
    """

    rows: pa.Table
    drops: pa.Array
    quarantine: pa.Table
    file_problems: list[FileProblem]
    unknown_columns: list[str]

    def on(self, day: date) -> ValidatedRows:
        """The same with the rows of one day only."""
        days = self.rows.column("hour").cast(pa.date32())
        there = pc.equal(days, day)
        return replace(self, rows=self.rows.filter(there), drops=self.drops.filter(there))


def validate(
    fetched: Fetched,
    contract: type[Contract],
    hours: Sequence[datetime],
    id_column: str,
    connection: duckdb.DuckDBPyConnection,
) -> ValidatedRows:
    """Holds everything that was fetched for `hours` against `contract`.

    Raises:
        SourceError: a SQL model does not return a required column.
    """
    connection.execute("SET TimeZone = 'UTC'")
    wanted = columns(contract)
    files, refused, unknown = _with_needed_columns(fetched, wanted)
    stacked = stack(files, wanted, connection)
    codes = _codes(stacked, contract, hours, id_column)
    usable = _without(stacked.typed, codes)
    costly = {c.name for c in wanted if c.required or c.metadata.get("binding")}
    at_fault = {name: code for name, code in codes.items() if name in costly}
    for breach in row_breaches(usable, contract):
        # A field that this row cannot do without: say why it is missing, if it was given.
        code = codes.get(breach.column, pa.nulls(usable.num_rows, pa.string()))
        at_fault[breach.column] = _at(breach.rows, pc.fill_null(code, breach.check))

    keep = np.ones(usable.num_rows, bool)
    for code in at_fault.values():
        keep &= code.is_null().to_numpy(zero_copy_only=False)
    drops = add_drops(
        pa.nulls(usable.num_rows, pa.string()),
        [(c.name, codes[c.name]) for c in wanted if c.name in codes and c.name not in costly],
    )
    rows = usable.append_column("hour", _hour_of(usable.column("occurred_at")))
    rows = rows.append_column("position", pa.array(np.arange(rows.num_rows)))
    problems = [*fetched.problems, *refused]
    return ValidatedRows(
        rows.filter(pa.array(keep)),
        drops.filter(pa.array(keep)),
        quarantine(stacked, usable, at_fault, problems, id_column, hours),
        problems,
        unknown,
    )


def _with_needed_columns(
    fetched: Fetched, wanted: list[Column]
) -> tuple[list[LandedTable], list[FileProblem], list[str]]:
    """Files that have the required columns; the others as problems; unknown column names."""
    names = [c.name for c in wanted]
    required = [c.name for c in wanted if c.required and "default" not in c.metadata]
    files: list[LandedTable] = []
    refused: list[FileProblem] = []
    unknown: set[str] = set()
    for landed in fetched.landed:
        present = landed.rows.table.column_names
        strangers = [name for name in present if name not in names]
        missing = [name for name in required if name not in present]
        if not missing or not present:
            files.append(landed)
            unknown |= {_shown(name) for name in strangers}
            continue
        detail = "; ".join(_missing_words(name, strangers) for name in missing)
        if landed.hour is None:
            raise SourceError(f"The SQL model {landed.source}: {detail}.")
        refused.append(FileProblem(landed.hour, landed.source, "missing_column", detail))
    return files, refused, sorted(unknown)


def _missing_words(name: str, strangers: Iterable[str]) -> str:
    plain = {stranger.lower(): stranger for stranger in strangers}
    near = difflib.get_close_matches(name, plain, n=1, cutoff=0.6)
    hint = f"; the nearest column is {_shown(plain[near[0]])!r}, rename it" if near else ""
    return f"required column {name!r} is missing{hint}"


def _shown(name: str) -> str:
    return shape_of(name) if _NO_NAME.search(name) else name


def _codes(
    stacked: Stacked, contract: type[Contract], hours: Sequence[datetime], id_column: str
) -> dict[str, pa.Array]:
    """Per column that fails anywhere: why each row's value cannot be used, null where it can."""
    found = [(n, code) for n, code in stacked.problems.items() if code.null_count < len(code)]
    codes = dict(found)
    fresh = [
        Breach("occurred_at", "outside_hour", _outside(stacked, hours)),
        Breach(id_column, "not_nullable", _placeholder_ids(stacked, id_column)),
        *column_breaches(stacked.typed, contract),
    ]
    for column, check, rows in ((b.column, b.check, b.rows) for b in fresh):
        if len(rows):
            known = codes.get(column, pa.nulls(stacked.typed.num_rows, pa.string()))
            reason = pa.repeat(_REASONS.get(check, check), len(known))
            codes[column] = pc.coalesce(known, _at(rows, reason))
    return codes


def _placeholder_ids(stacked: Stacked, id_column: str) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows whose id is a placeholder, which would make all of them one order or visit."""
    nothing = placeholders(id_column, stacked.typed.column(id_column).combine_chunks())
    return np.flatnonzero(nothing.to_numpy(zero_copy_only=False))


def _at(rows: np.ndarray[tuple[int], np.dtype[np.intp]], codes: pa.Array) -> pa.Array:
    """`codes` at these rows, null elsewhere."""
    mask = np.zeros(len(codes), bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), codes, pa.scalar(None, pa.string()))


def _without(typed: pa.Table, codes: dict[str, pa.Array]) -> pa.Table:
    """The table with null wherever a code says that the value cannot be used."""
    for name, code in codes.items():
        place = typed.schema.get_field_index(name)
        values = typed.column(name).combine_chunks()
        cleared = pc.if_else(pc.is_null(code), values, pa.scalar(None, values.type))
        typed = typed.set_column(place, typed.schema.field(name), cleared)
    return typed


def _outside(
    stacked: Stacked, hours: Sequence[datetime]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows whose time lies outside their folder's hour, or outside the range asked for."""
    start, end = hour_range(hours)
    moment = stacked.typed.column("occurred_at").combine_chunks()
    of_folder = pc.not_equal(_hour_of(moment), stacked.hours)
    before = pc.less(moment, pa.scalar(start, UTC_MICROSECONDS))
    after = pc.greater_equal(moment, pa.scalar(end, UTC_MICROSECONDS))
    outside = pc.fill_null(pc.or_kleene(of_folder, pc.or_(before, after)), False)
    return np.flatnonzero(outside.to_numpy(zero_copy_only=False))


def _hour_of(moment: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.floor_temporal(moment, unit="hour").cast(UTC_MICROSECONDS)
