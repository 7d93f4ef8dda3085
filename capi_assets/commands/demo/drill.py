"""`capi-assets drill`: an outage of a chosen kind on sample data, from first alert to recovery.

The rules are the real ones: after each hour the gaps are found and the alerts decided as the
coverage sensor does. Time to detect is rehearsed time, from the outage's first minute to the first
alert about it; time to recover is real time, of the backfill. What cannot be brought back is said.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from capi_assets.commands.demo.drill_kinds import KINDS, Scenario
from capi_assets.commands.demo.key_shares import key_shares_table
from capi_assets.commands.demo.run_hours import (
    DemoTotals,
    check_totals,
    free_port,
    health_of,
    run_as_scheduled,
)
from capi_assets.commands.demo.workspace import DATASET_ID, Workspace, set_up
from capi_assets.commands.plan import as_table, backfill_plan_for
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.alerting.alert_state import AlertState, OpenGap
from capi_assets.coverage.alerting.alert_text import alert_text
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.formatting import count, format_duration, format_utc
from capi_assets.coverage.gap_text import gap_sentence
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.delivery import reasons
from capi_assets.delivery.plan import plan
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy, delivery_policy, open_ledger
from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.shop.outages import Outage
from capi_assets.settings import read_settings

if TYPE_CHECKING:
    import dagster as dg

TOKEN = "drill-token"
_STYLES = {"recovered": "green", "warn": "yellow", "error": "red"}


@dataclass(frozen=True)
class DrillResult:
    """How a drill ended.

    Attributes:
        detected: from the outage's start to the first alert about it, rehearsed; None: never.
        recovered: real time of the backfill; None where nothing was there to recover.
        remaining: gaps that still touch the outage.
        poorer: events at Meta that went with other match keys than they would go with now.
        reckoning: the books against Meta's, at the end.
    """

    detected: timedelta | None
    recovered: timedelta | None
    remaining: list[Gap]
    poorer: int
    reckoning: DemoTotals

    @property
    def passed(self) -> bool:
        """Whether the outage was seen, and the books agree with Meta's."""
        return self.detected is not None and self.reckoning.reconciled


