"""How many events carry each match key, over time: a broken tracker shows here first."""

from __future__ import annotations

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.sql import duckdb_with, query

MATCH_KEY_COUNTS = pa.schema({"hour": UTC_MICROSECONDS, "key": pa.string(), "events": pa.int64()})

MATCH_KEY_SHARES = pa.schema(
    {"bucket": pa.int64(), "key": pa.string(), "events": pa.int64(), "carried": pa.int64()}
)

# Few combinations of keys exist, however many events there are: only those are taken apart.
_COUNTS = """
WITH combinations AS (
    SELECT date_trunc('hour', occurred_at) AS hour, match_keys, count(*) AS events
    FROM matched_events
    WHERE verdict <> 'withheld'
    GROUP BY ALL
)
SELECT hour, NULL AS key, sum(events) AS events FROM combinations GROUP BY hour
UNION ALL
SELECT hour, key, sum(events) AS events
FROM (
    SELECT hour, events, unnest(list_distinct(string_split(match_keys, ' '))) AS key
    FROM combinations
)
WHERE key <> ''
GROUP BY hour, key
ORDER BY hour, key NULLS FIRST
"""

_SHARES = """
WITH pieces AS (
    SELECT (epoch_us(hour) - $first) // $length AS bucket, key, sum(events) AS events
    FROM counts
    WHERE epoch_us(hour) >= $first AND epoch_us(hour) < $last
    GROUP BY ALL
)
SELECT t.bucket, k.key, t.events::BIGINT AS events, coalesce(c.events, 0)::BIGINT AS carried
FROM (SELECT bucket, events FROM pieces WHERE key IS NULL) AS t
CROSS JOIN (SELECT DISTINCT key FROM pieces WHERE key IS NOT NULL) AS k
LEFT JOIN pieces AS c ON c.bucket = t.bucket AND c.key = k.key
ORDER BY t.bucket, k.key
"""


def match_key_counts(matched_events: pa.Table) -> pa.Table:
    """Per hour, how many events carry each match key; key null: how many there are at all.

    Reads the columns occurred_at, verdict and match_keys. Withheld orders have no match keys by
    design and are left out. Tables of different hours can be concatenated.
    """
    read = matched_events.select(["occurred_at", "verdict", "match_keys"])
    with duckdb_with(matched_events=read) as connection:
        return query(connection, _COUNTS, schema=MATCH_KEY_COUNTS)


def match_key_shares(counts: pa.Table, buckets: Buckets) -> pa.Table:
    """Per bucket and match key: events that are not withheld, and those that carry the key.

    Args:
        counts: the table of `match_key_counts`.
        buckets: the time to cover; hours outside are left out.

    Returns:
        Columns of `MATCH_KEY_SHARES`, sorted by bucket and key: every key that occurs at all has a
        row in every bucket that has events.
    """
    with duckdb_with(counts=counts) as connection:
        return query(connection, _SHARES, buckets.parameters, MATCH_KEY_SHARES)
