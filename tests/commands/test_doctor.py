"""The doctor sees two sources that disagree, quotes that would be sent, and versions that end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from capi_assets.commands.doctor import Finding, examine

DEAF = {"CAPI_GRAPH_URL": "http://127.0.0.1:9"}


def found(
    name: str, env: Mapping[str, str], dotenv: Mapping[str, str | None] | None = None
) -> Finding:
    dotenv = dotenv or {}
    known = {key: value for key, value in dotenv.items() if value is not None}
    findings = {f.name: f for f in examine({**DEAF, **known, **env}, dotenv)}
    return findings[name]


def test_environment_and_dotenv_that_disagree_are_told() -> None:
    both = found("CAPI_DATASET_ID", {"CAPI_DATASET_ID": "1"}, {"CAPI_DATASET_ID": "2"})
    assert (both.verdict, both.value, both.origin) == ("warning", "1", "environment")
    assert "dagster dev" in both.text


@pytest.mark.parametrize("env", [{}, {"CAPI_DATASET_ID": "2"}])
def test_environment_and_dotenv_that_agree_are_fine(env: dict[str, str]) -> None:
    assert found("CAPI_DATASET_ID", env, {"CAPI_DATASET_ID": "2"}).verdict == "ok"


def test_values_are_shown_as_a_variable_has_them() -> None:
    assert found("CAPI_CONSENT_REQUIRED", {"CAPI_CONSENT_REQUIRED": "1"}).value == "true"
    start = found("CAPI_START_DATE", {"CAPI_START_DATE": "2026-11-20T01:00+01:00"})
    assert start.value == "2026-11-20T00:00Z"


def test_files_that_fit_no_hour_are_named(tmp_path: Path) -> None:
    for table in ("visits", "orders"):
        (tmp_path / table).mkdir()
    assert found("CAPI_LANDING", {"CAPI_LANDING": str(tmp_path)}).verdict == "ok"
    (tmp_path / "orders" / "o.csv").write_text("order_id\n")
    landing = found("CAPI_LANDING", {"CAPI_LANDING": str(tmp_path)})
    assert landing.verdict == "warning"
    assert "orders/o.csv" in landing.text
    assert "date=2026-11-20/hour=13/" in landing.text


def test_files_that_patterns_leave_out_are_listed(tmp_path: Path) -> None:
    hour = datetime.now(UTC)
    folder = tmp_path / "orders" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
    folder.mkdir(parents=True)
    (tmp_path / "visits").mkdir()
    for path in (folder / "a.csv.crc", folder / "a.csv", tmp_path / "orders" / "readme.txt"):
        path.write_text("x\n")
    env = {"CAPI_LANDING": str(tmp_path), "CAPI_IGNORE_FILES": "*.crc, orders/read*"}
    ignored = found("CAPI_IGNORE_FILES", env)
    assert ignored.verdict == "ok"
    assert ignored.text.startswith("2 left out: orders/")
    assert "a.csv.crc" in ignored.text
    assert "orders/readme.txt" in ignored.text
    assert found("CAPI_LANDING", env).verdict == "ok"
    assert "readme.txt" in found("CAPI_LANDING", env | {"CAPI_IGNORE_FILES": "*.crc"}).text
    assert "no file" in found("CAPI_IGNORE_FILES", env | {"CAPI_IGNORE_FILES": "*.md"}).text


def test_a_column_map_is_read(tmp_path: Path) -> None:
    file = tmp_path / "map.toml"
    file.write_text("[columns]\nNr = 'order_id'\n")
    assert found("CAPI_ORDERS_COLUMNS", {"CAPI_ORDERS_COLUMNS": str(file)}).text == "maps 1 column"
    wrong = found("CAPI_VISITS_COLUMNS", {"CAPI_VISITS_COLUMNS": str(file)})
    assert wrong.verdict == "error"
    assert "no column 'order_id' of ours" in wrong.text


def test_a_secret_that_disagrees_is_not_shown() -> None:
    env, dotenv = {"CAPI_ACCESS_TOKEN": "one-token"}, {"CAPI_ACCESS_TOKEN": "other-token"}
    both = found("CAPI_ACCESS_TOKEN", env, dotenv)
    assert both.verdict == "warning"
    assert "token" not in both.value + both.text


@pytest.mark.parametrize("value", ['"42"', "'42'", ' "42" '])
@pytest.mark.parametrize("name", ["CAPI_DATASET_ID", "CAPI_LOOKBACK_HOURS", "CAPI_ACCESS_TOKEN"])
def test_quotes_in_a_value_are_refused(name: str, value: str) -> None:
    quoted = found(name, {name: value})
    assert quoted.verdict == "error"
    assert "quotes" in quoted.text


def test_quotes_in_a_token_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text('"EAAB"\n')
    quoted = found("CAPI_ACCESS_TOKEN_FILE", {"CAPI_ACCESS_TOKEN_FILE": str(file)})
    assert quoted.verdict == "error"
    assert "EAAB" not in quoted.text
    file.write_text("EAAB\n")
    file.chmod(0o644)
    readable = found("CAPI_ACCESS_TOKEN_FILE", {"CAPI_ACCESS_TOKEN_FILE": str(file)})
    assert readable.verdict == "warning"
    assert f"chmod 600 {file}" in readable.text
    file.chmod(0o600)
    good = found("CAPI_ACCESS_TOKEN_FILE", {"CAPI_ACCESS_TOKEN_FILE": str(file)})
    assert good.verdict == "ok"
    assert "capi-assets preflight" in good.text


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("v26.0", "ok"), ("v22.0", "warning"), ("v20.0", "error"), ("26", "error")],
)
def test_the_end_of_the_version_is_told(version: str, verdict: str) -> None:
    env = {"CAPI_GRAPH_VERSION": version, "CAPI_NOW": "2027-05-01T00:00:00Z"}
    assert found("CAPI_GRAPH_VERSION", env).verdict == verdict


@pytest.mark.parametrize(
    ("days", "verdict", "words"),
    [
        ("90", "ok", ""),
        ("14", "ok", ""),
        ("10", "warning", "3 d longer"),
        ("7", "warning", "no lo"),
    ],
)
def test_visits_deleted_before_metas_deadline_are_told(days: str, verdict: str, words: str) -> None:
    finding = found("CAPI_RETENTION_DAYS", {"CAPI_RETENTION_DAYS": days})
    assert finding.verdict == verdict
    assert finding.text.startswith(words)
