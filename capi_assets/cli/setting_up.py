"""`init`, `doctor`, `preflight`: what a person does before the first delivery."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from capi_assets.cli.options import current_settings, current_workspace, is_terminal, json_option
from capi_assets.commands.init.first_settings import OPTIONS, QUESTIONS, description
from capi_assets.commands.terminal import Terminal
from capi_assets.settings import Settings, as_variable_text


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


@click.command()
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

    if is_terminal() and not no_questions:
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


@click.command()
@json_option
def doctor(for_programs: bool) -> None:
    """Show every setting with its value, its source and any problem.

    Tries what it can: connects to addresses, writes to the lake and reads back, opens the ledger,
    lists the landing folder, runs the SQL models. Sends nothing. Exits with 1 on an error.
    """
    raise SystemExit(1 if _show_findings(for_programs) else 0)


def _show_findings(for_programs: bool = False) -> bool:
    """Prints what the doctor finds; returns whether there is an error."""
    from capi_assets.commands.doctor import as_json, examine_here, examine_stage

    workspace = current_workspace()
    findings = examine_stage(workspace.environment()) if workspace else examine_here()
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


@click.command()
@click.option(
    "--dataset", "datasets", multiple=True, metavar="ID", help="Only this dataset (repeatable)."
)
@json_option
def preflight(datasets: tuple[str, ...], for_programs: bool) -> None:
    """Check that Meta would accept events now: token, permission, and when they expire.

    Sends each dataset one event of 30 days ago, which Meta must reject, so nothing is counted.
    Exits with 1 if anything would stop delivery.
    """
    from capi_assets.commands.preflight import as_json, as_table, run_preflight

    settings = current_settings()
    try:
        statuses = run_preflight(settings, datasets, settings.now or datetime.now(UTC))
    except (LookupError, ValueError) as error:
        raise click.ClickException(str(error.args[0])) from None
    if for_programs:
        click.echo(json.dumps(as_json(statuses), indent=2))
    else:
        Terminal().print(as_table(statuses))
    raise SystemExit(1 if any(status.stops_delivery for status in statuses) else 0)
