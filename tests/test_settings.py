"""Settings say what they mean, and what is wrong with them, and never a secret."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capi_assets.settings import (
    Settings,
    SettingsError,
    environment,
    read_settings,
    sql_parameters,
    variable,
)
from capi_assets.web_addresses import spark_label


def test_without_any_variable_every_setting_has_its_default() -> None:
    settings = read_settings({})
    assert settings == Settings.model_validate({})
    assert settings.landing == "data/landing"
    assert settings.lookback.total_seconds() == 168 * 3600
    assert settings.settle.total_seconds() == 300


def test_an_empty_variable_means_its_default() -> None:
    assert read_settings({"CAPI_LANDING": "", "CAPI_LOOKBACK_HOURS": "  "}) == read_settings({})


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_a_wrong_value_is_named_by_its_variable_and_not_shown() -> None:
    env = {
        "CAPI_LOOKBACK_HOURS": "sesame",
        "CAPI_UNKNOWN_POLICY": "sesame",
        "CAPI_START_DATE": "sesame",
        "CAPI_LAKE": "fine",
    }
    with pytest.raises(SettingsError) as error:
        read_settings(env)
    words = str(error.value)
    assert "sesame" not in words
    assert "CAPI_LAKE" not in words
    for name in ("CAPI_LOOKBACK_HOURS", "CAPI_UNKNOWN_POLICY", "CAPI_START_DATE"):
        assert name in words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lookback_hours", "0"),
        ("retention_days", "6"),
        ("coverage_threshold", "1.5"),
        ("settle_minutes", "60"),
        ("requests_in_flight", "0"),
    ],
)
def test_a_value_out_of_bounds_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable(name)):
        read_settings({variable(name): value})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:34:56", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T12:34+02:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
    ],
)
def test_the_first_hour_is_a_whole_hour_in_utc(given: str, meant: datetime) -> None:
    assert read_settings({"CAPI_START_DATE": given}).start_date == meant


@pytest.mark.parametrize("given", ["20261101", "2026", "1970-01-01"])
def test_a_date_that_would_make_half_a_million_hours_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match=r"CAPI_START_DATE.*written like 2026-11-01"):
        read_settings({"CAPI_START_DATE": given})


def test_the_clock_of_a_rehearsal_keeps_its_minutes() -> None:
    now = read_settings({"CAPI_NOW": "2026-11-01T12:34+02:00"}).now
    assert now == datetime(2026, 11, 1, 10, 34, tzinfo=UTC)


def test_secrets_do_not_show() -> None:
    secrets = {
        "CAPI_ACCESS_TOKEN": "hush-token",
        "CAPI_APP_SECRET": "hush-secret",
        "CAPI_LEDGER_URL": "postgresql://me:hush-password@host/db",
        "CAPI_ORDERS_URL": "postgresql://me:hush-password@host/db",
        "CAPI_ALERT_WEBHOOK": "https://hooks.example/hush",
    }
    settings = read_settings(secrets)
    assert settings.access_token is not None
    assert settings.access_token.get_secret_value() == "hush-token"
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert "hush" not in settings.model_dump_json()


def test_the_environment_wins_over_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CAPI_LAKE=from_file\nCAPI_LANDING=from_file\nCAPI_NOTHING\n")
    monkeypatch.setenv("CAPI_LAKE", "from_environment")
    monkeypatch.delenv("CAPI_LANDING", raising=False)
    settings = read_settings(environment(tmp_path))
    assert (settings.lake, settings.landing) == ("from_environment", "from_file")
    assert "CAPI_LANDING" not in os.environ


def test_parameters_of_sql_models_are_their_own_family() -> None:
    env = {"CAPI_SQL_SHIFT_TO": "now", "CAPI_ORDERS_SQL": "orders.sql", "OTHER": "x"}
    assert sql_parameters(env) == {"shift_to": "now"}


@pytest.mark.parametrize(
    "given", ["spark://host:7077", "sc://", "sc://user:pw@host", "sc://host ;x", "DuckDB"]
)
def test_an_engine_that_is_none_is_refused_without_its_address(given: str) -> None:
    with pytest.raises(SettingsError, match=r"CAPI_ENGINE.*duckdb or sc://host:15002") as raised:
        read_settings({"CAPI_ENGINE": given})
    assert "pw" not in str(raised.value)


def test_the_address_of_a_cluster_is_shown_without_its_token() -> None:
    url = "sc://dbc.example:443/;token=dapi123;x-databricks-cluster-id=7"
    settings = read_settings({"CAPI_ENGINE": url})
    assert settings.spark_url == url
    assert "dapi123" not in f"{settings!r}{spark_label(url)}"
    assert spark_label(url) == "sc://dbc.example:443"
    assert read_settings({}).spark_url is None
