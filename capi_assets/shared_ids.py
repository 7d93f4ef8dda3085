"""Ids that improbably many people share within an hour: no order finds its visit by them.

`meta.match_keys.placeholders` knows the usual words for nothing; this is for what it cannot know,
such as the till's own customer number, a constant of a broken tracker, or a link that was passed on
with its click id. Called by `matching` between finding candidates and choosing among them.

An hour is judged by itself, whole, so the result depends neither on the order in which hours are
materialized nor on how many are materialized together. Portable SQL, as in `matching`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.engine import Engine
from capi_assets.hours import HOUR, floor_hour

MOST_CONTACTS = 10
"""Different e-mail addresses, or phone numbers, that one id may come with in an hour. A person has
two or three and a household some more; an id with eleven belongs to no one of them."""

MOST_ADDRESSES = 25
"""The same for IP addresses: a telephone that changes between networks, or a carrier that gives out
another address for each connection, makes about ten in an hour."""

# Match key -> its column in `wanted` and `near`.
_COLUMNS = {
    "visit_id": "visit_id",
    "external_id": "external_id",
    "em": "em_first",
    "ph": "ph_first",
    "fbclid": "fbclid",
    "fbp": "fbp",
}
_LIMITS = {
    "em_first": MOST_CONTACTS,
    "ph_first": MOST_CONTACTS,
    "client_ip_address": MOST_ADDRESSES,
}


# Where ids are counted; an hour of visits has each visit_id once.
_PLACES = [
    (table, match_key)
    for table in ("wanted", "near")
    for match_key in _COLUMNS
    if (table, match_key) != ("near", "visit_id")
]


def frequent_ids_sql() -> str:
    """The tables and match keys with any id in more rows than the lowest limit. Most batches have
    none or few of them, and only these are counted in full: it takes five times as long."""
    return "\nUNION ALL\n".join(
        f"SELECT '{table}' AS source, '{match_key}' AS match_key WHERE EXISTS (SELECT {column}"
        f" FROM {table} WHERE {column} IS NOT NULL GROUP BY {column}"
        f" HAVING COUNT(*) > {min(_LIMITS.values())})"
        for table, match_key in _PLACES
        for column in [_COLUMNS[match_key]]
    )


def shared_ids_sql(places: Sequence[tuple[str, str]]) -> str:
    """Ids of these tables and match keys that too many people share within an hour: `match_key`,
    `shared_id`, `hour`, and `of_orders` (else of visits)."""
    return "\nUNION ALL\n".join(
        _shared(table, match_key, _COLUMNS[match_key]) for table, match_key in places
    )


def _shared(table: str, match_key: str, column: str) -> str:
    too_many = " OR ".join(
        f"COUNT(DISTINCT t.{name}) > {limit}" for name, limit in _LIMITS.items() if name != column
    )
    return f"""
SELECT '{match_key}' AS match_key, t.{column} AS shared_id, often.hour AS hour,
       '{table}' = 'wanted' AS of_orders
FROM {table} t JOIN (
  SELECT {column}, date_trunc('hour', occurred_at) AS hour FROM {table}
  WHERE {column} IS NOT NULL GROUP BY {column}, date_trunc('hour', occurred_at)
  HAVING COUNT(*) > {min(_LIMITS.values())}
) often ON t.{column} = often.{column} AND date_trunc('hour', t.occurred_at) = often.hour
GROUP BY t.{column}, often.hour
HAVING {too_many}""".strip()


SharedIds = Mapping[tuple[str, str], Sequence[tuple[datetime, bool]]]
"""Match key and id, to the hours in which too many people share it, each with whether these are
orders (else visits)."""


def shared_ids(engine: Engine) -> SharedIds:
    """The ids that too many people share, of `wanted` and `near` as of `matching`."""
    hours: dict[tuple[str, str], list[tuple[datetime, bool]]] = defaultdict(list)
    frequent = engine.query(frequent_ids_sql())
    if not frequent.num_rows:
        return hours
    places = [(row["source"], row["match_key"]) for row in frequent.to_pylist()]
    for row in engine.query(shared_ids_sql(places)).to_pylist():
        hours[row["match_key"], row["shared_id"]].append((row["hour"], row["of_orders"]))
    return hours


def without_shared_ids(wanted: pa.Table, hours: SharedIds) -> tuple[pa.Table, pa.Array]:
    """`wanted` with null for each shared id, and the match keys that each row lost by it.

    The second result is text separated by spaces, or null. An id is shared for an order if it is in
    the order's own hour, or among the visits of any hour that the order looks back to.
    """
    if not hours:
        return wanted, pa.nulls(wanted.num_rows, pa.string())
    lost: list[list[str]] = [[] for _ in range(wanted.num_rows)]
    for match_key, column in _COLUMNS.items():
        shared = pa.array([value for key, value in hours if key == match_key], pa.string())
        ids = wanted.column(column).combine_chunks()
        rows = np.flatnonzero(pc.is_in(ids, shared).to_numpy(zero_copy_only=False))
        suspects = wanted.select([column, "occurred_at", "earliest"]).take(pa.array(rows))
        clear = np.zeros(len(ids), bool)
        for place, row in zip(rows, suspects.to_pylist(), strict=True):
            if any(
                hour == floor_hour(row["occurred_at"])
                or (not of_orders and _is_between(hour, row["earliest"], row["occurred_at"]))
                for hour, of_orders in hours[match_key, row[column]]
            ):
                clear[place] = True
                lost[place].append(match_key)
        if clear.any():
            kept = pc.if_else(pa.array(clear), pa.scalar(None, ids.type), ids)
            wanted = wanted.set_column(wanted.column_names.index(column), column, kept)
    return wanted, pa.array([" ".join(keys) or None for keys in lost], pa.string())


def _is_between(hour: datetime, earliest: datetime, latest: datetime) -> bool:
    return earliest - HOUR < hour <= latest
