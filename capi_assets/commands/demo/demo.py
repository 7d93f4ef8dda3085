"""`capi-assets demo`: three days of a shop, an outage in the middle, and its recovery.

Time is rehearsed: each hour is materialized as of its own settled minute, as the schedule would
have done. The recovery runs by the real clock, as a person would start it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.panel import Panel

from capi_assets.commands.demo.run_hours import check_totals, free_port, health_of, run_as_scheduled
from capi_assets.commands.demo.workspace import DATASET_ID, Workspace, set_up
from capi_assets.coverage.formatting import count
from capi_assets.coverage.gap_text import gap_sentence
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.lake import Lake
from capi_assets.sandbox.run import SandboxServer

TOKEN, NEW_TOKEN = "demo-token-that-expires", "demo-token-renewed"


class DemoResult(NamedTuple):
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
) -> DemoResult:
    """Sets up a stage in `root`, plays outage and recovery, and prints both."""
    now = datetime.now(UTC)
    end = floor_hour(now)
    first = end - hours * HOUR
    # Not at a full hour: the hour in which a token dies is half delivered.
    token_ends = first + timedelta(hours=hours * 5 // 9, minutes=20)
    stage = Workspace(root, first, seed, visits_per_day, port=free_port(), token_ends=token_ends)
    set_up(stage, TOKEN)
    stage.activate()

    console.print(f"[bold]A shop's last {hours} hours[/bold], {hour_key(first)} to now, land in "
                  f"{stage.landing}")  # fmt: skip
    stage.land(first, end, until=end + HOUR)
    with SandboxServer(
        tokens={TOKEN: token_ends},
        datasets={DATASET_ID: "Sample shop"},
        state_path=stage.sandbox_state,
        port=stage.port,
    ) as sandbox:
        console.print(f"Meta sandbox at {sandbox.url}; its token expires {token_ends:%H:%M}"
                      f" UTC on {token_ends:%d %B}, in the middle.\n")  # fmt: skip
        return _play(stage, sandbox, end, console)


def _play(stage: Workspace, sandbox: SandboxServer, end: datetime, console: Console) -> DemoResult:
    import dagster as dg

    from capi_assets.commands.demo.runs import ask_meta, run_hours
    from capi_assets.coverage.stored_health import find_gaps
    from capi_assets.policies import coverage_policy
    from capi_assets.settings import read_settings

    settings = read_settings()
    hours = hours_between(stage.first, end)
    lake = Lake(stage.lake)
    with dg.DagsterInstance.get() as instance:
        run_as_scheduled(instance, settings, sandbox, hours, console)
        now = datetime.now(UTC)
        before = health_of(lake, hours)
        gaps = find_gaps(lake, coverage_policy(settings), now).gaps
        for gap in gaps:
            console.print(Panel(gap_sentence(gap, now), title=f"Gap of {count(gap.hours, 'hour')}",
                                border_style="red"))  # fmt: skip

        console.print("The token is renewed, and the gap's hours are materialized again.")
        sandbox.renew_token(NEW_TOKEN)
        stage.token_file.write_text(NEW_TOKEN, encoding="utf-8")
        for gap in gaps:
            if gap.recoverable:
                done = run_hours(instance, settings, gap.first_hour, gap.last_hour,
                                 tags={"capi_assets/gap": gap.id})  # fmt: skip
                shown = partition_ranges_text([gap.partition_range])
                console.print(f"  {shown}: {'finished' if done else 'not finished'}")
        # What the schedules would write tonight, so that the UI has it to show.
        ask_meta(instance, settings, hours[0], hours[-1])
        after = health_of(lake, hours)
    return DemoResult(gaps, *check_totals(hours, before, after, sandbox, console))
