"""`capi-assets`: what a person does beside the Dagster UI. Options here, work in `commands/`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from capi_assets.commands.demo.drill_kinds import KINDS
from capi_assets.settings import Settings, SettingsError, read_settings

STAGE = Path("data/demo")
_WORST_EXIT = {"ok": 0, "warning": 0, "error": 1}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="capi_assets")
@click.option(
    "--stage", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Look at a demo or drill, such as data/demo, in place of what the settings name.",
)  # fmt: skip
def main(stage: Path | None) -> None:
    """Deliver conversions to Meta's Conversions API, and recover what an outage took."""
    if stage is None:
        return
    from capi_assets.commands.demo.workspace import load_stage

    staged = load_stage(stage)
    if staged is None:
        raise click.ClickException(f"There is no demo or drill in {stage}.")
    staged.activate()


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=STAGE, show_default=True)
@click.option("--hours", default=72, show_default=True, type=click.IntRange(4, 160))
@click.option("--seed", default=7, show_default=True, help="Another seed is another shop.")
@click.option("--visits-per-day", default=12_000, show_default=True)
def demo(folder: Path, hours: int, seed: int, visits_per_day: int) -> None:
    """Play three days of a sample shop with an outage in the middle, and recover it."""
    from capi_assets.commands.demo.demo import play

    try:
        ending = play(folder, Console(), hours=hours, seed=seed, visits_per_day=visits_per_day)
    except FileExistsError as error:
        raise click.ClickException(str(error)) from None
    raise SystemExit(0 if ending.reconciled else 1)


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=STAGE, show_default=True)
@click.option("--port", default=3000, show_default=True, help="Where Dagster's UI listens.")
def ui(folder: Path, port: int) -> None:
    """Open the demo's state in Dagster: sandbox, shop, webserver, daemon, schedules, sensor."""
    from capi_assets.commands.demo.ui import run_ui
    from capi_assets.commands.demo.workspace import load_stage

    stage = load_stage(folder)
    if stage is None:
        raise click.ClickException(f"There is no demo in {folder} yet: run `make demo` first.")
    raise SystemExit(run_ui(stage, Console(), port=port))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8026, show_default=True)
@click.option("--token", "tokens", multiple=True, help="A token to accept; default: any.")
@click.option("--state", type=click.Path(path_type=Path), help="SQLite file for its state.")
def sandbox(host: str, port: int, tokens: tuple[str, ...], state: Path | None) -> None:
    """Run the Meta sandbox: a server that responds as the Conversions API does."""
    from capi_assets.sandbox.run import serve

    def ready(url: str) -> None:
        click.echo(
            f"The Meta sandbox listens at {url} (set CAPI_GRAPH_URL to it). Ctrl-C stops it."
        )

    serve(host, port, tokens=tokens or None, state_path=state, on_ready=ready)


@main.command()
@click.option("--landing", type=click.Path(path_type=Path), required=True)
@click.option("--hours", default=72, show_default=True, help="How many, up to now.")
@click.option("--visits-per-day", default=12_000, show_default=True)
@click.option("--seed", default=7, show_default=True)
def shop(landing: Path, hours: int, visits_per_day: int, seed: int) -> None:
    """Land the visits and orders of a made-up shop, up to now."""
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
def doctor() -> None:
    """Show every setting with its value, its origin and what is wrong with it."""
    from capi_assets.commands.doctor import examine_here, worst

    try:
        findings = examine_here()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    table = Table()
    table.add_column("setting", no_wrap=True)
    for name in ("value", "origin", "verdict"):
        table.add_column(name, overflow="fold")
    colours = {"ok": "green", "warning": "yellow", "error": "red"}
    for finding in findings:
        words = f"{finding.verdict}: {finding.words}" if finding.words else finding.verdict
        verdict = f"[{colours[finding.verdict]}]{words}[/]"
        table.add_row(finding.name, finding.value, finding.origin, verdict)
    Console().print(table)
    raise SystemExit(_WORST_EXIT[worst(findings)])


