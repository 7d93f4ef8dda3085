"""`init` writes a folder that works, with the settings' descriptions, and overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from dotenv import dotenv_values

from capi_assets.cli import main
from capi_assets.commands.init.first_settings import FIRST, description, dotenv_text
from capi_assets.hours import HOUR, floor_hour
from capi_assets.policies import orders_source, visits_source
from capi_assets.settings import Settings, SettingsError, read_settings, variable

QUICK = ("--no-doctor", "--no-questions")


def init(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, arguments)])


def tracked(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_of_a_folder_with_landing_folders(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    done = init(folder, *QUICK, "--dataset-id", "42", "--access-token-file", "token")
    assert done.exit_code == 0, done.output
    assert tracked(folder) == {".env", ".gitignore", "dagster.yaml", "workspace.yaml"}
    assert (folder / "data/landing/visits").is_dir()
    assert (folder / "data/landing/orders").is_dir()
    settings = read_settings(dotenv_values(folder / ".env"))
    assert (settings.dataset_id, settings.access_token_file) == ("42", "token")
    assert settings.start_date < datetime.now(UTC)
    assert ".env" in (folder / ".gitignore").read_text().splitlines()


def test_every_first_setting_has_its_own_description_in_dotenv(tmp_path: Path) -> None:
    init(tmp_path, *QUICK)
    text = (tmp_path / ".env").read_text()
    comments = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for name in FIRST:
        assert description(name) in comments
        assert f"{variable(name)}=" in text


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CAPI_DATASET_ID=1\n")
    done = init(tmp_path, *QUICK, "--dataset-id", "2")
    assert done.exit_code == 0, done.output
    assert (tmp_path / ".env").read_text() == "CAPI_DATASET_ID=1\n"
    assert "because they exist: .env" in done.output
    assert "were not written; edit .env" in done.output
    assert (tmp_path / "dagster.yaml").exists()


def test_a_value_that_is_not_valid_leaves_the_folder_alone(tmp_path: Path) -> None:
    done = init(tmp_path / "shop", *QUICK, "--dataset-id", "shop")
    assert done.exit_code == 1
    assert "CAPI_DATASET_ID" in done.output
    assert not (tmp_path / "shop").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("a file")
    done = init(tmp_path / "shop" / "below", *QUICK)
    assert done.exit_code == 1
    assert str(tmp_path / "shop") in done.output
    assert not isinstance(done.exception, OSError)


def test_questions_are_asked_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = init(tmp_path / "a", "--no-doctor")
    assert silent.exit_code == 0
    assert "(Enter: later)" not in silent.output
    monkeypatch.setattr("capi_assets.cli.setting_up.is_terminal", lambda: True)
    answers = "42\n/run/token\n\nDE\nsql\n"
    asked = CliRunner().invoke(main, ["init", str(tmp_path / "b"), "--no-doctor"], input=answers)
    assert asked.exit_code == 0, asked.output
    found = read_settings(dotenv_values(tmp_path / "b" / ".env"))
    assert (found.dataset_id, found.access_token_file) == ("42", "/run/token")
    assert (found.default_country, found.orders_sql) == ("DE", "models/orders.sql")
    flagged = CliRunner().invoke(
        main, ["init", str(tmp_path / "c"), "--no-doctor", "--dataset-id", "7"], input="\n\n\n\n"
    )
    assert "dataset (Pixel) id" not in flagged.output


def test_the_sql_models_run_and_read_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init(tmp_path, *QUICK, "--sql")
    monkeypatch.chdir(tmp_path)
    settings = read_settings()
    hour = floor_hour(datetime.now(UTC))
    for source in (visits_source(settings), orders_source(settings)):
        (landed,) = source.fetch([hour]).landed
        assert landed.rows.table.num_rows == 0
    (tmp_path / "exports" / "orders-2.csv").write_text(
        "order_id,occurred_at,value,currency,zip\n"
        f"A-1,{hour.isoformat()},10.50,EUR,01067\nA-2,{(hour - HOUR).isoformat()},1,EUR,01067\n"
    )
    (landed,) = orders_source(settings).fetch([hour]).landed
    rows = landed.rows.table.select(["order_id", "value", "zip"]).to_pylist()
    assert rows == [{"order_id": "A-1", "value": "10.50", "zip": "01067"}]


@pytest.mark.parametrize("value", ["vault read --field 'a b' #1", "it's", "a # b", "'a' 'b'"])
def test_dotenv_gives_back_what_was_written(tmp_path: Path, value: str) -> None:
    text = dotenv_text({"access_token_command": value}, {})
    (tmp_path / ".env").write_text(text)
    assert dotenv_values(tmp_path / ".env")["CAPI_ACCESS_TOKEN_COMMAND"] == value


@pytest.mark.parametrize("value", ["echo ${HOME}", "echo a\nb"])
def test_what_a_dotenv_would_change_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(SettingsError, match="CAPI_ACCESS_TOKEN_COMMAND") as refused:
        dotenv_text({"access_token_command": value}, {})
    assert value not in str(refused.value)


def test_init_ends_with_the_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = init("shop", "--graph-url", "http://127.0.0.1:9")
    assert done.exit_code == 0, done.output
    for name in Settings.model_fields:
        assert variable(name) in done.output
    assert "cd shop" in done.output


def test_init_loads_nothing_heavy(tmp_path: Path) -> None:
    """It is done within a second because it needs neither Dagster nor a database."""
    script = (
        "import sys; from capi_assets.cli import main\n"
        "try: main(['init', 'shop', '--no-doctor'])\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("CAPI_")}, timeout=60,
    )  # fmt: skip
    loaded = set(done.stderr.split())
    assert "capi_assets.commands.init.folder" in loaded
    assert not loaded & {"dagster", "pyarrow", "pandas", "duckdb", "sqlalchemy"}
