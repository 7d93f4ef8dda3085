"""What the settings mean to each part of the package: policies, datasets, sources, ledger, alerts.

Assets, sensors and commands all call these functions, so that they decide alike. Nothing here
knows Dagster. Each function reads what it needs (token files, the YAML file of datasets, SQL
parameters) when it is called: call it once per run, and a renewed token needs no restart. Within a
run, a client reads the token again when Meta refuses it.

    settings = read_settings()
    with open_ledger(settings) as ledger:
        deliver(..., ledger, ..., policy=delivery_policy(settings))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from capi_assets.contracts.base import Contract
from capi_assets.contracts.landing import LandedOrders, LandedVisits
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
from capi_assets.delivery.datasets import Datasets, read_datasets, secret_in, secret_printed_by
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.retention import LandingNeed, RetentionPolicy, landing_need
from capi_assets.eligibility import EventPolicy
from capi_assets.ingest.column_map import PLAIN, ColumnMap, read_column_map
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import Source, SqlModel
from capi_assets.ingest.tombstones import Tombstones
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.settings import Settings, environment, split, sql_parameters
from capi_assets.stages.events import EventStage
from capi_assets.stages.ingest import IngestStage


def hash_policy(settings: Settings) -> HashPolicy:
    """How contact data is normalised and hashed."""
    return HashPolicy(
        settings.default_country,
        settings.date_format,
        settings.hash_external_id,
        settings.external_id_form,
        frozenset(split(settings.custom_data_keys)),
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


def retention_policy(settings: Settings) -> RetentionPolicy:
    """How long data is kept."""
    landing = settings.landing_retention_days
    return RetentionPolicy(
        visits=timedelta(days=settings.retention_days),
        orders=timedelta(days=settings.orders_retention_days),
        ledger_ids=timedelta(days=settings.ledger_ids_days),
        landing=None if landing is None else timedelta(days=landing),
        lookback=settings.lookback,
    )


def landing_needs(settings: Settings, now: datetime) -> list[tuple[LandingFolder, LandingNeed]]:
    """Which landing files a backfill can still need, of each table that lands as files.

    Raises:
        LakeError: stored events cannot be read.
        OSError: a folder cannot be listed.
    """
    lake, sources = Lake(settings.lake), [visits_source(settings), orders_source(settings)]
    folders = [source for source in sources if isinstance(source, LandingFolder)]
    since, lookback = settings.start_date, settings.lookback
    return [(folder, landing_need(folder, lake, lookback, since, now)) for folder in folders]


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
        read = token_source(settings)
        access = DatasetAccess(
            dataset_id=name,
            token=read(),
            renew=read,
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


def token_source(settings: Settings) -> Callable[[], str]:
    """Reads the token of `CAPI_DATASET_ID`: from the command, else the file, else the variable.

    Raises:
        LookupError: none is set; so does the call, if it cannot be read.
    """
    if command := secret(settings.access_token_command):
        return partial(secret_printed_by, command, "CAPI_ACCESS_TOKEN_COMMAND")
    if settings.access_token_file:
        return partial(secret_in, settings.access_token_file)
    token = secret(settings.access_token)
    if not token:
        raise LookupError(
            "none of CAPI_ACCESS_TOKEN_COMMAND, CAPI_ACCESS_TOKEN_FILE, CAPI_ACCESS_TOKEN is set"
        )
    return lambda: token


T = TypeVar("T")


def _without(entries: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: value for name, value in entries.items() if name not in names}


def ingest_stage(settings: Settings, table: str, *, only_new: bool = False) -> IngestStage:
    """The ingest of `visits` or `orders`; `only_new` leaves stored hours as they are.

    Raises:
        SettingsError: the table's column map is wrong.
        LedgerError, TombstoneError: who was erased cannot be read.
    """
    return IngestStage(
        table,
        visits_source(settings) if table == "visits" else orders_source(settings),
        Lake(settings.lake).address,
        hash_policy(settings),
        settings.dataset_id,
        settings.consent_required,
        stored_tombstones(settings),
        only_new,
    )


def event_stage(settings: Settings, now: datetime) -> EventStage:
    """The building of `matched_events` as of `now`."""
    address = Lake(settings.lake).address
    return EventStage(address, event_policy(settings), delivery_policy(settings), now)


def visits_source(settings: Settings) -> Source:
    """Where visits are read from: the landing folder, or the SQL model if there is one.

    Raises:
        SettingsError: its column map is wrong.
    """
    columns = visits_columns(settings)
    return _source(settings, "visits", settings.visits_sql, settings.visits_url, columns)


def orders_source(settings: Settings) -> Source:
    """Where orders are read from: the landing folder, or the SQL model if there is one.

    Raises:
        SettingsError: its column map is wrong.
    """
    columns = orders_columns(settings)
    return _source(settings, "orders", settings.orders_sql, settings.orders_url, columns)


def _source(
    settings: Settings, table: str, model: str | None, url: SecretStr | None, columns: ColumnMap
) -> Source:
    if model:
        folders = [settings.landing, *split(settings.model_folders)]
        parameters = sql_parameters(prefix=settings.sql_parameter_prefix)
        return SqlModel(model, secret(url), parameters, folders, columns)
    return landing_folder(settings, table, columns)


def landing_folder(settings: Settings, table: str, columns: ColumnMap = PLAIN) -> LandingFolder:
    """The landing folder of a table, without the files of `CAPI_IGNORE_FILES`."""
    ignored = split(settings.ignore_files)
    return LandingFolder(settings.landing, table, columns=columns, ignored=ignored)


def visits_columns(settings: Settings) -> ColumnMap:
    """The column map of visits; `SettingsError` if it is wrong."""
    return _column_map(settings.visits_columns, LandedVisits, "CAPI_VISITS_COLUMNS")


def orders_columns(settings: Settings) -> ColumnMap:
    """The column map of orders; `SettingsError` if it is wrong."""
    return _column_map(settings.orders_columns, LandedOrders, "CAPI_ORDERS_COLUMNS")


def _column_map(path: str | None, contract: type[Contract], setting: str) -> ColumnMap:
    return read_column_map(path, contract, setting) if path else ColumnMap(setting=setting)


def open_ledger(settings: Settings) -> Ledger:
    """The delivery ledger, with its schema up to date; close it or use it in a `with`.

    Raises:
        LedgerError: it cannot be opened.
    """
    url = settings.ledger_url.get_secret_value()
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return Ledger(url, erasure_key_file=settings.erasure_key_file)


def stored_tombstones(settings: Settings) -> Tombstones:
    """The tombstones of erased people, whose rows are not stored again.

    Raises:
        LedgerError: the ledger cannot be opened.
        TombstoneError: there are some, and their key is missing.
    """
    with open_ledger(settings) as ledger:
        return ledger.tombstones()


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
    to = split(secret(settings.alert_email_to))
    if to and (server := secret(settings.smtp_url)):
        channels.append(EmailChannel(server, secret(settings.alert_email_from) or to[0], to))
    return channels


def _numbered(name: str, index: int) -> str:
    return f"{name} {index + 1}" if index else name


def secret(value: SecretStr | None) -> str | None:
    """The plain text of a secret setting."""
    return value.get_secret_value() if value is not None else None
