"""Markdown for the Dagster UI: an hour's waterfall and the standing list of gaps.

Phrases come from words.py. Names and reasons come from data, so they are escaped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.coverage.formatting import (
    amount,
    count,
    deadline,
    format_amounts,
    format_utc,
    gap_sentence,
    percent,
    visits,
)
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.coverage.outcomes import STAGES
from capi_assets.delivery.causes import Cause
from capi_assets.hours import hour_key

MAX_ROWS = 20
"""Rows of a table in the UI; what is left out is counted."""


def escape(text: str) -> str:
    """Text as it stands in a Markdown table's cell: one line, no markup, at most 80 characters."""
    line = " ".join(text.split())
    line = line if len(line) <= 80 else line[:79] + "…"
    return "".join(f"\\{c}" if c in "\\`*_[]|<>#~" else c for c in line)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, all others are numbers, set right."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def hour_sentence(hour: datetime, flags: pa.Table, now: datetime) -> str:
    """What to know about an hour in one sentence: for a check's description."""
    found = _of_hour(flags, hour)
    if not found:
        return f"{hour_key(hour)} was not looked at."
    row = found[0]
    if not row["judged"]:
        return f"{hour_key(hour)} is not judged yet: {_reached(row)} so far."
    if not row["flagged"]:
        return f"{hour_key(hour)} is good: {_reached(row)}."
    cause = Cause(row["cause"])
    if row["missing"] is None:
        until = row["first_deadline"]
        end = f"can be saved until {deadline(until, now)}" if until else "can no longer be saved"
        return f"{hour_key(hour)} was not materialized; its orders {end}{_visits(row, now)}."
    until = row["first_deadline"]
    saved = f"{row['recoverable']:,}" if row["recoverable"] else "what arrives"
    return "".join(
        (
            f"{hour_key(hour)}: {_reached(row)}, because {cause.headline_for(_reasons(row))}",
            f" (about {row['orders_expected_missing']:,} did not arrive)"
            if row["orders_expected_missing"]
            else "",
            f" ({row['unmatched']:,} found no visit)" if row["unmatched"] else "",
            f" (about {row['orders_with_fewer_keys']:,} without their usual match keys)"
            if row["orders_with_fewer_keys"]
            else "",
            f"; {saved} can be saved until {deadline(until, now)}" if until else "",
            _visits(row, now),
            ".",
        )
    )


def _visits(row: Mapping[str, Any], now: datetime) -> str:
    until = row["visits_until"]
    if until is None:
        return ""
    which = "more" if row["visits_remaining"] == "some" else "the oldest"
    return f"; {which} of their visits are deleted {deadline(until, now)}"


def _reasons(row: Mapping[str, Any]) -> list[str]:
    counts: dict[str, int] = orjson.loads(row["reasons"] or "{}")
    return sorted(counts, key=lambda reason: (-counts[reason], reason))


def _reached(row: Mapping[str, Any]) -> str:
    if not row["eligible"]:
        return "no eligible orders" if row["orders"] else "no orders"
    return (
        f"{row['delivered']:,} of {count(row['eligible'], 'eligible order')} delivered"
        f" ({percent(row['coverage'])})"
    )


def hour_report(hour: datetime, health: pa.Table, flags: pa.Table, now: datetime) -> str:
    """An hour's sentence, its waterfall, and a breakdown where it has several event names."""
    rows = _of_hour(health, hour)
    parts = [hour_sentence(hour, flags, now), waterfall_table(rows)]
    names = _breakdown(rows)
    if len(names) > 1:
        shown = [[escape(f"{n[0]} {n[1]}"), *cells] for n, cells in names[:MAX_ROWS]]
        parts.append(table(["dataset, event", "orders", "delivered", "missing", "coverage"], shown))
        if len(names) > MAX_ROWS:
            parts.append(f"And {len(names) - MAX_ROWS} more.")
    return "\n\n".join(part for part in parts if part)


