"""What the settings mean to each part of the package: policies, datasets, sources, ledger, alerts.

Assets, sensors and commands all call these functions, so that they decide alike. Nothing here
knows Dagster. Each function reads what it needs (token files, the YAML file of datasets, SQL
parameters) when it is called: call it once per run, and a renewed token needs no restart.

    settings = read_settings()
    with open_ledger(settings) as ledger:
        deliver(..., ledger, ..., policy=delivery_policy(settings))
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from capi_assets.coverage.alerting.channels import (
    Channel,
    EmailChannel,
    JsonChannel,
    WebhookChannel,
)
from capi_assets.coverage.landing_delays import AT_ONCE, landing_delays
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.reconciliation.compare import Tolerance
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.delivery.datasets import Datasets, read_datasets, secret_in
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.eligibility import EventPolicy
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import Source, SqlModel
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.settings import Settings, environment, split, sql_parameters


def hash_policy(settings: Settings) -> HashPolicy:
    """How contact data is normalised and hashed."""
    return HashPolicy(
        settings.default_country,
        settings.date_format,
        settings.hash_external_id,
        settings.external_id_form,
    )


def event_policy(settings: Settings) -> EventPolicy:
    """What is sent for an order, and what is withheld."""
    return EventPolicy(
        consent_required=settings.consent_required,
        withhold_without_browser=settings.website_without_browser == "withhold",
        site_url=settings.site_url,
    )


def delivery_policy(settings: Settings) -> Policy:
    """How events are delivered: limits, time budget, and what happens to unknown outcomes."""
    return Policy(
        unknown=settings.unknown_policy,
        pixel_redundant=settings.pixel == "redundant",
        requests_in_flight=settings.requests_in_flight,
        requests_per_second=settings.requests_per_second,
        time_budget=timedelta(seconds=settings.time_budget_seconds),
    )


def coverage_policy(settings: Settings, now: datetime | None = None) -> CoveragePolicy:
    """When an hour is flagged; with `now`, after as long as its files usually take to land."""
    delays = AT_ONCE
    if now is not None:
        sources = visits_source(settings), orders_source(settings)
        delays = landing_delays(Lake(settings.lake), *sources, now)
    return CoveragePolicy(
        threshold=settings.coverage_threshold,
        settle=settings.settle,
        visits=VisitRetention(settings.lookback, timedelta(days=settings.retention_days)),
        delays=delays,
    )


def tolerance(settings: Settings) -> Tolerance:
    """When Meta's counts and ours are considered equal."""
    return Tolerance(
        share=settings.reconcile_percent / 100,
        settle=timedelta(hours=settings.reconcile_settle_hours),
    )


def datasets_of(settings: Settings) -> Datasets:
    """Every configured dataset with its token and rate limit, or why it has none now.

    These are the dataset of `CAPI_DATASET_ID` and those of the file `CAPI_DATASETS`; where both
    name the same dataset, the file wins. Token files are read here.

    Raises:
        DatasetsError: the file of datasets is invalid.
    """
    own = _own_dataset(settings)
    if settings.datasets is None:
        return own
    listed = read_datasets(
        settings.datasets,
        environment(),
        graph_url=settings.graph_url,
        version=settings.graph_version,
        hosts_allowed=split(settings.graph_hosts_allowed),
    )
    named = {*listed.accesses, *listed.missing}
    return Datasets(
        accesses={**_without(own.accesses, named), **listed.accesses},
        requests_per_second=listed.requests_per_second,
        missing={**_without(own.missing, named), **listed.missing},
    )


def _own_dataset(settings: Settings) -> Datasets:
    name = settings.dataset_id
    if not name:
        return Datasets({}, {}, {})
    try:
        access = DatasetAccess(
            dataset_id=name,
            token=_token(settings),
            app_secret=secret(settings.app_secret),
            graph_url=settings.graph_url,
            version=settings.graph_version,
            test_event_code=settings.test_event_code,
            partner_agent=settings.partner_agent,
            hosts_allowed=tuple(split(settings.graph_hosts_allowed)),
        )
    except (LookupError, ValueError) as error:
        return Datasets({}, {}, {name: str(error.args[0])})
    return Datasets({name: access}, {}, {})


def _token(settings: Settings) -> str:
    if settings.access_token_file:
        return secret_in(settings.access_token_file)
    token = secret(settings.access_token)
    if not token:
        raise LookupError("neither CAPI_ACCESS_TOKEN nor CAPI_ACCESS_TOKEN_FILE is set")
    return token


T = TypeVar("T")


def _without(entries: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: value for name, value in entries.items() if name not in names}


def visits_source(settings: Settings) -> Source:
    """Where visits are read from: the landing folder, or the SQL model if there is one."""
    return _source(settings, "visits", settings.visits_sql, settings.visits_url)


def orders_source(settings: Settings) -> Source:
    """Where orders are read from: the landing folder, or the SQL model if there is one."""
    return _source(settings, "orders", settings.orders_sql, settings.orders_url)


def _source(settings: Settings, table: str, model: str | None, url: SecretStr | None) -> Source:
    if model:
        return SqlModel(model, secret(url), sql_parameters())
    return LandingFolder(settings.landing, table)


def open_ledger(settings: Settings) -> Ledger:
    """The delivery ledger, with its schema up to date; close it or use it in a `with`.

    Raises:
        LedgerError: it cannot be opened.
    """
    url = settings.ledger_url.get_secret_value()
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return Ledger(url)


def alert_channels(settings: Settings) -> list[Channel]:
    """The configured channels of alerts besides the log.

    Raises:
        ValueError: the address of a channel is invalid; the message does not show it.
    """
    webhooks = split(secret(settings.alert_webhook))
    documents = split(secret(settings.alert_json_url))
    channels: list[Channel] = [
        *(WebhookChannel(url, _numbered("webhook", n)) for n, url in enumerate(webhooks)),
        *(JsonChannel(url, _numbered("json", n)) for n, url in enumerate(documents)),
    ]
    to = split(settings.alert_email_to)
    if to and (server := secret(settings.smtp_url)):
        channels.append(EmailChannel(server, settings.alert_email_from or to[0], to))
    return channels


def _numbered(name: str, index: int) -> str:
    return f"{name} {index + 1}" if index else name


def secret(value: SecretStr | None) -> str | None:
    """The plain text of a secret setting."""
    return value.get_secret_value() if value is not None else None
