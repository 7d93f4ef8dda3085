"""`ledger`, `forget`, `erase`: care for what is stored."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import click

from capi_assets.cli.options import (
    Commands,
    current_settings,
    current_workspace,
    is_terminal,
    range_argument,
)
from capi_assets.commands.terminal import Terminal


@click.group(cls=Commands)
def ledger() -> None:
    """Maintain the ledger of what was sent."""


@ledger.command()
def rebuild() -> None:
    """Restore a lost or outdated ledger from all stored delivery_results. Sends nothing."""
    from capi_assets.coverage.formatting import count
    from capi_assets.delivery.ledger_from_lake import restore
    from capi_assets.lake import Lake
    from capi_assets.policies import open_ledger

    settings = current_settings()
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

    copied = copy_ledger(source, current_settings(), datetime.now(UTC))
    click.echo("Copied " + ", ".join(f"{n:,} {table}" for table, n in copied.items()) + ".")


@click.command()
@range_argument
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

    lake = Lake(current_settings().lake)
    if not yes:
        click.confirm(f"Delete up to {count(len(hours), 'hour')} of {table}?", abort=True)
    removed = lake.remove(table, hours)
    lake.remove(f"quarantined_{table}", hours)
    again = partition_ranges_text(f"{first}...{last}" for first, last in key_ranges(hours))
    click.echo(f"Deleted {count(len(removed), 'hour')} of {table}; now materialize {again}.")


@click.command()
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
    from capi_assets.policies import hash_policy

    settings, console = current_settings(), Terminal()
    workspace = current_workspace()
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
    except duckdb.Error as error:
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
    if is_terminal():
        return str(click.prompt(name, hide_input=True))
    return sys.stdin.readline().strip()
