"""One row per order with the one stage it ended in, its reason and its cause: what the waterfall
counts. Here is the fold of matched events, delivery results and quarantine, and nothing else.

Every order is in exactly one stage whatever the tables hold, so that the waterfall cannot leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.coverage.sql import duckdb_with_orders, query
from capi_assets.delivery.causes import DIAGNOSES, NOT_PLANNED, diagnose
from capi_assets.order_identity import IDENTITY_CONFLICT

STAGES = (
    *("quarantined", "withheld", "invalid", "delivered", "pending", "unknown", "rejected"),
    *("expired", "future_dated"),
)
"""Where an order can end; `orders` is their sum."""

ON_PURPOSE = "withheld"
DELIVERED = "delivered"
REPEATED = "repeated"
"""The status of an order that is counted in another hour: it is no row of `outcomes`."""
LOST_STAGES = tuple(s for s in STAGES if s not in (ON_PURPOSE, DELIVERED))

MONEY_UNITS = 10_000
"""Money is added up as whole ten-thousandths: sums are exact, and equal in any order of rows."""

_QUARANTINED = ("hour", "row_id", "dataset_id", "event_name", "currency", "value", "reasons")
QUARANTINED_ORDERS = pa.schema([arrow_schema(Quarantine).field(name) for name in _QUARANTINED])

UNREADABLE_FILE = "unreadable_file"
"""The reason of a whole file that could not be read. It counts as one order, and nobody knows how
many it holds."""

EVENT_COLUMNS = [
    *("order_id", "occurred_at", "dataset_id", "event_name", "event_id", "value", "currency"),
    *("visit_id", "match_keys", "without_browser", "deliver_until", "action_source", "person"),
    *("verdict", "reason", "subcode"),
]
RESULT_COLUMNS = [
    *("order_id", "occurred_at", "dataset_id", "event_name", "event_id", "status", "reason"),
    *("value", "currency"),
    *("last_attempt_at", "delivered_at", "http_status", "code", "subcode"),
]


def money_units(column: str) -> str:
    """SQL for the money of a column in whole units; nulls and impossible values are no money.

    Beyond 1e15 a double cannot hold cents, and nobody sold anything for it.
    """
    return (
        f"CASE WHEN isfinite({column}) AND abs({column}) < 1e15"
        f" THEN CAST(round({column} * {MONEY_UNITS}) AS HUGEINT) ELSE 0 END"
    )


OUTCOMES_INPUTS = {
    "matched_events": pa.schema([arrow_schema(MatchedEvents).field(c) for c in EVENT_COLUMNS]),
    "delivery_results": pa.schema([arrow_schema(DeliveryResults).field(c) for c in RESULT_COLUMNS]),
    "quarantined_orders": QUARANTINED_ORDERS,
}
"""The tables that an order's outcome is made from, with the columns that are read."""

_STAGED = f"""
latest AS (
    SELECT *, row_number() OVER (
        PARTITION BY date_trunc('hour', occurred_at), order_id, dataset_id, event_name, event_id
        ORDER BY last_attempt_at DESC NULLS LAST, status, reason
    ) AS n
    FROM delivery_results
),
events AS (
    SELECT
        date_trunc('hour', e.occurred_at) AS hour,
        e.order_id, e.dataset_id, e.event_name,
        CASE WHEN r.status = 'delivered' THEN r.currency ELSE e.currency END AS currency,
        CASE WHEN r.status = 'delivered' THEN {money_units("r.value")}
            ELSE {money_units("e.value")} END AS units,
        CASE WHEN r.status = 'delivered' AND r.currency = e.currency
            THEN {money_units("e.value")} - {money_units("r.value")} ELSE 0 END AS changed_units,
        e.visit_id IS NOT NULL AS matched, e.match_keys, e.without_browser,
        CASE
            WHEN r.status = 'covered_by_pixel' THEN 'withheld'
            WHEN r.status = '{REPEATED}' THEN '{REPEATED}'
            WHEN r.status IN ({", ".join(f"'{s}'" for s in STAGES if s != "quarantined")})
                THEN r.status
            WHEN r.status IS NOT NULL THEN 'unknown'
            WHEN e.verdict IN ('withheld', 'invalid') THEN e.verdict
            ELSE 'pending'
        END AS stage,
        CASE
            WHEN r.status IS NULL AND e.verdict NOT IN ('withheld', 'invalid') THEN '{NOT_PLANNED}'
            ELSE coalesce(nullif(r.reason, ''), nullif(e.reason, ''), r.status, e.verdict)
        END AS reason,
        r.http_status, r.code, coalesce(r.subcode, e.subcode) AS subcode,
        e.occurred_at, e.deliver_until, r.delivered_at, e.action_source,
        isfinite(e.value) AND e.value <> 0 AS has_value,
        coalesce(e.person, CAST(epoch(e.occurred_at) AS VARCHAR)) AS person, e.event_id
    FROM matched_events AS e
    LEFT JOIN latest AS r
        ON r.n = 1 AND r.order_id = e.order_id AND r.dataset_id = e.dataset_id
        AND r.event_name = e.event_name AND r.event_id = e.event_id
        AND date_trunc('hour', r.occurred_at) = date_trunc('hour', e.occurred_at)
),
-- An order that also came as a sound row, or as several refused rows, is one order.
refused AS (
    SELECT *, row_number() OVER (
        PARTITION BY date_trunc('hour', hour), row_id, dataset_id, event_name,
            contains(reasons, '{IDENTITY_CONFLICT}')
        ORDER BY value DESC NULLS LAST, currency, reasons
    ) AS n
    FROM quarantined_orders AS q
    WHERE row_id IS NULL OR contains(reasons, '{IDENTITY_CONFLICT}') OR NOT EXISTS (
        FROM events AS e
        WHERE e.order_id = q.row_id AND e.hour = date_trunc('hour', q.hour)
            AND coalesce(q.dataset_id, e.dataset_id) = e.dataset_id
            AND coalesce(q.event_name, e.event_name) = e.event_name
    )
)
SELECT * REPLACE (coalesce(has_value, false) AS has_value) FROM events WHERE stage <> '{REPEATED}'
UNION ALL
SELECT
    date_trunc('hour', hour), row_id, coalesce(dataset_id, ''), coalesce(left(event_name, 50), ''),
    CASE WHEN regexp_full_match(upper(trim(currency)), '[A-Z]{{3}}')
        THEN upper(trim(currency)) END,
    {money_units("value")}, 0, false, NULL, false, 'quarantined',
    CASE WHEN starts_with(reasons, 'file:') THEN '{UNREADABLE_FILE}'
        WHEN contains(reasons, '{IDENTITY_CONFLICT}') THEN '{IDENTITY_CONFLICT}'
        ELSE 'quarantined' END,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL
FROM refused
WHERE n = 1 OR row_id IS NULL
"""

