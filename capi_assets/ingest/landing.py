"""Judges landed rows against their landing contract: good rows, dropped fields, quarantine.

A broken required column sends the row to quarantine with every reason; a broken optional one is
nulled and remembered in `dropped_fields`. The tables that leave here still hold raw contact data
and are hashed at once by `visits.py` and `orders.py`.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import (
    UTC_MICROSECONDS,
    Breach,
    Column,
    Contract,
    arrow_schema,
    breaches,
    columns,
)
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.ingest.casting import absent, cast_column
from capi_assets.ingest.sources import Fetched, FileProblem, Landed
from capi_assets.partitions import floor_hour, span

# pandera's names of checks, in the words of our reasons.
_REASONS = {
    "not_nullable": "missing",
    "isin": "not_allowed",
    "str_length": "wrong_length",
    "greater_than_or_equal_to": "negative",
    "less_than": "too_large",
}


@dataclass(frozen=True)
class Judged:
    """What became of landed rows.

    `rows` has the landing contract's columns plus `hour` (its partition) and `position` (order of
    arrival); `drops` holds one text per row, `column:reason` separated by spaces, or null.
    """

    rows: pa.Table
    drops: pa.Array
    quarantine: pa.Table
    file_problems: list[FileProblem]
    unknown_columns: list[str]


@dataclass(frozen=True)
class _Stacked:
    """All files of the range in one typed table; row i of file f is `offsets[f] + i`."""

    typed: pa.Table
    problems: dict[str, pa.Array]
    hours: pa.Array
    files: list[Landed]
    offsets: list[int]

    def locate(self, row: int) -> tuple[Landed, int]:
        index = int(np.searchsorted(self.offsets, row, side="right")) - 1
        return self.files[index], row - self.offsets[index]


def judge(
    fetched: Fetched,
    contract: type[Contract],
    hours: Sequence[datetime],
    id_column: str,
    connection: duckdb.DuckDBPyConnection,
) -> Judged:
    """Holds everything that was fetched for `hours` against `contract`."""
    connection.execute("SET TimeZone = 'UTC'")
    wanted = columns(contract)
    files, refused, unknown = _with_needed_columns(fetched, wanted)
    stacked = _stack(files, wanted, contract, connection)
    reasons, drops = _reasons(stacked, contract, wanted, hours)
    typed = _apply_drops(stacked.typed, drops)

    bad_rows = np.zeros(typed.num_rows, bool)
    bad_rows[list(reasons)] = True
    keep = pa.array(~bad_rows)
    rows = typed.append_column("hour", _hour_of(typed.column("occurred_at")))
    rows = rows.append_column("position", pa.array(np.arange(rows.num_rows)))
    drop_texts = pa.array(
        [" ".join(drops[r]) if r in drops else None for r in range(typed.num_rows)]
        if drops
        else [None] * typed.num_rows,
        pa.string(),
    )
    problems = [*fetched.problems, *refused]
    quarantine = _quarantine(stacked, reasons, problems, id_column, hours)
    return Judged(rows.filter(keep), drop_texts.filter(keep), quarantine, problems, unknown)


def _with_needed_columns(
    fetched: Fetched, wanted: list[Column]
) -> tuple[list[Landed], list[FileProblem], list[str]]:
    """Files that have the required columns; the others as problems; unknown column names."""
    names = [c.name for c in wanted]
    required = [c.name for c in wanted if c.required and "default" not in c.metadata]
    files, refused, unknown = [], [], set()
    for landed in fetched.landed:
        present = landed.rows.table.column_names
        strangers = [name for name in present if name not in names]
        missing = [name for name in required if name not in present]
        if not present and not landed.rows.table.num_rows:
            files.append(landed)
        elif missing:
            detail = "; ".join(_missing_words(name, strangers) for name in missing)
            hour = landed.hour or min(fetched.files_per_hour)
            refused.append(FileProblem(hour, landed.source, "missing_column", detail))
        else:
            files.append(landed)
            unknown |= set(strangers)
    return files, refused, sorted(unknown)


def _missing_words(name: str, strangers: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), strangers, n=1, cutoff=0.6)
    hint = f"; the nearest column is {near[0]!r}, rename it" if near else ""
    return f"required column {name!r} is missing{hint}"


def _stack(
    files: list[Landed],
    wanted: list[Column],
    contract: type[Contract],
    connection: duckdb.DuckDBPyConnection,
) -> _Stacked:
    typed_parts, problem_parts, hour_parts, offsets, total = [], [], [], [], 0
    for landed in files:
        table = landed.rows.table
        casts = []
        for column in wanted:
            if column.name not in table.column_names:
                casts.append(absent(column, table.num_rows))
                continue
            cast = cast_column(table.column(column.name), column, connection)
            if broken := landed.rows.not_utf8.get(column.name):
                mask = np.zeros(table.num_rows, bool)
                mask[broken] = True
                cast = type(cast)(
                    cast.values, pc.if_else(pa.array(mask), "not_utf8", cast.problems)
                )
            casts.append(cast)
        typed_parts.append(pa.table([c.values for c in casts], schema=arrow_schema(contract)))
        problem_parts.append([c.problems for c in casts])
        hour_parts.append(pa.array([landed.hour] * table.num_rows, UTC_MICROSECONDS))
        offsets.append(total)
        total += table.num_rows
    schema = arrow_schema(contract)
    typed = pa.concat_tables(typed_parts).combine_chunks() if files else schema.empty_table()
    problems = {
        column.name: pa.concat_arrays([parts[i] for parts in problem_parts])
        for i, column in enumerate(wanted)
        if files
    }
    for column in wanted:
        if default := column.metadata.get("default"):
            at = typed.schema.get_field_index(column.name)
            fresh = pc.and_(pc.is_null(typed.column(at)), _no_problem(problems, column.name, total))
            typed = typed.set_column(
                at, column.name, pc.if_else(fresh, default, typed.column(at)).combine_chunks()
            )
    hours = pa.concat_arrays(hour_parts) if files else pa.array([], UTC_MICROSECONDS)
    return _Stacked(typed, problems, hours, files, offsets)


def _no_problem(problems: dict[str, pa.Array], name: str, rows: int) -> pa.Array:
    return pc.is_null(problems[name]) if name in problems else pa.array([True] * rows)


def _reasons(
    stacked: _Stacked, contract: type[Contract], wanted: list[Column], hours: Sequence[datetime]
) -> tuple[dict[int, dict[str, str]], dict[int, list[str]]]:
    """Reasons of quarantine and dropped fields, both by row; a row in the first is not kept."""
    required = {c.name for c in wanted if c.required}
    reasons: dict[int, dict[str, str]] = defaultdict(dict)
    drops: dict[int, dict[str, str]] = defaultdict(dict)

    for name, problems in stacked.problems.items():
        place = reasons if name in required else drops
        for row in np.flatnonzero(pc.is_valid(problems).to_numpy(zero_copy_only=False)):
            place[int(row)][name] = problems[int(row)].as_py()
    for row in _outside(stacked, hours):
        reasons[row].setdefault("occurred_at", "outside_hour")

    typed = stacked.typed
    first = breaches(typed, contract) if typed.num_rows else []
    for breach in first:
        at_fault = breach.column in required or breach.check == "missing"
        (reasons if at_fault else drops)[breach.row].setdefault(breach.column, _reason(breach))
    dropped = {r: [f"{c}:{why}" for c, why in d.items()] for r, d in drops.items()}
    if dropped:
        # A dropped field may be one that this row cannot do without.
        touched = sorted(dropped)
        subset = _apply_drops(typed, dropped).take(pa.array(touched))
        for breach in breaches(subset, contract):
            row = touched[breach.row]
            known = drops[row].get(breach.column, _reason(breach))
            reasons[row].setdefault(breach.column, known)
    return dict(reasons), {r: d for r, d in dropped.items()}


def _reason(breach: Breach) -> str:
    return _REASONS.get(breach.check, breach.check)


def _outside(stacked: _Stacked, hours: Sequence[datetime]) -> list[int]:
    """Rows whose time lies outside their folder's hour, or outside the range asked for."""
    start, end = span(hours)
    moment = stacked.typed.column("occurred_at")
    actual = _hour_of(moment)
    of_folder = pc.and_(pc.is_valid(stacked.hours), pc.not_equal(actual, stacked.hours))
    bound = pa.scalar(start, UTC_MICROSECONDS), pa.scalar(end, UTC_MICROSECONDS)
    of_range = pc.or_(pc.less(moment, bound[0]), pc.greater_equal(moment, bound[1]))
    outside = pc.fill_null(pc.or_kleene(of_folder, of_range), False)
    return [int(row) for row in np.flatnonzero(outside.to_numpy())]