def run_drill(
    kind: str, root: Path, console: Console, *, hours: int, seed: int, visits_per_day: int
) -> DrillResult:
    """Sets up a stage in `root`, plays the outage and its recovery, and prints both.

    Raises:
        FileExistsError: the folder holds something that is not a stage.
    """
    drilled = KINDS[kind]
    now = datetime.now(UTC)
    end = _evening(now) if drilled.history else floor_hour(now)
    played = end - hours * HOUR
    first = played - drilled.history * HOUR
    # Not at a full hour, as in life: the first hour of an outage is half good.
    start = played + hours // 3 * HOUR + timedelta(minutes=20)
    outage_end = start + max(2, hours // 4) * HOUR
    stage = Workspace(root, first, seed, visits_per_day, free_port())
    if drilled.shop:
        stage = replace(stage, outages=(Outage(drilled.shop, start, outage_end),))
    set_up(stage, TOKEN)
    stage.activate()
    stage.land(first, end, until=end + HOUR)
    console.print(
        f"[bold]Drill: {drilled.says}[/bold], from {format_utc(start)} to"
        f" {format_utc(outage_end)}, in {count(hours, 'hour')} of a sample shop under {root}\n"
    )
    with SandboxServer(
        tokens=[TOKEN],
        datasets={DATASET_ID: "Sample shop"},
        state_path=stage.sandbox_state,
        port=stage.port,
    ) as sandbox:
        if drilled.meta:
            sandbox.set_fault(drilled.meta, after=start, until=outage_end)
        return _Drill(stage, drilled, sandbox, console, start, outage_end, end).play(played)


def _evening(now: datetime) -> datetime:
    """The last end of the busy hours: by night there are too few orders for a comparison."""
    evening = floor_hour(now).replace(hour=20)
    return evening if evening <= now else evening - timedelta(days=1)


class _Drill:
    """One drill under way; the stage's settings are in force when it is made."""

    def __init__(
        self,
        stage: Workspace,
        kind: Scenario,
        sandbox: SandboxServer,
        console: Console,
        start: datetime,
        outage_end: datetime,
        end: datetime,
    ) -> None:
        self.stage, self.kind, self.sandbox, self.console = stage, kind, sandbox, console
        self.start, self.outage_end = start, outage_end
        # A drill that ends in the evening is looked at then: nobody played the hours since.
        self.late = end + HOUR if kind.history else None
        self.hours = hours_between(stage.first, end)
        self.lake = Lake(stage.lake)
        self.settings = read_settings()
        self.alerts = AlertState()
        self.detected: timedelta | None = None

    def play(self, played: datetime) -> DrillResult:
        import dagster as dg

        with dg.DagsterInstance.get() as instance:
            self._learn(instance, [hour for hour in self.hours if hour < played])
            live = [hour for hour in self.hours if hour >= played]
            asleep = (self.start, self.outage_end) if self.kind.asleep else None
            run_as_scheduled(
                instance,
                self.settings,
                self.sandbox,
                live,
                self.console,
                self._watch_an_hour,
                asleep,
            )
            before = health_of(self.lake, self.hours)
            as_sent = self._key_shares()
            gaps = self._about_the_outage(self._look(self._now()))
            self._tell_gaps(gaps)
            took = self._recover(instance, gaps)
            remaining = self._about_the_outage(self._look(self._now()))
            poorer = self._match_key_caveat()
        after = health_of(self.lake, self.hours)
        reckoning = check_totals(self.hours, before, after, self.sandbox, self.console)
        if as_sent is not None:
            self.console.print(as_sent)
        ending = DrillResult(self.detected, took, remaining, poorer, reckoning)
        self._close(ending)
        return ending

    def _now(self) -> datetime:
        return self.late or datetime.now(UTC)

    def _learn(self, instance: dg.DagsterInstance, hours: list[datetime]) -> None:
        """Materializes what lies before, in one run: good hours to compare with."""
        from capi_assets.commands.demo.runs import run_hours

        if hours:
            eve = hours[-1] + HOUR
            self.console.print(
                f"{count(len(hours), 'good hour')} before them are played in one go."
            )
            self.sandbox.set_clock(eve)
            run_hours(instance, self.settings, hours[0], hours[-1], at=eve)

    def _key_shares(self) -> Table | None:
        if not self.kind.shop:
            return None
        return key_shares_table(self.lake, self.hours, self.start, self.outage_end)

    def _watch_an_hour(self, settled: datetime) -> None:
        """The sensor's looks until the next hour, of which only two can see anything new: when
        the hour is settled, and when it has had its grace."""
        grace = coverage_policy(self.settings).grace
        for at in (settled, settled + grace + timedelta(minutes=1)):
            if at <= self._now():
                self._look(at)

    def _look(self, at: datetime) -> list[Gap]:
        """One look of the sensor: tells what changed, remembers it, returns all gaps."""
        from capi_assets.coverage.stored_health import find_gaps

        seen = find_gaps(self.lake, coverage_policy(self.settings), at)
        told, self.alerts = decide(self.alerts, seen.gaps, at, watched_from=seen.watched_from)
        for alert in told:
            self._tell(alert, at)
        return seen.gaps

    def _tell(self, alert: Alert, at: datetime) -> None:
        if self.detected is None and alert.kind != "recovered" and self._touches(alert.gap):
            self.detected = at - self.start
        style = _STYLES["recovered" if alert.kind == "recovered" else alert.gap.severity]
        title = f"Alert at {format_utc(at)}"
        self.console.print(Panel(alert_text(alert, at), title=title, border_style=style))

    def _touches(self, gap: Gap | OpenGap) -> bool:
        return gap.first_hour < self.outage_end and gap.last_hour + HOUR > self.start

    def _about_the_outage(self, gaps: list[Gap]) -> list[Gap]:
        return [gap for gap in gaps if self._touches(gap)]

    def _tell_gaps(self, gaps: list[Gap]) -> None:
        """What a person would see before the backfill: the gaps, and the plan for their hours."""
        now = self._now()
        for gap in gaps:
            title = f"Gap of {count(gap.hours, 'hour')}"
            self.console.print(Panel(gap_sentence(gap, now), title=title))
        if not gaps:
            self.console.print("No gap is seen in these hours.")
            return
        hours = sorted(
            {h for gap in gaps for h in hours_between(gap.first_hour, gap.last_hour + HOUR)}
        )
        with open_ledger(self.settings) as ledger:
            policy = delivery_policy(self.settings)
            outlook = backfill_plan_for(self.lake, ledger, hours, now, policy)
        if outlook.rows.num_rows:
            self.console.print(as_table(outlook, now))

    def _match_key_caveat(self) -> int:
        schema = arrow_schema(MatchedEvents)
        columns = [name for name in schema.names if name != "payload"]
        events = self.lake.read("matched_events", self.hours, schema, columns)
        policy = delivery_policy(self.settings)
        with open_ledger(self.settings) as ledger:
            planned = plan(events, ledger.state_of(events), self._now(), policy)
        return int(pc.sum(pc.equal(planned["reason"], reasons.PAYLOAD_CHANGED)).as_py() or 0)

    def _recover(self, instance: dg.DagsterInstance, gaps: list[Gap]) -> timedelta | None:
        """Mends the cause where it can be mended, and materializes what it touched."""
        from capi_assets.commands.demo.runs import run_hours

        self.console.print(self.kind.mended)
        self.sandbox.clear_faults()
        ranges = [(gap.first_hour, gap.last_hour) for gap in gaps if gap.savable]
        if self.kind.lasting:
            ranges = []
        elif self.kind.shop:
            # Any order since may have come from a visit that was missing.
            self.stage = replace(self.stage, outages=())
            self.stage.save()
            self.stage.land(
                self.stage.first, self.hours[-1] + HOUR, until=self.hours[-1] + 2 * HOUR
            )
            ranges = [(floor_hour(self.start), self.hours[-1])]
        if not ranges:
            return None
        started = time.monotonic()
        for first, last in ranges:
            done = run_hours(instance, self.settings, first, last)
            shown = partition_ranges_text([f"{hour_key(first)}...{hour_key(last)}"])
            self.console.print(f"  {shown}: {'finished' if done else 'not finished'}")
        return timedelta(seconds=time.monotonic() - started)

    def _close(self, ending: DrillResult) -> None:
        for gap in ending.remaining:
            self.console.print(f"[yellow]Still open:[/] {gap_sentence(gap, self._now())}")
        if ending.poorer:
            self.console.print(
                f"{count(ending.poorer, 'event')} went to Meta with other match keys than now."
            )
        if self.kind.lost:
            self.console.print(f"[yellow]Not recoverable:[/] {self.kind.lost}")
        detected = (
            f"after {format_duration(ending.detected)}"
            if ending.detected is not None
            else "[red]never: no alert was told about these hours"
        )
        recovered = (
            f"in {ending.recovered.total_seconds():.1f} s (real time)"
            if ending.recovered is not None
            else "nothing to materialize"
        )
        self.console.print(f"[bold]Detected[/] {detected}; [bold]recovered[/] {recovered}.")
