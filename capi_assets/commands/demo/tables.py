"""The tables at the end of a scenario: orders before and after, and match keys over the outage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from capi_assets.commands.demo.workspace import CURRENCY
from capi_assets.commands.report.waterfall import waterfall_totals
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.formatting import count, percent
from capi_assets.coverage.labels import STAGE_LABELS, WAITING
from capi_assets.coverage.match_key_shares import match_key_counts
from capi_assets.coverage.waterfall import unbalanced_rows
from capi_assets.lake import Lake
from capi_assets.meta.events.user_data import USER_DATA_FIELDS
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer

_LOST = [stage for stage in STAGE_LABELS if stage not in ("orders", "delivered")]


def health_of(lake: Lake, hours: Sequence[datetime]) -> pa.Table:
    """`attribution_health` of the hours."""
    return lake.read("attribution_health", hours, arrow_schema(AttributionHealth))


def check_totals(
    hours: Sequence[datetime],
    before: pa.Table,
    after: pa.Table,
    sandbox: SandboxServer,
    console: Console,
) -> bool:
    """Prints the orders before and after a recovery, and compares the ledger with the sandbox.

    Returns:
        Whether orders were delivered, every order has one place, none waits, every hour was
        evaluated, and both sides count the same events once.
    """
    console.print(_before_and_after(before, after))
    events = totals(sandbox.inbox)["events"]
    received, doubled = events["accepted"], events["doubled"]
    ours = waterfall_totals(after).orders
    orders, delivered = ours["orders"], ours["delivered"]
    waiting = sum(ours[stage] for stage in WAITING)
    evaluated = set(after["hour"].to_pylist())
    missing = [hour for hour in hours if hour not in evaluated]
    adds_up = unbalanced_rows(after).num_rows == 0
    agrees = adds_up and received == delivered and not doubled
    if adds_up:
        parts = [f"{ours[stage]:,} {stage}" for stage in ("delivered", *_LOST) if ours[stage]]
        console.print(f"{orders:,} orders = {' + '.join(parts)}")
    if delivered or received:
        console.print(
            f"Meta counts {received:,} events, {doubled} of them twice; the ledger says"
            f" {delivered:,} were delivered: [bold]{'they agree' if agrees else 'THEY DIFFER'}."
        )
    problems = {
        "Totals do not add up.": not adds_up,
        "No orders were generated; nothing was tested.": not orders,
        "Nothing was delivered; there is nothing to compare.": orders and not delivered,
        f"{waiting:,} orders are not delivered yet.": waiting,
        f"{len(missing)} of {count(len(hours), 'hour')} were not evaluated.": missing,
    }
    for problem, is_so in problems.items():
        if is_so:
            console.print(f"[red]{problem}")
    return bool(agrees and delivered and not waiting and not missing)


def _numbers_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _before_and_after(before: pa.Table, after: pa.Table) -> Table:
    columns = ("before", f"{CURRENCY} before", "after", f"{CURRENCY} after")
    table = _numbers_table("Orders before and after the recovery", *columns)
    both = [waterfall_totals(rows) for rows in (before, after)]
    for stage in ("orders", "delivered", *_LOST):
        if stage in ("orders", "delivered") or any(totals.orders[stage] for totals in both):
            cells = [(f"{t.orders[stage]:,}", f"{t.values[stage, CURRENCY]:,.2f}") for t in both]
            table.add_row(stage, *cells[0], *cells[1])
    return table


def key_shares_table(
    lake: Lake, hours: Sequence[datetime], start: datetime, end: datetime
) -> Table:
    """The share of stored events with each match key, before, during and after the outage."""
    columns = ["occurred_at", "verdict", "match_keys"]
    events = lake.read("matched_events", hours, arrow_schema(MatchedEvents), columns)
    started, ended = (
        pc.greater_equal(events["occurred_at"], pa.scalar(moment, UTC_MICROSECONDS))
        for moment in (start, end)
    )
    periods = {
        "before": pc.invert(started),
        "during": pc.and_(started, pc.invert(ended)),
        "after": ended,
    }
    table = _numbers_table("Match keys of the events, as first sent", *periods)
    counts: list[Counter[str | None]] = []
    for is_inside in periods.values():
        counts.append(Counter())
        for row in match_key_counts(events.filter(is_inside)).to_pylist():
            counts[-1][row["key"]] += row["events"]
    for key in USER_DATA_FIELDS:
        if any(period[key] for period in counts):
            shares = [percent(p[key] / p[None] if p[None] else None) for p in counts]
            table.add_row(key, *shares)
    return table
