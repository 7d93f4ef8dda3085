"""Compares our hourly deliveries with Meta's own counts; `reconcile` is the entrance, and pure.

Meta documents neither whether `/stats` counts by event time or by receipt, nor whether before or
after deduplication, nor when its counts are final. Therefore: both bases are computed and the one
that fits the week better is used; repeated attempts, unknown outcomes and the Pixel explain what
they can; an hour is compared only after a delay; and one differing hour raises no alarm, two in a
row or a day's total do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.coverage.reconciliation.our_deliveries import EVENT_TIME, RECEIPT_TIME
from capi_assets.coverage.sql import duckdb_with, query
from capi_assets.hours import floor_hour

_DATASETS = pa.schema({"dataset_id": pa.string(), "why": pa.string()})
_BASES = pa.schema({"dataset_id": pa.string(), "basis": pa.string()})


@dataclass(frozen=True)
class Tolerance:
    """Which differences are accepted; made from settings by the callers.

    Attributes:
        share: of the larger count n, accepted for good (`CAPI_RECONCILE_PERCENT`). Chance comes on
            top: two standard deviations of a Poisson count, `2 * sqrt(share * n)`.
        absolute: events that are always accepted: three, because a single retry that Meta counted
            differently must not be a difference in an hour of ten events.
        settle: how long after an hour's end, and after its last delivery, Meta's count is taken as
            final (`CAPI_RECONCILE_SETTLE_HOURS`). Three hours are a judgement: Meta gives no time.
        day_hours: compared hours needed to compare the day's total as well: half a day, so that a
            day's total is not one hour under another name.
    """

    share: float = 0.05
    absolute: int = 3
    settle: timedelta = timedelta(hours=3)
    day_hours: int = 12


@dataclass(frozen=True)
class Fit:
    """Events of a dataset that each basis leaves unexplained, over the settled `hours` of the
    week."""

    by_event_time: int
    by_receipt_time: int
    hours: int

    @property
    def basis(self) -> str:
        """The basis with fewer unexplained events; event time if equal."""
        return RECEIPT_TIME if self.by_receipt_time < self.by_event_time else EVENT_TIME


@dataclass(frozen=True)
class Reconciliation:
    """The comparison.

    Attributes:
        rows: as `MetaStats`.
        fits: per dataset, how the basis was chosen.
        foreign: per dataset, event names that Meta counts and we never delivered in the week:
            another integration sends them.
    """

    rows: pa.Table
    fits: Mapping[str, Fit]
    foreign: Mapping[str, tuple[str, ...]]


_SIDES = """
CREATE TEMP TABLE sides AS
WITH names AS (
    SELECT DISTINCT o.dataset_id, o.event_name
    FROM ours AS o JOIN hours AS h ON h.hour = o.hour
    WHERE o.delivered + o.may_be_more > 0
),
grid AS (
    SELECT n.dataset_id, n.event_name, h.hour, h.materialized, h.in_reach, d.why
    FROM names AS n
    JOIN datasets AS d ON d.dataset_id = n.dataset_id
    CROSS JOIN hours AS h
)
SELECT g.dataset_id, g.event_name, g.hour, g.materialized, g.why,
    CASE WHEN g.why IS NULL AND g.in_reach THEN coalesce(m.events, 0) END AS meta,
    coalesce(e.delivered, 0) AS e_ours, coalesce(e.may_be_more, 0) AS e_more,
    coalesce(e.may_be_fewer, 0) AS e_fewer,
    coalesce(r.delivered, 0) AS r_ours, coalesce(r.may_be_more, 0) AS r_more,
    coalesce(r.may_be_fewer, 0) AS r_fewer,
    greatest(g.hour + INTERVAL 1 HOUR, coalesce(e.newest, g.hour)) + to_microseconds($settle)
        <= $now AS settled
FROM grid AS g
LEFT JOIN meta AS m
    ON m.dataset_id = g.dataset_id AND m.event_name = g.event_name AND m.hour = g.hour
LEFT JOIN ours AS e
    ON e.basis = 'event_time' AND e.dataset_id = g.dataset_id AND e.event_name = g.event_name
    AND e.hour = g.hour
LEFT JOIN ours AS r
    ON r.basis = 'receipt_time' AND r.dataset_id = g.dataset_id AND r.event_name = g.event_name
    AND r.hour = g.hour
"""

_FITS = """
SELECT dataset_id,
    sum(abs(unexplained(meta, e_ours, e_more, e_fewer)))::BIGINT AS by_event_time,
    sum(abs(unexplained(meta, r_ours, r_more, r_fewer)))::BIGINT AS by_receipt_time,
    count(DISTINCT hour) AS hours