ORDER_OUTCOMES = "order_outcomes"
"""The view of `capi-assets sql` and `views` that has one row per order."""

OUTCOMES_VIEW = f"""
SELECT hour, order_id, dataset_id, event_name, event_id, currency,
    units::DOUBLE / {MONEY_UNITS} AS value, stage, reason, occurred_at, deliver_until, delivered_at
FROM (WITH {_STAGED})
"""
"""What that view selects, from tables named as in `OUTCOMES_INPUTS`."""

_WITH_CAUSES = """
CREATE TEMP TABLE outcomes AS
SELECT s.* REPLACE (coalesce(k.precise, s.reason) AS reason), k.kind
FROM staged AS s
LEFT JOIN kinds AS k
    ON k.stage = s.stage
    AND k.reason IS NOT DISTINCT FROM s.reason
    AND k.http_status IS NOT DISTINCT FROM s.http_status
    AND k.code IS NOT DISTINCT FROM s.code
    AND k.subcode IS NOT DISTINCT FROM s.subcode
"""

_LOSSES = f"""
SELECT hour, stage, reason, kind, currency, count(*) AS orders,
    sum(units)::DOUBLE / {MONEY_UNITS} AS value
FROM outcomes
WHERE stage <> '{DELIVERED}'
GROUP BY hour, stage, reason, kind, currency
ORDER BY hour, stage, reason, kind NULLS FIRST, currency NULLS FIRST
"""

LOSSES = pa.schema(
    {
        "hour": UTC_MICROSECONDS,
        **dict.fromkeys(("stage", "reason"), pa.string()),
        **{"orders": pa.int64(), "value": pa.float64()},
        **dict.fromkeys(("currency", "kind"), pa.string()),
    }
)


@contextmanager
def outcomes(
    matched_events: pa.Table, delivery_results: pa.Table, quarantined_orders: pa.Table
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose table `outcomes` has one row per order.

    Columns: hour, order_id, dataset_id, event_name, currency, units (money in ten-thousandths; of a
    delivered order as it was sent), changed_units (what was added to it since), matched,
    match_keys, without_browser, stage, reason, kind (a `Cause`; null when delivered or withheld),
    occurred_at, deliver_until, delivered_at, action_source, has_value (other than zero), person
    (the second of the order where nobody is known), event_id. An event without a delivery result
    stands at its verdict, a ready one as pending with the reason `not_planned`; a status this
    version does not know counts as unknown.
    """
    with duckdb_with_orders(
        matched_events=matched_events.select(EVENT_COLUMNS),
        delivery_results=delivery_results.select(RESULT_COLUMNS),
        quarantined_orders=quarantined_orders.select(QUARANTINED_ORDERS.names),
    ) as connection:
        connection.execute(f"CREATE TEMP TABLE staged AS WITH {_STAGED}")
        connection.register("kinds", _kinds(connection))
        connection.execute(_WITH_CAUSES)
        yield connection


def losses(
    matched_events: pa.Table, delivery_results: pa.Table, quarantined_orders: pa.Table
) -> pa.Table:
    """Orders that were not delivered, counted per reason.

    Columns: hour, stage (as in the waterfall), reason, orders, value, currency, kind (the
    `Cause`; null for what is withheld on purpose).
    """
    with outcomes(matched_events, delivery_results, quarantined_orders) as connection:
        return query(connection, _LOSSES, schema=LOSSES)


def _kinds(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The cause of every distinct piece of evidence: a handful, however many orders there are.

    `precise` is the word that the evidence has today, where an older ledger holds a broader one.
    """
    evidence = query(
        connection,
        f"""SELECT DISTINCT stage, reason, http_status, code, subcode FROM staged
        WHERE stage NOT IN ('{DELIVERED}', '{ON_PURPOSE}')""",
    )
    rows = evidence.to_pylist()
    found = [diagnose(**row) for row in rows]
    precise = [
        d.reason if row["stage"] in ("pending", "unknown") and row["reason"] in DIAGNOSES else None
        for row, d in zip(rows, found, strict=True)
    ]
    kinds = pa.array([str(d.cause) for d in found], pa.string())
    return evidence.append_column("kind", kinds).append_column(
        "precise", pa.array(precise, pa.string())
    )
