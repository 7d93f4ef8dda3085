"""`gaps`, `plan`, `backfill`, `resolve`: what is missing, and its recovery."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from capi_assets.cli.options import (
    current_settings,
    current_time,
    current_workspace,
    ending_cleanly,
    hours_or_none,
    json_option,
    range_argument,
)
from capi_assets.commands.terminal import Terminal


@click.command()
@json_option
def gaps(for_programs: bool) -> None:
    """List all open gaps by incident: causes, value, deadline and ranges to materialize.

    Exits with 1 while there is a gap.
    """
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.coverage.alerting.alert_message import incident_document
    from capi_assets.coverage.gap_text import incidents_sentence
    from capi_assets.coverage.incidents import open_and_closed
    from capi_assets.coverage.links import backfill_link
    from capi_assets.coverage.missing_orders import missing_orders
    from capi_assets.coverage.stored_health import find_gaps
    from capi_assets.coverage.tables import (
        incidents_table,
        missing_orders_table,
        remedies_table,
    )
    from capi_assets.lake import Lake
    from capi_assets.policies import coverage_policy

    settings = current_settings()
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
        savable = [gap.partition_range for gap in gaps if gap.savable and not gap.as_stored]
        if link := backfill_link(settings.backfill_url, savable):
            console.print(f"In the UI: {link}", highlight=False, soft_wrap=True)
        orders = missing_orders(lake, gaps)
        if orders.command:
            title = "The first missing orders"
            console.print(rich_table(missing_orders_table(orders), title=title))
            console.print("All of them:", highlight=False)
            console.print(orders.command, highlight=False, soft_wrap=True)
    raise SystemExit(1 if found else 0)


@click.command()
@range_argument
@json_option
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

    settings = current_settings()
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


@click.command()
@click.argument("hours", metavar="[RANGE]", required=False, callback=hours_or_none)
@click.option("--last", metavar="SPAN", help="Instead of RANGE, the hours up to now: 72h or 3d.")
@click.option("--dry-run", is_flag=True, help="Only show the plan, as `capi-assets plan` does.")
@click.option(
    "--from-start", is_flag=True,
    help="Repeat also the runs that an earlier backfill of the same hours finished.",
)  # fmt: skip
@json_option
def backfill(
    hours: list[datetime] | None,
    last: str | None,
    dry_run: bool,
    from_start: bool,
    for_programs: bool,
) -> None:
    """Materialize a range of hours, as the UI's backfill does, and show each hour's outcome.

    The run is stored in the instance of DAGSTER_HOME or of this folder's dagster.yaml, where the UI
    shows it; more than a week of hours are several runs (CAPI_HOURS_PER_RUN). After a kill or
    Ctrl-C the same command continues at the first run that is not finished. Events that Meta has
    are not sent again. Exits with 1 if an hour is not finished.
    """
    from capi_assets.commands import backfill as command
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.commands.written_hours import last_hours
    from capi_assets.coverage.formatting import count

    settings, now = current_settings(), current_time()
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
    instance = command.instance_of(current_workspace())
    stopped = "Interrupted. What was sent is in the ledger; the same command continues."
    with instance, ending_cleanly(stopped):
        outcomes = command.backfill(
            settings, instance, partitions, lambda text: click.echo(text, err=True),
            from_start=from_start,
        )  # fmt: skip
    if for_programs:
        click.echo(json.dumps(command.as_json(outcomes), indent=2))
    else:
        Terminal().print(rich_table(command.as_table(outcomes)))
    is_finished = all(outcome.is_finished for outcome in outcomes)
    if not is_finished and not for_programs:
        click.echo("`capi-assets gaps` names the cause and what to do.")
    raise SystemExit(0 if is_finished else 1)


@click.command()
@range_argument
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

    settings, console = current_settings(), Terminal()
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
