"""What the assets are given: the lake, the sources, the ledger, Meta, the rules and the clock.

Each is made from the settings by `resources_from`; tests and the demo change a few of them.
Secrets are kept out of `repr`, and shown as variables in the UI.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from capi_assets.coverage.alerting.channels import (
    Channel,
    EmailChannel,
    JsonChannel,
    WebhookChannel,
)
from capi_assets.coverage.flags import CoveragePolicy
from capi_assets.coverage.reconciliation.compare import Tolerance
from capi_assets.coverage.visit_retention import VisitRetention
from capi_assets.delivery.datasets import Datasets, read_datasets, secret_in
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.policy import Policy
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import Source, SqlModel
from capi_assets.lake import Lake
from capi_assets.meta.graph.client import DatasetAccess
from capi_assets.settings import Settings, environment, split, sql_parameters, variable


class ClockResource(dg.ConfigurableResource[Any]):
    """The time that runs go by."""

    at: str | None = Field(None, description="A fixed time (ISO 8601) for rehearsals.")

    def now(self) -> datetime:
        """Now, timezone-aware UTC."""
        return datetime.now(UTC) if self.at is None else datetime.fromisoformat(self.at)


class LakeResource(dg.ConfigurableResource[Any]):
    """The hourly Parquet files."""

    root: str

    def open(self) -> Lake:
        """The lake at `root`."""
        return Lake(self.root)


class SourcesResource(dg.ConfigurableResource[Any]):
    """Where visits and orders come from."""

    landing: str
    visits_sql: str | None = None
    orders_sql: str | None = None
    visits_url: str | None = Field(None, repr=False)
    orders_url: str | None = Field(None, repr=False)

    def visits(self) -> Source:
        """The landing folder, or the SQL model if there is one."""
        return self._source("visits", self.visits_sql, self.visits_url)

    def orders(self) -> Source:
        """The landing folder, or the SQL model if there is one."""
        return self._source("orders", self.orders_sql, self.orders_url)

    def _source(self, table: str, model: str | None, url: str | None) -> Source:
        if model:
            return SqlModel(model, url, sql_parameters())
        return LandingFolder(self.landing, table)


class LedgerResource(dg.ConfigurableResource[Any]):
    """What was tried, and what Meta answered."""

    url: str = Field(repr=False)

    def open(self) -> Ledger:
        """The ledger, with its schema up to date.

        Raises:
            LedgerError: it cannot be opened.
        """
        if self.url.startswith("sqlite:///"):
            Path(self.url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        return Ledger(self.url)


class MetaResource(dg.ConfigurableResource[Any]):
    """The way to Meta. A token file is read at every run, so a renewed token needs no restart."""

    dataset_id: str = ""
    access_token: str | None = Field(None, repr=False)
    access_token_file: str | None = None
    app_secret: str | None = Field(None, repr=False)
    graph_url: str
    graph_version: str
    test_event_code: str | None = None
    partner_agent: str | None = None
    datasets: str | None = None
    preflight: str = "off"

    def accesses(self) -> dict[str, DatasetAccess]:
        """Access by dataset id; empty while no dataset or token is set."""
        return dict(self.open().accesses)

    def open(self) -> Datasets:
        """Every dataset that is set up: that of the settings and those of the file, which wins.

        Raises:
            DatasetsError: the file of datasets cannot be understood.
        """
        own = self._own()
        if self.datasets is None:
            return own
        listed = read_datasets(
            self.datasets, environment(), graph_url=self.graph_url, version=self.graph_version
        )
        named = {*listed.accesses, *listed.missing}
        return Datasets(
            accesses={**_without(own.accesses, named), **listed.accesses},
            requests_per_second=listed.requests_per_second,
            missing={**_without(own.missing, named), **listed.missing},
        )

    def _own(self) -> Datasets:
        """The dataset of the settings, if it has a token."""
        if not self.dataset_id:
            return Datasets({}, {}, {})
        try:
            access = DatasetAccess(
                dataset_id=self.dataset_id,
                token=self._token(),
                app_secret=self.app_secret,
                graph_url=self.graph_url,
                version=self.graph_version,
                test_event_code=self.test_event_code,
                partner_agent=self.partner_agent,
            )
        except (LookupError, ValueError) as error:
            return Datasets({}, {}, {self.dataset_id: str(error.args[0])})
        return Datasets({self.dataset_id: access}, {}, {})

    def _token(self) -> str:
        if self.access_token_file:
            return secret_in(self.access_token_file)
        if not self.access_token:
            raise LookupError("neither CAPI_ACCESS_TOKEN nor CAPI_ACCESS_TOKEN_FILE is set")
        return self.access_token


T = TypeVar("T")


def _without(of: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    return {name: value for name, value in of.items() if name not in names}


class AlertsResource(dg.ConfigurableResource[Any]):
    """Where alerts go beside the log; several addresses have commas or spaces between them."""

    webhook: str | None = Field(None, repr=False)
    json_url: str | None = Field(None, repr=False)
    email_to: str | None = Field(None, repr=False)
    email_from: str | None = None
    smtp_url: str | None = Field(None, repr=False)

    def channels(self) -> list[Channel]:
        """The channels that are set up."""
        found: list[Channel] = [
            *(WebhookChannel(url, _nth("webhook", n)) for n, url in enumerate(split(self.webhook))),
            *(JsonChannel(url, _nth("json", n)) for n, url in enumerate(split(self.json_url))),
        ]
        to = split(self.email_to)
        if to and self.smtp_url:
            sender = self.email_from or to[0]
            found.append(EmailChannel(self.smtp_url, sender, to))
        return found


def _nth(name: str, place: int) -> str:
    return f"{name} {place + 1}" if place else name


class RulesResource(dg.ConfigurableResource[Any]):
    """The choices that settings leave to the operator."""

    lookback_hours: int
    default_country: str | None = None
    date_format: str | None = None
    hash_external_id: bool = True
    consent_required: bool = False
    unknown_policy: str = "hold"
    requests_in_flight: int = 4
    requests_per_second: float | None = None
    pixel: str = "none"
    time_budget_seconds: int = 900
    coverage_threshold: float = 0.95
    settle_minutes: int = 5
    retention_days: int = 90
    reconcile_percent: float = 5.0
    reconcile_settle_hours: int = 3
    ui_url: str | None = None
    auto_backfill: bool = False
    late_files: str = "materialize"

    @property
    def lookback(self) -> timedelta:
        """How far back an order looks for its visit."""
        return timedelta(hours=self.lookback_hours)

    def hashing(self) -> HashPolicy:
        """What normalisation needs to know."""
        return HashPolicy(self.default_country, self.date_format, self.hash_external_id)

    def delivery(self) -> Policy:
        """How far delivery goes."""
        unknown: Literal["hold", "resend"] = "resend" if self.unknown_policy == "resend" else "hold"
        return Policy(
            unknown=unknown,
            pixel_redundant=self.pixel == "redundant",
            requests_in_flight=self.requests_in_flight,
            requests_per_second=self.requests_per_second,
            time_budget=timedelta(seconds=self.time_budget_seconds),
        )

    def reconciliation(self) -> Tolerance:
        """When Meta's counts and ours are taken to agree."""
        return Tolerance(
            share=self.reconcile_percent / 100,
            settle=timedelta(hours=self.reconcile_settle_hours),
        )

    def coverage(self) -> CoveragePolicy:
        """When an hour is flagged."""
        return CoveragePolicy(
            threshold=self.coverage_threshold,
            settle=timedelta(minutes=self.settle_minutes),
            visits=VisitRetention(self.lookback, timedelta(days=self.retention_days)),
        )


