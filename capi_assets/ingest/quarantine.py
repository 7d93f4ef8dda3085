"""Quarantine: what is kept of a refused row or file, and never a value that could be a person's.

A refused value shows as its shape; ids, money and names of events stay where they are usable, so
that a refused order still counts in the waterfall.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.ingest.concat import Stacked
from capi_assets.ingest.sources import FileProblem

# Where columns are mixed up, a person's address may stand in the place of an id or a name.
_LOOKS_LIKE_AN_ID = r"^[\w.:/#|-]{1,256}$"
_LOOKS_LIKE_A_NAME = r"^[A-Za-z]\w{0,49}$"

_SCHEMA = arrow_schema(Quarantine)


def shape_of(value: Any) -> str:
    """What a value looks like, never what it says: every letter is an a, every digit a 9.

    `Ana.Silva@example` is `aaa.aaaaa@aaaaaaa`, `20/11/2026` is `99/99/9999`; what is longer than
    40 characters is cut.
    """
    if value is None:
        return "absent"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    masked = re.sub(r"[0-9]", "9", re.sub(r"[A-Za-z]|[^\x00-\x7f]", "a", text[:40]))
    return masked if len(text) <= 40 else f"{masked[:30]}… ({len(text)} characters)"


def quarantine(
    stacked: Stacked,
    usable: pa.Table,
    at_fault: Mapping[str, pa.Array],
    problems: Sequence[FileProblem],
    id_column: str,
    hours: Sequence[datetime],
) -> pa.Table:
    """The Quarantine table of `stacked` and of the files that could not be read.

    `at_fault` holds a code where a column costs the row, by column; `usable` is the typed table
    without any value that fails a check.
    """
    parts = [
        _rows(stacked, usable, at_fault, id_column, hours),
        _lines(stacked, min(hours)),
        _files(problems),
    ]
    return pa.concat_tables(parts).sort_by([(n, "ascending") for n in ("hour", "source", "line")])


def _rows(
    stacked: Stacked,
    usable: pa.Table,
    at_fault: Mapping[str, pa.Array],
    id_column: str,
    hours: Sequence[datetime],
) -> pa.Table:
    names = sorted(at_fault)
    if not names:
        return _SCHEMA.empty_table()
    marks = [pc.is_valid(at_fault[name]).to_numpy(zero_copy_only=False) for name in names]
    rows = np.flatnonzero(np.logical_or.reduce(marks))
    file_of = np.searchsorted(stacked.starts, rows, side="right") - 1
    codes = {name: at_fault[name].take(pa.array(rows)) for name in names}
    kept = usable.take(pa.array(rows))
    entries = [pc.binary_join_element_wise(name, codes[name], ":") for name in names]

    shapes: list[dict[str, str]] = [{} for _ in rows]
    lines: list[int | None] = []
    for number in np.unique(file_of):
        landed = stacked.files[number]
        places = np.flatnonzero(file_of == number)
        inside = rows[places] - stacked.starts[number]
        lines += landed.rows.lines.take(pa.array(inside)).to_pylist()
        for name in names:
            code = codes[name].take(pa.array(places))
            refused = np.flatnonzero(pc.is_valid(code).to_numpy(zero_copy_only=False))
            values = _values(landed.rows.table, name, inside[refused])
            for place, value in zip(places[refused], values, strict=True):
                shapes[place][name] = shape_of(value)

    sources = pa.array([landed.source for landed in stacked.files], pa.string())
    # A row without a readable time and with other faults has its columns mixed up: what stands in
    # the place of an id or an event's name may be a person's.
    faults = np.sum(marks, axis=0)[rows]
    known = pc.or_(kept.column("occurred_at").is_valid(), pa.array(faults == 1))
    made = {
        "hour": _hours(stacked.hours.take(pa.array(rows)), kept.column("occurred_at"), hours),
        "source": sources.take(pa.array(file_of)),
        "line": pa.array(lines, pa.int64()),
        "row_id": _only(kept.column(id_column), _LOOKS_LIKE_AN_ID, known),
        "reasons": pc.binary_join_element_wise(*entries, " ", null_handling="skip"),
        "shapes": pa.array([orjson.dumps(shape).decode() for shape in shapes], pa.string()),
    }
    if "event_name" in kept.column_names:
        made["event_name"] = _only(kept.column("event_name"), _LOOKS_LIKE_A_NAME, known)
        made["dataset_id"] = _only(kept.column("dataset_id"), _LOOKS_LIKE_AN_ID, known)
        made["currency"] = kept.column("currency")
        # A number without a currency is no money; it may be a phone's.
        no_money = pa.scalar(None, pa.float64())
        made["value"] = pc.if_else(made["currency"].is_valid(), kept.column("value"), no_money)
    return _fitted(made, len(rows))


def _hours(
    of_folder: pa.Array, occurred: pa.ChunkedArray, hours: Sequence[datetime]
) -> pa.ChunkedArray:
    """A SQL model has no folder: the row's own hour, else the first that was asked for."""
    own = pc.floor_temporal(occurred, unit="hour").cast(UTC_MICROSECONDS)
    asked = pc.is_in(own, pa.array(list(hours), UTC_MICROSECONDS))
    first = pa.scalar(min(hours), UTC_MICROSECONDS)
    return pc.coalesce(of_folder, pc.if_else(asked, own, first))


def _values(table: pa.Table, name: str, rows: np.ndarray[Any, Any]) -> list[Any]:
    if name not in table.column_names:
        return [None] * len(rows)
    values = table.column(name).take(pa.array(rows))
    try:
        return list(values.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):
        # Text that is not UTF-8, or a time beyond Python's years.
        return ["unreadable"] * len(rows)


def _only(
    values: pa.ChunkedArray, pattern: str, known: pa.Array | pa.ChunkedArray
) -> pa.ChunkedArray:
    fits = pc.and_(pc.match_substring_regex(values, pattern), known)
    return pc.if_else(fits, values, pa.scalar(None, pa.string()))


def _lines(stacked: Stacked, first_hour: datetime) -> pa.Table:
    rows = [
        {
            "hour": landed.hour or first_hour,
            "source": landed.source,
            "line": bad.line,
            "reasons": f"line:{bad.reason}",
            "shapes": orjson.dumps({"line": bad.shape}).decode(),
        }
        for landed in stacked.files
        for bad in landed.rows.bad_lines
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _files(problems: Sequence[FileProblem]) -> pa.Table:
    rows = [
        {
            "hour": problem.hour,
            "source": problem.source,
            "reasons": f"file:{problem.reason}",
            "shapes": orjson.dumps({"file": problem.detail}).decode(),
        }
        for problem in problems
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _fitted(made: Mapping[str, Any], rows: int) -> pa.Table:
    arrays = [
        made[field.name] if field.name in made else pa.nulls(rows, field.type) for field in _SCHEMA
    ]
    return pa.table(arrays, schema=_SCHEMA)
