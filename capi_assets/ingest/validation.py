"""Landed rows against their landing contract, a part at a time: valid rows, dropped fields,
quarantine.

A row that breaks a required column goes to quarantine with every reason; a value that breaks an
optional one becomes null, with a reason in `drops`. The valid rows still have raw contact data and
are hashed at once by `normalise.py`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
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
    row_breaches,
)
from capi_assets.hours import hour_range
from capi_assets.ingest.column_map import PLAIN, ColumnMap, fold
from capi_assets.ingest.concat import ConcatenatedFiles, concat_files
from capi_assets.ingest.export_lines import LeftOut, without_extra_lines
from capi_assets.ingest.hashing import add_drops
from capi_assets.ingest.our_columns import NOT_USED, in_our_columns
from capi_assets.ingest.pii_scan import contacts, has_two_words
from capi_assets.ingest.quarantine import quarantine, shape_of
from capi_assets.ingest.sources import Fetched, FileProblem, LandedTable, SourceError
from capi_assets.meta.match_keys.placeholders import placeholders

# Reason codes by pandera's name of the check.
_REASONS = {
    "not_nullable": "missing",
    "isin": "not_allowed",
    "str_length": "wrong_length",
    "greater_than_or_equal_to": "negative",
    "less_than": "too_large",
}
PART_ROWS = 25_000
"""Rows that are checked and normalised together: enough to spread the cost of a call over whole
columns. Raw, typed and normalised values of all rows of a busy hour would be several times its
size."""

_NEVER_HASHED = ("event_name", "dataset_id")
# Not the name of a column: a row of data where the header should be.
_NOT_A_NAME = re.compile(r"[^\w .-]|\d{5}|.{65}|^\W*$")


@dataclass(frozen=True)
class UsableFiles:
    """Landed tables under our names, without lines that are no orders of their own: `left_out`.

    `problems` are the files that cannot be used, also those that could not be read.
    """

    files: list[LandedTable]
    problems: list[FileProblem]
    unknown_columns: list[str]
    left_out: list[LeftOut]

    def in_parts(self) -> Iterator[list[LandedTable]]:
        """The files in parts of `PART_ROWS` rows, one part at least; forgets what it has given."""
        part: list[LandedTable] = []
        missing, is_first = PART_ROWS, True
        while self.files:
            file, start = self.files.pop(0), 0
            size = file.rows.table.num_rows
            while start < size or not size:
                rows = file.rows.part(start, missing)
                part.append(replace(file, rows=rows))
                start, missing = start + missing, missing - rows.table.num_rows
                if not missing:
                    yield part
                    part, missing, is_first = [], PART_ROWS, False
                if not size:
                    break
        if part or is_first:
            yield part


@dataclass(frozen=True)
class ValidatedRows:
    """A part of the landed rows after validation.

    `rows` are the valid ones: the landing contract's columns plus `hour` (the row's partition),
    `position` (its order of arrival), and `source` and `line`, where it landed. `drops` has one
    text per row, `column:reason` separated by spaces, or null. `quarantine` conforms to the
    Quarantine contract.
    """

    rows: pa.Table
    drops: pa.Array
    quarantine: pa.Table

    def on(self, day: date) -> ValidatedRows:
        """The same with the rows of one UTC day only."""
        on_day = pc.equal(self.rows.column("hour").cast(pa.date32()), day)
        if pc.all(on_day, min_count=0).as_py():
            return self
        return replace(self, rows=self.rows.filter(on_day), drops=self.drops.filter(on_day))


def usable_files(
    fetched: Fetched,
    contract: type[Contract],
    id_column: str,
    connection: duckdb.DuckDBPyConnection,
    column_map: ColumnMap = PLAIN,
) -> UsableFiles:
    """What was fetched as `validate` checks it. `column_map` is that of the source; headers in
    another case are ours in any case. `connection` is set to UTC.

    Raises:
        SourceError: a SQL model does not return a required column.
    """
    connection.execute("SET TimeZone = 'UTC'")
    wanted = column_map.columns(contract)
    mapped = [in_our_columns(each, wanted, column_map, connection) for each in fetched.landed]
    files, refused, unknown = _with_needed_columns(mapped, wanted, column_map)
    names = [column.name for column in wanted]
    trimmed = [without_extra_lines(file, names, id_column) for file in files]
    return UsableFiles(
        [file for file, _ in trimmed],
        [*fetched.problems, *refused],
        unknown,
        [left_out for _, left_out in trimmed if left_out],
    )


def validate(
    usable: UsableFiles,
    contract: type[Contract],
    hours: Sequence[datetime],
    id_column: str,
    connection: duckdb.DuckDBPyConnection,
    column_map: ColumnMap = PLAIN,
) -> Iterator[ValidatedRows]:
    """Checks the rows that were fetched for `hours` against `contract`; called by `ingest`.

    `id_column` is the row's own id, which the quarantine shows. `connection` is in UTC.
    """
    wanted, first = column_map.columns(contract), 0
    for files in usable.in_parts():
        landed = concat_files(files, wanted, connection)
        yield _validated(landed, first, contract, wanted, hours, id_column)
        first += landed.typed.num_rows


def _validated(
    landed: ConcatenatedFiles,
    first: int,
    contract: type[Contract],
    wanted: Sequence[Column],
    hours: Sequence[datetime],
    id_column: str,
) -> ValidatedRows:
    """One part, whose first row arrived after `first` others."""
    codes = _codes(landed, contract, hours, id_column)
    usable = _without(landed.typed, codes)
    # A problem in one of these refuses the row; in any other it costs the value.
    needed = {c.name for c in wanted if c.required or c.metadata.get("binding")}
    refusals = {name: code for name, code in codes.items() if name in needed}
    for breach in row_breaches(usable, contract):
        # The row needs this value: the reason is why it was dropped, else that it is missing.
        code = codes.get(breach.column, pa.nulls(usable.num_rows, pa.string()))
        refusals[breach.column] = _at(breach.rows, pc.fill_null(code, breach.check))

    is_valid = np.ones(usable.num_rows, bool)
    for code in refusals.values():
        is_valid &= code.is_null().to_numpy(zero_copy_only=False)
    drops = add_drops(
        pa.nulls(usable.num_rows, pa.string()),
        [(c.name, codes[c.name]) for c in wanted if c.name in codes and c.name not in needed],
    )
    rows = usable.append_column("hour", _hour_of(usable.column("occurred_at")))
    rows = rows.append_column("position", pa.array(np.arange(first, first + rows.num_rows)))
    source, line = landed.origins()
    rows = rows.append_column("source", source).append_column("line", line)
    return ValidatedRows(
        rows if is_valid.all() else rows.filter(pa.array(is_valid)),
        drops if is_valid.all() else drops.filter(pa.array(is_valid)),
        quarantine(landed, usable, refusals, id_column, hours),
    )


def _with_needed_columns(
    mapped: Iterable[LandedTable], wanted: list[Column], column_map: ColumnMap
) -> tuple[list[LandedTable], list[FileProblem], list[str]]:
    """Files that have the required columns; the others as problems; unknown column names."""
    names = [c.name for c in wanted]
    required = [c.name for c in wanted if c.required and "default" not in c.metadata]
    files: list[LandedTable] = []
    refused: list[FileProblem] = []
    unknown: set[str] = set()
    for landed in mapped:
        present = landed.rows.table.column_names
        others = [n for n in present if n not in names and not n.startswith(NOT_USED)]
        missing = [name for name in required if name not in present]
        if not missing or not present:
            files.append(landed)
            unknown |= {_shown(name) for name in others}
            continue
        detail = "; ".join(_missing_text(name, others, column_map) for name in missing)
        if landed.hour is None:
            raise SourceError(f"{landed.source}: {detail}.")
        refused.append(FileProblem(landed.hour, landed.source, "missing_column", detail))
    return files, refused, sorted(unknown)


def _missing_text(name: str, others: Iterable[str], column_map: ColumnMap) -> str:
    source = column_map.sources.get(name)
    near = near_column(source or name, others)
    hint = f"; the nearest column is {near!r}, rename it or map it" if near else ""
    of = f" (from {source!r}, in {column_map.setting})" if source else ""
    return f"required column {name!r}{of} is missing{hint}"


def near_column(name: str, others: Iterable[str]) -> str | None:
    """The one of `others` that is most like `name`, as it may be shown; None if none is."""
    plain = {fold(other): other for other in others}
    near = difflib.get_close_matches(fold(name), plain, n=1, cutoff=0.6)
    return _shown(plain[near[0]]) if near else None


def _shown(name: str) -> str:
    return shape_of(name) if _NOT_A_NAME.search(name) or has_two_words(name) else name


def _codes(
    landed: ConcatenatedFiles,
    contract: type[Contract],
    hours: Sequence[datetime],
    id_column: str,
) -> dict[str, pa.Array]:
    """Why each row's value cannot be used, null where it can, by column with any such row."""
    codes = {n: code for n, code in landed.problems.items() if code.null_count < len(code)}
    for breach in (
        Breach("occurred_at", "outside_hour", _outside(landed, hours)),
        Breach(id_column, "not_nullable", _placeholder_ids(landed, id_column)),
        *(Breach(name, "contact_data", _contacts(landed, name)) for name in _NEVER_HASHED),
        *column_breaches(landed.typed, contract),
    ):
        if len(breach.rows):
            known = codes.get(breach.column, pa.nulls(landed.typed.num_rows, pa.string()))
            reason = pa.repeat(_REASONS.get(breach.check, breach.check), len(known))
            codes[breach.column] = pc.coalesce(known, _at(breach.rows, reason))
    return codes


