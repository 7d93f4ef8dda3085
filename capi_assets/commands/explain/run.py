"""`explain` with what the command line was given, printed."""

from __future__ import annotations

import json
from datetime import datetime

import click

from capi_assets.commands.explain.as_json import as_json
from capi_assets.commands.explain.facts import explain
from capi_assets.commands.explain.find_order import UnknownOrderError
from capi_assets.commands.explain.page import show
from capi_assets.commands.explain.spellings import check_spelling, key_named
from capi_assets.commands.terminal import Terminal
from capi_assets.delivery.ledger.ledger import LedgerError
from capi_assets.lake import LakeError
from capi_assets.meta.match_keys.countries import region_of
from capi_assets.policies import hash_policy
from capi_assets.settings import Settings


def explain_here(
    settings: Settings,
    order_id: str,
    hour: datetime | None,
    event_name: str | None,
    typed: tuple[str, str] | None,
    country: str | None,
    *,
    for_programs: bool,
) -> None:
    """Prints the order's page, or its JSON; `typed` is a match key and a value to compare.

    Raises:
        ClickException: the order is unknown, the key or country is none, or lake or ledger
            cannot be read; the message says what to do.
    """
    key, value = typed or ("", "")
    try:
        if typed and country and region_of(country) is None:
            raise ValueError(f"{country!r} is no country of ISO 3166-1, such as DE")
        key = key_named(key) if typed else key
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    try:
        history = explain(settings, order_id, hour=hour, event_name=event_name)
    except (UnknownOrderError, LakeError, LedgerError) as error:
        raise click.ClickException(str(error)) from None
    check = None
    if typed:
        if value == "-":
            value = click.prompt(key, hide_input=True, err=True)
        check = check_spelling(key, value, country, hash_policy(settings), history.digests)
    if for_programs:
        click.echo(json.dumps(as_json(history, check), indent=2))
    else:
        show(history, Terminal(), check)
