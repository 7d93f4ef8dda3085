"""`explain` with the lake, ledger, rules and clock of the settings, printed."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click
from rich.console import Console

from capi_assets.commands.explain.as_json import as_json
from capi_assets.commands.explain.facts import MatchingRules, OrderHistory, explain
from capi_assets.commands.explain.find_order import UnknownOrderError
from capi_assets.commands.explain.page import show
from capi_assets.commands.explain.spellings import SpellingCheck, check_spelling, key_named
from capi_assets.defs.resources import LedgerResource, resources_from
from capi_assets.delivery.ledger.ledger import LedgerError
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.lake import Lake, LakeError
from capi_assets.meta.match_keys.countries import region_of
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
    key = _checked(typed[0], country) if typed else None
    try:
        story = _story(settings, order_id, hour, event_name)
    except (UnknownOrderError, LakeError, LedgerError) as error:
        raise click.ClickException(str(error)) from None
    inquiry = _inquiry(settings, story, key, typed[1], country) if key and typed else None
    if for_programs:
        click.echo(json.dumps(as_json(story, inquiry), indent=2))
    else:
        show(story, Console(), inquiry)


def _story(
    settings: Settings, order_id: str, hour: datetime | None, event_name: str | None
) -> OrderHistory:
    given = resources_from(settings)["rules"]
    rules = MatchingRules(given.lookback, given.consent_required, given.delivery())
    now = settings.now or datetime.now(UTC)
    with LedgerResource(url=settings.ledger_url.get_secret_value()).open() as ledger:
        return explain(
            Lake(settings.lake), ledger, order_id, now, rules, hour=hour, event_name=event_name
        )


def _checked(name: str, country: str | None) -> str:
    if country and region_of(country) is None:
        raise click.BadParameter(f"{country!r} is no country of ISO 3166-1, such as DE")
    try:
        return key_named(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _inquiry(
    settings: Settings, story: OrderHistory, key: str, value: str, country: str | None
) -> SpellingCheck:
    if value == "-":
        value = click.prompt(key, hide_input=True, err=True)
    policy = HashPolicy(
        settings.default_country,
        settings.date_format,
        settings.hash_external_id,
        settings.external_id_form,
    )
    return check_spelling(key, value, country, policy, story.digests)
