"""Raw Purchases as a shop's database holds them, the same at every run, in a Parquet file.

Every order is of another person, so nothing is saved by repeats of e-mails and phones; names and
places repeat as they do among customers. All values are ordinary: on these, Meta's library and ours
agree to the last digit, and `events.py` holds them to it.

`python -m benchmarks.purchases FILE ORDERS` writes them.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CONTACTS = {
    "email": "em",
    "phone": "ph",
    "first_name": "fn",
    "last_name": "ln",
    "date_of_birth": "db",
    "city": "ct",
    "state": "st",
    "zip": "zp",
    "country": "country",
}
"""The nine contact columns, and the match keys that they become."""

OTHERS = (
    "order_id",
    "event_name",
    "event_id",
    "action_source",
    "currency",
    "contents",
    "content_type",
    "event_source_url",
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
    "occurred_at",
    "value",
    "num_items",
)
_KINDS = {
    "occurred_at": pa.timestamp("us", tz="UTC"),
    "value": pa.float64(),
    "num_items": pa.int64(),
}
SCHEMA = pa.schema([(name, _KINDS.get(name, pa.string())) for name in (*CONTACTS, *OTHERS)])

ROWS_PER_GROUP = 20_000

_START = datetime(2026, 11, 20, 12, tzinfo=UTC)
_SYLLABLES = [start + vowel for start in "bdfgklmnprstvwz" for vowel in "aeiou"]
_PLACES = {
    "us": ("+1 650 55{:05d}", ["ca", "ny", "tx", "wa", "or", "fl"]),
    "de": ("+49 151 {:08d}", ["berlin", "bayern", "hessen", "sachsen"]),
    "gb": ("+44 7400 {:06d}", ["england", "wales", "scotland"]),
    "fr": ("+33 6 {:08d}", ["bretagne", "corse", "normandie"]),
}
_DIGITS = {"us": 10**5, "de": 10**8, "gb": 10**6, "fr": 10**8}
_DOMAINS = ["example.com", "Mail.Example.org", "example.co.uk"]
_BROWSERS = [
    f"Mozilla/5.0 (Linux; Android {v}; SM-S9{v}8B) AppleWebKit/537.36 (KHTML, like Gecko)"
    f" Chrome/1{v}.0.0.0 Mobile Safari/537.36"
    for v in range(10, 40)
]


def purchases(count: int) -> Iterator[dict[str, Any]]:
    """So many orders, in order of time."""
    drawn = random.Random("purchases")
    firsts, lasts, cities = (
        [_word(drawn, length).title() for _ in range(many)]
        for many, length in ((2_000, 3), (15_000, 4), (4_000, 4))
    )
    for number in range(count):
        first, last = drawn.choice(firsts), drawn.choice(lasts)
        country = drawn.choice(list(_PLACES))
        pattern, states = _PLACES[country]
        items: list[dict[str, Any]] = [
            {
                "id": f"SKU-{drawn.randrange(20_000):05d}",
                "quantity": drawn.randrange(1, 4),
                "item_price": drawn.randrange(199, 19_999) / 100,
            }
            for _ in range(drawn.choice((1, 1, 2, 3)))
        ]
        moment = _START + timedelta(milliseconds=18 * number)
        clicked = int((moment - timedelta(minutes=drawn.randrange(2, 9_000))).timestamp() * 1_000)
        yield {
            "order_id": f"ORD-{number:08d}",
            "occurred_at": moment,
            "event_name": "Purchase",
            "event_id": f"Purchase:ORD-{number:08d}",
            "action_source": "website",
            "value": round(sum(item["item_price"] * item["quantity"] for item in items), 2),
            "currency": "USD" if country == "us" else "EUR",
            "contents": json.dumps(items),
            "content_type": "product",
            "num_items": len(items),
            "event_source_url": f"https://shop.example.com/{country}/checkout/thank-you?o={number}",
            "email": f" {first}.{last}{number}@{drawn.choice(_DOMAINS)}",
            "phone": pattern.format(number % _DIGITS[country]),
            "first_name": first,
            "last_name": last.upper(),
            "date_of_birth": f"{drawn.randrange(1940, 2007)}{drawn.randrange(1, 13):02d}15",
            "city": drawn.choice(cities),
            "state": drawn.choice(states),
            "zip": f"{drawn.randrange(10_000, 99_999)}",
            "country": country.upper(),
            "client_ip_address": f"2a01:4f8:{drawn.randrange(2**16):x}::{number:x}",
            "client_user_agent": drawn.choice(_BROWSERS),
            "fbc": f"fb.1.{clicked}.IwAR{drawn.randbytes(30).hex()}",
            "fbp": f"fb.1.{clicked - 900_000}.{drawn.randrange(2**31)}",
        }


def _word(drawn: random.Random, length: int) -> str:
    return "".join(drawn.choice(_SYLLABLES) for _ in range(length))


def write(path: Path, count: int) -> None:
    """Writes the orders to a Parquet file, a group at a time."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        rows: list[dict[str, Any]] = []
        for row in purchases(count):
            rows.append(row)
            if len(rows) == ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, SCHEMA))


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
    print("{}")
