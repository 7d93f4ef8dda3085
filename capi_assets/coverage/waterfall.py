"""The waterfall of each hour, the table `attribution_health`: orders by stage, value and coverage.

An order's stage, reason and cause come from outcomes.py; which hours are bad is in flags.py;
docs/architecture.md defines coverage.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.coverage.outcomes import (
    LOST_STAGES,
    MONEY_UNITS,
    STAGES,
    UNREADABLE_FILE,
    outcomes,
)
from capi_assets.coverage.sql import query
from capi_assets.hours import floor_hour

ATTRIBUTION_HEALTH = arrow_schema(AttributionHealth)

_GROUP = "hour, dataset_id, event_name, currency"
_NOT_SENDABLE = "'quarantined', 'withheld'"  # no event can be built, or none should be
_LOST = ", ".join(f"'{stage}'" for stage in LOST_STAGES)


def _money(units: str) -> str:
    return f"{units}::DOUBLE / {MONEY_UNITS}"


_COUNTS = ",\n    ".join(f"count(*) FILTER (stage = '{s}') AS {s}" for s in STAGES)
_VALUES = ",\n    ".join(
    f"{_money(f'''coalesce(sum(units) FILTER (stage = '{s}'), 0)''')} AS value_{s}" for s in STAGES
)


def _counts_by(label: str, rows: str) -> str:
    """SQL for the counts of each `label` as JSON, per group: columns of the group and `counts`."""
    return f"""SELECT {_GROUP},
        CAST(to_json(map(list(label ORDER BY label), list(n ORDER BY label))) AS VARCHAR) AS counts
    FROM (
        SELECT *, count(*) AS n
        FROM (SELECT {_GROUP}, {label} AS label FROM wanted WHERE {rows})
        GROUP BY ALL
    )
    GROUP BY {_GROUP}"""


def _joined(name: str) -> str:
    return f"""LEFT JOIN {name} ON {name}.hour = t.hour AND {name}.dataset_id = t.dataset_id
    AND {name}.event_name = t.event_name AND {name}.currency IS NOT DISTINCT FROM t.currency"""


_SENDABLE = f"stage NOT IN ({_NOT_SENDABLE})"
_OF_EVENT = f"hour, dataset_id, event_name, {_SENDABLE}"

_WATERFALL = f"""
WITH wanted AS (
    SELECT *,
        order_id <> min(order_id) OVER (PARTITION BY {_OF_EVENT}, currency, units, person)
            AS is_lookalike,
        min(order_id) OVER event <> max(order_id) OVER event AS shares_event_id
    FROM outcomes
    WHERE hour IN (SELECT hour FROM hours)
    WINDOW event AS (PARTITION BY {_OF_EVENT}, event_id)
),
totals AS (
    SELECT {_GROUP},
    count(*) AS orders,
    count(*) FILTER (matched) AS matched,
    count(*) FILTER (matched AND {_SENDABLE}) AS matched_eligible,
    count(*) FILTER (without_browser) AS without_browser,
    {_COUNTS},
    {_money("sum(units)")} AS value_orders,
    {_VALUES},
    count(*) FILTER (stage <> 'withheld') AS eligible,
    {_money("sum(units) FILTER (stage <> 'withheld')")} AS value_eligible,
    {_money("sum(changed_units)")} AS value_changed,
    min(deliver_until) FILTER (stage IN ('pending', 'unknown', 'future_dated')) AS first_deadline,
    quantile_cont(minutes, 0.5) AS freshness_p50_minutes,
    quantile_cont(minutes, 0.95) AS freshness_p95_minutes,
    count(*) FILTER ({_SENDABLE} AND NOT has_value) AS zero_value,
    {_money(f"quantile_cont(units, 0.5) FILTER ({_SENDABLE} AND has_value)")} AS value_p50,
    count(*) FILTER ({_SENDABLE} AND is_lookalike) AS lookalikes,
    count(*) FILTER ({_SENDABLE} AND shares_event_id) AS shared_event_id
    FROM (
        SELECT *, CASE WHEN stage = 'delivered'
            THEN (epoch_us(delivered_at) - epoch_us(occurred_at)) / 6e7 END AS minutes
        FROM wanted
    )
    GROUP BY {_GROUP}
),
reasons AS (
    SELECT {_GROUP}, reason AS main_reason, kind AS main_reason_kind, row_number() OVER (
        PARTITION BY {_GROUP}
        ORDER BY reason = '{UNREADABLE_FILE}' DESC, count(*) DESC, sum(units) DESC, reason, kind
    ) AS place
    FROM wanted
    WHERE stage IN ({_LOST})
    GROUP BY {_GROUP}, reason, kind
),
keys AS ({
    _counts_by("unnest(string_split(match_keys, ' '))", f"{_SENDABLE} AND match_keys <> ''")
}),
withheld AS ({_counts_by("reason", "stage = 'withheld' AND reason IS NOT NULL")}),
sources AS ({_counts_by("action_source", "action_source IS NOT NULL")})
SELECT
    h.hour,
    coalesce(t.dataset_id, '') AS dataset_id,
    coalesce(t.event_name, '') AS event_name,
    t.currency,
    coalesce(v.visits, 0) AS visits,
    coalesce(v.with_click_id, 0) AS visits_with_click_id,
    t.* EXCLUDE (hour, dataset_id, event_name, currency, value_eligible),
    CASE WHEN t.eligible > 0 THEN t.delivered / t.eligible END AS coverage,
    CASE WHEN t.value_eligible > 0 AND t.value_delivered BETWEEN 0 AND t.value_eligible
        THEN t.value_delivered / t.value_eligible END AS coverage_value,
    r.main_reason, r.main_reason_kind,
    coalesce(keys.counts, '{{}}') AS match_keys,
    coalesce(withheld.counts, '{{}}') AS withheld_reasons,
    coalesce(sources.counts, '{{}}') AS action_sources