def _placeholder_ids(
    landed: ConcatenatedFiles, id_column: str
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows whose id is a placeholder, which would make all of them one order or visit."""
    nothing = placeholders(id_column, landed.typed.column(id_column).combine_chunks())
    return np.flatnonzero(nothing.to_numpy(zero_copy_only=False))


def _contacts(landed: ConcatenatedFiles, name: str) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows with contact data in a column that is stored and sent as it is."""
    if name not in landed.typed.column_names:
        return np.array([], np.intp)
    found = contacts(landed.typed.column(name).combine_chunks())
    return np.flatnonzero(found.to_numpy(zero_copy_only=False))


def _at(rows: np.ndarray[tuple[int], np.dtype[np.intp]], codes: pa.Array) -> pa.Array:
    """`codes` at these rows, null elsewhere."""
    mask = np.zeros(len(codes), bool)
    mask[rows] = True
    return pc.if_else(pa.array(mask), codes, pa.scalar(None, pa.string()))


def _without(typed: pa.Table, codes: dict[str, pa.Array]) -> pa.Table:
    """The table with null wherever there is a code."""
    for name, code in codes.items():
        place = typed.schema.get_field_index(name)
        values = typed.column(name).combine_chunks()
        cleared = pc.if_else(pc.is_null(code), values, pa.scalar(None, values.type))
        typed = typed.set_column(place, typed.schema.field(name), cleared)
    return typed


def _outside(
    landed: ConcatenatedFiles, hours: Sequence[datetime]
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Rows whose time is outside their folder's hour, or outside the requested range."""
    start, end = hour_range(hours)
    moment = landed.typed.column("occurred_at").combine_chunks()
    other_hour = pc.not_equal(_hour_of(moment), landed.hours)
    before = pc.less(moment, pa.scalar(start, UTC_MICROSECONDS))
    after = pc.greater_equal(moment, pa.scalar(end, UTC_MICROSECONDS))
    outside = pc.fill_null(pc.or_kleene(other_hour, pc.or_(before, after)), False)
    return np.flatnonzero(outside.to_numpy(zero_copy_only=False))


def _hour_of(moment: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.floor_temporal(moment, unit="hour").cast(UTC_MICROSECONDS)
