"""What a person can mend is said in words, with the remedy; only a defect has a stack trace."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.cli.options import WITHOUT_STAGE
from capi_assets.commands.problems import problem_text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def assert_said(done: Result, *words: str) -> None:
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit), done.exception
    for word in words:
        assert word in done.output


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + b"\x07" * 5000])
def test_a_ledger_that_is_no_database_or_damaged(folder: Path, content: bytes) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "ledger.db").write_bytes(content)
    for command in (["plan", "today"], ["ledger", "rebuild"]):
        assert_said(run(*command), "ledger.db")


def test_a_folder_that_cannot_be_used(folder: Path) -> None:
    (folder / "file").write_text("")
    assert_said(run("demo", "--folder", "file/demo", "--hours", "4"), "file", "another folder")
    assert_said(run("shop", "--landing", "file/landing"), "file", "another folder")
    assert_said(run("init", "file/shop", "--no-doctor"), "file")


def test_a_file_of_views_that_cannot_be_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "views.duckdb").mkdir()
    monkeypatch.setenv("CAPI_VIEWS", "views.duckdb")
    assert_said(run("views"), "views.duckdb")
    monkeypatch.setenv("CAPI_VIEWS", "/proc/views.duckdb")  # where DuckDB itself is refused
    assert_said(run("views"), "/proc/.views.duckdb.tmp")


def test_a_database_that_cannot_be_used_is_named_without_its_statement() -> None:
    error = sa.exc.OperationalError("INSERT secret", {}, sqlite3.OperationalError("readonly"))
    for each in (error, error.orig):
        text = problem_text(each) or ""
        assert "readonly" in text
        assert "secret" not in text


def test_one_hour_is_one_hour(folder: Path) -> None:
    done = run("explain", "A-1", "--hour", "yesterday")
    assert (done.exit_code, "one hour" in done.output) == (2, True)


def test_a_port_that_is_taken(folder: Path, taken: int) -> None:
    assert_said(run("sandbox", "--port", taken), str(taken), "--port")


def test_a_demo_whose_record_is_damaged(folder: Path) -> None:
    (folder / "demo").mkdir()
    (folder / "demo" / "stage.json").write_text("{")
    assert_said(run("gaps", "--stage", "demo"), "stage.json")


def test_a_defect_keeps_its_stack_trace() -> None:
    assert problem_text(KeyError("x")) is None
    assert problem_text(TypeError("x")) is None


def test_every_command_over_stored_data_accepts_a_stage_after_its_name(folder: Path) -> None:
    for name, command in main.commands.items():
        subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in subcommands:
            flags = {flag for parameter in each.params for flag in parameter.opts}
            assert "--stage" in flags or name in WITHOUT_STAGE, name
    for arguments in (
        ["gaps", "--stage", "no"],
        ["--stage", "no", "gaps"],
        ["ledger", "rebuild", "--stage", "no"],
    ):
        assert_said(run(*arguments), "no demo or drill in no")
