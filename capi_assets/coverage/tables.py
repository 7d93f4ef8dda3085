"""Tables for people: an hour's waterfall, gaps, remedies and a backfill plan, as columns and rows.

Called by defs/metadata.py for the Dagster UI and by commands/rich_table.py for the terminal. Cells
are numbers or plain text; nothing here is escaped or knows how a table is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from capi_assets.coverage.anomalies.anomaly import Comparison
from capi_assets.coverage.formatting import (
    amount,
    count,
    deadline,
    format_amounts,
    format_utc,
    percent,
)
from capi_assets.coverage.gap_text import estimated_text, visits_text
from capi_assets.coverage.gaps import Gap, total_money
from capi_assets.coverage.incidents import Incident
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.coverage.missing_orders import MissingOrders
from capi_assets.coverage.outcomes import STAGES
from capi_assets.delivery.backfill_plan import OUTLOOK_NAMES
from capi_assets.delivery.causes import Cause
from capi_assets.hours import hour_key

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Column names, and rows with a cell for each."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def waterfall_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The waterfall of `attribution_health` rows: a row per stage, a column per currency.

    Stages without orders are left out, except orders and delivered. No rows without orders. The
    last row counts website orders without browser data, which are in the stages above too.
    """
    by_currency: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["orders"]:
            by_currency[row["currency"] or ""].append(row)
    # Orders without a currency have a column only if they have money all the same.
    currencies = [
        currency
        for currency in sorted(by_currency)
        if currency or any(row["value_orders"] for row in by_currency[currency])
    ]
    stages = [
        stage
        for stage in ("orders", *STAGES, "eligible")
        if stage in ("orders", "delivered") or any(row[stage] for row in rows)
    ]
    body: list[list[Cell]] = [
        [
            stage.replace("_", " "),
            f"{sum(row[stage] for row in rows):,}",
            *(amount(c, sum(_value(r, stage) for r in by_currency[c])) for c in currencies),
        ]
        for stage in stages
    ]
    shares = [_share(rows, lambda row, stage: float(row[stage]))]
    shares += [_share(by_currency[currency], _value) for currency in currencies]
    columns = ["stage", "orders", *(currency or "no currency" for currency in currencies)]
    body.append(["coverage", *shares])
    if without_browser := sum(row["without_browser"] or 0 for row in rows):
        body.append(["without browser", f"{without_browser:,}", *("" for _ in currencies)])
    return Table(columns, body if by_currency else [])


def _share(
    rows: Sequence[Mapping[str, Any]], measure: Callable[[Mapping[str, Any], str], float]
) -> str:
    """Delivered of eligible, by orders or by money."""
    eligible = sum(measure(row, "eligible") for row in rows)
    delivered = sum(measure(row, "delivered") for row in rows)
    return percent(delivered / eligible if eligible > 0 else None)


def _value(row: Mapping[str, Any], stage: str) -> float:
    if stage == "eligible":
        return float(row["value_orders"] - row["value_withheld"])
    return float(row[f"value_{stage}"])


def event_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """`attribution_health` rows per dataset and event name, those that miss most first."""
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        if row["orders"]:
            for i, name in enumerate(("orders", "eligible", "delivered")):
                sums[row["dataset_id"], row["event_name"]][i] += row[name]
    ranked = sorted(sums.items(), key=lambda item: (item[1][2] - item[1][1], item[0]))
    return Table(
        ["dataset", "event", "orders", "delivered", "missing", "coverage"],
        [
            [
                *key,
                orders,
                delivered,
                eligible - delivered,
                percent(delivered / eligible if eligible else None),
            ]
            for key, (orders, eligible, delivered) in ranked
        ],
    )


def plan_table(rows: pa.Table, now: datetime) -> Table:
    """A backfill plan (`backfill_plan.BACKFILL_PLAN`): a row per hour that has events, and the
    total of several hours. Columns without events are left out."""
    entries = rows.to_pylist()
    outlooks = [name for name in OUTLOOK_NAMES if any(row["outlook"] == name for row in entries)]
    by_hour: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in entries:
        by_hour[hour_key(row["hour"])].append(row)
    if len(by_hour) > 1:
        by_hour["total"] = entries
    recoverable = ["recoverable money", "first until"] if "recoverable" in outlooks else []
    body: list[list[Cell]] = []
    for name, group in by_hour.items():
        counts = [sum(r["events"] for r in group if r["outlook"] == of) for of in outlooks]
        body.append([name, *counts, *(_recoverable_cells(group, now) if recoverable else [])])
    return Table(["hour", *(name.replace("_", " ") for name in outlooks), *recoverable], body)


