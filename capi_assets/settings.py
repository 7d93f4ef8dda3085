"""Every setting with its type, default and description: the only place that has them.

Settings are environment variables named `CAPI_*`; a `.env` file in the working directory is read
too (the environment wins). Nothing is read at import: `read_settings()` reads, and what it returns
is passed on as an argument. `capi-assets doctor` and the table in README.md are made from these
fields. What settings mean to each part of the package is in `policies.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from capi_assets.web_addresses import database_url_problem, graph_url_problem, secret_problem

PREFIX = "CAPI_"
SQL_PARAMETER_PREFIX = "CAPI_SQL_"


class SettingsError(ValueError):
    """A setting has an invalid value; the message names the variable, never the value."""


class Settings(BaseSettings):
    """The settings with their defaults. Paths are relative to the working directory, times UTC.

    `Settings(lake="data/lake", dataset_id="42")` reads nothing but its arguments;
    `read_settings()` reads the environment. Immutable and hashable. Secrets are masked in `repr`
    and in dumps: use `.get_secret_value()`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    landing: str = "data/landing"
    """Folder or object-store URL where files of visits and orders land."""
    visits_sql: str | None = None
    """SQL model that returns visits; replaces the landing folder for visits."""
    orders_sql: str | None = None
    """SQL model that returns orders; replaces the landing folder for orders."""
    visits_url: SecretStr | None = None
    """SQLAlchemy URL where the visits model runs; DuckDB when absent."""
    orders_url: SecretStr | None = None
    """SQLAlchemy URL where the orders model runs; DuckDB when absent."""
    visits_columns: str | None = None
    """TOML file that maps the columns, values, numbers and times of visits to ours."""
    orders_columns: str | None = None
    """TOML file that maps the columns, values, numbers and times of orders to ours."""
    ignore_files: str | None = None
    """Landing files that are not read, comma-separated patterns of names or paths: *.crc,
    */archive/*."""
    model_folders: str | None = None
    """Folders that SQL models in DuckDB may read besides `CAPI_LANDING` and what their parameters
    name, comma-separated."""
    lake: str = "data/lake"
    """Folder or object-store URL of the hourly Parquet files."""
    engine: SecretStr = SecretStr("duckdb")
    """Where ranges are ingested, matched and built: duckdb, or a Spark cluster as
    sc://host:15002."""
    ledger_url: SecretStr = SecretStr("sqlite:///data/ledger.db")
    """SQLAlchemy URL of the delivery ledger (SQLite or PostgreSQL)."""
    erasure_key_file: str = "data/erasure.key"
    """File with the key of the tombstones of erased people; every machine that runs needs it."""
    views: str = "data/capi.duckdb"
    """DuckDB file of views over the lake, for ad-hoc queries."""
    start_date: datetime = datetime(2026, 11, 1, tzinfo=UTC)
    """First hourly partition (UTC): the first hour that you have data for."""
    dataset_id: str = ""
    """Meta dataset (Pixel) id of orders that name no dataset."""
    access_token: SecretStr | None = None
    """Conversions API token; sent in the Authorization header only."""
    access_token_file: str | None = None
    """File with the token, read at every run and when Meta refuses the token: a renewed token needs
    no restart."""
    access_token_command: SecretStr | None = None
    """Command that prints the token, run without a shell when the file would be read, for up to 30
    s; takes precedence over the file."""
    app_secret: SecretStr | None = None
    """App secret, if your app asks for appsecret_proof."""
    datasets: str | None = None
    """YAML file of more datasets, each with its own token and rate limit; see the docs."""
    graph_hosts_allowed: str | None = None
    """Hosts that the token may be sent to besides graph.facebook.com and loopback, comma-separated:
    a gateway of your own."""
    graph_url: str = "https://graph.facebook.com"
    """Base URL of the Graph API."""
    graph_version: str = "v26.0"
    """Graph API version."""
    test_event_code: str | None = None
    """Shows events under Test Events. Events are still counted: leave unset in production."""
    partner_agent: str | None = None
    """`partner_agent` sent to Meta; identifies your integration in Dataset Quality."""
    lookback_hours: int = Field(168, ge=1, le=24 * 90)
    """How many hours before an order its visit is searched for."""
    retention_days: int = Field(90, ge=1)
    """Days that visits are kept; docs/erasure.md has the retention of everything."""
    orders_retention_days: int = Field(90, ge=10)
    """Days that orders, their events and results are kept, or longer while one can be sent. Their
    match keys and payloads are removed 48 hours after Meta's deadline."""
    ledger_ids_days: int = Field(365, ge=70)
    """Days after which the ledger loses the ids of orders and people; never before the orders."""
    landing_retention_days: int | None = Field(None, ge=10)
    """Days after which landing files are deleted that no backfill needs; never when absent."""
    retention: Literal["delete", "report"] = "delete"
    """What the nightly job does with data past its retention: delete it, or only report it."""
    default_country: str | None = None
    """Default country (ISO 3166-1 alpha-2) of phone numbers without a country code."""
    date_format: str | None = None
    """strptime format of birth dates, such as %d/%m/%Y."""
    hash_external_id: bool = True
    """Hash external_id; must match the value the Pixel sends."""
    external_id_form: Literal["pixel", "exact"] = "pixel"
    """What of external_id is hashed. pixel: lower case without white space, as Meta's Pixel does;
    exact: the text as it is."""
    custom_data_keys: str | None = None
    """Further keys of custom_data and contents, and parameters of page addresses, that are stored
    and sent, comma-separated; those of Meta's pages are known. -search_string takes a known one
    out."""
    consent_required: bool = False
    """Also withhold orders without recorded consent, not only those whose consent was refused."""
    website_without_browser: Literal["send", "withhold"] = "send"
    """Website orders without the browser's user agent or page, as where no visit is found. Meta
    accepts them, but may not use them for optimisation, targeting or measurement."""
    site_url: str | None = None
    """Address of your website: event_source_url of website orders that have none, nor their
    visit."""
    unknown_policy: Literal["hold", "resend"] = "hold"
    """Events with unknown outcome after 48 h: hold until resolved, or resend."""
    preflight: Literal["on", "off"] = "off"
    """on: the daily access check also sends one event that Meta must reject, to test the token. It
    may appear in Diagnostics (unverified)."""
    requests_in_flight: int = Field(4, ge=1, le=64)
    """Maximum number of concurrent requests to Meta."""
    requests_per_second: float | None = Field(None, gt=0)
    """Maximum number of requests started per second; no limit when absent."""
    pixel: Literal["none", "redundant"] = "none"
    """redundant: the Pixel also reports every order, so no server event is sent after 48 h."""
    time_budget_seconds: int = Field(900, ge=1)
    """How long one run may deliver; remaining events stay pending."""
    hours_per_run: int | None = Field(None, ge=1)
    """Most hours of one run of a backfill. When absent, the UI's backfill is one run of any length,
    and `capi-assets backfill` makes runs of 168 hours."""
    coverage_threshold: float = Field(0.95, gt=0, le=1)
    """An hour is flagged if its share of delivered orders is below this."""
    settle_minutes: int = Field(5, ge=0, le=55)
    """Minutes after its end until an hour is materialized and evaluated."""
    reconcile: bool = True
    """Whether schedules compare Meta's own counts with the ledger."""
    reconcile_percent: float = Field(5.0, gt=0, le=100)
    """Tolerated difference between Meta's counts and ours, in per cent."""
    reconcile_settle_hours: int = Field(3, ge=0, le=72)
    """Hours to wait before an hour's counts are compared with Meta's."""
    alert_webhook: SecretStr | None = None
    """Slack-compatible webhook URLs for alerts, comma-separated; alerts are always logged as
    well."""
    alert_json_url: SecretStr | None = None
    """URLs that each alert is posted to as a JSON document, comma-separated; see the docs."""
    alert_email_to: SecretStr | None = None
    """Email addresses that alerts are sent to, comma-separated."""
    alert_email_from: SecretStr | None = None
    """Sender of alert emails; the first recipient when absent."""
    smtp_url: SecretStr | None = None
    """Mail server for alerts: smtps://user:password@host:465, or smtp:// for STARTTLS."""
    ui_url: str | None = None
    """Public URL of the Dagster UI; alerts and checks then link to the backfill."""
    key_prefix: str | None = None
    """Prefix of asset keys in Dagster, parts separated by /, and of the names of jobs, schedules
    and sensors, joined by __. For a Dagster with other assets, or several shops."""
    group: str | None = None
    """Group of the hourly assets in Dagster, and start of the names of the other groups;
    `conversions` with the prefix when absent."""
    auto_backfill: bool = False
    """on: the coverage sensor launches the backfill itself once the cause of a gap is resolved."""
    late_files: Literal["materialize", "propose", "off"] = "materialize"
    """For files that land after their hour was materialized: materialize the hour again, propose it
    in an alert, or ignore them."""
    watch_sql: bool = False
    """on: rows that SQL models return late are found as late files are, by counting the rows of the
    last eight days every 15 minutes."""
    autostart: bool = False
    """Start schedules and sensors as soon as they are loaded."""
    umask: str = Field("077", pattern="^0?[0-7]{3}$")
    """Permissions that files and folders are created without, as in chmod: 077 only for this user,
    027 readable by its group."""
    now: datetime | None = None
    """Fixed current time (UTC), for demos and tests; leave unset in production."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_secret_where_values_are_shown(cls, value: Any, info: ValidationInfo) -> Any:
        is_shown = isinstance(value, str) and info.field_name not in SECRETS
        if is_shown and (problem := secret_problem(value)):
            raise ValueError(problem)
        return value

    @field_validator("dataset_id")
    @classmethod
    def _digits(cls, value: str) -> str:
        if not re.fullmatch("[0-9]*", value):
            raise ValueError(f"must be digits ({len(value)} characters; not shown)")
        return value

    @field_validator("ledger_url", "visits_url", "orders_url")
    @classmethod
    def _database(cls, value: SecretStr | None) -> SecretStr | None:
        if value and (problem := database_url_problem(value.get_secret_value())):
            raise ValueError(problem)
        return value

    @field_validator("engine")
    @classmethod
    def _engine(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url != "duckdb" and not re.fullmatch(r"sc://[^\s/;@]+(/.*)?", url):
            raise ValueError(f"must be duckdb or sc://host:15002 ({len(url)} characters)")
        return value

    @field_validator("start_date", "now")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    @field_validator("start_date")
    @classmethod
    def _whole_hour(cls, value: datetime) -> datetime:
        if value.year < 2015:
            raise ValueError("too early; a date is written like 2026-11-01")
        return value.replace(minute=0, second=0, microsecond=0)

    @field_validator("graph_url")
    @classmethod
    def _token_may_go_there(cls, value: str, info: ValidationInfo) -> str:
        problem = graph_url_problem(value, split(info.data.get("graph_hosts_allowed")))
        if problem:
            raise ValueError(problem)
        return value

    @field_validator("default_country")
    @classmethod
    def _upper(cls, value: str | None) -> str | None:
        return value.upper() if value else None

    @field_validator("site_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"https?://[^\s/?#]+\.[^\s/?#]+[^\s]*", value):
            raise ValueError("must be an address such as https://shop.example/")
        return value

    @field_validator("key_prefix")
    @classmethod
    def _key_prefix(cls, value: str | None) -> str | None:
        if value and not re.fullmatch("[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*", value):
            raise ValueError("must be letters, digits and _, parts separated by /: shops/berlin")
        return value or None

    @field_validator("group")
    @classmethod
    def _group(cls, value: str | None) -> str | None:
        if value and not re.fullmatch("[A-Za-z0-9_]+", value):
            raise ValueError("must be letters, digits and _")
        return value or None

    @model_validator(mode="after")
    def _retention_covers_the_lookback(self) -> Self:
        if timedelta(days=self.retention_days) < self.lookback:
            raise ValueError(
                "must be at least CAPI_LOOKBACK_HOURS: orders are matched with visits that far back"
            )
        return self

    _env_prefix: str = PREFIX

    @property
    def spark_url(self) -> str | None:
        """The address of the Spark cluster, with its token if there is one; None for DuckDB."""
        url = self.engine.get_secret_value()
        return None if url == "duckdb" else url

    @property
    def sql_parameter_prefix(self) -> str:
        """Start of the variables that SQL models have as parameters: `CAPI_SQL_`."""
        return f"{self._env_prefix}SQL_"

    @property
    def lookback(self) -> timedelta:
        return timedelta(hours=self.lookback_hours)

    @property
    def settle(self) -> timedelta:
        return timedelta(minutes=self.settle_minutes)

    def prefixed(self, name: str) -> str:
        """A name in Dagster with `key_prefix`: `shops__berlin__deliver_hour`."""
        return "__".join([*self.prefix_parts, name])

    @property
    def prefix_parts(self) -> list[str]:
        """The parts of `key_prefix`: `["shops", "berlin"]`."""
        return self.key_prefix.split("/") if self.key_prefix else []

    @property
    def backfill_url(self) -> str | None:
        """The partitions of the job `deliver_hour` in Dagster's UI, in any code location."""
        if not self.ui_url:
            return None
        return f"{self.ui_url.rstrip('/')}/guess/{self.prefixed('deliver_hour')}/partitions"


