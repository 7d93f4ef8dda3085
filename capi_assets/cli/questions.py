"""`preview`, `explain`, `report`, `reconcile`, `sql`, `views`: questions to the data; only `report`
and `views` write a file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from capi_assets.cli.options import (
    current_settings,
    hour_or_none,
    hours_of,
    json_option,
    range_argument,
)
from capi_assets.commands.terminal import Terminal


@click.command()
@click.argument("target", metavar="HOUR|FILE")
@click.option(
    "--table", type=click.Choice(["visits", "orders"]),
    help="Of an hour: only this table. Of a file: what it has, if its path does not name it.",
)  # fmt: skip
@json_option
@click.pass_context
def preview(context: click.Context, target: str, table: str | None, for_programs: bool) -> None:
    """Read and judge an hour or a file without storing or sending anything.

    Shows rows, refusals with their places, dropped fields, unknown columns and the first event.
    Exits with 1 if anything is refused.
    """
    from capi_assets.commands import preview as command

    settings, path = current_settings(), Path(target)
    try:
        if path.is_file():
            table = table or ("visits" if "visits" in path.parts else "orders")
            now = settings.now or datetime.now(UTC)
            seen = [command.preview_file(settings, path, table, now)]
        else:
            hours = hours_of(context, context.command.params[0], target)
            tables = [table] if table else ["visits", "orders"]
            seen = command.preview_hours(settings, hours, tables)
    except click.BadParameter:
        text = f"{target} is no file, and no hour such as 2026-11-19-19:00"
        raise click.BadParameter(text) from None
    except OSError as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps([command.as_json(each) for each in seen], indent=2))
    else:
        for each in seen:
            command.show(each, Terminal())
    raise SystemExit(0 if all(each.is_sound for each in seen) else 1)


@click.command()
@click.argument("order_id")
@click.option(
    "--hour", metavar="HOUR", help="e.g. 2026-11-19-19:00; default: the newest.",
    callback=hour_or_none,
)  # fmt: skip
@click.option("--event-name", metavar="NAME", help="If several events have the order id.")
@json_option
def explain(
    order_id: str, hour: datetime | None, event_name: str | None, for_programs: bool
) -> None:
    """Show the full history of one order: its row, visit, event and attempts, and what to do."""
    from capi_assets.commands.explain.as_json import as_json
    from capi_assets.commands.explain.facts import explain
    from capi_assets.commands.explain.page import show

    history = explain(current_settings(), order_id, hour=hour, event_name=event_name)
    if for_programs:
        click.echo(json.dumps(as_json(history), indent=2))
    else:
        show(history, Terminal())


@click.command()
@range_argument
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
    show_default=True, help="HTML file to write.",
)  # fmt: skip
def report(hours: list[datetime], out: Path) -> None:
    """Write an HTML report on the outcome of a range of hours, for colleagues."""
    from capi_assets.commands.report.facts import gather
    from capi_assets.commands.report.page import page

    report = gather(current_settings(), hours)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(report), encoding="utf-8")
    click.echo(f"Written: {out}")


@click.command()
@range_argument
@json_option
def reconcile(hours: list[datetime], for_programs: bool) -> None:
    """Show Meta's event counts compared with the ledger's. Stores nothing.

    Exits with 1 if there is a lasting, unexplained difference.
    """
    from capi_assets.commands import reconcile as command

    settings = current_settings()
    try:
        result = command.compare(settings, hours, settings.now or datetime.now(UTC))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if for_programs:
        click.echo(json.dumps(command.as_json(result), indent=2))
    else:
        command.show(result, Terminal())
    raise SystemExit(1 if result.off else 0)


@click.command()
@click.argument("query")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def sql(query: str, for_programs: bool, as_csv: bool) -> None:
    """Run one SELECT statement over the stored tables, such as "SELECT * FROM orders LIMIT 5".

    The tables are those of `capi-assets views`; nothing can be changed.
    """
    from capi_assets.commands import sql as command
    from capi_assets.commands.rich_table import rich_table
    from capi_assets.lake import Lake

    rows = command.query_lake(Lake(current_settings().lake), query)
    if for_programs:
        click.echo(command.as_json(rows))
    elif as_csv:
        click.echo(command.as_csv(rows), nl=False)
    else:
        Terminal().print(rich_table(command.as_table(rows)))


@click.command()
def views() -> None:
    """Rebuild the DuckDB file with views over all tables, for `select * from orders`."""
    from capi_assets.commands.views import build_views
    from capi_assets.lake import Lake

    settings = current_settings()
    names = build_views(Lake(settings.lake), Path(settings.views))
    listed = ", ".join(names) if names else "no tables yet; materialize some hours first"
    click.echo(f"{settings.views}: {listed}")