FROM hours AS h
LEFT JOIN totals AS t ON t.hour = h.hour
LEFT JOIN (
    SELECT date_trunc('hour', hour) AS hour, sum(visits) AS visits,
        sum(with_click_id) AS with_click_id
    FROM visits_per_hour
    GROUP BY 1
) AS v ON v.hour = h.hour
{_joined("keys")}
{_joined("withheld")}
{_joined("sources")}
LEFT JOIN reasons AS r
    ON r.place = 1 AND r.hour = t.hour AND r.dataset_id = t.dataset_id
    AND r.event_name = t.event_name AND r.currency IS NOT DISTINCT FROM t.currency
ORDER BY h.hour, dataset_id, event_name, t.currency NULLS FIRST
"""

_ZEROES = [
    field.name
    for field in ATTRIBUTION_HEALTH
    if field.type == pa.int64() or (field.name.startswith("value_") and field.name != "value_p50")
]


def waterfall(
    hours: Iterable[datetime],
    matched_events: pa.Table,
    delivery_results: pa.Table,
    quarantined_orders: pa.Table,
    visits_per_hour: pa.Table,
) -> pa.Table:
    """`attribution_health` of `hours`: one row per hour, dataset, event name and currency.

    Args:
        hours: timezone-aware starts of hours; each has at least one row, an hour without orders one
            with empty names and zero counts. Orders of other hours are left out.
        matched_events: the table of that name, with or without its payload.
        delivery_results: the table of that name; results without an event are left out.
        quarantined_orders: hour, dataset_id, event_name, currency, value, reasons; all but hour may
            be null. An unreadable file is one row, and the main reason of its hour.
        visits_per_hour: hour, visits, with_click_id; an absent hour had no visits.

    Returns:
        Columns of `ATTRIBUTION_HEALTH`, sorted by hour, dataset, event name and currency. A null
        or impossible value counts as no money. `first_deadline` is the earliest deliver_until of
        pending, unknown and future_dated events; `main_reason_kind` is a `Cause`.
        `coverage_value` is null if negative values make a share meaningless.
    """
    wanted = sorted({_hour(hour) for hour in hours})
    with outcomes(matched_events, delivery_results, quarantined_orders) as connection:
        connection.register("hours", pa.table({"hour": pa.array(wanted, UTC_MICROSECONDS)}))
        connection.register("visits_per_hour", visits_per_hour)
        rows = query(connection, _WATERFALL)
    return pa.table(
        [
            pc.fill_null(rows[field.name], 0).cast(field.type)
            if field.name in _ZEROES
            else rows[field.name].cast(field.type)
            for field in ATTRIBUTION_HEALTH
        ],
        schema=ATTRIBUTION_HEALTH,
    )


def unbalanced_rows(health: pa.Table) -> pa.Table:
    """The rows of `attribution_health` that do not add up; empty if all do. The check
    `every_order_is_accounted_for` fails on any.

    Columns: hour, dataset_id, event_name, currency, measure (`orders` or `value`), total (all
    orders) and parts (the sum over all stages). Money may differ by less than half a cent.
    """
    keys = ["hour", "dataset_id", "event_name", "currency"]
    differences = []
    for measure, prefix in (("orders", ""), ("value", "value_")):
        total = health[f"{prefix}orders"].cast(pa.float64())
        parts = pa.chunked_array([pa.array([0.0] * health.num_rows, pa.float64())])
        for stage in STAGES:
            parts = pc.add(parts, health[f"{prefix}{stage}"].cast(pa.float64()))
        # Above 5e11 the rounding of a double exceeds half a cent.
        tolerance = pc.max_element_wise(pc.multiply(pc.abs(total), 1e-14), 0.005)
        differs = pc.fill_null(pc.greater_equal(pc.abs(pc.subtract(total, parts)), tolerance), True)
        differences.append(
            health.select(keys)
            .append_column("measure", pa.array([measure] * health.num_rows, pa.string()))
            .append_column("total", total)
            .append_column("parts", parts)
            .filter(differs)
        )
    return pa.concat_tables(differences)


def _hour(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; hours are UTC")
    if floor_hour(moment) != moment:
        raise ValueError(f"{moment} is not the start of an hour")
    return moment.astimezone(UTC)