@main.command()
@click.option("--dataset", "datasets", multiple=True, metavar="ID", help="Only this one.")
@click.option("--json", "for_programs", is_flag=True, help="Print JSON.")
def preflight(datasets: tuple[str, ...], for_programs: bool) -> None:
    """Ask Meta whether it would take events now: token, permission, how long both will last.

    Sends each dataset one event of 30 days ago, which Meta must refuse, so nothing is counted.
    Ends with status 1 if anything would stop delivery.
    """
    from capi_assets.commands.preflight import as_json, as_table, run_preflight

    settings = _settings()
    try:
        outlooks = run_preflight(settings, datasets, settings.now or datetime.now(UTC))
    except (LookupError, ValueError) as error:
        raise click.ClickException(str(error.args[0])) from None
    if for_programs:
        click.echo(json.dumps(as_json(outlooks), indent=2))
    else:
        Console().print(as_table(outlooks))
    raise SystemExit(1 if any(outlook.stops_delivery for outlook in outlooks) else 0)


@main.command()
def gaps() -> None:
    """List the gaps that can still matter: cause, cost, deadline and range to materialize."""
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.coverage.gap_text import gaps_sentence
    from capi_assets.coverage.stored_health import find_gaps
    from capi_assets.coverage.tables import gaps_table, remedies_table
    from capi_assets.lake import Lake
    from capi_assets.policies import coverage_policy

    settings = _settings()
    now = settings.now or datetime.now(UTC)
    lake = Lake(settings.lake)
    if not lake.hours("attribution_health"):
        raise click.ClickException(
            f"No hour is judged yet in {settings.lake} (CAPI_LAKE), so nothing can be said of gaps:"
            " materialize some hours first. The demo's are seen with --stage data/demo."
        )
    found, console = find_gaps(lake, coverage_policy(settings), now).gaps, Console()
    console.print(gaps_sentence(found, now), markup=False, highlight=False)
    if found:
        console.print(rich_table(gaps_table(found, now), title="Gaps, most urgent first"))
        for cause, remedy, partitions in remedies_table(found, now).rows:
            console.print(f"{cause}: {remedy}", markup=False, highlight=False)
            # Not wrapped: it is there to be copied.
            console.print(partitions, markup=False, highlight=False, soft_wrap=True)
    raise SystemExit(1 if found else 0)