FROM sides
WHERE meta IS NOT NULL AND materialized AND settled
GROUP BY dataset_id
"""

_MACROS = """
CREATE TEMP MACRO unexplained(meta, ours, more, fewer) AS
    greatest(meta - ours - more, 0) + least(meta - ours + fewer, 0);
CREATE TEMP MACRO tolerance(n, share, absolute) AS
    greatest(absolute, ceil(share * n + 2 * sqrt(share * n)))::BIGINT;
"""

_VERDICTS = """
WITH based AS (
    SELECT s.dataset_id, s.event_name, s.hour, s.meta, s.e_ours, s.r_ours, s.why, s.materialized,
        s.settled, f.basis,
        CASE WHEN f.basis = 'receipt_time' THEN r_ours ELSE e_ours END AS ours,
        CASE WHEN f.basis = 'receipt_time' THEN r_more ELSE e_more END AS more,
        CASE WHEN f.basis = 'receipt_time' THEN r_fewer ELSE e_fewer END AS fewer
    FROM sides AS s LEFT JOIN fits AS f ON f.dataset_id = s.dataset_id
),
compared AS (
    SELECT *,
        CASE WHEN materialized AND meta IS NOT NULL
            THEN unexplained(meta, ours, more, fewer) END AS unexplained,
        CASE WHEN materialized AND meta IS NOT NULL
            THEN tolerance(greatest(meta, ours), $share, $absolute) END AS tolerance,
        meta IS NOT NULL AND materialized AND settled AS comparable
    FROM based
),
days AS (
    SELECT dataset_id, event_name, date_trunc('day', hour) AS day,
        CASE WHEN abs(sum(unexplained))
                > tolerance(greatest(sum(meta), sum(ours)), $share, $absolute)
            THEN sign(sum(unexplained)) ELSE 0 END AS side
    FROM compared
    WHERE comparable
    GROUP BY ALL
    HAVING count(*) >= $day_hours
),
sided AS (
    SELECT c.*,
        CASE WHEN c.comparable AND abs(c.unexplained) > c.tolerance THEN sign(c.unexplained)
            ELSE 0 END AS hour_side,
        CASE WHEN c.comparable AND d.side <> 0 AND sign(c.unexplained) = d.side THEN d.side
            ELSE 0 END AS day_side
    FROM compared AS c
    LEFT JOIN days AS d ON d.dataset_id = c.dataset_id AND d.event_name = c.event_name
        AND d.day = date_trunc('day', c.hour)
),
neighbours AS (
    SELECT *,
        lag(hour_side, 1, 0) OVER series AS before,
        lead(hour_side, 1, 0) OVER series AS after
    FROM sided
    WINDOW series AS (PARTITION BY dataset_id, event_name ORDER BY hour)
)
SELECT hour, dataset_id, event_name, meta AS meta_events,
    e_ours AS our_delivered_by_event_time, r_ours AS our_delivered_by_receipt_time,
    CASE WHEN meta IS NOT NULL THEN coalesce(basis, 'event_time') END AS basis,
    CASE WHEN materialized THEN meta - ours END AS difference,
    more AS may_be_more, fewer AS may_be_fewer, unexplained, tolerance,
    CASE
        WHEN meta IS NULL THEN 'cannot_read'
        WHEN NOT materialized THEN 'not_materialized'
        WHEN NOT settled THEN 'too_early'
        WHEN hour_side + day_side < 0 THEN 'meta_has_less'
        WHEN hour_side + day_side > 0 THEN 'meta_has_more'
        ELSE 'agree'
    END AS verdict,
    day_side <> 0 OR (hour_side <> 0 AND hour_side IN (before, after)) AS sustained,
    CASE WHEN meta IS NULL THEN coalesce(why, $too_old) END AS why