def waterfall_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The waterfall of `attribution_health` rows as Markdown: stages down, money across.

    Stages that hold nothing are left out, save for orders and delivered.
    """
    if not any(row["orders"] for row in rows):
        return ""
    currencies = sorted({row["currency"] or "" for row in rows if row["orders"]})
    body = []
    for stage in ("orders", *STAGES, "eligible"):
        orders = sum(row[stage] for row in rows)
        if not orders and stage not in ("orders", "delivered"):
            continue
        cells = [stage.replace("_", " "), f"{orders:,}"]
        for currency in currencies:
            of_it = [row for row in rows if (row["currency"] or "") == currency]
            cells.append(amount(currency, sum(_value(row, stage) for row in of_it)))
        body.append(cells)
    eligible = sum(row["eligible"] for row in rows)
    delivered = sum(row["delivered"] for row in rows)
    share = [percent(delivered / eligible if eligible else None)]
    for currency in currencies:
        of_it = [row for row in rows if (row["currency"] or "") == currency]
        total = sum(_value(row, "eligible") for row in of_it)
        part = sum(row["value_delivered"] for row in of_it)
        share.append(percent(part / total if total > 0 else None))
    body.append(["coverage", *share])
    return table(["", "orders", *(escape(c or "no currency") for c in currencies)], body)


def plan_report(rows: pa.Table, now: datetime, at_most: int = 100) -> str:
    """A backfill plan (rows of `backfill_plan.BACKFILL_PLAN`) as Markdown, a line per hour."""
    found = rows.to_pylist()
    shown = list(dict.fromkeys(row["outlook"] for row in found))
    by_hour: dict[datetime, list[Mapping[str, Any]]] = defaultdict(list)
    for row in found:
        by_hour[row["hour"]].append(row)
    body = []
    for hour, of_hour in list(by_hour.items())[:at_most]:
        counts = [sum(r["events"] for r in of_hour if r["outlook"] == name) for name in shown]
        ends = [row["first_deadline"] for row in of_hour if row["first_deadline"]]
        until = deadline(min(ends), now) if ends else ""
        body.append([hour_key(hour), *(f"{count:,}" for count in counts), until])
    if not body:
        return "These hours hold no events."
    header = ["hour", *(name.replace("_", " ") for name in shown), "the first until"]
    more = f"\n\nAnd {len(by_hour) - at_most} more hours." if len(by_hour) > at_most else ""
    return table(header, body) + more


def gaps_report(
    gaps: Sequence[Gap], now: datetime, at_most: int = MAX_ROWS, ui_url: str | None = None
) -> str:
    """The standing list of gaps: how many and how much, one row each, and what to do, with links
    to the backfill where the UI's address is known.

    Most urgent first: by deadline or the deletion of visits, then by missing orders. Counts are
    exact, rows are capped.
    """
    if not gaps:
        return f"No gaps at {format_utc(now)}: every judged hour is covered."
    urgent = sorted(gaps, key=lambda g: (g.clock or _NEVER, -g.orders, g.first_hour))
    parts = [gaps_sentence(gaps, now)]
    parts.append(
        table(
            ["gap", "hours", "orders missing", "money", "can be saved", "until"],
            [_gap_row(gap, now) for gap in urgent[:at_most]],
        )
    )
    if len(gaps) > at_most:
        parts.append(f"And {count(len(gaps) - at_most, 'more gap')}, less urgent.")
    parts.append("**What to do**")
    told: dict[str, list[Gap]] = defaultdict(list)
    for gap in urgent[:at_most]:
        told[gap.headline].append(gap)
    for headline, group in told.items():
        what = f"- {headline[0].upper()}{headline[1:]}: {group[0].remedy}"
        kept = {visits(gap, now) for gap in group}
        if kept != {""}:  # where they differ, the table tells them apart
            what += f" {kept.pop() if len(kept) == 1 else _DELETED}"
        ranges = [gap.partition_range for gap in group]
        launchable = [gap.partition_range for gap in group if not gap.as_stored]
        link = backfill_link(ui_url, launchable)
        where = [f"`{partition_ranges_text(ranges)}`", *([f"[backfill]({link})"] if link else [])]
        over = group[0].cause is Cause.TOO_LATE
        parts.append(what if over else " ".join([what, *where]))
    return "\n\n".join(parts)


def gaps_sentence(gaps: Sequence[Gap], now: datetime) -> str:
    """All gaps in one sentence: for the description of a standing check."""
    if not gaps:
        return "No gaps."
    if len(gaps) == 1:
        return gap_sentence(gaps[0], now)
    lost: defaultdict[str, float] = defaultdict(float)
    for gap in gaps:
        for currency, value in gap.money.items():
            lost[currency] += value
    orders = sum(gap.orders for gap in gaps)
    recoverable = sum(gap.recoverable for gap in gaps)
    first = min((gap.first_deadline for gap in gaps if gap.first_deadline), default=None)
    worth = f" ({format_amounts(lost)})" if lost else ""
    until = f", the first until {deadline(first, now)}" if first else ""
    kept = min((gap.visits_until for gap in gaps if gap.visits_until), default=None)
    until += f"; visits to match with are deleted {deadline(kept, now)}" if kept else ""
    unknown = sum(gap.unknown_hours for gap in gaps)
    uncounted = f" ({count(unknown, 'hour')} not counted yet)" if unknown else ""
    return (
        f"{count(len(gaps), 'gap')} in {count(sum(g.hours for g in gaps), 'hour')}:"
        f" {count(orders, 'order')}{worth} missing{uncounted},"
        f" {recoverable:,} can still be saved{until}."
    )


_DELETED = (
    "Orders whose visits are deleted (CAPI_RETENTION_DAYS) go with only the match keys that they"
    " carry themselves."
)
_NEVER = datetime.max.replace(tzinfo=UTC)


def _gap_row(gap: Gap, now: datetime) -> list[str]:
    orders = (
        [f"{gap.orders:,}"]
        if gap.orders or not (gap.unknown_hours or gap.orders_expected_missing)
        else []
    )
    orders += [f"about {gap.orders_expected_missing:,}"] if gap.orders_expected_missing else []
    saved = (
        [format_amounts(gap.recoverable_money) or f"{gap.recoverable:,}"] if gap.recoverable else []
    )
    if gap.unknown_hours:
        orders.append("not counted")
        saved += ["not counted"] if gap.savable else []
    if gap.correctable:
        saved.append(f"{gap.correctable:,} by corrected input")
    return [
        f"{gap.severity.upper()}: {gap.cause}, {format_utc(gap.first_hour)}",
        f"{gap.hours:,}",
        " + ".join(orders),
        format_amounts(gap.money) or "–",
        ", ".join(saved) or "nothing",
        _until(gap, now),
    ]


def _until(gap: Gap, now: datetime) -> str:
    said = [deadline(gap.first_deadline, now)] if gap.first_deadline else []
    if gap.visits_until:
        said.append(f"visits until {deadline(gap.visits_until, now)}")
    elif gap.matched_again and (gap.fewer_visits or gap.no_visits):
        said.append("visits are deleted")
    return "; ".join(said) or "–"


def _breakdown(rows: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, str], list[str]]]:
    """Per dataset and event name over currencies, those that miss most first."""
    sums: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        if row["orders"]:
            for i, name in enumerate(("orders", "eligible", "delivered")):
                sums[row["dataset_id"], row["event_name"]][i] += row[name]
    ranked = sorted(sums.items(), key=lambda item: (item[1][2] - item[1][1], item[0]))
    return [
        (
            name,
            [
                f"{orders:,}",
                f"{delivered:,}",
                f"{eligible - delivered:,}",
                percent(delivered / eligible if eligible else None),
            ],
        )
        for name, (orders, eligible, delivered) in ranked
    ]


def _value(row: Mapping[str, Any], stage: str) -> float:
    if stage == "eligible":
        return float(row["value_orders"] - row["value_withheld"])
    return float(row[f"value_{stage}"])


def _of_hour(rows: pa.Table, hour: datetime) -> list[dict[str, Any]]:
    start = pa.scalar(hour, UTC_MICROSECONDS)
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows["hour"], start)).to_pylist()
    return found
