"""The quarantine of rows and files that break their contract, without personal data.

A refused value is stored as its shape (`shape_of`). Ids, money and event names are stored where
they are valid, so that a refused order counts in the waterfall. The tables are
`quarantined_visits` and `quarantined_orders`.
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
from capi_assets.ingest.concat import ConcatenatedFiles
from capi_assets.ingest.sources import FileProblem
from capi_assets.order_identity import IDENTITY_CONFLICT

# Where columns are shifted, a person's address may be in the column of an id or a name.
_LOOKS_LIKE_AN_ID = r"^[\w.:/#|-]{1,256}$"
_LOOKS_LIKE_A_NAME = r"^[A-Za-z]\w{0,49}$"

_SCHEMA = arrow_schema(Quarantine)


def shape_of(value: Any) -> str:
    """The form of a value without its content: every letter is an a, every digit a 9.

    `Ana.Silva@example` gives `aaa.aaaaa@aaaaaaa`, `20/11/2026` gives `99/99/9999`; a value of more
    than 40 characters is cut to 30. Messages and the quarantine use it in place of refused values.
    """
    if value is None:
        return "absent"
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    masked = re.sub(r"[0-9]", "9", re.sub(r"[A-Za-z]|[^\x00-\x7f]", "a", text[:40]))
    return masked if len(text) <= 40 else f"{masked[:30]}… ({len(text)} characters)"


def quarantine(
    landed: ConcatenatedFiles,
    usable: pa.Table,
    refusals: Mapping[str, pa.Array],
    id_column: str,
    hours: Sequence[datetime],
) -> pa.Table:
    """The rows of the Quarantine contract for `landed`; see `validate`.

    `refusals` has, by column, a code where the column refuses the row. `usable` is the typed table
    without the values that failed a check. A row's hour is that of its folder; for a SQL model that
    of its own time, if it is one of `hours`.
    """
    rows = _rows(landed, usable, refusals, id_column, hours)
    return pa.concat_tables([rows, _lines(landed, min(hours))])


def in_order(parts: Sequence[pa.Table]) -> pa.Table:
    """The parts of a quarantine as one table, by hour, source and line."""
    return pa.concat_tables(parts).sort_by([(n, "ascending") for n in ("hour", "source", "line")])


def quarantined_conflicts(rows: pa.Table, id_column: str) -> pa.Table:
    """Valid `rows` (of `ValidatedRows`) that share their id with another order of their hour, as
    rows of the Quarantine contract."""
    if not rows.num_rows:
        return _SCHEMA.empty_table()
    columns = {name: rows.column(name) for name in _SCHEMA.names if name in rows.column_names}
    columns |= {
        "source": rows.column("source").cast(pa.string()),
        "row_id": rows.column(id_column),
        "reasons": [f"{id_column}:{IDENTITY_CONFLICT}"] * rows.num_rows,
        "shapes": ["{}"] * rows.num_rows,
    }
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _rows(
    landed: ConcatenatedFiles,
    usable: pa.Table,
    refusals: Mapping[str, pa.Array],
    id_column: str,
    hours: Sequence[datetime],
) -> pa.Table:
    names = sorted(refusals)
    if not names:
        return _SCHEMA.empty_table()
    marks = [pc.is_valid(refusals[name]).to_numpy(zero_copy_only=False) for name in names]
    rows = np.flatnonzero(np.logical_or.reduce(marks))
    file_of = np.searchsorted(landed.starts, rows, side="right") - 1
    codes = {name: refusals[name].take(pa.array(rows)) for name in names}
    values = usable.take(pa.array(rows))
    entries = [pc.binary_join_element_wise(name, codes[name], ":") for name in names]

    shapes: list[dict[str, str]] = [{} for _ in rows]
    lines: list[int | None] = []
    for number in np.unique(file_of):
        file = landed.files[number]
        places = np.flatnonzero(file_of == number)
        inside = rows[places] - landed.starts[number]
        lines += file.rows.lines.take(pa.array(inside)).to_pylist()
        for name in names:
            code = codes[name].take(pa.array(places))
            refused = np.flatnonzero(pc.is_valid(code).to_numpy(zero_copy_only=False))
            raw = _values(file.rows.table, name, inside[refused])
            for place, value in zip(places[refused], raw, strict=True):
                shapes[place][name] = shape_of(value)

    sources = pa.array([file.source for file in landed.files], pa.string())
    # A row without a readable time and with another problem may have its columns shifted: personal
    # data may be in the column of an id or of the event name.
    problem_count = np.sum(marks, axis=0)[rows]
    in_place = pc.or_(values.column("occurred_at").is_valid(), pa.array(problem_count == 1))
    columns = {
        "hour": _hours(landed.hours.take(pa.array(rows)), values.column("occurred_at"), hours),
        "source": sources.take(pa.array(file_of)),
        "line": pa.array(lines, pa.int64()),
        "row_id": _only(values.column(id_column), _LOOKS_LIKE_AN_ID, in_place),
        "reasons": pc.binary_join_element_wise(*entries, " ", null_handling="skip"),
        "shapes": pa.array([orjson.dumps(shape).decode() for shape in shapes], pa.string()),
    }
    if "event_name" in values.column_names:
        columns["event_name"] = _only(values.column("event_name"), _LOOKS_LIKE_A_NAME, in_place)
        columns["dataset_id"] = _only(values.column("dataset_id"), _LOOKS_LIKE_AN_ID, in_place)
        columns["currency"] = values.column("currency")
        # A number without a currency may be a phone number in the wrong column.
        no_money = pa.scalar(None, pa.float64())
        has_currency = columns["currency"].is_valid()
        columns["value"] = pc.if_else(has_currency, values.column("value"), no_money)
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(len(rows), field.type)
        for field in _SCHEMA
    ]
    return pa.table(arrays, schema=_SCHEMA)


def _hours(
    of_folder: pa.Array, occurred: pa.ChunkedArray, hours: Sequence[datetime]
) -> pa.ChunkedArray:
    """A row of a SQL model has no folder: its own hour, else the first requested one."""
    own = pc.floor_temporal(occurred, unit="hour").cast(UTC_MICROSECONDS)
    requested = pc.is_in(own, pa.array(list(hours), UTC_MICROSECONDS))
    first = pa.scalar(min(hours), UTC_MICROSECONDS)
    return pc.coalesce(of_folder, pc.if_else(requested, own, first))


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
    values: pa.ChunkedArray, pattern: str, in_place: pa.Array | pa.ChunkedArray
) -> pa.ChunkedArray:
    fits = pc.and_(pc.match_substring_regex(values, pattern), in_place)
    return pc.if_else(fits, values, pa.scalar(None, pa.string()))


def _lines(landed: ConcatenatedFiles, first_hour: datetime) -> pa.Table:
    rows = [
        {
            "hour": file.hour or first_hour,
            "source": file.source,
            "line": bad.line,
            "reasons": f"line:{bad.reason}",
            "shapes": orjson.dumps({"line": bad.shape}).decode(),
        }
        for file in landed.files
        for bad in file.rows.bad_lines
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def quarantined_files(problems: Sequence[FileProblem]) -> pa.Table:
    """Files that cannot be used, as rows of the Quarantine contract."""
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
