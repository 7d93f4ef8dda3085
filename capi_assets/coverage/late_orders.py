"""Orders that reached Meta only after their hour was due: once missing, since recovered.

Flags show what is missing now, so they no longer contain these orders. `delivery_results` does,
and the ledger's attempts say why they were late. gap_history.py makes histories of both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.outcomes import MONEY_UNITS, money_units
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.delivery.causes import Cause, cause_of
from capi_assets.hours import HOUR

SAMPLED_EVENTS = 200
"""Events per hour whose attempts are read: enough to find the hour's main cause."""

LATE = pa.schema(
    {
        **{"hour": UTC_MICROSECONDS, "currency": pa.string()},
        **{"orders": pa.int64(), "value": pa.float64()},
        **{"last_delivered_at": UTC_MICROSECONDS, "least_seconds_left": pa.int64()},
    }
)

_IS_LATE = """
    status = 'delivered' AND epoch_us(delivered_at)
        > epoch_us(date_trunc('hour', occurred_at)) + $due
"""

_LATE = f"""
WITH per_hour AS (
    SELECT date_trunc('hour', occurred_at) AS hour,
        count(*) FILTER (status NOT IN ('withheld', 'covered_by_pixel', 'repeated')) AS eligible,
        count(*) FILTER ({_IS_LATE}) AS late
    FROM delivery_results
    GROUP BY 1
),
bad AS (SELECT hour FROM per_hour WHERE late > 0 AND 1 - late / eligible < $threshold)
SELECT date_trunc('hour', occurred_at) AS hour, coalesce(currency, '') AS currency,
    count(*) AS orders, sum({money_units("value")})::DOUBLE / {MONEY_UNITS} AS value,
    max(delivered_at) AS last_delivered_at,
    min(epoch_us(deliver_until) - epoch_us(delivered_at)) // 1000000 AS least_seconds_left
FROM delivery_results
WHERE {_IS_LATE} AND date_trunc('hour', occurred_at) IN (SELECT hour FROM bad)
GROUP BY 1, 2
ORDER BY 1, 2
"""

_EVENTS = f"""
SELECT dataset_id, event_name, event_id, order_id,
    date_trunc('hour', occurred_at) AS hour
FROM delivery_results
WHERE {_IS_LATE} AND attempts > 1
    AND date_trunc('hour', occurred_at) IN (SELECT hour FROM late)
QUALIFY row_number() OVER (PARTITION BY date_trunc('hour', occurred_at) ORDER BY event_id)
    <= {SAMPLED_EVENTS}
ORDER BY hour, event_id
"""

_FAILURES = """
SELECT e.hour, a.outcome, a.reason, a.http_status, a.code, a.subcode, count(*) AS events
FROM events AS e
JOIN attempts AS a USING (dataset_id, event_name, event_id)
WHERE a.outcome IS DISTINCT FROM 'delivered'
GROUP BY ALL
ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class LateCause:
    """Why an hour's orders were late: the cause, and the events per reason of failed attempts."""

    cause: Cause
    reasons: Mapping[str, int]


def late_orders(delivery_results: pa.Table, policy: CoveragePolicy) -> pa.Table:
    """Delivered orders that were missing when their hour was evaluated and put it below threshold.

    An hour is evaluated once the policy's time to wait after it has passed. Hours
    whose late orders alone would not bring it below the threshold are left out: a few late orders
    are no gap.

    Returns:
        Columns of `LATE`: orders and value per hour and currency (`""` where there is none), when
        the last of them was delivered, and the shortest time to a deadline then, in seconds.
    """
    limits = {"threshold": policy.threshold, "due": _due(policy)}
    with duckdb_with(delivery_results=delivery_results) as connection:
        return query(connection, _LATE, limits, LATE)


def late_events(delivery_results: pa.Table, late: pa.Table, policy: CoveragePolicy) -> pa.Table:
    """Events to look up in the ledger: up to `SAMPLED_EVENTS` per late hour, sent more than once.

    Columns: dataset_id, event_name, event_id, order_id, hour.
    """
    with duckdb_with(delivery_results=delivery_results, late=late) as connection:
        return query(connection, _EVENTS, {"due": _due(policy)})


def late_causes(late: pa.Table, events: pa.Table, attempts: pa.Table) -> dict[datetime, LateCause]:
    """The cause of each late hour: that of most failed attempts of its events.

    Args:
        late: the table of `late_orders`.
        events: the table of `late_events`.
        attempts: `Ledger.attempts_for(events)`.

    Without any failed attempt the hour was not materialized in time, or its orders came late.
    """
    with duckdb_with(events=events, attempts=attempts) as connection:
        failures = query(connection, _FAILURES).to_pylist()
    causes: defaultdict[datetime, Counter[Cause]] = defaultdict(Counter)
    reasons: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
    for row in failures:
        hour, number = row.pop("hour").astimezone(UTC), row.pop("events")
        stage = "rejected" if row.pop("outcome") == "rejected" else "pending"
        causes[hour][cause_of(stage=stage, **row)] += number
        reasons[hour][row["reason"] or ""] += number
    hours = [hour.astimezone(UTC) for hour in late["hour"].unique().to_pylist()]
    return {
        hour: LateCause(_most_frequent(causes[hour]), dict(reasons[hour].most_common()))
        for hour in hours
    }


def _most_frequent(causes: Counter[Cause]) -> Cause:
    return min(causes, key=lambda c: (-causes[c], c)) if causes else Cause.NOT_MATERIALIZED


def _due(policy: CoveragePolicy) -> int:
    """Microseconds from the start of an hour until it is evaluated."""
    return (HOUR + policy.wait()) // timedelta(microseconds=1)
