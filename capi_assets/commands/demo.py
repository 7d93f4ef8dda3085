"""`capi-assets demo`: three days of a shop, an outage in the middle, and its recovery.

Time is rehearsed: each hour is materialized as of its own settled minute, as the schedule would
have done. The recovery runs by the real clock, as a person would start it.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from capi_assets.commands.stage import CURRENCY, DATASET_ID, Stage, set_up
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.waterfall import closes
from capi_assets.coverage.words import gap_sentence
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer

TOKEN, NEW_TOKEN = "demo-token-that-expires", "demo-token-renewed"
STAGES = ("delivered", "withheld", "invalid", "quarantined", "pending", "unknown", "rejected",
          "expired", "not_yet")  # fmt: skip


@dataclass(frozen=True)
class Ending:
    """How a demo ended: `reconciled` is the promise, the rest is for those who look closer."""

    gaps: list[Gap]
    orders: int
    delivered: int
    received: int
    doubled: int
    reconciled: bool


def play(
    root: Path,
    console: Console,
    *,
    hours: int = 72,
    seed: int = 7,
    visits_per_day: int = 12_000,
) -> Ending:
    """Sets up a stage in `root`, plays outage and recovery, and prints both."""
    now = datetime.now(UTC)
    end = floor_hour(now)
    first = end - hours * HOUR
    # Not at a full hour: the hour in which a token dies is half delivered.
    token_ends = first + timedelta(hours=hours * 5 // 9, minutes=20)
    stage = Stage(root, first, seed, visits_per_day, port=_free_port())
    set_up(stage, TOKEN)
    stage.enter()

    console.print(f"[bold]A shop's last {hours} hours[/bold], {hour_key(first)} to now, land in "
                  f"{stage.landing}")  # fmt: skip
    stage.land(first, end, until=end + HOUR)
    with SandboxServer(
        tokens={TOKEN: token_ends},
        datasets={DATASET_ID: "Sample shop"},
        state_path=stage.sandbox_state,
        port=stage.port,
    ) as sandbox:
        console.print(f"Meta in a box listens at {sandbox.url}; its token ends {token_ends:%H:%M}"
                      f" UTC on {token_ends:%d %B}, in the middle.\n")  # fmt: skip
        return _play(stage, sandbox, end, console)


def _play(stage: Stage, sandbox: SandboxServer, end: datetime, console: Console) -> Ending:
    # Only now: these modules read the settings that the stage has just set.
    import dagster as dg

    from capi_assets.commands.runs import run_hours
    from capi_assets.defs.resources import resources_from
    from capi_assets.defs.watch import watch
    from capi_assets.lake import Lake
    from capi_assets.settings import read_settings

    rules = resources_from(read_settings())["rules"]
    hours = hours_between(stage.first, end)
    lake = Lake(stage.lake)
    with dg.DagsterInstance.get() as instance:
        with _progress(console) as progress:
            task = progress.add_task(
                "Hour by hour, as the schedule would", total=len(hours), note=""
            )
            undelivered = 0
            for hour in hours:
                at = hour + HOUR + timedelta(minutes=rules.settle_minutes)
                sandbox.set_clock(at)
                done = run_hours(instance, hour, hour, {"clock": {"at": at.isoformat()}})
                undelivered += not done
                note = f"[red]{undelivered} hours undelivered" if undelivered else "all delivered"
                progress.update(task, advance=1, note=note)
        sandbox.set_clock(None)
        now = datetime.now(UTC)
        before = _health(lake, hours)
        gaps = watch(lake, rules.coverage(), now).gaps
        for gap in gaps:
            console.print(Panel(gap_sentence(gap, now), title=f"Gap: {gap.partition_range}",
                                border_style="red"))  # fmt: skip

        console.print("The token is renewed, and the gap's hours are materialized again.")
        sandbox.renew_token(NEW_TOKEN)
        stage.token_file.write_text(NEW_TOKEN, encoding="utf-8")
        for gap in gaps:
            if gap.recoverable:
                done = run_hours(instance, gap.first_hour, gap.last_hour, tags={"capi_assets/gap":
                                 gap.id})  # fmt: skip
                console.print(f"  {gap.partition_range}: {'finished' if done else 'not finished'}")
        after = _health(lake, hours)
    return _closing(before, after, gaps, sandbox, console)


def _health(lake: Any, hours: list[datetime]) -> pa.Table:
    from capi_assets.contracts.attribution_health import AttributionHealth
    from capi_assets.contracts.base import arrow_schema

    return lake.read("attribution_health", hours, arrow_schema(AttributionHealth))


def _closing(
    before: pa.Table, after: pa.Table, gaps: list[Gap], sandbox: SandboxServer, console: Console
) -> Ending:
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
    console.print(table)

    counted = totals(sandbox.inbox)["events"]
    received, doubled = counted["accepted"], counted["doubled"]
    orders, delivered = _sum(after, "orders"), _sum(after, "delivered")
    parts = {name: _sum(after, name) for name in STAGES if _sum(after, name)}
    sums_close = closes(after).num_rows == 0
    reconciled = sums_close and received == delivered and not doubled
    told = " + ".join(f"{count:,.0f} {name}" for name, count in parts.items())
    console.print(f"{orders:,.0f} orders = {told}" if sums_close else "[red]The sums do not close.")
    console.print(
        f"Meta counts {received:,} events, {doubled} of them twice; the ledger says"
        f" {delivered:,.0f} were delivered: [bold]{'they agree' if reconciled else 'THEY DIFFER'}."
    )
    return Ending(gaps, int(orders), int(delivered), received, doubled, reconciled)


def _sum(rows: pa.Table, name: str) -> float:
    total: float = pc.sum(rows.column(name)).as_py() or 0
    return total


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def _worth(rows: pa.Table, stage: str) -> float:
    return _sum(rows.filter(pc.equal(rows.column("currency"), CURRENCY)), f"value_{stage}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
