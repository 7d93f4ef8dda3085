"""The sample shop's landing zone: several files per hour, in every format the ingest reads.

A file contains the rows that landed in one quarter of its hour, `shop-late` those that landed
after it, so the files of a past quarter do not change. Each format writes times as its kind of
system would: ISO
8601, epoch milliseconds, native. Only files named `shop-*` are ever replaced or removed.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from upath import UPath

from capi_assets.sandbox.shop.customers import join, with_column
from capi_assets.sandbox.shop.seasonality import HOUR_MS
from capi_assets.sandbox.shop.shop import LANDS, Shop, landing_columns

FORMATS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")
TABLES = ("visits", "orders")

_PARTS = ("shop-00", "shop-15", "shop-30", "shop-45", "shop-late")
HOUR = timedelta(hours=1)
_ISO = "%Y-%m-%dT%H:%M:%S"


class Written(NamedTuple):
    """What the landing zone contains after a call of `write_landing`."""

    files: int
    visits: int
    orders: int


def write_landing(
    landing: UPath | Path,
    start: datetime,
    end: datetime,
    shop: Shop,
    *,
    formats: Sequence[str] = FORMATS,
    until: datetime | None = None,
    tables: Sequence[str] = TABLES,
) -> Written:
    """Write `{landing}/{table}/YYYY-MM-DD/HH/shop-*` for every hour that `[start, end)` touches.

    `until` leaves out rows that have not landed by then; called again later, the same files have
    the same rows and more. Own files that no longer belong to an hour (another format, a new
    outage) are removed, so the result does not depend on earlier calls.

    Raises:
        ValueError: a format that is not one of FORMATS.
    """
    if unknown := set(formats) - set(FORMATS):
        raise ValueError(f"unknown formats {sorted(unknown)}; known: {', '.join(FORMATS)}")
    first = int(start.timestamp() // 3_600)
    last = -int(-end.timestamp() // 3_600)
    hours = [datetime.fromtimestamp(number * 3_600, UTC) for number in range(first, last)]
    files = 0
    rows = dict.fromkeys(TABLES, 0)
    for table in tables:
        silent = set(hours)
        for block in shop.landings(table, hours[0], hours[-1] + HOUR, until) if hours else ():
            for hour, of_hour in _by_hour(block):
                contents = _files(table, hour, of_hour, formats)
                _replace_hour(landing, table, hour, contents)
                silent.discard(hour)
                files += len(contents)
                rows[table] += of_hour.num_rows
        for hour in silent:
            _replace_hour(landing, table, hour, {})
    return Written(files, **rows)


def _by_hour(block: Any) -> list[tuple[datetime, Any]]:
    numbers, starts, counts = np.unique(
        block["_hour"].to_numpy(), return_index=True, return_counts=True
    )
    return [
        (datetime.fromtimestamp(int(number) * 3_600, UTC), block.slice(start, count))
        for number, start, count in zip(numbers, starts, counts, strict=True)
    ]


def _files(table: str, hour: datetime, rows: Any, formats: Sequence[str]) -> dict[str, bytes]:
    """File names and bytes of one hour; formats take turns, from hour to hour and within it."""
    number = int(hour.timestamp()) // 3_600
    part = np.clip((rows[LANDS].to_numpy() - number * HOUR_MS) // (HOUR_MS // 4), 0, 4)
    turn = number * 4 + crc32(table.encode())
    contents = {}
    for quarter in np.unique(part):
        format_ = formats[(turn + int(quarter)) % len(formats)]
        landed = landing_columns(rows.filter(part == quarter))
        contents[f"{_PARTS[quarter]}.{format_}"] = _encode(landed, format_)
    return contents


def _replace_hour(
    landing: UPath | Path, table: str, hour: datetime, contents: dict[str, bytes]
) -> None:
    folder = landing / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    for name, content in contents.items():
        _write(folder / name, content)
    if folder.exists():
        for path in folder.iterdir():
            if path.name.startswith("shop-") and path.name not in contents:
                path.unlink()


def _write(path: Any, content: bytes) -> None:
    """Whole or not at all: aside and renamed on disk, one PUT on an object store. What is there
    already is left alone: a new time would make it a late file."""
    if path.exists() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(path, Path):
        path.write_bytes(content)
        return
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_bytes(content)
    os.replace(aside, path)


def _encode(rows: Any, format_: str) -> bytes:
    kind, _, packed = format_.partition(".")
    if kind == "parquet":
        return _parquet(rows)
    content = _csv(rows, packed) if kind == "csv" else _jsonl(rows, packed)
    return gzip.compress(content, 6, mtime=0) if packed else content


def _csv(rows: Any, packed: str) -> bytes:
    """`2026-11-20T13:05:07.123Z`; packed files come from a system that writes `… +00:00`."""
    occurred = _iso(rows["occurred_at"], "+00:00" if packed else "Z")
    if packed:
        occurred = pc.replace_substring(occurred, "T", " ")
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(with_column(rows, "occurred_at", occurred), sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _jsonl(rows: Any, packed: str) -> bytes:
    """Epoch milliseconds; packed files hold ISO text. Absent fields are absent, contents a list."""
    occurred = rows["occurred_at"]
    times = _iso(occurred, "Z") if packed else pc.divide(occurred.cast(pa.int64()), 1_000)
    columns = with_column(rows, "occurred_at", times).to_pydict()
    if "contents" in columns:
        columns["contents"] = [
            None if text is None else orjson.Fragment(text) for text in columns["contents"]
        ]
        columns["value"] = [_number(text) for text in columns["value"]]
    lines = (
        orjson.dumps(
            {name: cell for name, cell in zip(columns, row, strict=True) if cell is not None}
        )
        for row in zip(*columns.values(), strict=True)
    )
    return b"\n".join(lines) + b"\n"


def _parquet(rows: Any) -> bytes:
    """Native types. What is no number cannot be stored as one: it is null here."""
    if "value" in rows.column_names:
        numbers = pa.array(
            [v if isinstance(v, float) else None for v in map(_number, rows["value"].to_pylist())],
            pa.float64(),
        )
        rows = with_column(rows, "value", numbers)
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(rows, sink)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _iso(times: Any, zone: str) -> Any:
    naive = times.cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ms"))
    return join(pc.strftime(naive, format=_ISO), zone)


def _number(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
