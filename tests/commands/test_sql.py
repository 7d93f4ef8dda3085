"""`sql` answers one SELECT over the stored tables, and can do nothing else."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.commands.sql import QueryError, query_lake
from capi_assets.lake import Lake

HOUR = datetime(2026, 11, 20, 13, tzinfo=UTC)
ROWS = pa.table(
    {
        "order_id": ["A-1", "A-2"],
        "occurred_at": pa.array([HOUR, HOUR], pa.timestamp("us", "UTC")),
        "value": [1234, None],
        "consent": [True, False],
    }
)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two stored orders, and a file beside the lake."""
    Lake(tmp_path / "lake").write("orders", HOUR, ROWS)
    (tmp_path / "secret.csv").write_text("token\nEAAB\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPI_LAKE", "lake")
    return tmp_path


def sql(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["sql", *arguments])


def test_a_result_is_printed_as_a_table_as_json_and_as_csv(lake: Path) -> None:
    query = "SELECT * FROM orders ORDER BY order_id"
    assert "1,234" in sql(query).output
    first, second = json.loads(sql("--json", query).output)
    assert first == {
        "order_id": "A-1", "occurred_at": "2026-11-20T13:00:00+00:00", "value": 1234,
        "consent": True,
    }  # fmt: skip
    assert second["value"] is None
    rows = list(csv.DictReader(sql("--csv", query).output.splitlines()))
    assert [row["value"] for row in rows] == ["1234", ""]
    assert rows[0]["occurred_at"] == first["occurred_at"]


@pytest.mark.parametrize(
    "query",
    [
        "DROP VIEW orders", "SELECT 1; SELECT 2", "CREATE TABLE t AS SELECT 1", "ATTACH 'x.db'",
        "COPY (SELECT 1) TO 'out.csv'", "SET enable_external_access = true", "",
        "SELECT * FROM read_csv('secret.csv')", "SELECT * FROM 'secret.csv'", "INSTALL httpfs",
        "SELECT * FROM glob('*')",
    ],
)  # fmt: skip
def test_nothing_is_changed_and_no_other_file_is_read(lake: Path, query: str) -> None:
    before = sorted(path for path in lake.rglob("*"))
    done = sql(query)
    assert done.exit_code == 1, done.output
    assert "EAAB" not in done.output
    assert "secret.csv" not in done.output.replace('"secret.csv"', "").replace(query, "")
    assert sorted(path for path in lake.rglob("*")) == before


@pytest.mark.parametrize(
    ("query", "words"),
    [("SELEC 1", "syntax error"), ("SELECT * FROM nope", "nope"), ("SELECT x FROM orders", '"x"')],
)
def test_a_mistake_is_named_without_a_stack_trace(lake: Path, query: str, words: str) -> None:
    done = sql(query)
    assert done.exit_code == 1
    assert words in done.output
    assert isinstance(done.exception, SystemExit)


def test_columns_of_one_name_are_refused_where_one_would_be_lost(lake: Path) -> None:
    done = sql("--json", "SELECT 1 AS a, 2 AS a")
    assert done.exit_code == 1
    assert "AS" in done.output


def test_an_empty_lake_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPI_LAKE", str(tmp_path / "none"))
    done = sql("SELECT 1")
    assert done.exit_code == 1
    assert "materialize" in done.output


def test_a_lake_in_an_object_store_is_queried_by_its_driver() -> None:
    lake = Lake("memory://test-sql/lake")
    lake.write("orders", HOUR, ROWS)
    assert query_lake(lake, "SELECT count(*) AS n FROM orders").to_pylist() == [{"n": 2}]
    with pytest.raises(QueryError):
        query_lake(lake, "SELECT * FROM read_csv('/etc/passwd')")
