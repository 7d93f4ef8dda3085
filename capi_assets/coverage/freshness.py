"""How soon orders reach Meta, over time, compared with the limits that Meta recommends.

Meta's limits (page "End-to-end implementation", data freshness): within one hour helps attribution
and delivery, beyond two hours performance suffers, from 24 hours on significantly.
"""

from __future__ import annotations

import pyarrow as pa

from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.sql import duckdb_with_orders, query

META_LIMITS = {"1 h": 60, "2 h": 120, "24 h": 1440}
"""Meta's limits in minutes, by label."""

FRESHNESS = pa.schema(
    {
        **dict.fromkeys(("bucket", "delivered"), pa.int64()),
        **dict.fromkeys(("p50_minutes", "p95_minutes"), pa.float64()),
        **dict.fromkeys(("within_1h", "within_2h", "within_24h"), pa.int64()),
    }
)

_FRESHNESS = """
SELECT bucket, count(*) AS delivered,
    quantile_cont(minutes, 0.5) AS p50_minutes,
    quantile_cont(minutes, 0.95) AS p95_minutes,
    count(*) FILTER (minutes <= 60) AS within_1h,
    count(*) FILTER (minutes <= 120) AS within_2h,
    count(*) FILTER (minutes <= 1440) AS within_24h
FROM (
    SELECT (epoch_us(occurred_at) - $first) // $length AS bucket,
        (epoch_us(delivered_at) - epoch_us(occurred_at)) / 6e7 AS minutes
    FROM delivery_results
    WHERE status = 'delivered' AND delivered_at IS NOT NULL
        AND epoch_us(occurred_at) >= $first AND epoch_us(occurred_at) < $last
)
GROUP BY GROUPING SETS ((bucket), ())
HAVING count(*) > 0
ORDER BY bucket NULLS FIRST
"""


def freshness(delivery_results: pa.Table, buckets: Buckets) -> pa.Table:
    """Minutes from order to acceptance, per bucket and (bucket null) over all of them.

    Columns of `FRESHNESS`: delivered orders, the median and the 95th percentile of their minutes,
    and how many of them were accepted within Meta's limits. Buckets without any are left out.
    """
    read = delivery_results.select(["occurred_at", "delivered_at", "status"])
    with duckdb_with_orders(delivery_results=read) as connection:
        return query(connection, _FRESHNESS, buckets.parameters, FRESHNESS)
