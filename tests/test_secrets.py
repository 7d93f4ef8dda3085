"""Tokens and passwords: not repeated where they were pasted by mistake, renewed without restart."""

from __future__ import annotations

import json
import shlex
import sys
import time
import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from capi_assets.commands.doctor import examine
from capi_assets.delivery import datasets
from capi_assets.delivery.ledger.ledger import Ledger, LedgerError
from capi_assets.policies import datasets_of
from capi_assets.settings import SECRETS, Settings, SettingsError, read_settings, variable
from capi_assets.web_addresses import database_label

TOKEN = "EAAG" + "x1Y2z3" * 30
PASSWORD = "hush-Hush#1"
DATABASES = [
    f"postgresql+psycopg2://me:{PASSWORD}@host/shop",
    f"postgresql+psycopg2://me@host/shop?password={PASSWORD}&sslmode=require",
    f"mssql+pyodbc:///?odbc_connect=PWD%3D{PASSWORD}",
]
BARE_AT = [
    f"postgresql+psycopg2://me:p@{PASSWORD}@host/shop",
    f"postgresql+psycopg2://me:p@s/{PASSWORD}@host/shop",
    f"postgresql+psycopg2://me:p@host:{PASSWORD}@host/shop",
]
SHOWN = sorted(set(Settings.model_fields) - SECRETS)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@pytest.mark.parametrize("value", [TOKEN, f"1234567890|{'a1B_' * 7}", "0123456789abcdef" * 2])
def test_a_token_pasted_into_the_wrong_setting_is_not_repeated(name: str, value: str) -> None:
    env = {variable(name): value}
    shown = ""
    try:
        shown = repr(examine(env, {}))
    except SettingsError as error:
        shown = "".join(traceback.format_exception(error))
    assert variable(name) in shown
    assert value not in shown
    if name in SHOWN:
        with pytest.raises(ValidationError) as wrong:
            Settings(**{name: value})
        assert value not in str(wrong.value)


@pytest.mark.parametrize("name", ["landing", "lake", "ui_url", "site_url", "datasets", "views"])
def test_a_password_in_an_address_that_is_shown_is_refused(name: str) -> None:
    for url in (f"sftp://me:{PASSWORD}@host/x", f"https://host/?x=1&password={PASSWORD}"):
        with pytest.raises(SettingsError, match=variable(name)) as error:
            read_settings({variable(name): url})
        assert PASSWORD not in str(error.value)


@pytest.mark.parametrize("url", ["s3://bucket/a", "sftp://me@host/x", "https://host:3000/@team"])
def test_an_address_without_password_is_fine(url: str) -> None:
    assert read_settings({"CAPI_LANDING": url}).landing == url


@pytest.mark.parametrize("name", ["ledger_url", "visits_url", "orders_url"])
@pytest.mark.parametrize("url", DATABASES)
def test_a_database_is_shown_without_its_password(name: str, url: str) -> None:
    settings = read_settings({variable(name): url})
    assert PASSWORD not in database_label(url) + repr(settings)
    if name != "ledger_url":
        [finding] = [f for f in examine({variable(name): url}, {}) if f.name == variable(name)]
        assert PASSWORD not in repr(finding)


@pytest.mark.parametrize("url", [*BARE_AT, f"me:{PASSWORD}"])
def test_a_database_whose_password_is_not_escaped_is_refused_before_a_driver_names_it(
    url: str,
) -> None:
    with pytest.raises(SettingsError, match=r"CAPI_LEDGER_URL: .*%40") as error:
        read_settings({"CAPI_LEDGER_URL": url})
    with pytest.raises(LedgerError) as refused:
        Ledger(url)
    shown = "".join(traceback.format_exception(refused.value)) + str(error.value)
    assert PASSWORD not in shown.replace(f'Ledger("{url}")', "")
    assert PASSWORD not in database_label(url)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg2://me:{PASSWORD}@127.0.0.1:1/shop?connect_timeout=1",
        f"postgresql+psycopg2://me@127.0.0.1:1/shop?password={PASSWORD}&connect_timeout=1",
        # A driver's message names the host.
        f"postgresql+psycopg2://me:{PASSWORD}@/shop?host=/no/{PASSWORD}",
    ],
)
def test_an_unreachable_database_is_named_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError, match="could not be opened") as error:
        Ledger(url)
    shown = "".join(traceback.format_exception(error.value, chain=True))
    assert error.value.__suppress_context__
    assert PASSWORD not in shown.replace(url, "")


def command(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_token_may_come_from_a_command(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("EAAfile")
    run = command("print('EAAprinted')")
    settings = Settings(
        dataset_id="42", access_token="EAAvariable", access_token_file=str(tmp_path / "token")
    )
    tokens = [
        datasets_of(settings.model_copy(update=update)).accesses["42"].token
        for update in (
            {"access_token_file": None},
            {},
            {"access_token_command": Settings(access_token_command=run).access_token_command},
        )
    ]
    assert tokens == ["EAAvariable", "EAAfile", "EAAprinted"]


def test_a_token_is_read_again_without_restart(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("EAAfirst\n")
    run = command(f"print(open({str(file)!r}).read())")
    yaml = tmp_path / "datasets.yaml"
    entries = [{"id": 1, "token_file": str(file)}, {"id": 2, "token_command": run}]
    yaml.write_text(json.dumps({"datasets": entries}))  # JSON is YAML
    settings = Settings(dataset_id="3", access_token_command=run, datasets=str(yaml))
    accesses = datasets_of(settings).accesses
    assert {access.token for access in accesses.values()} == {"EAAfirst"}
    assert len(accesses) == 3
    file.write_text("EAAsecond\n")
    assert {access.renew() for access in accesses.values() if access.renew} == {"EAAsecond"}
    assert {access.token for access in datasets_of(settings).accesses.values()} == {"EAAsecond"}


@pytest.mark.parametrize(
    ("run", "text"),
    [
        ("/no/such/program EAAargument", "cannot be run (FileNotFoundError)"),
        (command("import sys; print('EAAsecret'); sys.exit(3)"), "failed with exit status 3"),
        (command("import sys; print('EAAsecret', file=sys.stderr)"), "printed nothing"),
        (command("import time; print('EAAsecret', flush=True); time.sleep(9)"), "TimeoutExpired"),
        ("echo 'EAAunbalanced", "cannot be run (ValueError)"),
        (" ", "cannot be run (IndexError)"),
    ],
)
def test_a_command_that_gives_no_token_is_named_without_what_it_printed(
    run: str, text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datasets, "COMMAND_SECONDS", 1.0)
    started = time.monotonic()
    missing = datasets_of(Settings(dataset_id="42", access_token_command=run)).missing["42"]
    assert time.monotonic() - started < 8
    assert text in missing
    assert "CAPI_ACCESS_TOKEN_COMMAND" in missing
    assert "EAA" not in missing + "".join(capfd.readouterr())


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    settings = Settings(dataset_id="42", access_token_command=f"echo a; touch {tmp_path / 'made'}")
    assert datasets_of(settings).missing
    assert not (tmp_path / "made").exists()
