"""The scenario runner of `capi-assets demo` and `capi-assets drill`.

    passed = play(DEMO, Path("data/demo"), Console(), hours=72, seed=7, visits_per_day=12_000)

Time is simulated: each hour is materialized as of the minute at which it has settled, as the
schedule would do it, and gaps and alerts are evaluated as the coverage sensor does. The recovery
runs in real time, as a person would start it. At the end the ledger is compared with the sandbox.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from capi_assets.commands.demo.scenarios import Scenario
from capi_assets.commands.demo.tables import check_totals, health_of, key_shares_table
from capi_assets.commands.demo.workspace import Workspace, free_port
from capi_assets.commands.plan import as_table, backfill_plan_for
from capi_assets.commands.runs import read_meta, run_hours
from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.coverage.alerting.alert_message import message
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alert_text import alert_text
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.formatting import count, format_duration, format_utc
from capi_assets.coverage.gap_text import incident_sentence
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.incidents import incidents
from capi_assets.coverage.links import partition_ranges_text
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.delivery import reasons
from capi_assets.delivery.plan import plan
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.lake import Lake
from capi_assets.policies import coverage_policy, delivery_policy, open_ledger
from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.shop.outages import Outage

_STYLES = {"recovered": "green", "warn": "yellow", "error": "red"}


def play(
    scenario: Scenario, root: Path, console: Console, *, hours: int, seed: int, visits_per_day: int
) -> bool:
    """Plays the outage and its recovery in a new workspace in `root`, and prints both.

    Returns:
        Whether every order has its place, ledger and sandbox agree, and (if the scenario asks for
        it) an alert was sent.

    Raises:
        FileExistsError: the folder holds something that is not a workspace.
    """
    now = datetime.now(UTC)
    end = _evening(now) if scenario.history_hours else floor_hour(now)
    first = end - hours * HOUR
    # Not on the hour: the first hour of a real outage is partly delivered.
    start = first + int(hours * scenario.start) * HOUR + timedelta(minutes=20)
    outage_end = end
    if scenario.length is not None:
        outage_end = start + max(2, int(hours * scenario.length)) * HOUR
    outages: tuple[Outage, ...] = ()
    if scenario.shop_outage:
        outages = (Outage(scenario.shop_outage, start, outage_end),)
    opened = first - scenario.history_hours * HOUR
    workspace = Workspace(root, opened, seed, visits_per_day, free_port(), outages)
    workspace.create()
    workspace.land(opened, end, until=end + HOUR)
    until = "until it is fixed" if scenario.length is None else f"to {format_utc(outage_end)}"
    console.print(
        f"[bold]{scenario.title[0].upper()}{scenario.title[1:]}[/bold], from {format_utc(start)}"
        f" {until}, in {count(hours, 'hour')} of a sample shop under {root}\n"
    )
    with workspace.sandbox() as sandbox, workspace.instance() as instance:
        if scenario.fault:
            sandbox.set_fault(
                scenario.fault, after=start, until=outage_end if scenario.length else None
            )
        run = _Run(scenario, workspace, sandbox, instance, console, first, start, outage_end, end)
        return run.play()


def _evening(now: datetime) -> datetime:
    """The last end of the busy hours: by night there are too few orders for a comparison."""
    evening = floor_hour(now).replace(hour=20)
    return evening if evening <= now else evening - timedelta(days=1)


@dataclass
class _Run:
    """One scenario in progress: its hours are played from `first` to `end`."""

    scenario: Scenario
    workspace: Workspace
    sandbox: SandboxServer
    instance: dg.DagsterInstance
    console: Console
    first: datetime
    start: datetime
    outage_end: datetime
    end: datetime
    alerts: AlertState = field(default_factory=AlertState)
    detected: timedelta | None = None

    def __post_init__(self) -> None:
        # A scenario that ends in the evening is evaluated then: no hour since was played.
        self.frozen_now = self.end + HOUR if self.scenario.history_hours else None
        self.history = hours_between(self.workspace.first, self.first)
        self.live = hours_between(self.first, self.end)
        self.hours = [*self.history, *self.live]
        self.settings = self.workspace.settings()
        self.lake = Lake(self.settings.lake)

    def play(self) -> bool:
        self._run_history()
        self._run_live_hours()
        before = health_of(self.lake, self.hours)
        key_shares = None
        if self.scenario.shop_outage:
            key_shares = key_shares_table(self.lake, self.hours, self.start, self.outage_end)
        gaps = self._gaps_of_outage(self._evaluate(self._now()))
        self._print_gaps(gaps)
        recovered = self._recover(gaps)
        remaining = self._gaps_of_outage(self._evaluate(self._now()))
        if self.scenario.reads_meta:
            read_meta(self.instance, self.settings, self.hours[0], self.hours[-1])
        if key_shares is not None:
            self.console.print(key_shares)
        self._print_outcome(recovered, remaining)
        after = health_of(self.lake, self.hours)
        is_complete = check_totals(self.hours, before, after, self.sandbox, self.console)
        return is_complete and (self.detected is not None or not self.scenario.has_alerts)

    def _now(self) -> datetime:
        return self.frozen_now or datetime.now(UTC)

    def _run_history(self) -> None:
        """Materializes the good hours before, in one run."""
        if self.history:
            end = self.history[-1] + HOUR
            self.console.print(f"{count(len(self.history), 'good hour')} before run as one run.")
            self.sandbox.set_clock(end)
            run_hours(self.instance, self.settings, self.history[0], self.history[-1], at=end)

    def _run_live_hours(self) -> None:
        """Materializes hour by hour when each has settled; then the sandbox has the real time."""
        failed = 0
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        note = TextColumn("{task.fields[note]}")
        with Progress(*columns, TimeElapsedColumn(), note, console=self.console) as progress:
            task = progress.add_task("Hour by hour, as scheduled", total=len(self.live), note="")
            for hour in self.live:
                at = hour + HOUR + self.settings.settle
                self.sandbox.set_clock(at)
                skipped = self.scenario.daemon_stopped and self.start <= at < self.outage_end
                failed += skipped or not run_hours(self.instance, self.settings, hour, hour, at=at)
                note_text = f"[red]{count(failed, 'hour')} failed" if failed else "all delivered"
                progress.update(task, advance=1, note=note_text)
                if self.scenario.has_alerts:
                    self._evaluate_hour(at)
        self.sandbox.set_clock(None)

    def _evaluate_hour(self, settled: datetime) -> None:
        """Evaluates when the hour has settled and when its time of grace is over: until the next
        hour, no other evaluation of the sensor can see anything new."""
        grace = coverage_policy(self.settings).grace + timedelta(minutes=1)
        for at in (settled, settled + grace):
            if at <= self._now():
                self._evaluate(at)

    def _evaluate(self, at: datetime) -> list[Gap]:
        """One evaluation of the coverage sensor: prints new alerts and returns all gaps."""
        policy = coverage_policy(self.settings, at)
        snapshot = find_gaps(self.lake, policy, at)
        if not self.scenario.has_alerts:
            return snapshot.gaps
        alerts, self.alerts = decide(
            self.alerts, snapshot.gaps, at, watched_from=snapshot.watched_from, policy=policy
        )
        for alert in alerts:
            recovered = alert.kind == "recovered"
            if self.detected is None and not recovered and self._is_of_outage(alert):
                self.detected = at - self.start
            style = _STYLES["recovered" if recovered else message(alert, at).severity]
            panel = Panel(
                alert_text(alert, at), title=f"Alert at {format_utc(at)}", border_style=style
            )
            self.console.print(panel)
        return snapshot.gaps

    def _gaps_of_outage(self, gaps: list[Gap]) -> list[Gap]:
        return [gap for gap in gaps if self._is_of_outage(gap)]

    def _is_of_outage(self, gap: Gap | Alert) -> bool:
        return gap.first_hour < self.outage_end and gap.last_hour + HOUR > self.start

    def _print_gaps(self, gaps: list[Gap]) -> None:
        """What a person sees before the backfill: the gaps, and the plan for their hours."""
        now = self._now()
        for incident in incidents(gaps):
            title = f"Gap of {count(incident.total.hours, 'hour')}"
            self.console.print(Panel(incident_sentence(incident, now), title=title))
        if not gaps:
            self.console.print("No gap was found in these hours.")
            return
        hours = {h for gap in gaps for h in hours_between(gap.first_hour, gap.last_hour + HOUR)}
        with open_ledger(self.settings) as ledger:
            policy = delivery_policy(self.settings)
            backfill = backfill_plan_for(self.lake, ledger, sorted(hours), now, policy)
        if backfill.rows.num_rows:
            self.console.print(as_table(backfill, now))

    def _recover(self, gaps: list[Gap]) -> timedelta | None:
        """Fixes the cause and materializes the hours that it touched; returns the real time."""
        self.console.print(self.scenario.fix)
        self.sandbox.clear_faults()
        ranges = [(gap.first_hour, gap.last_hour) for gap in gaps if gap.savable]
        if not self.scenario.is_fixable:
            ranges = []
        elif self.scenario.shop_outage:
            # Any order since may have come from a visit that was missing.
            self.workspace = replace(self.workspace, outages=())
            self.workspace.save()
            end = self.hours[-1] + HOUR
            self.workspace.land(self.workspace.first, end, until=end + HOUR)
            ranges = [(floor_hour(self.start), self.hours[-1])]
        if not ranges:
            return None
        started = time.monotonic()
        for first, last in ranges:
            is_done = run_hours(self.instance, self.settings, first, last)
            text = partition_ranges_text([f"{hour_key(first)}...{hour_key(last)}"])
            self.console.print(f"  {text}: {'finished' if is_done else 'not finished'}")
        return timedelta(seconds=time.monotonic() - started)

    def _print_outcome(self, recovered: timedelta | None, remaining: list[Gap]) -> None:
        for incident in incidents(remaining):
            text = incident_sentence(incident, self._now())
            self.console.print(f"[yellow]Still open:[/] {text}")
        if changed := self._changed_since_sent():
            self.console.print(
                f"{count(changed, 'event')} reached Meta with other match keys than they have now."
            )
        if self.scenario.lost:
            self.console.print(f"[yellow]Not recoverable:[/] {self.scenario.lost}")
        recovery = "nothing to materialize"
        if recovered is not None:
            recovery = f"in {recovered.total_seconds():.1f} s (real time)"
        text = f"[bold]Recovered[/] {recovery}."
        if self.detected is not None:
            text = f"[bold]Detected[/] after {format_duration(self.detected)}. {text}"
        elif self.scenario.has_alerts:
            text = f"[red]Not detected: no alert was sent about these hours.[/red] {text}"
        self.console.print(text)

    def _changed_since_sent(self) -> int:
        schema = arrow_schema(MatchedEvents)
        columns = [name for name in schema.names if name != "payload"]
        events = self.lake.read("matched_events", self.hours, schema, columns)
        with open_ledger(self.settings) as ledger:
            policy = delivery_policy(self.settings)
            planned = plan(events, ledger.state_of(events), self._now(), policy)
        return int(pc.sum(pc.equal(planned["reason"], reasons.PAYLOAD_CHANGED)).as_py() or 0)
