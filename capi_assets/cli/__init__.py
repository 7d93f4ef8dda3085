"""The command line `capi-assets`: arguments and options; the work is done in `commands/`."""

from __future__ import annotations

import click

from capi_assets.cli import practice, questions, recovery, setting_up, stored_data
from capi_assets.cli.options import Commands, stage_option
from capi_assets.processes import protect_process
from capi_assets.settings import Settings, SettingsError, read_settings


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="capi_assets")
@stage_option
def main() -> None:
    """Deliver conversions to Meta's Conversions API, and recover from outages."""
    try:
        protect_process(read_settings().umask)
    except SettingsError:  # the command reports it
        protect_process(Settings.model_fields["umask"].default)


for _command in (
    *(setting_up.init, setting_up.doctor, setting_up.preflight),
    *(recovery.gaps, recovery.plan, recovery.backfill, recovery.resolve),
    *(questions.preview, questions.explain, questions.report, questions.reconcile),
    *(questions.sql, questions.views),
    *(stored_data.ledger, stored_data.forget, stored_data.erase),
    *(practice.demo, practice.ui, practice.drill, practice.sandbox, practice.shop),
):
    main.add_command(_command)
