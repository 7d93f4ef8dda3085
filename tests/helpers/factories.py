"""Rows, tables and landing files with sensible defaults; a test names only what it is about."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from capi_assets.contracts.base import Contract, arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits

H = datetime(2026, 11, 20, 13, tzinfo=UTC)
HOUR = timedelta(hours=1)
DATASET = "1234567890"

Row = dict[str, Any]


def at(minutes: float = 5, hour: datetime = H) -> datetime:
    """A moment inside the hour."""
    return hour + timedelta(minutes=minutes)


def digest(text: str) -> str:
    """SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def fbc(click: str, clicked: datetime) -> str:
    """The _fbc cookie of a click."""
    return f"fb.1.{int(clicked.timestamp() * 1000)}.{click}"


def landed_visit(**values: Any) -> Row:
    """A visit as it lands."""
    return {"visit_id": "v1", "occurred_at": at().isoformat(), **values}


def landed_order(**values: Any) -> Row:
    """An order as it lands."""
    given = {"order_id": "o1", "occurred_at": at().isoformat(), "value": "49.90", "currency": "EUR"}
    return {**given, **values}


def visits(*rows: Mapping[str, Any]) -> pa.Table:
    """Stored visits; ids count up from v1."""
    return _stored(Visits, {"occurred_at": at()}, "visit_id", "v", rows)


def orders(*rows: Mapping[str, Any]) -> pa.Table:
    """Stored orders: confirmed purchases on the website; ids count up from o1."""
    defaults = {
        "occurred_at": at(30),
        "event_name": "Purchase",
        "action_source": "website",
        "status": "confirmed",
        "value": 49.9,
        "currency": "EUR",
        "dataset_id": DATASET,
    }
    numbered = [{"order_id": f"o{n}", **row} for n, row in enumerate(rows, start=1)]
    named = [{"event_id": f"Purchase:{row['order_id']}", **row} for row in numbered]
    return _stored(Orders, defaults, "order_id", "o", named)


def _stored(
    contract: type[Contract],
    defaults: Row,
    id_column: str,
    letter: str,
    rows: Sequence[Mapping[str, Any]],
) -> pa.Table:
    ids = (f"{letter}{n}" for n in itertools.count(1))
    full = [{id_column: next(ids), **defaults, **row} for row in rows]
    return pa.Table.from_pylist(full, schema=arrow_schema(contract))


def land(
    landing: Path, table: str, name: str, content: Sequence[Row] | bytes, hour: datetime = H
) -> Path:
    """Puts a file into its hour's folder: rows in the format of the name, or bytes as they are."""
    path = landing / table / f"{hour:%Y-%m-%d}" / f"{hour:%H}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else encoded(name, content))
    return path


def encoded(name: str, rows: Sequence[Row]) -> bytes:
    """The bytes of a file with these rows; nested values of CSV files are JSON."""
    plain = name.removesuffix(".gz")
    if plain.endswith(".parquet"):
        sink = io.BytesIO()
        pq.write_table(
            pa.Table.from_pylist([dict.fromkeys(_names(rows)) | row for row in rows]), sink
        )
        data = sink.getvalue()
    elif plain.endswith(".csv"):
        data = _csv(rows)
    else:
        data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    return gzip.compress(data) if name.endswith(".gz") else data


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _names(rows))
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {n: json.dumps(v) if isinstance(v, (list, dict)) else v for n, v in row.items()}
        )
    return text.getvalue().encode()