@main.command()
@click.argument("hours_range", metavar="[RANGE]", required=False)
@click.option("--from", "first", metavar="HOUR", help="Such as 2026-11-19-19:00.")
@click.option("--to", "last", metavar="HOUR", help="The last hour, included.")
@click.option("--json", "for_programs", is_flag=True, help="Print JSON.")
def plan(hours_range: str | None, first: str | None, last: str | None, for_programs: bool) -> None:
    """Show what materializing a range of hours would send, and what it cannot save.

    RANGE is a range as alerts and the UI write it, such as
    2026-11-19-19:00...2026-11-20-03:00, or one hour; or give --from and --to.
    """
    from capi_assets.commands.plan import as_json, as_table, backfill_plan_for, range_ends
    from capi_assets.coverage.formatting import count
    from capi_assets.lake import Lake
    from capi_assets.policies import delivery_policy, open_ledger

    if (hours_range is None) == (first is None and last is None):
        raise click.UsageError("give either a RANGE, or --from and --to")
    if hours_range is not None:
        first, last = range_ends(hours_range)
    if first is None or last is None:
        raise click.UsageError("--from and --to belong together")
    settings = _settings()
    hours = _hours(first, last)
    now = settings.now or datetime.now(UTC)
    policy = delivery_policy(settings)
    with open_ledger(settings) as ledger:
        outlook = backfill_plan_for(Lake(settings.lake), ledger, hours, now, policy)
    if for_programs:
        click.echo(json.dumps(as_json(outlook), indent=2))
        return
    console = Console()
    console.print(as_table(outlook, now))
    told = f"{count(outlook.requests, 'request')} to Meta."
    if outlook.claimed:
        told += (
            f" {count(outlook.claimed, 'event')} more: another run has claimed them just now. If it"
            " was killed, its claim lapses within two minutes, and the next run takes them."
        )
    if outlook.duplicates_if_resent:
        told += (
            f" {count(outlook.duplicates_if_resent, 'event')} would be counted twice if what"
            " is on hold were sent."
        )
    console.print(told)
    if outlook.ranges:
        # Not wrapped and without markup: it is there to be copied, brackets and all.
        console.print(
            "To launch in the UI, as custom partitions:",
            outlook.ranges,
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if outlook.not_materialized:
        console.print(
            f"matched_events of {count(len(outlook.not_materialized), 'hour')} does not exist yet;"
            " materialize to know what would be sent."
        )


@main.command()
@click.option("--from", "first", required=True, metavar="HOUR", help="Such as 2026-11-19-19:00.")
@click.option("--to", "last", required=True, metavar="HOUR", help="The last hour, included.")
@click.option(
    "--decision",
    type=click.Choice(["resend", "write-off"]),
    required=True,
    help="Send them once more, at the risk of counting twice; or give them up as lost.",
)
@click.option("--who", required=True, metavar="NAME", help="Who decides; kept in the ledger.")
@click.option("--why", required=True, metavar="TEXT", help="Such as: not in Events Manager.")
@click.option("--event-id", "event_ids", multiple=True, metavar="ID", help="Only these events.")
@click.option("--yes", is_flag=True, help="Decide without asking.")
def resolve(
    first: str,
    last: str,
    decision: str,
    who: str,
    why: str,
    event_ids: tuple[str, ...],
    yes: bool,
) -> None:
    """Resolve events whose outcome is still unknown after 48 hours. This cannot be undone."""
    from capi_assets.commands import resolve as work
    from capi_assets.coverage.formatting import count, format_amounts
    from capi_assets.delivery.ledger.decisions import Decision
    from capi_assets.lake import Lake
    from capi_assets.policies import delivery_policy, open_ledger

    settings, hours, console = _settings(), _hours(first, last), Console()
    now = settings.now or datetime.now(UTC)
    try:
        decided = Decision("resend" if decision == "resend" else "write_off", who, why)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    policy = delivery_policy(settings)
    with open_ledger(settings) as ledger:
        choice = work.held_events(
            Lake(settings.lake), ledger, hours, now, policy, decided.kind, event_ids
        )
        if choice.not_held:
            raise click.BadParameter(f"not held in these hours: {', '.join(choice.not_held)}")
        if choice.too_late:
            click.echo(
                f"{count(choice.too_late, 'event')} left out: Meta no longer accepts them, so they"
                " can only be written off."
            )
        if not choice.events.num_rows:
            click.echo("Nothing to resolve in these hours.")
            return
        console.print(work.as_table(choice, now))
        worth = format_amounts(work.sums(choice))
        click.echo(
            f"{count(choice.events.num_rows, 'event')}{f' ({worth})' if worth else ''} would be "
            + _OF_DECISION[decided.kind]
        )
        if not yes:
            click.confirm("Record this decision?", abort=True)
        changed = work.decide(ledger, choice, decided, now)
    click.echo(f"Resolved {count(changed, 'event')}.")
    if changed < choice.events.num_rows:
        click.echo("The others were sent or resolved in the meantime and are unchanged.")
    ranges = ", ".join(f"{a}...{b}" for a, b in choice.ranges)
    click.echo(f"Materialize delivery_results for {ranges} to apply it.")


_OF_DECISION = {
    "resend": "sent again; Meta counts those twice that it has accepted before.",
    "write_off": "written off: never sent, and recorded as lost.",
}


@main.command()
@click.option("--from", "first", required=True, metavar="HOUR", help="Such as 2026-11-19-19:00.")
@click.option("--to", "last", required=True, metavar="HOUR", help="The last hour, included.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
    show_default=True, help="The page to write.",
)  # fmt: skip
@click.option("--numbers", is_flag=True, help="Write its numbers beside it, as CSV and Parquet.")
def report(first: str, last: str, out: Path, numbers: bool) -> None:
    """Write what became of a range of hours as one HTML page, for colleagues."""
    from capi_assets.commands.report.export import write_numbers
    from capi_assets.commands.report.facts import from_settings
    from capi_assets.commands.report.page import page

    told = from_settings(_settings(), _hours(first, last))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(told), encoding="utf-8")
    written = [out, *(write_numbers(told, out) if numbers else [])]
    click.echo(f"Written: {', '.join(str(path) for path in written)}")