SECRETS = frozenset(
    name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
)
"""Fields whose values are never shown."""


def variable(field: str, prefix: str = PREFIX) -> str:
    """The environment variable of a field: `CAPI_LOOKBACK_HOURS` of `lookback_hours`."""
    return prefix + field.upper()


def as_variable_text(value: Any) -> str:
    """The value of a setting as a variable has it: `true`, `2026-11-01T00:00Z`."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def environment(folder: Path | None = None) -> dict[str, str]:
    """The process environment over the `.env` file of `folder` (default: working directory)."""
    dotenv = dotenv_values((folder or Path.cwd()) / ".env")
    return {**{k: v for k, v in dotenv.items() if v is not None}, **os.environ}


def read_settings(
    env: Mapping[str, str] | None = None,
    *,
    prefix: str = PREFIX,
    values: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from the variables in `env` (default: `environment()`, as it is now).

    `prefix` replaces `CAPI_` in their names, for one of several shops; `values` replace variables.
    An empty variable means its default. Every command and `capi_assets.definitions.defs` call
    this once; tests pass `env`: `read_settings({"CAPI_LAKE": "s3://bucket/lake"})`.

    Raises:
        SettingsError: a value is invalid; the message names every such variable.
    """
    source = EnvSettingsSource(Settings, env_prefix=prefix)
    variables = environment() if env is None else env
    source.env_vars = {name.lower(): v.strip() for name, v in variables.items() if v.strip()}
    try:
        settings = Settings(**{**source(), **(values or {})})
    except ValidationError as error:
        invalid = "; ".join(_problem(e, prefix) for e in error.errors(include_input=False))
        raise SettingsError(f"Invalid settings: {invalid}") from None
    settings._env_prefix = prefix
    return settings


def _problem(error: Mapping[str, Any], prefix: str) -> str:
    # A rule between several settings has no field of its own.
    name = variable(str(error["loc"][0]) if error["loc"] else "retention_days", prefix)
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"


def split(text: str | None) -> list[str]:
    """The entries of a setting that may hold several, separated by commas or spaces."""
    return (text or "").replace(",", " ").split()


def sql_parameters(
    env: Mapping[str, str] | None = None, prefix: str = SQL_PARAMETER_PREFIX
) -> dict[str, str]:
    """Parameters of SQL models: `CAPI_SQL_SHIFT_TO` is bound where a model says `$shift_to`."""
    env = environment() if env is None else env
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in env.items()
        if name.startswith(prefix)
    }
