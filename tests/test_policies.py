"""Settings become policies in one place, and each default stands once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.reconciliation.compare import Tolerance
from capi_assets.delivery.policy import Policy
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SqlModel
from capi_assets.policies import (
    coverage_policy,
    datasets_of,
    delivery_policy,
    hash_policy,
    open_ledger,
    orders_source,
    tolerance,
    visits_source,
)
from capi_assets.settings import Settings, SettingsError


def test_default_settings_make_the_default_policies() -> None:
    settings = Settings()
    assert delivery_policy(settings) == Policy()
    assert tolerance(settings) == Tolerance()
    assert hash_policy(settings) == HashPolicy()
    assert replace(coverage_policy(settings), visits=None) == CoveragePolicy()


def test_every_choice_reaches_its_policy() -> None:
    settings = Settings(
        unknown_policy="resend",
        pixel="redundant",
        time_budget_seconds=60,
        coverage_threshold=0.5,
        settle_minutes=20,
        lookback_hours=24,
        retention_days=2,
        reconcile_percent=10,
        default_country="de",
    )
    delivery, coverage = delivery_policy(settings), coverage_policy(settings)
    assert (delivery.unknown, delivery.pixel_redundant) == ("resend", True)
    assert delivery.time_budget == timedelta(minutes=1)
    assert (coverage.threshold, coverage.settle) == (0.5, timedelta(minutes=20))
    assert coverage.visits is not None
    assert coverage.visits.lookback == timedelta(hours=24)
    assert coverage.visits.retention == timedelta(days=2)
    assert tolerance(settings).share == 0.1
    assert hash_policy(settings).default_country == "DE"


def test_a_renewed_token_needs_no_restart(tmp_path: Path) -> None:
    file = tmp_path / "token"
    settings = Settings(dataset_id="42", access_token="unused", access_token_file=str(file))
    assert datasets_of(settings).missing == {"42": f"{file} cannot be read (FileNotFoundError)"}
    for token in ("old", "new"):
        file.write_text(f"{token}\n")
        assert datasets_of(settings).accesses["42"].token == token


def test_a_dataset_without_a_token_says_which_settings_are_missing() -> None:
    (why,) = datasets_of(Settings(dataset_id="42")).missing.values()
    assert "CAPI_ACCESS_TOKEN" in why
    assert datasets_of(Settings()) == datasets_of(Settings(access_token="unused"))


def test_a_sql_model_replaces_the_landing_folder_of_its_table() -> None:
    settings = Settings(orders_sql="orders.sql", orders_url="postgresql://me:hush@host/shop")
    assert isinstance(visits_source(settings), LandingFolder)
    assert isinstance(orders_source(settings), SqlModel)


def test_the_folder_of_a_new_ledger_is_created(tmp_path: Path) -> None:
    file = tmp_path / "new" / "ledger.db"
    with open_ledger(Settings(ledger_url=f"sqlite:///{file}")):
        assert file.exists()


def test_sources_get_the_column_map_and_the_patterns(tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text("[columns]\nNr = 'order_id'\n")
    columns = str(tmp_path / "map.toml")
    files = orders_source(Settings(orders_columns=columns, ignore_files="*.crc, *.md"))
    assert isinstance(files, LandingFolder)
    assert files.columns.sources == {"order_id": "Nr"}
    assert files.patterns == ["*.crc", "*.md"]
    model = orders_source(Settings(orders_columns=columns, orders_sql="orders.sql"))
    assert model.columns == files.columns
    with pytest.raises(SettingsError, match="CAPI_VISITS_COLUMNS"):
        visits_source(Settings(visits_columns=columns))
