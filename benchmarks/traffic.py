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


def visits(hour: int, count: int, people: int, rng: np.random.Generator) -> pa.Table:
    """So many visits of the `hour`-th hour, in order of time, by some of `people`."""
    began = int(START.timestamp()) * 1_000_000 + hour * _HOUR_US
    at = np.sort(rng.integers(began, began + _HOUR_US, count))
    person = rng.integers(0, people, count)
    has = {name: rng.random(count) < share for name, share in PRESENT.items()}
    click = _digits(np.arange(count) + hour * 10**8, has["fbclid"], 40, salt=1)
    ms = pa.array(at // 1_000).cast(pa.string())
    browsers = pa.array([f"Mozilla/5.0 (X11; Linux {n}) Gecko/20100101" for n in range(300)])
    address = [pa.array(rng.integers(1, 255, count)).cast(pa.string()) for _ in range(3)]
    number = pc.utf8_lpad(pa.array(np.arange(count) + hour * count).cast(pa.string()), 9, "0")
    columns = {
        "visit_id": pc.binary_join_element_wise("v-", number, ""),
        "occurred_at": pa.array(at, _TIME),
        "page_url": pc.binary_join_element_wise("https://shop.example/p/", number, "?utm=a", ""),
        "referrer_url": pa.repeat(pa.scalar("https://www.facebook.com/"), count),
        "fbclid": click,
        "fbc": pc.binary_join_element_wise("fb", "1", ms, click, "."),
        "fbp": _digits(person, has["fbp"], 24, salt=2),
        "client_ip_address": pc.binary_join_element_wise("203", *address, "."),
        "client_user_agent": browsers.take(pa.array(person % 300)),
        "external_id": _digits(person, has["external_id"], 64, salt=3),
        "em": _digits(person, has["em"], 64, salt=4),
        "ph": _digits(person, has["ph"], 64, salt=5),
        "consent": pa.array(rng.random(count) < 0.9),
    }
    for name in ("referrer_url", "client_ip_address"):
        columns[name] = pc.if_else(pa.array(has[name]), columns[name], pa.scalar(None, pa.string()))
    schema = arrow_schema(Visits)
    full = {
        name: columns.get(name, pa.nulls(count, schema.field(name).type)) for name in schema.names
    }
    return pa.table(full, schema=schema)


def orders(origin: pa.Table, rng: np.random.Generator) -> pa.Table:
    """An order for each visit of `origin`, up to a day after it."""
    count = origin.num_rows
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


def _digits(numbers: np.ndarray, present: np.ndarray, length: int, salt: int) -> pa.Array:
    """For each number a text of `length` hexadecimal digits, the same each time; null where it is
    not present. Made of the number, so that no table of all people is in memory."""
    chosen = numbers[present].astype(np.uint64)[:, None]
    word = np.arange(length // 8, dtype=np.uint64) + np.uint64(salt * 8)
    mixed = (chosen * np.uint64(64) + word + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    words = (mixed >> np.uint64(32)).astype(np.uint32)
    ends = np.concatenate([[0], np.cumsum(present * length)]).astype(np.int32)
    text, offsets = pa.py_buffer(words.tobytes().hex().encode()), pa.py_buffer(ends)
    bits = pa.array(present).buffers()[1]
    return pa.Array.from_buffers(pa.string(), len(numbers), [bits, offsets, text])


def write(folder: Path, visit_count: int, order_count: int) -> None:
    """Writes the lake and `orders.parquet` into the folder, an hour in memory at a time."""
    rng = np.random.default_rng(11)
    lake, people = Lake(folder / "lake"), max(1, visit_count // VISITS_PER_PERSON)
    shares = np.diff(np.arange(HOURS + 1) * order_count // HOURS)
    origins = []
    for number, hour in enumerate(hours()):
        came = visits(number, visit_count // HOURS, people, rng)
        origins.append(came.take(pa.array(rng.integers(0, came.num_rows, shares[number]))))
        lake.write("visits", hour, came)
    placed = orders(pa.concat_tables(origins), rng)
    placed = placed.take(pa.array(rng.permutation(placed.num_rows)))  # any part is of all hours
    pq.write_table(placed, folder / "orders.parquet")


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print("{}")