FROM neighbours
"""

# An hour without any event still gets a row, so that it is known to have been compared.
_ROWS = f"""
WITH verdicts AS ({_VERDICTS})
SELECT h.hour, d.dataset_id, coalesce(j.event_name, '') AS event_name,
    CASE WHEN j.event_name IS NOT NULL THEN j.meta_events
        WHEN d.why IS NULL AND h.in_reach THEN 0 END AS meta_events,
    coalesce(j.our_delivered_by_event_time, 0) AS our_delivered_by_event_time,
    coalesce(j.our_delivered_by_receipt_time, 0) AS our_delivered_by_receipt_time,
    j.basis, j.difference, coalesce(j.may_be_more, 0) AS may_be_more,
    coalesce(j.may_be_fewer, 0) AS may_be_fewer, j.unexplained, j.tolerance,
    coalesce(j.verdict, CASE
        WHEN d.why IS NOT NULL OR NOT h.in_reach THEN 'cannot_read'
        WHEN NOT h.materialized THEN 'not_materialized'
        WHEN h.hour + INTERVAL 1 HOUR + to_microseconds($settle) > $now THEN 'too_early'
        ELSE 'agree' END) AS verdict,
    coalesce(j.sustained, FALSE) AS sustained,
    CASE WHEN j.event_name IS NOT NULL THEN j.why
        WHEN d.why IS NOT NULL THEN d.why
        WHEN NOT h.in_reach THEN $too_old END AS why,
    $now AS checked_at
FROM hours AS h
CROSS JOIN datasets AS d
LEFT JOIN verdicts AS j ON j.hour = h.hour AND j.dataset_id = d.dataset_id
    AND (j.our_delivered_by_event_time > 0 OR j.our_delivered_by_receipt_time > 0
        OR j.meta_events > 0 OR j.may_be_more > 0)
WHERE h.requested
ORDER BY h.hour, d.dataset_id, event_name
"""

TOO_OLD = "Meta keeps its hourly counts for seven days"


def reconcile(
    hours: Iterable[datetime],
    week: Iterable[datetime],
    ours: pa.Table,
    meta: pa.Table,
    datasets: Mapping[str, str | None],
    materialized: Iterable[datetime],
    now: datetime,
    tolerance: Tolerance,
) -> Reconciliation:
    """Compares Meta's counts with ours over `week` and returns the rows of `hours`.

    Called by `stored.compare_counts`. All times are UTC; `now` decides which hours are settled.

    Args:
        hours: starts of the hours to return; those outside of `week` are `cannot_read`.
        week: the consecutive hours that Meta's counts were read for.
        ours: columns of `OUR_DELIVERIES`.
        meta: dataset_id, hour, event_name, events, of the datasets that could be read.
        datasets: every dataset, with the reason if its counts could not be read, else None.
        materialized: hours whose `delivery_results` exist; others are `not_materialized`.

    Returns:
        Per hour and dataset a row per event name that either side counted, or one row without a
        name. Event names of which we delivered nothing in the whole week are only listed in
        `foreign`.
    """
    requested, reach, stored = (
        set(map(floor_hour, starts)) for starts in (hours, week, materialized)
    )
    every = sorted(requested | reach)
    grid = pa.table(
        {
            "hour": pa.array(every, UTC_MICROSECONDS),
            "requested": pa.array([hour in requested for hour in every], pa.bool_()),
            "in_reach": pa.array([hour in reach for hour in every], pa.bool_()),
            "materialized": pa.array([hour in stored for hour in every], pa.bool_()),
        }
    )
    names = sorted(datasets)
    readable = pa.table([names, [datasets[name] for name in names]], schema=_DATASETS)
    microseconds = tolerance.settle // timedelta(microseconds=1)
    with duckdb_with(ours=ours, meta=meta, hours=grid, datasets=readable) as connection:
        connection.execute(_MACROS)
        connection.execute(_SIDES, {"settle": microseconds, "now": now})
        fits = {
            row["dataset_id"]: Fit(row["by_event_time"], row["by_receipt_time"], row["hours"])
            for row in query(connection, _FITS).to_pylist()
        }
        bases = [fit.basis for fit in fits.values()]
        connection.register("fits", pa.table([list(fits), bases], schema=_BASES))
        limits: dict[str, Any] = {
            "settle": microseconds,
            "now": now,
            "share": tolerance.share,
            "absolute": tolerance.absolute,
            "day_hours": tolerance.day_hours,
            "too_old": TOO_OLD,
        }
        rows = query(connection, _ROWS, limits, arrow_schema(MetaStats))
        foreign = query(connection, _FOREIGN).to_pylist()
    names_by_dataset = {row["dataset_id"]: tuple(row["names"]) for row in foreign}
    return Reconciliation(rows, fits, names_by_dataset)


_FOREIGN = """
SELECT dataset_id, list(DISTINCT event_name ORDER BY event_name) AS names
FROM meta AS m
WHERE events > 0 AND NOT EXISTS (
    FROM sides AS s WHERE s.dataset_id = m.dataset_id AND s.event_name = m.event_name)
GROUP BY dataset_id
"""
