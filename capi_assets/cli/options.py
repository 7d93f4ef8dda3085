"""What several commands share: options, the group, the settings in effect.

Modules are imported inside the commands, so that `--help` does not load Dagster.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click

from capi_assets.settings import Settings, read_settings

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


json_option = click.option("--json", "for_programs", is_flag=True, help="Print JSON.")


def hours_of(context: click.Context, parameter: click.Parameter, text: str) -> list[datetime]:
    """The hours of a range as people, alerts and the UI write it."""
    from capi_assets.commands.written_hours import written_hours

    try:
        return written_hours(text, current_time())
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def hours_or_none(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[datetime] | None:
    return None if text is None else hours_of(context, parameter, text)


def hour_or_none(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> datetime | None:
    hours = hours_or_none(context, parameter, text)
    if hours is not None and len(hours) > 1:
        raise click.BadParameter("write one hour")
    return hours[0] if hours else None


range_argument = click.argument("hours", metavar="RANGE", callback=hours_of)


def folder_option(default: Path) -> Decorator:
    folder = click.Path(path_type=Path)
    return click.option("--folder", "--stage", type=folder, default=default, show_default=True)


def shop_options(visits_per_day: int) -> Decorator:
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


stage_option = click.option(
    "--stage", type=click.Path(path_type=Path), metavar="FOLDER", expose_value=False,
    is_eager=True, callback=_use_stage,  # before the arguments, whose hours depend on the clock
    help="Use the data of a demo or drill (e.g. data/demo) instead of the configured paths.",
)  # fmt: skip


class Commands(click.Group):
    """Commands that accept `--stage` after their name, too, and say what a person can mend."""

    def add_command(self, command: click.Command, name: str | None = None) -> None:
        if command.name not in WITHOUT_STAGE and not isinstance(command, click.Group):
            stage_option(command)
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


WITHOUT_STAGE = frozenset(("init", "sandbox", "shop", "demo", "ui", "drill"))
"""They have no stage, or name it themselves."""


@contextmanager
def ending_cleanly(text: str) -> Iterator[None]:
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


def current_time() -> datetime:
    return current_settings().now or datetime.now(UTC)


def is_terminal() -> bool:
    return sys.stdin.isatty()


def current_workspace() -> Any:
    """The demo or drill of `--stage`; None without it."""
    return click.get_current_context().find_root().obj


def current_settings() -> Settings:
    """The settings of the stage or of this folder, read once per command.

    Raises:
        SettingsError: they cannot be read, or a column map that they name cannot.
    """
    known = click.get_current_context().find_root().meta
    if _READ not in known:
        workspace = current_workspace()
        settings = workspace.settings() if workspace else read_settings()
        if settings.visits_columns or settings.orders_columns:
            from capi_assets.policies import orders_columns, visits_columns

            visits_columns(settings), orders_columns(settings)
        known[_READ] = settings
    return cast(Settings, known[_READ])


_READ = "capi_assets.settings"
