"""The signals of each hour for people: volumes, match rate, coverage, freshness, over all datasets,
event names and currencies. They are the metadata of `attribution_health` in Dagster.

What is usual for an hour is in anomalies/, which hours are flagged in flags.py.
"""

from __future__ import annotations

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.anomalies.hour_signals import HISTORY
from capi_assets.coverage.buckets import Buckets
from capi_assets.coverage.freshness import freshness
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.hours import HOUR

_OF_SENDABLE = ("share_lookalikes", "share_zero_value")
_SHARES = ("coverage", "match_rate", "order_supplied_event_ids", *_OF_SENDABLE)
_FRESHNESS = ("freshness_p50_minutes", "freshness_p95_minutes", "within_1h", "within_2h")
SIGNALS = pa.schema(
    {
        "hour": UTC_MICROSECONDS,
        **dict.fromkeys(("visits", "orders", "eligible", "delivered"), pa.int64()),
        **dict.fromkeys((*_SHARES, *_FRESHNESS, "within_24h"), pa.float64()),
    }
)

_SIGNALS = """
WITH totals AS (
    SELECT hour, max(visits) AS visits, sum(orders)::BIGINT AS orders,
        sum(eligible)::BIGINT AS eligible, sum(delivered)::BIGINT AS delivered,
        CASE WHEN count(matched_eligible) = count(*) THEN sum(matched_eligible)
            ELSE sum(matched) END AS matched,
        CASE WHEN count(matched_eligible) = count(*) THEN sum(eligible - quarantined)
            ELSE sum(orders) END AS sendable,
        sum(lookalikes) AS lookalikes, sum(zero_value) AS zero_value,
        sum(shared_event_id) AS shared_event_id
    FROM health
    GROUP BY hour
)
SELECT t.hour, t.visits, t.orders, t.eligible, t.delivered,
    CASE WHEN t.eligible > 0 THEN t.delivered / t.eligible END AS coverage,
    CASE WHEN t.sendable > 0 THEN t.matched / t.sendable END AS match_rate,
    CASE WHEN t.sendable > 0 THEN 1 - t.shared_event_id / t.sendable END
        AS order_supplied_event_ids,
    CASE WHEN t.sendable > 0 THEN t.lookalikes / t.sendable END AS share_lookalikes,
    CASE WHEN t.sendable > 0 THEN t.zero_value / t.sendable END AS share_zero_value,
    f.p50_minutes AS freshness_p50_minutes, f.p95_minutes AS freshness_p95_minutes,
    f.within_1h / f.delivered AS within_1h, f.within_2h / f.delivered AS within_2h,
    f.within_24h / f.delivered AS within_24h
FROM totals AS t
LEFT JOIN fresh AS f ON f.bucket = date_diff('hour', $first, t.hour)
ORDER BY t.hour
"""


def signals(health: pa.Table, delivery_results: pa.Table) -> pa.Table:
    """One row per hour of `attribution_health`, in time order; columns of SIGNALS.

    Args:
        health: `attribution_health`.
        delivery_results: of the same hours; those of other hours are left out.

    Returns:
        Shares are between 0 and 1, null where the denominator is 0. match_rate: orders with
        a visit among those neither withheld nor quarantined (among all orders in hours that an
        older version wrote). Among the same orders, order_supplied_event_ids: those whose event
        id belongs to no other order of their hour (of two events with one id Meta drops the
        second); share_lookalikes and share_zero_value: `lookalikes` and `zero_value` of
        `attribution_health`; null in hours that an older version wrote.
        within_1h, within_2h and within_24h: delivered orders accepted within Meta's limits.
    """
    if not health.num_rows:
        return SIGNALS.empty_table()
    with duckdb_with(
        health=health.select([*HISTORY, "lookalikes", "zero_value", "shared_event_id"]),
        fresh=freshness(delivery_results, _hours(health)),
    ) as connection:
        return query(connection, _SIGNALS, {"first": _hours(health).first}, SIGNALS)


def _hours(health: pa.Table) -> Buckets:
    found = sorted(set(health["hour"].to_pylist()))
    return Buckets(found[0], int((found[-1] - found[0]) / HOUR) + 1, 1)
