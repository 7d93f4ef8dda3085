"""Every setting, read in one place.

Settings are environment variables named `CAPI_*`; a `.env` file in the working directory is read
too (the environment wins). What a setting means is said here once: `capi-assets doctor` and the
table in README.md are made from these fields.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

PREFIX = "CAPI_"
SQL_PARAMETER_PREFIX = "CAPI_SQL_"


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the variable, never the value."""


class Settings(BaseModel):
    """The settings with their defaults; every path is relative to the working directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landing: str = Field(
        "data/landing", description="Folder or object-store URL where visits and orders land."
    )
    visits_sql: str | None = Field(
        None, description="SQL model that returns visits; replaces the landing folder for visits."
    )
    orders_sql: str | None = Field(
        None, description="SQL model that returns orders; replaces the landing folder for orders."
    )
    visits_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL where the visits model runs; DuckDB when absent."
    )
    orders_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL where the orders model runs; DuckDB when absent."
    )
    lake: str = Field(
        "data/lake", description="Folder or object-store URL of the hourly Parquet files."
    )
    ledger_url: SecretStr = Field(
        SecretStr("sqlite:///data/ledger.db"),
        description="SQLAlchemy URL of the delivery ledger (SQLite or PostgreSQL).",
    )
    views: str = Field(
        "data/capi.duckdb", description="DuckDB file of views over the lake, for people."
    )
    start_date: datetime = Field(
        datetime(2026, 11, 1, tzinfo=UTC),
        description="First hour of the partitions (UTC): the first hour you have data for.",
    )
    dataset_id: str = Field(
        "", description="Meta dataset (Pixel) id that orders go to when they name none."
    )
    access_token: SecretStr | None = Field(
        None, description="Conversions API token; sent in the Authorization header only."
    )
    access_token_file: str | None = Field(
        None, description="File with the token, read at every run: renewing needs no restart."
    )
    app_secret: SecretStr | None = Field(
        None, description="App secret, if your app asks for appsecret_proof."
    )
    datasets: str | None = Field(
        None,
        description="YAML file of more datasets, each with its own token and rate; see the docs.",
    )
    graph_url: str = Field("https://graph.facebook.com", description="Where Meta listens.")
    graph_version: str = Field("v26.0", description="Graph API version.")
    test_event_code: str | None = Field(
        None, description="Shows events under Test Events. They still count: unset in production."
    )
    partner_agent: str | None = Field(
        None, description="Names your platform to Meta, so that Dataset Quality can tell it apart."
    )
    lookback_hours: int = Field(
        168, ge=1, le=24 * 90, description="How far back an order looks for its visit."
    )
    retention_days: int = Field(
        90, ge=1, description="Days that visits are kept; older ones are deleted every night."
    )
    default_country: str | None = Field(
        None, description="ISO country of national phone numbers when the order names none."
    )
    date_format: str | None = Field(
        None, description="strptime format of birth dates, such as %d/%m/%Y, if it is known."
    )
    hash_external_id: bool = Field(
        True, description="Hash external_id; must equal what the browser sends."
    )
    external_id_form: Literal["pixel", "exact"] = Field(
        "pixel",
        description="What of external_id is hashed. pixel: lower case without white space, as"
        " Meta's Pixel does; exact: the text as it is.",
    )
    consent_required: bool = Field(
        False, description="Withhold orders whose consent is not recorded (not only refused ones)."
    )
    unknown_policy: Literal["hold", "resend"] = Field(
        "hold",
        description="After 48 h, events whose fate is unknown: hold for a person, or resend.",
    )
    preflight: Literal["on", "off"] = Field(
        "off",
        description="on: the daily look at access sends an event that Meta must refuse, to try"
        " the token. Whether Events Manager's Diagnostics show it is not known.",
    )
    requests_in_flight: int = Field(
        4, ge=1, le=64, description="Requests to Meta at the same time."
    )
    requests_per_second: float | None = Field(
        None, gt=0, description="At most so many requests begun per second; no limit when absent."
    )
    pixel: Literal["none", "redundant"] = Field(
        "none",
        description="redundant: the Pixel reports every order too, so none is sent after 48 h.",
    )
    time_budget_seconds: int = Field(
        900, ge=1, description="How long one run may deliver; what is left stays pending."
    )
    coverage_threshold: float = Field(
        0.95, gt=0, le=1, description="An hour below this share of delivered orders is flagged."
    )
    settle_minutes: int = Field(
        5, ge=0, le=55, description="Minutes after the hour before it is materialized and judged."
    )
    reconcile: bool = Field(
        True, description="Let the schedules compare Meta's own counts with the ledger."
    )
    reconcile_percent: float = Field(
        5.0, gt=0, le=100, description="Per cent by which Meta's counts may differ without a word."
    )
    reconcile_settle_hours: int = Field(
        3, ge=0, le=72, description="Hours that Meta's counts of an hour are waited for."
    )
    alert_webhook: SecretStr | None = Field(
        None,
        description="Slack-compatible webhooks for alerts, with commas between; they are logged"
        " anyhow.",
    )
    alert_json_url: SecretStr | None = Field(
        None, description="Addresses that each alert is posted to as a JSON document; see the docs."
    )
    alert_email_to: str | None = Field(
        None, description="Addresses that alerts are mailed to, with commas between."
    )
    alert_email_from: str | None = Field(
        None, description="Sender of alert mails; the first recipient when absent."
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for alerts: smtps://user:password@host:465, or smtp:// with"
        " STARTTLS.",
    )
    ui_url: str | None = Field(
        None, description="Where people open Dagster; alerts and checks then link to the backfill."
    )
    auto_backfill: bool = Field(
        False,
        description="on: the coverage sensor launches the backfill itself once a gap's cause is"
        " gone.",
    )
    late_files: Literal["materialize", "propose", "off"] = Field(
        "materialize",
        description="Files that land after their hour was materialized: materialize it again,"
        " propose it, or ignore them.",
    )
    autostart: bool = Field(
        False, description="Start the schedules and the sensor as soon as they are loaded."
    )
    now: datetime | None = Field(
        None, description="A fixed clock for rehearsals (UTC); leave unset in production."
    )

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

    @field_validator("default_country")
    @classmethod
    def _upper(cls, value: str | None) -> str | None:
        return value.upper() if value else None

    @model_validator(mode="after")
    def _visits_outlive_the_lookback(self) -> Self:
        if timedelta(days=self.retention_days) < self.lookback:
            raise ValueError("visits must be kept at least as long as orders look back for them")
        return self

    @property
    def lookback(self) -> timedelta:
        return timedelta(hours=self.lookback_hours)

    @property
    def settle(self) -> timedelta:
        return timedelta(minutes=self.settle_minutes)


def variable(field: str) -> str:
    """The environment variable of a field: `lookback_hours` is read from `CAPI_LOOKBACK_HOURS`."""
    return PREFIX + field.upper()


def environment(folder: Path | None = None) -> dict[str, str]:
    """The process environment over the `.env` file of `folder` (default: working directory)."""
    dotenv = dotenv_values((folder or Path.cwd()) / ".env")
    return {**{k: v for k, v in dotenv.items() if v is not None}, **os.environ}


def read_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Settings from `env` (default: `environment()`); an empty variable means its default.

    Raises:
        SettingsError: a value does not fit; the message names every such variable.
    """
    env = environment() if env is None else env
    given: dict[str, Any] = {}
    for name in Settings.model_fields:
        value = env.get(variable(name), "").strip()
        if value:
            given[name] = value
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(_words(e) for e in error.errors())
        raise SettingsError(f"Settings that cannot be used: {wrong}") from None


def _words(error: Mapping[str, Any]) -> str:
    # A rule between several settings has no place of its own.
    name = variable(str(error["loc"][0])) if error["loc"] else "CAPI_RETENTION_DAYS"
    return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"


def split(text: str | None) -> list[str]:
    """The entries of a setting that may hold several, with commas or spaces between them."""
    return (text or "").replace(",", " ").split()


def sql_parameters(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Parameters of SQL models: `CAPI_SQL_SHIFT_TO` is bound where a model says `$shift_to`."""
    env = environment() if env is None else env
    return {
        name.removeprefix(SQL_PARAMETER_PREFIX).lower(): value
        for name, value in env.items()
        if name.startswith(SQL_PARAMETER_PREFIX)
    }