def _hour_of(moment: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.floor_temporal(moment, unit="hour").cast(UTC_MICROSECONDS)


def _apply_drops(typed: pa.Table, drops: dict[int, list[str]]) -> pa.Table:
    by_column: dict[str, list[int]] = defaultdict(list)
    for row, entries in drops.items():
        for entry in entries:
            by_column[entry.partition(":")[0]].append(row)
    for name, rows in by_column.items():
        mask = np.zeros(typed.num_rows, bool)
        mask[rows] = True
        at = typed.schema.get_field_index(name)
        kind = typed.schema.field(at).type
        cleared = pc.if_else(pa.array(mask), pa.scalar(None, kind), typed.column(at))
        typed = typed.set_column(at, name, cleared)
    return typed


def shape_of(value: Any) -> str:
    """What a value looks like, never what it says: letters become a, digits 9, runs are counted.

    `Ana.Silva@example` is `a3.a5@a7`; what is longer than 40 signs afterwards is cut.
    """
    if value is None:
        return "absent"
    text = str(value)
    masked = re.sub(r"[^\W\d_]+", lambda m: f"a{len(m[0])}", re.sub(r"\d", "9", text[:4_000]))
    masked = re.sub(r"9{2,}", lambda m: f"9x{len(m[0])}", masked)
    return masked if len(masked) <= 40 else f"{masked[:30]}… ({len(text)} characters)"


def _quarantine(
    stacked: _Stacked,
    reasons: dict[int, dict[str, str]],
    problems: list[FileProblem],
    id_column: str,
    hours: Sequence[datetime],
) -> pa.Table:
    first_hour = min(hours)
    rows: list[dict[str, Any]] = []
    names = set(stacked.typed.column_names)
    money = {"dataset_id", "event_name", "value", "currency"} & names
    for row, by_column in sorted(reasons.items()):
        landed, at = stacked.locate(row)
        raw = landed.rows.table
        typed = stacked.typed.slice(row, 1)
        shapes = {
            name: shape_of(raw.column(name)[at].as_py() if name in raw.column_names else None)
            for name in sorted(by_column)
        }
        occurred = typed.column("occurred_at")[0].as_py()
        rows.append(
            {
                # A SQL model has no folder: the row's own hour, else the first asked for.
                "hour": landed.hour or (own if (own := _floor(occurred)) in hours else first_hour),
                "source": landed.source,
                "line": landed.rows.lines[at].as_py(),
                "row_id": typed.column(id_column)[0].as_py(),
                "reasons": " ".join(f"{c}:{why}" for c, why in sorted(by_column.items())),
                "shapes": orjson.dumps(shapes).decode(),
                **{name: typed.column(name)[0].as_py() for name in money},
            }
        )
    for landed in stacked.files:
        for bad in landed.rows.bad_lines:
            rows.append(
                {
                    "hour": landed.hour or first_hour,
                    "source": landed.source,
                    "line": bad.line,
                    "reasons": f"line:{bad.reason}",
                    "shapes": orjson.dumps({"line": bad.shape}).decode(),
                }
            )
    for problem in problems:
        rows.append(
            {
                "hour": problem.hour,
                "source": problem.source,
                "reasons": f"file:{problem.reason}",
                "shapes": orjson.dumps({"file": problem.detail}).decode(),
            }
        )
    table = pa.Table.from_pylist(rows, schema=arrow_schema(Quarantine))
    return table.sort_by([("hour", "ascending"), ("source", "ascending"), ("line", "ascending")])


def _floor(occurred: datetime | None) -> datetime | None:
    return None if occurred is None else floor_hour(occurred)
