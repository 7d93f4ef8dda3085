"""The command line `capi-assets`: arguments and options; the work is done in `commands/`.

Modules are imported inside the commands, so that `--help` does not load Dagster.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from capi_assets.commands.demo.scenarios import DEMO, DRILLS, Scenario
from capi_assets.commands.init.first_settings import OPTIONS, QUESTIONS, description
from capi_assets.commands.terminal import Terminal
from capi_assets.processes import protect_process
from capi_assets.settings import Settings, SettingsError, as_variable_text, read_settings

DEMO_FOLDER = Path("data/demo")
Decorator = Callable[[Callable[..., None]], Callable[..., None]]

_json_option = click.option("--json", "for_programs", is_flag=True, help="Print JSON.")


def _hours(context: click.Context, parameter: click.Parameter, text: str) -> list[datetime]:
    """The hours of a range as people, alerts and the UI write it."""
    from capi_assets.commands.written_hours import written_hours

    try:
        return written_hours(text, _now())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _hours_or_none(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[datetime] | None:
    return None if text is None else _hours(context, parameter, text)


def _hour_or_none(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    hours = _hours_or_none(context, parameter, text)
    if hours is not None and len(hours) > 1:
        raise click.BadParameter("write one hour")
    return hours[0] if hours else None


_range_argument = click.argument("hours", metavar="RANGE", callback=_hours)


def _folder_option(default: Path) -> Decorator:
    folder = click.Path(path_type=Path)
    return click.option("--folder", "--stage", type=folder, default=default, show_default=True)


def _shop_options(visits_per_day: int) -> Decorator:
    seed = click.option(
        "--seed", default=7, show_default=True, help="Another seed generates another shop."
    )
    visits = click.option("--visits-per-day", default=visits_per_day, show_default=True)
    return lambda command: seed(visits(command))


def _use_stage(context: click.Context, parameter: click.Parameter, folder: Path | None) -> None:
    """Lets a command use the data of a demo or drill."""
    if folder is None:
        return
    from capi_assets.commands.demo.workspace import load_workspace

    workspace = load_workspace(folder)
    if workspace is None:
        raise click.ClickException(f"There is no demo or drill in {folder}.")
    context.find_root().obj = workspace


_stage_option = click.option(
    "--stage", type=click.Path(path_type=Path), metavar="FOLDER", expose_value=False,
    is_eager=True, callback=_use_stage,  # before the arguments, whose hours depend on the clock
    help="Use the data of a demo or drill (e.g. data/demo) instead of the configured paths.",
)  # fmt: skip


class _Commands(click.Group):
    """Commands that accept `--stage` after their name, too, and say what a person can mend."""

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        if command.name not in _WITHOUT_STAGE and not isinstance(command, click.Group):
            _stage_option(command)
        super().add_command(command, name)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except Exception as error:
            from capi_assets.commands.problems import problem_text

            text = problem_text(error)
            if text is None:
                raise
            raise click.ClickException(text) from None


_WITHOUT_STAGE = frozenset(("init", "sandbox", "shop", "demo", "ui", "drill"))
"""They have no stage, or name it themselves."""


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="capi_assets")
@_stage_option
def main() -> None:
    """Deliver conversions to Meta's Conversions API, and recover from outages."""
    try:
        protect_process(read_settings().umask)
    except SettingsError:  # the command reports it
        protect_process(Settings.model_fields["umask"].default)


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each setting that a person chooses first, with its name and description."""
    for name in reversed(OPTIONS):
        flag: dict[str, Any] = (
            {"flag_value": "true"} if Settings.model_fields[name].annotation is bool else {}
        )
        option = click.option(
            f"--{name.replace('_', '-')}", name, metavar="VALUE", help=description(name), **flag
        )
        command = option(command)
    return command


@main.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--sql", "use_sql", is_flag=True, help="Two SQL models in place of the landing folders."
)
@_setting_options
@click.option("--no-questions", is_flag=True, help="Ask nothing, also on a terminal.")
@click.option("--no-doctor", is_flag=True, help="Do not examine the settings at the end.")
def init(
    folder: Path, use_sql: bool, no_questions: bool, no_doctor: bool, **values: str | None
) -> None:
    """Set up FOLDER for your own data: settings, Dagster's files, landing folders or SQL models.

    Files that exist are left as they are. On a terminal, asks for what no option says. Paths among
    the settings are relative to FOLDER.
    """
    from capi_assets.commands.init.folder import write_folder

    if _is_terminal() and not no_questions:
        for name in QUESTIONS:
            if values[name] is None:
                question = f"{description(name)} (Enter: later)"
                values[name] = click.prompt(question, default="", show_default=False)
        use_sql = use_sql or click.prompt(
            "Do visits and orders come as files or from SQL models?",
            type=click.Choice(["files", "sql"]), default="files",
        ) == "sql"  # fmt: skip
    given = {name: value for name, value in values.items() if value}
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # Orders of the last seven days can still reach Meta.
    start = as_variable_text(today - timedelta(days=7))
    try:
        written = write_folder(folder, {"start_date": start, **given}, use_sql=use_sql)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"Cannot write {error.filename}: {error.strerror}.") from None
    click.echo(f"Written in {folder}: {', '.join(written.new) or 'nothing'}")
    if written.kept:
        click.echo(f"Left as they are, because they exist: {', '.join(written.kept)}")
    if given and ".env" in written.kept:
        click.echo("The settings given here were not written; edit .env.")
    if not no_doctor:
        os.chdir(folder)
        _show_findings()
    there = "" if folder == Path() else f"cd {folder} && "
    source = "the exports/ folder, or edit models/*.sql"
    if not use_sql:
        source = (
            f"data/landing/orders/{datetime.now(UTC):%Y-%m-%d/%H}/ (the UTC hour of occurred_at)"
        )
    click.echo(f"Next: put orders into {source}, and visits likewise; then")
    click.echo(f"  {there}capi-assets doctor && capi-assets preflight && dagster dev")


@main.command()
@_folder_option(DEMO_FOLDER)
@click.option("--hours", default=72, show_default=True, type=click.IntRange(4, 160))
@_shop_options(visits_per_day=12_000)
def demo(**options: Any) -> None:
    """Play three days of a sample shop with an outage in the middle, and its recovery."""
    _play(DEMO, **options)


@main.command()
@_folder_option(DEMO_FOLDER)
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def ui(folder: Path, port: int) -> None:
    """Open the demo in the Dagster UI, with daemon, sandbox and sample shop running."""
    from capi_assets.commands.demo.ui import run_ui
    from capi_assets.commands.demo.workspace import load_workspace

    workspace = click.get_current_context().find_root().obj or load_workspace(folder)
    if workspace is None:
        raise click.ClickException(
            f"There is no demo in {folder} yet: run `capi-assets demo` first."
        )
    raise SystemExit(run_ui(workspace, Console(), port=port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8026, show_default=True)
@click.option(
    "--token", "tokens", multiple=True, help="A token to accept (repeatable); default: any."
)
@click.option("--state", type=click.Path(path_type=Path), help="SQLite file for its state.")
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME",
    help="A host name under which it is called, besides localhost and IP addresses (repeatable).",
)  # fmt: skip
def sandbox(
    host: str, port: int, tokens: tuple[str, ...], state: Path | None, hosts: tuple[str, ...]
) -> None:
    """Run the Meta sandbox: a server that responds as the Conversions API does."""
    from capi_assets.sandbox.run import serve

    def ready(url: str) -> None:
        click.echo(
            f"The Meta sandbox listens at {url} (set CAPI_GRAPH_URL to it). Ctrl-C stops it."
        )

    options: Any = {"tokens": tokens or None, "state_path": state, "hosts": (host, *hosts)}
    try:
        serve(host, port, on_ready=ready, **options)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        text = f"Port {port} is in use by another program; choose another with --port."
        raise click.ClickException(text) from None


@main.command()
@click.option("--landing", type=click.Path(path_type=Path), required=True)
@click.option("--hours", default=72, show_default=True, help="Number of hours, up to now.")
@_shop_options(visits_per_day=12_000)
def shop(landing: Path, hours: int, visits_per_day: int, seed: int) -> None:
    """Write landing files with visits and orders of a sample shop, up to now."""
    from capi_assets.hours import HOUR, floor_hour
    from capi_assets.sandbox.shop.files import write_landing
    from capi_assets.sandbox.shop.shop import Shop

    now = datetime.now(UTC)
    start = floor_hour(now) - hours * HOUR
    written = write_landing(
        landing, start, floor_hour(now) + HOUR, Shop(seed, visits_per_day, opened=start), until=now
    )
    click.echo(
        f"{written.visits:,} visits and {written.orders:,} orders in {written.files:,} files"
        f" under {landing}"
    )


@main.command()
@_json_option
def doctor(for_programs: bool) -> None:
    """Show every setting with its value, its source and any problem.

    Tries what it can: connects to addresses, writes to the lake and reads back, opens the ledger,
    lists the landing folder, runs the SQL models. Sends nothing. Exits with 1 on an error.
    """
    raise SystemExit(1 if _show_findings(for_programs) else 0)


def _show_findings(for_programs: bool = False) -> bool:
    """Prints what the doctor finds; returns whether there is an error."""
    from capi_assets.commands.doctor import as_json, examine_here, examine_stage

    workspace = click.get_current_context().find_root().obj
    try:
        findings = examine_stage(workspace.environment()) if workspace else examine_here()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    is_wrong = any(finding.verdict == "error" for finding in findings)
    if for_programs:
        click.echo(json.dumps(as_json(findings), indent=2))
        return is_wrong
    table = Table()
    table.add_column("setting", no_wrap=True)
    for name in ("value", "source", "verdict"):
        table.add_column(name, overflow="fold")
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    for finding in findings:
        text = f"{finding.verdict}: {finding.text}" if finding.text else finding.verdict
        verdict = Text(text, colours[finding.verdict])
        table.add_row(finding.name, finding.value, finding.origin, verdict)
    Terminal().print(table)
    return is_wrong


@main.command()
@click.argument("target", metavar="HOUR|FILE")
@click.option(
    "--table", type=click.Choice(["visits", "orders"]),
    help="Of an hour: only this table. Of a file: what it has, if its path does not name it.",
)  # fmt: skip
@_json_option
@click.pass_context
def preview(context: click.Context, target: str, table: str | None, for_programs: bool) -> None:
    """Read and judge an hour or a file without storing or sending anything.

    Shows rows, refusals with their places, dropped fields, unknown columns and the first event.
    Exits with 1 if anything is refused.
    """
    from capi_assets.commands import preview as command
    from capi_assets.ingest.readers import UnreadableFile
    from capi_assets.ingest.sources import SourceError

    settings, path = _settings(), Path(target)
    try:
        if path.is_file():
            table = table or ("visits" if "visits" in path.parts else "orders")
            now = settings.now or datetime.now(UTC)
            seen = [command.preview_file(settings, path, table, now)]
        else:
            hours = _hours(context, context.command.params[0], target)
            tables = [table] if table else ["visits", "orders"]
            seen = command.preview_hours(settings, hours, tables)
    except click.BadParameter:
        text = f"{target} is no file, and no hour such as 2026-11-19-19:00"
        raise click.BadParameter(text) from None
    except (SourceError, UnreadableFile, OSError) as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps([command.as_json(each) for each in seen], indent=2))
    else:
        for each in seen:
            command.show(each, Terminal())
    raise SystemExit(0 if all(each.is_sound for each in seen) else 1)


@main.command()
@click.option(
    "--dataset", "datasets", multiple=True, metavar="ID", help="Only this dataset (repeatable)."
)
@_json_option
def preflight(datasets: tuple[str, ...], for_programs: bool) -> None:
    """Check that Meta would accept events now: token, permission, and when they expire.

    Sends each dataset one event of 30 days ago, which Meta must reject, so nothing is counted.
    Exits with 1 if anything would stop delivery.
    """
    from capi_assets.commands.preflight import as_json, as_table, run_preflight

    settings = _settings()
    try:
        statuses = run_preflight(settings, datasets, settings.now or datetime.now(UTC))
    except (LookupError, ValueError) as error:
        raise click.ClickException(str(error.args[0])) from None
    if for_programs:
        click.echo(json.dumps(as_json(statuses), indent=2))
    else:
        Terminal().print(as_table(statuses))
    raise SystemExit(1 if any(status.stops_delivery for status in statuses) else 0)


@main.command()
@_json_option
def gaps(for_programs: bool) -> None:
    """List all open gaps by incident: causes, value, deadline and ranges to materialize.

    Exits with 1 while there is a gap.
    """
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.coverage.alerting.alert_message import incident_document
    from capi_assets.coverage.gap_text import incidents_sentence
    from capi_assets.coverage.incidents import open_and_closed
    from capi_assets.coverage.missing_orders import missing_orders
    from capi_assets.coverage.stored_health import find_gaps
    from capi_assets.coverage.tables import (
        incidents_table,
        missing_orders_table,
        remedies_table,
    )
    from capi_assets.lake import Lake
    from capi_assets.policies import coverage_policy

    settings = _settings()
    now = settings.now or datetime.now(UTC)
    lake = Lake(settings.lake)
    if not lake.hours("attribution_health"):
        raise click.ClickException(
            f"No hour has been evaluated yet in {settings.lake} (CAPI_LAKE): materialize some hours"
            " first. Use --stage data/demo for the demo."
        )
    policy, console = coverage_policy(settings, now), Terminal()
    found, closed = open_and_closed(find_gaps(lake, policy, now).gaps, policy, now)
    if for_programs:
        documents = [
            incident_document(incident, incident in closed, settings.backfill_url)
            for incident in (*found, *closed)
        ]
        click.echo(json.dumps(documents, indent=2))
        raise SystemExit(1 if found else 0)
    console.print(incidents_sentence(found, now), highlight=False)
    if policy.delays.text:
        console.print(f"Hours are judged accordingly: {policy.delays.text}.", highlight=False)
    for title, listed in (("Incidents, most urgent first", found), ("Closed, not fixed", closed)):
        if listed:
            console.print(rich_table(incidents_table(listed, now), title=title))
    if found:
        gaps = [gap for incident in found for gap in incident.gaps]
        for cause, remedy, partitions in remedies_table(gaps, now).rows:
            console.print(f"{cause}: {remedy}", highlight=False)
            # Not wrapped: it is there to be copied.
            console.print(partitions, highlight=False, soft_wrap=True)
        orders = missing_orders(lake, gaps)
        if orders.command:
            title = "The first missing orders"
            console.print(rich_table(missing_orders_table(orders), title=title))
            console.print("All of them:", highlight=False)
            console.print(orders.command, highlight=False, soft_wrap=True)
    raise SystemExit(1 if found else 0)


@main.command()
@_range_argument
@_json_option
def plan(hours: list[datetime], for_programs: bool) -> None:
    """Show what materializing a range of hours would send, and what it cannot recover.

    RANGE, for all commands, is a range as in alerts and the UI, such as
    2026-11-19-19:00...2026-11-20-03:00, or an hour, a day, today, yesterday, or a time with its
    zone.
    """
    _show_plan(hours, for_programs)


def _show_plan(hours: list[datetime], for_programs: bool) -> None:
    from capi_assets.commands.plan import as_json, as_table, backfill_plan_for
    from capi_assets.coverage.formatting import count
    from capi_assets.lake import Lake
    from capi_assets.policies import delivery_policy, open_ledger

    settings = _settings()
    now = settings.now or datetime.now(UTC)
    with open_ledger(settings) as ledger:
        backfill = backfill_plan_for(
            Lake(settings.lake), ledger, hours, now, delivery_policy(settings)
        )
    if for_programs:
        click.echo(json.dumps(as_json(backfill), indent=2))
        return
    console = Terminal()
    console.print(as_table(backfill, now))
    summary = f"{count(backfill.requests, 'request')} to Meta."
    if backfill.claimed:
        verb = "is" if backfill.claimed == 1 else "are"
        summary += (
            f" {count(backfill.claimed, 'more event')} {verb} claimed by another run. If it was"
            " killed, the claim expires within two minutes, and the next run sends them."
        )
    if backfill.duplicates_if_resent:
        summary += (
            f" {count(backfill.duplicates_if_resent, 'event')} would be counted twice if the"
            " events on hold were sent."
        )
    console.print(summary)
    if backfill.ranges:
        # Not wrapped, so that it can be copied.
        text = f"To launch in the UI, as custom partitions: {backfill.ranges}"
        console.print(text, highlight=False, soft_wrap=True)
    if backfill.not_materialized:
        console.print(
            f"matched_events of {count(len(backfill.not_materialized), 'hour')} is not materialized"
            " yet, so it is not known what those hours would send."
        )


@main.command()
@click.argument("hours", metavar="[RANGE]", required=False, callback=_hours_or_none)
@click.option("--last", metavar="SPAN", help="Instead of RANGE, the hours up to now: 72h or 3d.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `capi-assets plan` does.")
@_json_option
def backfill(
    hours: list[datetime] | None, last: str | None, dry_run: bool, for_programs: bool
) -> None:
    """Materialize a range of hours, as the UI's backfill does, and show each hour's outcome.

    The run is stored in the instance of DAGSTER_HOME or of this folder's dagster.yaml, where the UI
    shows it. Events that Meta has are not sent again. Exits with 1 if an hour is not finished.
    """
    from capi_assets.commands import backfill as command
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.commands.written_hours import last_hours
    from capi_assets.coverage.formatting import count

    settings, now = _settings(), _now()
    if (hours is None) == (last is None):
        raise click.UsageError("Give either RANGE or --last, e.g. yesterday or --last 72h.")
    try:
        hours = hours or last_hours(last or "", now)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--last") from None
    partitions = command.partitions_among(hours, settings, now)
    if left := len(hours) - len(partitions):
        text = f"{count(left, 'hour')} before CAPI_START_DATE or in the future: left out."
        click.echo(text, err=True)
    if not partitions:
        raise click.ClickException("No hour of this range has a partition.")
    if dry_run:
        return _show_plan(partitions, for_programs)
    instance = command.instance_of(click.get_current_context().find_root().obj)
    stopped = "Interrupted. What was sent is in the ledger; the same command continues."
    with instance, _ending_cleanly(stopped):
        outcomes = command.backfill(
            settings, instance, partitions, lambda a, b: click.echo(f"{a}...{b} runs", err=True)
        )
    if for_programs:
        click.echo(json.dumps(command.as_json(outcomes), indent=2))
    else:
        Terminal().print(rich_table(command.as_table(outcomes)))
    is_finished = all(outcome.is_finished for outcome in outcomes)
    if not is_finished and not for_programs:
        click.echo("`capi-assets gaps` names the cause and what to do.")
    raise SystemExit(0 if is_finished else 1)


@main.command()
@_range_argument
@click.option(
    "--decision", type=click.Choice(["resend", "write-off", "retry"]), required=True,
    help="Unknown outcome: resend, at the risk of counting twice, or write off as lost. Rejected by"
    " Meta: retry.",
)  # fmt: skip
@click.option("--who", required=True, metavar="NAME", help="Your name, recorded in the ledger.")
@click.option("--why", required=True, metavar="TEXT", help='e.g. "not in Events Manager"')
@click.option(
    "--event-id", "event_ids", multiple=True, metavar="ID", help="Only this event (repeatable)."
)
@click.option("--reason", metavar="NAME", help="Only events with this reason.")
@click.option("--dataset", metavar="ID", help="Only events of this dataset.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def resolve(
    hours: list[datetime], decision: str, who: str, why: str, event_ids: tuple[str, ...],
    reason: str | None, dataset: str | None, yes: bool,
) -> None:  # fmt: skip
    """Resolve events whose outcome is unknown after 48 hours, or that Meta rejected.

    The decision is recorded and cannot be undone. Nothing is sent here.
    """
    from capi_assets.commands import resolve as command
    from capi_assets.coverage.formatting import count, format_amounts
    from capi_assets.delivery.ledger.decisions import Decision
    from capi_assets.lake import Lake
    from capi_assets.policies import delivery_policy, open_ledger

    settings, console = _settings(), Terminal()
    now = settings.now or datetime.now(UTC)
    try:
        decided = Decision(command.KINDS[decision], who, why)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    policy = delivery_policy(settings)
    with open_ledger(settings) as ledger:
        choice = command.select_events(
            Lake(settings.lake), ledger, hours, now, policy, decided.kind, event_ids,
            reason=reason, dataset_id=dataset,
        )  # fmt: skip
        is_retry = decided.kind == "retry"
        state = "rejected" if is_retry else "on hold"
        if choice.not_found:
            raise click.BadParameter(f"not {state} in these hours: {', '.join(choice.not_found)}")
        if choice.too_late:
            rest = "be retried" if is_retry else "only be written off"
            click.echo(
                f"{count(choice.too_late, 'event')} left out: too old for Meta,"
                f" {'cannot' if is_retry else 'can'} {rest}."
            )
        if choice.maybe_at_meta:
            click.echo(
                f"{count(choice.maybe_at_meta, 'event')} left out: Meta may have accepted an"
                " earlier attempt, whose outcome is unknown."
            )
        if not choice.events.num_rows:
            click.echo(f"No event to resolve is {state} in these hours.")
            return
        console.print(command.as_table(choice, decided.kind, now))
        worth = format_amounts(command.sums(choice))
        click.echo(
            f"{count(choice.events.num_rows, 'event')}{f' ({worth})' if worth else ''} would be "
            + _EFFECTS[decided.kind]
        )
        if not yes:
            click.confirm("Continue?", abort=True)
        changed = ledger.decide(choice.known, decided, now)
    click.echo(f"Resolved {count(changed, 'event')}.")
    if changed < choice.events.num_rows:
        click.echo("The others were sent or resolved in the meantime and are unchanged.")
    ranges = ", ".join(f"{a}...{b}" for a, b in choice.ranges)
    click.echo(f"Materialize delivery_results of {ranges} to apply the decision.")


_EFFECTS = {
    "resend": "resent; those that Meta already has are counted twice.",
    "write_off": "written off: never sent, recorded as lost.",
    "retry": "sent once more; Meta accepted none of them.",
}


@main.command()
@_range_argument
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
    show_default=True, help="HTML file to write.",
)  # fmt: skip
def report(hours: list[datetime], out: Path) -> None:
    """Write an HTML report on the outcome of a range of hours, for colleagues."""
    from capi_assets.commands.report.facts import gather
    from capi_assets.commands.report.page import page

    report = gather(_settings(), hours)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(report), encoding="utf-8")
    click.echo(f"Written: {out}")


@main.command()
@_range_argument
@_json_option
def reconcile(hours: list[datetime], for_programs: bool) -> None:
    """Show Meta's event counts compared with the ledger's. Stores nothing.

    Exits with 1 if there is a lasting, unexplained difference.
    """
    from capi_assets.commands import reconcile as command
    from capi_assets.lake import LakeError

    settings = _settings()
    try:
        result = command.compare(settings, hours, settings.now or datetime.now(UTC))
    except (LakeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps(command.as_json(result), indent=2))
    else:
        command.show(result, Terminal())
    raise SystemExit(1 if result.off else 0)


@main.group(cls=_Commands)
def ledger() -> None:
    """Maintain the ledger of what was sent."""


@ledger.command()
def rebuild() -> None:
    """Restore a lost or outdated ledger from all stored delivery_results. Sends nothing."""
    from capi_assets.coverage.formatting import count
    from capi_assets.delivery.ledger_from_lake import restore
    from capi_assets.lake import Lake
    from capi_assets.policies import open_ledger

    settings = _settings()
    lake = Lake(settings.lake)
    with open_ledger(settings) as opened:
        now = settings.now or datetime.now(UTC)
        restored = restore(lake, opened, lake.hours("delivery_results"), now)
    click.echo(f"Restored {count(restored, 'event')} in the ledger.")


@ledger.command()
@click.argument("source")
def copy(source: str) -> None:
    """Copy a ledger into the empty one of CAPI_LEDGER_URL, to move to another database.

    SOURCE is a SQLite file, or the name of an environment variable that holds the address of a
    database. Stop Dagster before, and set CAPI_LEDGER_URL to the new database.
    """
    from capi_assets.commands.ledger_copy import copy_ledger

    copied = copy_ledger(source, _settings(), datetime.now(UTC))
    click.echo("Copied " + ", ".join(f"{n:,} {table}" for table, n in copied.items()) + ".")


@main.command()
@_range_argument
@click.option("--table", type=click.Choice(["visits", "orders"]), required=True)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def forget(hours: list[datetime], table: str, yes: bool) -> None:
    """Delete the stored hours of RANGE from a table, with their quarantined rows.

    For rows that were removed at the source on purpose: an absent source alone removes nothing.
    Events that Meta already has stay delivered.
    """
    from capi_assets.coverage.formatting import count
    from capi_assets.coverage.links import partition_ranges_text
    from capi_assets.hours import key_ranges
    from capi_assets.lake import Lake

    lake = Lake(_settings().lake)
    if not yes:
        click.confirm(f"Delete up to {count(len(hours), 'hour')} of {table}?", abort=True)
    removed = lake.remove(table, hours)
    lake.remove(f"quarantined_{table}", hours)
    again = partition_ranges_text(f"{first}...{last}" for first, last in key_ranges(hours))
    click.echo(f"Deleted {count(len(removed), 'hour')} of {table}; now materialize {again}.")


@main.command()
@click.option("--email", "emails", multiple=True, metavar="TEXT", help="Raw or SHA-256.")
@click.option("--phone", "phones", multiple=True, metavar="TEXT", help="Raw or SHA-256.")
@click.option("--external-id", "external_ids", multiple=True, metavar="TEXT", help="Your id.")
@click.option("--order", "orders", multiple=True, metavar="ID", help="The person who ordered it.")
@click.option("--dry-run", is_flag=True, help="Only count what is stored.")
@click.option(
    "--wait", default=20.0, show_default=True, metavar="MINUTES",
    help="How long to wait for active runs, which may write the person back.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def erase(
    emails: tuple[str, ...], phones: tuple[str, ...], external_ids: tuple[str, ...],
    orders: tuple[str, ...], dry_run: bool, wait: float, yes: bool,
) -> None:  # fmt: skip
    """Erase one person from lake, quarantine, ledger and Dagster, and prove it by a search.

    With `-` as a value it is asked for, or read from standard input, one per line: an argument
    stays in the shell's history. Exits with 1 if anything is left, or runs are still active.
    """
    import duckdb

    from capi_assets.commands import erase as command
    from capi_assets.coverage.formatting import count
    from capi_assets.defs.dagster_erasure import open_instance
    from capi_assets.delivery.erasure.person import NobodyNamedError, named_by
    from capi_assets.delivery.ledger.ledger import LedgerError
    from capi_assets.ingest.tombstones import TombstoneError
    from capi_assets.lake import LakeError
    from capi_assets.policies import hash_policy

    settings, console = _settings(), Terminal()
    workspace = click.get_current_context().find_root().obj
    now = settings.now or datetime.now(UTC)
    given = {"email": emails, "phone": phones, "external_id": external_ids, "order_id": orders}
    values = {name: [_private(name, each) for each in listed] for name, listed in given.items()}
    if not any(values.values()):
        raise click.UsageError("Name the person: --email, --phone, --external-id or --order.")
    try:
        named = named_by(values, hash_policy(settings), now)
        erasure = command.Erasure.examine(settings, named)
        if erasure.person.shared:
            console.print(
                f"{count(erasure.person.shared, 'row')} that share an id with this person also name"
                " somebody else, and are left as they are: if it is the same person, name that too."
            )
        console.print(command.as_table(erasure))
        if dry_run:
            return
        if not yes:
            click.confirm("Erase it? This cannot be undone.", abort=True)
        instance = workspace.instance() if workspace else open_instance()
        found, active = erasure.carry_out(instance, now, timedelta(minutes=wait), click.echo)
    except NobodyNamedError as error:
        raise click.BadParameter(str(error)) from None
    except (LakeError, LedgerError, TombstoneError, duckdb.Error) as error:
        raise click.ClickException(str(error)) from None
    console.print(
        f"Searched {count(found.files, 'file')} and {count(found.tables, 'table')} of databases:"
        f" {'the person is still in' if found.found else 'nothing of the person is left.'}"
    )
    for place, times in found.found.items():
        console.print(f"  {place}: {times}", soft_wrap=True)
    if active:
        console.print(f"Still active, and may write the person back: {', '.join(active)}.")
    if found.found or active:
        console.print("Run the same command again once no run is active.")
    console.print("Not erased by this command:")
    for text in erasure.not_erased(instance):
        console.print(f"- {text}", soft_wrap=True)
    raise SystemExit(1 if found.found or active else 0)


def _private(name: str, value: str) -> str:
    """The value of an option; of `-` what is typed unseen, or the next line of standard input."""
    if value != "-":
        return value
    if _is_terminal():
        return str(click.prompt(name, hide_input=True))
    return sys.stdin.readline().strip()


@main.command()
def views() -> None:
    """Rebuild the DuckDB file with views over all tables, for `select * from orders`."""
    from capi_assets.commands.views import build_views
    from capi_assets.lake import Lake

    settings = _settings()
    names = build_views(Lake(settings.lake), Path(settings.views))
    listed = ", ".join(names) if names else "no tables yet; materialize some hours first"
    click.echo(f"{settings.views}: {listed}")


@main.command()
@click.argument("query")
@_json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def sql(query: str, for_programs: bool, as_csv: bool) -> None:
    """Run one SELECT statement over the stored tables, such as "SELECT * FROM orders LIMIT 5".

    The tables are those of `capi-assets views`; nothing can be changed.
    """
    from capi_assets.commands import sql as command
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.lake import Lake

    rows = command.query_lake(Lake(_settings().lake), query)
    if for_programs:
        click.echo(command.as_json(rows))
    elif as_csv:
        click.echo(command.as_csv(rows), nl=False)
    else:
        Terminal().print(rich_table(command.as_table(rows)))


@main.command()
@click.argument("order_id")
@click.option(
    "--hour", metavar="HOUR", help="e.g. 2026-11-19-19:00; default: the newest.",
    callback=_hour_or_none,
)  # fmt: skip
@click.option("--event-name", metavar="NAME", help="If several events have the order id.")
@_json_option
def explain(
    order_id: str, hour: datetime | None, event_name: str | None, for_programs: bool
) -> None:
    """Show the full history of one order: its row, visit, event and attempts, and what to do."""
    from capi_assets.commands.explain.as_json import as_json
    from capi_assets.commands.explain.facts import explain
    from capi_assets.commands.explain.find_order import UnknownOrderError
    from capi_assets.commands.explain.page import show
    from capi_assets.delivery.ledger.ledger import LedgerError
    from capi_assets.lake import LakeError

    try:
        history = explain(_settings(), order_id, hour=hour, event_name=event_name)
    except (UnknownOrderError, LakeError, LedgerError) as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps(as_json(history), indent=2))
    else:
        show(history, Terminal())


@main.command()
@click.option("--kind", required=True, type=click.Choice(list(DRILLS)), help="What breaks.")
@_folder_option(Path("data/drill"))
@click.option("--hours", default=12, show_default=True, type=click.IntRange(8, 160))
@_shop_options(visits_per_day=24_000)
def drill(kind: str, **options: Any) -> None:
    """Practise an outage on sample data: alert, plan, backfill, and how long each took.

    Exits with 0 if the outage was detected and the ledger agrees with the sandbox.
    """
    _play(DRILLS[kind], **options)


def _play(scenario: Scenario, folder: Path, **options: int) -> None:
    from capi_assets.commands.demo.play import play

    with _ending_cleanly(f"Stopped. Started again, it begins anew in {folder}."):
        try:
            passed = play(scenario, folder, Console(), **options)
        except FileExistsError as error:
            raise click.ClickException(str(error)) from None
    raise SystemExit(0 if passed else 1)


@contextmanager
def _ending_cleanly(text: str) -> Iterator[None]:
    """Ends the command with a text and status 130 on Ctrl-C, also where it surfaces as an error."""
    from capi_assets.commands.interrupts import interrupts

    with interrupts() as is_interrupted:
        try:
            yield
        except (KeyboardInterrupt, Exception) as error:
            if not (isinstance(error, KeyboardInterrupt) or is_interrupted()):
                raise
            click.echo(f"\n{text}", err=True)
            raise SystemExit(_INTERRUPTED) from None


_INTERRUPTED = 130  # as shells report it


def _now() -> datetime:
    return _settings().now or datetime.now(UTC)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _settings() -> Settings:
    workspace = click.get_current_context().find_root().obj
    try:
        settings = workspace.settings() if workspace else read_settings()
        if settings.visits_columns or settings.orders_columns:
            from capi_assets.policies import orders_columns, visits_columns

            visits_columns(settings), orders_columns(settings)
        return settings
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
