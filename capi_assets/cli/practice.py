"""`demo`, `ui`, `drill`, `sandbox`, `shop`: a sample shop and a stand-in for Meta."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from capi_assets.cli.options import current_workspace, ending_cleanly, folder_option, shop_options
from capi_assets.commands.demo.scenarios import DEMO, DRILLS, Scenario

DEMO_FOLDER = Path("data/demo")


@click.command()
@folder_option(DEMO_FOLDER)
@click.option("--hours", default=72, show_default=True, type=click.IntRange(4, 160))
@shop_options(visits_per_day=12_000)
def demo(**options: Any) -> None:
    """Play three days of a sample shop with an outage in the middle, and its recovery."""
    _play(DEMO, **options)


@click.command()
@folder_option(DEMO_FOLDER)
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI.")
def ui(folder: Path, port: int) -> None:
    """Open the demo in the Dagster UI, with daemon, sandbox and sample shop running."""
    from capi_assets.commands.demo.ui import run_ui
    from capi_assets.commands.demo.workspace import load_workspace

    workspace = current_workspace() or load_workspace(folder)
    if workspace is None:
        raise click.ClickException(
            f"There is no demo in {folder} yet: run `capi-assets demo` first."
        )
    raise SystemExit(run_ui(workspace, Console(), port=port))


@click.command()
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


@click.command()
@click.option("--landing", type=click.Path(path_type=Path), required=True)
@click.option("--hours", default=72, show_default=True, help="Number of hours, up to now.")
@shop_options(visits_per_day=12_000)
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


@click.command()
@click.option("--kind", required=True, type=click.Choice(list(DRILLS)), help="What breaks.")
@folder_option(Path("data/drill"))
@click.option("--hours", default=12, show_default=True, type=click.IntRange(8, 160))
@shop_options(visits_per_day=24_000)
def drill(kind: str, **options: Any) -> None:
    """Practise an outage on sample data: alert, plan, backfill, and how long each took.

    Exits with 0 if the outage was detected and the ledger agrees with the sandbox.
    """
    _play(DRILLS[kind], **options)


def _play(scenario: Scenario, folder: Path, **options: int) -> None:
    from capi_assets.commands.demo.play import play

    with ending_cleanly(f"Stopped. Started again, it begins anew in {folder}."):
        try:
            passed = play(scenario, folder, Console(), **options)
        except FileExistsError as error:
            raise click.ClickException(str(error)) from None
    raise SystemExit(0 if passed else 1)
