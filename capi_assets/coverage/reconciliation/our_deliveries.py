"""What Meta should count per hour according to our ledger, by event time and by time of receipt."""

from __future__ import annotations

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.sql import duckdb_with, query

EVENT_TIME = "event_time"
RECEIPT_TIME = "receipt_time"

DELIVERY_COLUMNS = (
    *("dataset_id", "event_name", "event_id", "occurred_at", "status", "attempts"),
    *("first_attempt_at", "last_attempt_at", "delivered_at"),
)
"""Columns of `delivery_results` that are read."""

OUR_DELIVERIES = pa.schema(
    {
        **dict.fromkeys(("dataset_id", "event_name", "basis"), pa.string()),
        "hour": UTC_MICROSECONDS,
        **dict.fromkeys(("delivered", "may_be_more", "may_be_fewer"), pa.int64()),
        "newest": UTC_MICROSECONDS,
    }
)

# An event that was retried after no response counts in the hour of its first attempt if Meta
# accepted it then, and as often as it was sent if Meta counts before deduplication. Events that
# were rejected or never sent cannot be counted at all.
_COUNTS = """
WITH sent AS (
    SELECT d.dataset_id, d.event_name, d.attempts, d.status = 'delivered' AS delivered,
        date_trunc('hour', d.occurred_at) AS event_hour,
        date_trunc('hour', d.first_attempt_at) AS first_hour,
        date_trunc('hour', coalesce(d.delivered_at, d.last_attempt_at)) AS last_hour,
        coalesce(d.delivered_at, d.last_attempt_at) AS newest,
        p.event_id IS NOT NULL AS by_pixel
    FROM delivery_results AS d
    LEFT JOIN (SELECT DISTINCT dataset_id, event_name, event_id FROM pixel_reported) AS p
        ON p.dataset_id = d.dataset_id AND p.event_name = d.event_name AND p.event_id = d.event_id
    WHERE d.status = 'delivered'
        OR (d.attempts > 0 AND d.status IN ('unknown', 'expired', 'covered_by_pixel'))
),
counted AS (
    SELECT dataset_id, event_name, 'event_time' AS basis, event_hour AS hour, delivered,
        CASE WHEN delivered THEN greatest(attempts - 1, 0) ELSE attempts END AS more,
        delivered AND by_pixel AS fewer, newest
    FROM sent
    UNION ALL
    SELECT dataset_id, event_name, 'receipt_time', last_hour, delivered,
        CASE WHEN delivered THEN greatest(attempts - 1, 0) ELSE attempts END,
        delivered AND (by_pixel OR first_hour IS DISTINCT FROM last_hour), newest
    FROM sent
    UNION ALL
    SELECT dataset_id, event_name, 'receipt_time', first_hour, FALSE,
        CASE WHEN delivered THEN greatest(attempts - 1, 0) ELSE attempts END, FALSE, NULL
    FROM sent
    WHERE first_hour <> last_hour
)
SELECT dataset_id, event_name, basis, hour,
    count(*) FILTER (delivered) AS delivered,
    sum(more)::BIGINT AS may_be_more,
    count(*) FILTER (fewer) AS may_be_fewer,
    max(newest) AS newest
FROM counted
WHERE hour IS NOT NULL
GROUP BY ALL
ORDER BY dataset_id, event_name, basis, hour
"""


def our_deliveries(delivery_results: pa.Table, pixel_reported: pa.Table) -> pa.Table:
    """Per dataset, event name, basis and hour: what Meta accepted, and the bounds of its count.

    Args:
        delivery_results: at least `DELIVERY_COLUMNS`, of every hour whose events may have been
            received in the hours of interest.
        pixel_reported: dataset_id, event_name, event_id of events that the Pixel reported too;
            Meta may count those as the Pixel's.

    Returns:
        Columns of `OUR_DELIVERIES`. `may_be_more` and `may_be_fewer` are by how much Meta's count
        may exceed or fall short of `delivered` for known reasons; `newest` is when the last of
        these events was sent.
    """
    with duckdb_with(
        delivery_results=delivery_results.select(DELIVERY_COLUMNS), pixel_reported=pixel_reported
    ) as connection:
        return query(connection, _COUNTS, schema=OUR_DELIVERIES)
