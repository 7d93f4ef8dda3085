"""A week of visits in a lake of its own, and orders that come from some of them.

Columns as ingestion stores them, with digests where contact data was. Visitors come back; few
have said who they are. `python -m benchmarks.traffic FOLDER VISITS ORDERS` writes both.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.lake import Lake

HOURS = 168
START = datetime(2026, 11, 13, tzinfo=UTC)
LOOKBACK = timedelta(hours=HOURS)
VISITS_PER_PERSON = 3

# Share of the visits that have the column at all.
PRESENT = {
    "referrer_url": 0.4,
    "fbclid": 0.3,
    "fbp": 0.85,
    "client_ip_address": 0.97,
    "external_id": 0.15,
    "em": 0.08,
    "ph": 0.04,
}
# Share of the orders that know this of the visit they come from, where it has it.
REMEMBERED = {
    "visit_id": 0.3,
    "external_id": 0.6,
    "em": 0.9,
    "ph": 0.6,
    "fbclid": 0.2,
    "fbp": 0.4,
    "client_ip_address": 0.7,
    "client_user_agent": 0.7,
}

_TIME = pa.timestamp("us", tz="UTC")
_HOUR_US = 3_600_000_000


def hours() -> list[datetime]:
    """The hours of the week."""
    return [START + timedelta(hours=number) for number in range(HOURS)]


def visits(count: int, rng: np.random.Generator) -> pa.Table:
    """So many visits in order of time."""
    began = int(START.timestamp()) * 1_000_000
    at = np.sort(rng.integers(began, began + HOURS * _HOUR_US, count))
    person = rng.integers(0, max(1, count // VISITS_PER_PERSON), count)
    people = int(person.max()) + 1
    click = _hex(rng, count, 40)
    ms = pa.array(at // 1_000).cast(pa.string())
    browsers = pa.array([f"Mozilla/5.0 (X11; Linux {n}) Gecko/20100101" for n in range(300)])
    address = [pa.array(rng.integers(1, 255, count)).cast(pa.string()) for _ in range(3)]
    number = pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 9, "0")
    columns = {
        "visit_id": pc.binary_join_element_wise("v-", number, ""),
        "occurred_at": pa.array(at, _TIME),
        "page_url": pc.binary_join_element_wise("https://shop.example/p/", number, "?utm=a", ""),
        "referrer_url": pa.repeat(pa.scalar("https://www.facebook.com/"), count),
        "fbclid": click,
        "fbc": pc.binary_join_element_wise("fb", "1", ms, click, "."),
        "fbp": _of_person(rng, people, person, 20),
        "client_ip_address": pc.binary_join_element_wise("203", *address, "."),
        "client_user_agent": browsers.take(pa.array(person % 300)),
        "external_id": _of_person(rng, people, person, 64),
        "em": _of_person(rng, people, person, 64),
        "ph": _of_person(rng, people, person, 64),
        "consent": pa.array(rng.random(count) < 0.9),
    }
    for name, share in PRESENT.items():
        kept = pa.array(rng.random(count) < share)
        for column in ("fbclid", "fbc") if name == "fbclid" else (name,):
            columns[column] = pc.if_else(kept, columns[column], pa.scalar(None, pa.string()))
    schema = arrow_schema(Visits)
    full = {
        name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names
    }
    return pa.table(full, schema=schema)


def orders(count: int, came: pa.Table, rng: np.random.Generator) -> pa.Table:
    """So many orders, each up to a day after one of the visits that came."""
    origin = came.take(pa.array(rng.integers(0, came.num_rows, count)))
    waited = rng.integers(60, 86_400, count) * 1_000_000
    at = origin.column("occurred_at").cast(pa.int64()).to_numpy() + waited
    number = pc.utf8_lpad(pa.array(np.arange(count)).cast(pa.string()), 8, "0")
    columns = {
        "order_id": number,
        "occurred_at": pa.array(at, _TIME),
        "event_id": pc.binary_join_element_wise("Purchase:", number, ""),
        "value": pa.array(rng.integers(100, 30_000, count) / 100),
    }
    constant = {
        "event_name": "Purchase",
        "action_source": "website",
        "status": "confirmed",
        "currency": "EUR",
        "dataset_id": "1",
    }
    columns |= {name: pa.repeat(pa.scalar(text), count) for name, text in constant.items()}
    for name, share in REMEMBERED.items():
        known = pa.array(rng.random(count) < share)
        columns[name] = pc.if_else(known, origin.column(name), pa.scalar(None, pa.string()))
    schema = arrow_schema(Orders)
    full = {
        name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names
    }
    return pa.table(full, schema=schema)


def _of_person(rng: np.random.Generator, people: int, person: np.ndarray, length: int) -> pa.Array:
    return _hex(rng, people, length).take(pa.array(person))


def _hex(rng: np.random.Generator, count: int, length: int) -> pa.Array:
    """Random lower-case hexadecimal texts of one length."""
    data = pa.py_buffer(rng.bytes(count * length // 2).hex().encode())
    offsets = pa.py_buffer(np.arange(0, (count + 1) * length, length, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), count, [None, offsets, data])


def write(folder: Path, visit_count: int, order_count: int) -> None:
    """Writes the lake and `orders.parquet` into the folder."""
    rng = np.random.default_rng(11)
    came = visits(visit_count, rng)
    pq.write_table(orders(order_count, came, rng), folder / "orders.parquet")
    lake = Lake(folder / "lake")
    at = came.column("occurred_at").cast(pa.int64()).to_numpy()
    first = int(START.timestamp()) * 1_000_000
    bounds = np.searchsorted(at, [first + number * _HOUR_US for number in range(HOURS + 1)])
    for hour, start, end in zip(hours(), bounds[:-1], bounds[1:], strict=True):
        lake.write("visits", hour, came.slice(start, end - start))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print("{}")
