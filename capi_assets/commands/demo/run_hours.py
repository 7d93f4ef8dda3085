"""What every rehearsal on a stage does: play hours by a rehearsed clock, and reckon up at the end.

Time is rehearsed: each hour is materialized as of its own settled minute, as the schedule would
have done.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from capi_assets.commands.demo.workspace import CURRENCY
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.formatting import count
from capi_assets.coverage.waterfall import unbalanced_rows
from capi_assets.hours import HOUR
from capi_assets.lake import Lake
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer
from capi_assets.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

STAGES = ("delivered", "withheld", "invalid", "quarantined", "pending", "unknown", "rejected",
          "expired", "future_dated")  # fmt: skip
WAITING = ("pending", "unknown", "future_dated")


class DemoTotals(NamedTuple):
    """The books against Meta's: `reconciled` if there are orders, every one of them has one place
    and none still waits, every hour was judged, and both sides count the same."""

    orders: int
    delivered: int
    received: int
    doubled: int
    reconciled: bool


def run_as_scheduled(
    instance: dg.DagsterInstance,
    settings: Settings,
    sandbox: SandboxServer,
    hours: Sequence[datetime],
    console: Console,
    after: Callable[[datetime], object] | None = None,
    asleep: tuple[datetime, datetime] | None = None,
) -> None:
    """Materializes hour by hour, as soon as each has settled; `after` is called with that moment.

    Nothing is materialized from `asleep[0]` until `asleep[1]`: the daemon does not run then.

    When it returns, the sandbox goes by the real clock again.
    """
    from capi_assets.commands.demo.runs import run_hours

    undelivered = 0
    with _progress(console) as progress:
        task = progress.add_task("Hour by hour, as the schedule would", total=len(hours), note="")
        for hour in hours:
            at = hour + HOUR + settings.settle
            sandbox.set_clock(at)
            sleeps = asleep is not None and asleep[0] <= at < asleep[1]
            undelivered += sleeps or not run_hours(instance, settings, hour, hour, at=at)
            note = (
                f"[red]{count(undelivered, 'hour')} undelivered" if undelivered else "all delivered"
            )
            progress.update(task, advance=1, note=note)
            if after is not None:
                after(at)
    sandbox.set_clock(None)


def health_of(lake: Lake, hours: Sequence[datetime]) -> pa.Table:
    """`attribution_health` of the hours."""
    return lake.read("attribution_health", hours, arrow_schema(AttributionHealth))


def check_totals(
    hours: Sequence[datetime],
    before: pa.Table,
    after: pa.Table,
    sandbox: SandboxServer,
    console: Console,
) -> DemoTotals:
    """Prints what became of the orders, before and after a recovery, and holds it against Meta."""
    console.print(_what_became(before, after))
    counted = totals(sandbox.inbox)["events"]
    received, doubled = counted["accepted"], counted["doubled"]
    orders, delivered = _sum(after, "orders"), _sum(after, "delivered")
    parts = {name: _sum(after, name) for name in STAGES if _sum(after, name)}
    sums_close = unbalanced_rows(after).num_rows == 0
    agree = sums_close and received == delivered and not doubled
    waiting = sum(_sum(after, name) for name in WAITING)
    judged = set(after.column("hour").to_pylist())
    unjudged = [hour for hour in hours if hour not in judged]
    told = " + ".join(f"{count:,.0f} {name}" for name, count in parts.items())
    console.print(f"{orders:,.0f} orders = {told}" if sums_close else "[red]The sums do not close.")
    console.print(
        f"Meta counts {received:,} events, {doubled} of them twice; the ledger says"
        f" {delivered:,.0f} were delivered: [bold]{'they agree' if agree else 'THEY DIFFER'}."
    )
    for told, is_so in (
        ("There was not one order: nothing is shown by this.", not orders),
        (f"{waiting:,.0f} orders still wait to be delivered.", waiting),
        (f"{len(unjudged)} of {len(hours)} hours were never judged.", unjudged),
    ):
        if is_so:
            console.print(f"[red]{told}")
    reconciled = bool(agree and orders and not waiting and not unjudged)
    return DemoTotals(int(orders), int(delivered), received, doubled, reconciled)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _what_became(before: pa.Table, after: pa.Table) -> Table:
    table = Table(title="What became of the orders", title_justify="left")
    table.add_column("")
    for name in ("before", f"{CURRENCY} before", "after", f"{CURRENCY} after"):
        table.add_column(name, justify="right")
    for stage in ("orders", *STAGES):
        before_after = [(_sum(rows, stage), _worth(rows, stage)) for rows in (before, after)]
        if stage in ("orders", "delivered") or any(count for count, _ in before_after):
            cells = [
                cell for count, value in before_after for cell in (f"{count:,.0f}", f"{value:,.2f}")
            ]
            table.add_row(stage, *cells)
    return table


def _sum(rows: pa.Table, name: str) -> float:
    total: float = pc.sum(rows.column(name)).as_py() or 0
    return total


def _worth(rows: pa.Table, stage: str) -> float:
    return _sum(rows.filter(pc.equal(rows.column("currency"), CURRENCY)), f"value_{stage}")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