def meta_resource(settings: Settings, secret: Callable[[str], str | None]) -> MetaResource:
    """The way to Meta, with what `secret` gives for the settings that are secrets."""
    return MetaResource(
        dataset_id=settings.dataset_id,
        access_token=secret("access_token"),
        access_token_file=settings.access_token_file,
        app_secret=secret("app_secret"),
        graph_url=settings.graph_url,
        graph_version=settings.graph_version,
        test_event_code=settings.test_event_code,
        partner_agent=settings.partner_agent,
        datasets=settings.datasets,
    )


def resources_from(settings: Settings) -> dict[str, Any]:
    """Every resource by its key."""

    def secret(name: str) -> str | None:
        # EnvVar keeps the value out of the UI; it may only name a variable that is set.
        return dg.EnvVar(variable(name)) if getattr(settings, name) is not None else None

    # A URL that the user set may hold a password; the default may be seen.
    ledger_url = settings.ledger_url.get_secret_value()
    if "ledger_url" in settings.model_fields_set:
        ledger_url = dg.EnvVar(variable("ledger_url"))
    return {
        "alerts": AlertsResource(
            webhook=secret("alert_webhook"),
            json_url=secret("alert_json_url"),
            email_to=settings.alert_email_to,
            email_from=settings.alert_email_from,
            smtp_url=secret("smtp_url"),
        ),
        "clock": ClockResource(at=settings.now.isoformat() if settings.now else None),
        # Row order is ours to set, by sorting; DuckDB may use memory better without keeping it.
        "duckdb": DuckDBResource(database=":memory:"),
        "lake": LakeResource(root=settings.lake),
        "ledger": LedgerResource(url=ledger_url),
        "meta": meta_resource(settings, secret),
        "rules": RulesResource(
            **{name: getattr(settings, name) for name in RulesResource.model_fields},
        ),
        "sources": SourcesResource(
            landing=settings.landing,
            visits_sql=settings.visits_sql,
            orders_sql=settings.orders_sql,
            visits_url=secret("visits_url"),
            orders_url=secret("orders_url"),
        ),
    }