@main.command()
@click.option("--from", "first", required=True, metavar="HOUR", help="Such as 2026-11-19-19:00.")
@click.option("--to", "last", required=True, metavar="HOUR", help="The last hour, included.")
@click.option("--json", "for_programs", is_flag=True, help="Print JSON.")
def reconcile(first: str, last: str, for_programs: bool) -> None:
    """Ask Meta how many events it counts, and show them beside our ledger's. Stores nothing.

    Ends with status 1 if Meta's counts differ for long by more than is known to explain it.
    """
    from capi_assets.commands import reconcile as work
    from capi_assets.lake import LakeError

    settings, hours = _settings(), _hours(first, last)
    try:
        told = work.compare(settings, hours, settings.now or datetime.now(UTC))
    except (LakeError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps(work.as_json(told), indent=2))
    else:
        work.show(told, Console())
    raise SystemExit(1 if told.off else 0)


@main.command()
def views() -> None:
    """Rebuild the DuckDB file of views over the lake, for `select * from orders`."""
    from capi_assets.commands.views import build_views
    from capi_assets.lake import Lake

    settings = _settings()
    names = build_views(Lake(settings.lake), Path(settings.views))
    listed = ", ".join(names) if names else "no tables yet; materialize some hours first"
    click.echo(f"{settings.views}: {listed}")


@main.command()
@click.argument("order_id")
@click.option("--hour", metavar="HOUR", help="Such as 2026-11-19-19:00; default: the newest.")
@click.option("--event-name", metavar="NAME", help="If the id stands for several events.")
@click.option(
    "--hash",
    "typed",
    nargs=2,
    metavar="KEY VALUE",
    help="Say which spelling of VALUE makes the digest that was sent as KEY (em, ph ...). With -"
    " as VALUE it is asked for, and stays out of your shell's history.",
)
@click.option("--country", metavar="CC", help="Country of VALUE, such as DE.")
@click.option("--json", "for_programs", is_flag=True, help="Print JSON.")
def explain(
    order_id: str,
    hour: str | None,
    event_name: str | None,
    typed: tuple[str, str] | None,
    country: str | None,
    for_programs: bool,
) -> None:
    """Tell an order's whole life: what came in, its visit, its event, every attempt, what to do."""
    from capi_assets.commands.explain.run import explain_here

    at = _hours(hour, hour)[0] if hour else None
    explain_here(_settings(), order_id, at, event_name, typed, country, for_programs=for_programs)


@main.command()
@click.option("--kind", required=True, type=click.Choice(list(KINDS)), help="What breaks.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path("data/drill"), show_default=True
)
@click.option("--hours", default=12, show_default=True, type=click.IntRange(8, 160))
@click.option("--seed", default=7, show_default=True, help="Another seed is another shop.")
@click.option("--visits-per-day", default=24_000, show_default=True)
def drill(kind: str, folder: Path, hours: int, seed: int, visits_per_day: int) -> None:
    """Rehearse an outage on sample data: alert, plan, backfill, and how long each took.

    Ends with status 0 if the outage was detected and the books agree with Meta's.
    """
    from capi_assets.commands.demo.drill import run_drill

    try:
        ending = run_drill(
            kind, folder, Console(), hours=hours, seed=seed, visits_per_day=visits_per_day
        )
    except FileExistsError as error:
        raise click.ClickException(str(error)) from None
    raise SystemExit(0 if ending.passed else 1)


def _hours(first: str, last: str) -> list[datetime]:
    from capi_assets.hours import HOUR, hours_between, key_hour

    try:
        hours = hours_between(key_hour(first), key_hour(last) + HOUR)
    except ValueError:
        raise click.BadParameter("hours look like 2026-11-19-19:00") from None
    if not hours:
        raise click.BadParameter("--to lies before --from")
    return hours


def _settings() -> Settings:
    try:
        return read_settings()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