def _recoverable_cells(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[str]:
    money = total_money(
        {row["currency"]: row["value"]}
        for row in rows
        if row["outlook"] == "recoverable" and row["currency"]
    )
    ends = [row["first_deadline"] for row in rows if row["first_deadline"]]
    return [format_amounts(money), deadline(min(ends), now) if ends else ""]


def incidents_table(incidents: Sequence[Incident], now: datetime) -> Table:
    """A row per incident with its causes in turn, most urgent first: by the first deadline or
    deletion of visits, then by missing orders."""
    return Table(
        ["severity", "cause", "from", "hours", "orders", "money", "recoverable", "until"],
        [
            [
                gap.severity.upper(),
                ", then ".join(turn.cause for turn in incident.causes),
                format_utc(gap.first_hour),
                gap.hours,
                _orders_cell(gap),
                format_amounts(gap.money) or estimated_text(gap.estimated_money) or "–",
                _recoverable_cell(gap),
                _until_cell(gap, now),
            ]
            for incident in sorted(incidents, key=lambda incident: _urgency(incident.total))
            for gap in (incident.total,)
        ],
    )


def missing_orders_table(orders: MissingOrders) -> Table:
    """The first missing orders by id, a row each; their datasets and events only if they differ:
    Dagster's page of a check has no room for more columns."""
    columns = {"dataset": "dataset_id", "event": "event_name"}
    differing = {
        name: column
        for name, column in columns.items()
        if len({row[column] for row in orders.first}) > 1
    }
    return Table(
        ["order", "hour", *differing, "why", "value"],
        [
            [
                row["order_id"] or "no valid order_id",
                hour_key(row["hour"]),
                *(row[column] for column in differing.values()),
                f"{row['stage'].replace('_', ' ')}: {row['reason']}",
                amount(row["currency"], row["value"]) if row["currency"] else "–",
            ]
            for row in orders.first
        ],
    )


def _compared(row: Comparison, value: float) -> str:
    return f"{100 * value:,.3g} %" if row.signal.startswith("share") else f"{value:,.4g}"


def comparisons_table(gaps: Iterable[Gap]) -> Table:
    """What was seen and what was expected, a row per signal of each gap, and from how many hours
    that was learned."""
    return Table(
        ["cause", "signal", "window", "seen", "expected", "usual range", "learned from"],
        [
            [
                str(gap.cause),
                row.signal,
                f"{row.hours} h",
                _compared(row, row.seen),
                _compared(row, row.expected.expected),
                f"{_compared(row, row.expected.low)} to {_compared(row, row.expected.high)}",
                _hours_cell(row.learned_from),
            ]
            for gap in gaps
            for row in gap.comparisons
        ],
    )


def _hours_cell(hours: Sequence[datetime]) -> str:
    """`5 hours from 2026-10-23-12:00 to 2026-11-20-12:00`."""
    if not hours:
        return "–"
    return f"{count(len(hours), 'hour')} from {hour_key(min(hours))} to {hour_key(max(hours))}"


def remedies_table(gaps: Sequence[Gap], now: datetime) -> Table:
    """What to do: a row per cause, with the partitions of its gaps."""
    by_cause: dict[str, list[Gap]] = defaultdict(list)
    for gap in sorted(gaps, key=_urgency):
        by_cause[gap.headline].append(gap)
    rows: list[list[Cell]] = []
    for headline, group in by_cause.items():
        texts = dict.fromkeys(visits_text(gap, now) for gap in group)
        # Where the gaps differ, the column "until" of their table tells them apart.
        visits = next(iter(texts)) if len(texts) == 1 else _VISITS_DELETED
        final = group[0].cause is Cause.TOO_LATE
        ranges = [] if final else [gap.partition_range for gap in group]
        rows.append(
            [
                f"{headline[0].upper()}{headline[1:]}",
                f"{group[0].remedy} {visits}".rstrip(),
                partition_ranges_text(ranges),
            ]
        )
    return Table(["cause", "remedy", "partitions"], rows)


_VISITS_DELETED = (
    "Orders whose visits are deleted (CAPI_RETENTION_DAYS) are sent with only their own match keys."
)
_NEVER = datetime.max.replace(tzinfo=UTC)


def _urgency(gap: Gap) -> tuple[datetime, int, datetime]:
    return gap.clock or _NEVER, -gap.orders, gap.first_hour


def _orders_cell(gap: Gap) -> str:
    estimate = gap.orders_expected_missing or gap.orders_affected
    parts = [f"about {estimate:,}"] if estimate else []
    parts += ["not counted"] if gap.unknown_hours else []
    return " + ".join([f"{gap.orders:,}", *parts] if gap.orders or not parts else parts)


def _recoverable_cell(gap: Gap) -> str:
    parts = []
    if gap.recoverable:
        parts.append(format_amounts(gap.recoverable_money) or f"{gap.recoverable:,}")
    if gap.unknown_hours and gap.savable:
        parts.append("not counted")
    if gap.correctable:
        parts.append(f"{gap.correctable:,} with corrected input")
    return ", ".join(parts) or "nothing"


def _until_cell(gap: Gap, now: datetime) -> str:
    parts = [deadline(gap.first_deadline, now)] if gap.first_deadline else []
    if gap.visits_until:
        parts.append(f"visits until {deadline(gap.visits_until, now)}")
    elif gap.matched_again and (gap.fewer_visits or gap.no_visits):
        parts.append("visits are deleted")
    return "; ".join(parts) or "–"
