"""A SQL model gives the rows that files would; its parameters are bound, its failures discreet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from capi_assets.ingest.sources import SourceError, SqlModel
from capi_assets.ingest.sql_text import parameters_of, with_colons
from tests.helpers.factories import HOUR, H, at, land, landed_order
from tests.helpers.ingest_harness import IngestHarness

ORDERS = [
    landed_order(
        order_id=f"o{n}",
        occurred_at=at(n).isoformat(),
        email=f"buyer{n}@example.com",
        phone=f"91234500{n}",
        zip="0100-001",
        contents='[{"id":"A"}]' if n % 2 else None,
    )
    for n in range(5)
]
OTHER = landed_order(order_id="later", occurred_at=at(5, H + HOUR).isoformat())
NAMES = list(ORDERS[1])


class Models:
    """Writes models into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model(
        self,
        sql: str,
        url: str | None = None,
        parameters: Mapping[str, str] | None = None,
        folders: Sequence[str] = (),
    ) -> SqlModel:
        path = self.folder / "model.sql"
        path.write_text(sql)
        return SqlModel(path, url, parameters, folders)

    def table(
        self, sql: str, url: str | None = None, folders: Sequence[str] = (), **parameters: str
    ) -> pa.Table:
        """What a model returns for the hour."""
        (landed,) = self.model(sql, url, parameters, folders).fetch([H]).landed
        return landed.rows.table

    def failure(
        self, sql: str, url: str | None = None, folders: Sequence[str] = (), **parameters: str
    ) -> str:
        with pytest.raises(SourceError) as error:
            self.table(sql, url, folders, **parameters)
        return str(error.value)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database with the orders as a shop would hold them."""
    database = tmp_path / "shop.db"
    with sqlite3.connect(database) as connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(NAMES)})")
        marks = ", ".join("?" for _ in NAMES)
        rows = [tuple(row.get(name) for name in NAMES) for row in (*ORDERS, OTHER)]
        connection.executemany(f"INSERT INTO orders VALUES ({marks})", rows)
    connection.close()
    return f"sqlite:///{database}"


@pytest.fixture
def from_files(harness: IngestHarness) -> pa.Table:
    land(harness.landing, "orders", "a.csv", ORDERS)
    return harness.hour("orders").rows


DUCKDB_MODEL = """
-- Orders of the hour; $source is a parameter, and $nothing is in a comment only.
SELECT * FROM read_csv($source, all_varchar = true)
WHERE occurred_at::TIMESTAMPTZ >= $hour_start AND occurred_at::TIMESTAMPTZ < $hour_end;
"""

SQLITE_MODEL = """
/* Orders of the hour: $nothing more. */
SELECT * FROM orders -- where else ($nowhere)?
WHERE datetime(occurred_at) >= datetime($hour_start)
  AND datetime(occurred_at) < datetime($hour_end) AND 'a :b' <> ':c' AND order_id <> $unwanted
"""


def test_a_model_in_duckdb_gives_what_files_give(
    harness: IngestHarness, models: Models, from_files: pa.Table
) -> None:
    path = land(harness.landing, "elsewhere", "all.csv", [*ORDERS, OTHER])
    model = models.model(DUCKDB_MODEL, parameters={"source": str(path), "unused": "x"})
    hour = harness.hour("orders", source=model)
    assert hour.rows == from_files
    assert (hour.quarantine.num_rows, hour.files) == (0, 0)


def test_a_model_at_a_url_gives_what_files_give(
    harness: IngestHarness, models: Models, from_files: pa.Table, sqlite_url: str
) -> None:
    model = models.model(SQLITE_MODEL, sqlite_url, {"unwanted": "o77"})
    assert harness.hour("orders", source=model).rows == from_files


def test_a_range_is_one_query_and_every_row_goes_to_its_hour(
    harness: IngestHarness, models: Models, sqlite_url: str
) -> None:
    model = models.model(SQLITE_MODEL, sqlite_url, {"unwanted": "o77"})
    hours = [H - HOUR, H, H + HOUR]
    assert list(model.batches(hours)) == [hours]
    ingested = harness.ingest("orders", hours, source=model)
    assert [hour.rows.num_rows for hour in ingested.hours] == [0, 5, 1]


def test_rows_outside_the_range_are_quarantined(harness: IngestHarness, models: Models) -> None:
    rows = ", ".join(f"('{n}', TIMESTAMPTZ '{at(n * 50).isoformat()}')" for n in range(-1, 3))
    sql = f"SELECT * FROM (VALUES {rows}) AS t(visit_id, occurred_at)"
    hour = harness.hour("visits", source=models.model(sql))
    assert hour.rows.column("visit_id").to_pylist() == ["0", "1"]
    refused = hour.quarantine.to_pylist()
    assert {(row["row_id"], row["reasons"], row["line"]) for row in refused} == {
        ("-1", "occurred_at:outside_hour", None),
        ("2", "occurred_at:outside_hour", None),
    }
    assert {row["source"] for row in refused} == {str(models.folder / "model.sql")}


def test_a_quarantined_row_of_a_range_is_in_its_own_hour(
    harness: IngestHarness, models: Models
) -> None:
    sql = f"SELECT 'o1' AS order_id, '{at(70).isoformat()}' AS occurred_at"
    first, second = harness.ingest("orders", [H, H + HOUR], source=models.model(sql)).hours
    assert first.quarantine.num_rows == 0
    assert [row["reasons"] for row in second.quarantine.to_pylist()] == [
        "currency:missing value:missing"
    ]


# Parameters


def test_bounds_are_bound_as_times_in_utc(models: Models) -> None:
    sql = "SELECT $hour_start AS a, $hour_end AS b, typeof($hour_start) AS t"
    assert models.table(sql).to_pylist() == [
        {"a": H, "b": H + HOUR, "t": "TIMESTAMP WITH TIME ZONE"}
    ]


@pytest.mark.parametrize("url", [None, "sqlite://"])
def test_parameters_are_bound_and_never_text(models: Models, url: str | None) -> None:
    evil = "x'; DROP TABLE visits; -- $hour_start :hour_start"
    assert models.table("SELECT $it AS it", url, it=evil).to_pylist() == [{"it": evil}]


@pytest.mark.parametrize("url", [None, "sqlite://"])
def test_a_model_without_parameters_runs(models: Models, url: str | None) -> None:
    assert models.table("SELECT 1 AS n;", url).to_pylist() == [{"n": 1}]


def test_a_missing_parameter_is_named_by_its_variable(models: Models) -> None:
    words = models.failure("SELECT $shift_to, $dir, $hour_start", dir="x")
    assert "needs CAPI_SQL_SHIFT_TO; set it in .env" in words
    assert "CAPI_SQL_DIR" not in words


def test_a_setting_cannot_move_the_bounds(models: Models) -> None:
    table = models.table("SELECT $hour_start AS a", hour_start="1999-01-01")
    assert table.to_pylist() == [{"a": H}]


TEXTS = {
    "SELECT $a, $b_2": {"a", "b_2"},
    "SELECT $a -- not $b\n, $c": {"a", "c"},
    "SELECT /* $b\n $d */ $a": {"a"},
    "SELECT '$b', 'it''s $b', $a": {"a"},
    'SELECT "$b" || $a': {"a"},
    "SELECT 'a--b' || $a": {"a"},
    "SELECT $$ $b $$, $tag$ $b $tag$, $a": {"a"},
    "SELECT a$b, $a": {"a"},
    "SELECT '/*', $a, '*/'": {"a"},
    "SELECT $a::TIMESTAMPTZ": {"a"},
    "SELECT 1": set(),
}


@pytest.mark.parametrize(("sql", "names"), TEXTS.items())
def test_only_parameters_are_parameters(sql: str, names: set[str]) -> None:
    assert parameters_of(sql) == names


@pytest.mark.parametrize(("sql", "names"), TEXTS.items())
def test_sqlalchemy_sees_the_same_parameters(sql: str, names: set[str]) -> None:
    compiled = sa.text(with_colons(sql)).compile()
    assert set(compiled.params) == names
    assert str(compiled) == with_colons(sql).replace("\\:", ":")


@given(st.text(alphabet=" :$'\"-/*abc\\\n;", max_size=25))
@settings(max_examples=400, deadline=None)
def test_sqlalchemy_sees_no_other_parameters_in_any_text(sql: str) -> None:
    assert set(sa.text(with_colons(sql)).compile().params) == parameters_of(sql)


# Values


# The type of a column in SQLite, as PostgreSQL's driver would give it.
sqlite3.register_converter("decimal", lambda value: Decimal(value.decode()))
sqlite3.register_converter("whole", int)
sqlite3.register_converter("instant", lambda value: datetime.fromisoformat(value.decode()))
sqlite3.register_converter("json", json.loads)


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("", ["1", "NULL"], [1, None]),
        ("", ["1", "'a'", "NULL"], ["1", "a", None]),
        ("decimal", ["'1.50'", "'10.2'"], [Decimal("1.50"), Decimal("10.20")]),
        ("whole", [f"'{2**70}'", "'1'"], [str(2**70), "1"]),
        ("instant", ["'2026-01-01T00:00:00+00:00'"], [datetime(2026, 1, 1, tzinfo=UTC)]),
        ("instant", ["'2026-01-01T00:00:00-05:00'"], [datetime(2026, 1, 1, 5, tzinfo=UTC)]),
        ("json", ["'{\"a\":1}'", "'{\"b\":[2]}'", "NULL"], ['{"a":1}', '{"b":[2]}', None]),
        ("json", ["'[1]'", "'{\"c\":3}'"], ["[1]", '{"c":3}']),
    ],
)
def test_values_of_a_database_may_be_of_any_type(
    models: Models, type_: str, values: list[str], expected: list[Any]
) -> None:
    rows = " UNION ALL ".join(f'SELECT {value} AS "v [{type_}]"' for value in values)
    found = models.table(rows, "sqlite://?detect_types=2")
    assert found.column("v").to_pylist() == expected


def test_no_rows_are_no_rows(models: Models, harness: IngestHarness, sqlite_url: str) -> None:
    sql = "SELECT * FROM orders WHERE 1 = 0"
    assert harness.hour("orders", source=models.model(sql, sqlite_url)).rows.num_rows == 0


# What a model can reach


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a secret beside two folders, and a link to it in one of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPI_ACCESS_TOKEN", SECRET)
    (tmp_path / ".env").write_text(f"CAPI_ACCESS_TOKEN={SECRET}\n")
    for name in ("allowed", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "people.csv").write_text("n\n1\n")
    (tmp_path / "allowed" / "link.csv").symlink_to(tmp_path / ".env")
    return tmp_path


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM read_text('.env')",
        "SELECT * FROM read_text('allowed/../.env')",
        "SELECT * FROM read_text('allowed/link.csv')",
        "SELECT * FROM read_csv('other/*.csv')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT getenv('CAPI_ACCESS_TOKEN')",
        "SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')",
        "SELECT * FROM read_csv('s3://bucket/x.csv')",
        "SELECT * FROM environment",
        "SELECT 1; SELECT 2",
        "SET lock_configuration = false; SELECT * FROM read_text('.env')",
        "COPY (SELECT 1) TO 'allowed/made.csv'",
        "ATTACH 'allowed/made.db'",
        "INSTALL httpfs",
        "CREATE TABLE t AS SELECT 1",
    ],
)
def test_a_model_reads_its_files_and_nothing_else(models: Models, outside: Path, sql: str) -> None:
    environment = pa.table({"secret": [SECRET]})  # a local variable is no table for a model
    words = models.failure(sql, folders=["allowed"])
    assert SECRET not in words
    assert environment.num_rows
    assert sorted(path.name for path in (outside / "allowed").iterdir()) == [
        "link.csv",
        "people.csv",
    ]


@pytest.mark.parametrize("sql", ["SELECT 1; DROP TABLE orders", "SELECT ';'; -- ;\nSELECT 2"])
def test_a_model_at_a_url_is_one_statement(models: Models, sqlite_url: str, sql: str) -> None:
    assert "is not one SELECT statement" in models.failure(sql, sqlite_url)
    assert models.table("SELECT ';' AS n; -- ;", sqlite_url).num_rows == 1


@pytest.mark.parametrize(
    ("sql", "folders", "parameters"),
    [
        ("SELECT * FROM read_csv('allowed/*.csv')", ["allowed"], {}),
        ("SELECT * FROM 'allowed/people.csv'", ["allowed"], {}),
        ("SELECT * FROM read_csv($file)", [], {"file": "allowed/people.csv"}),
        ("SELECT * FROM read_csv($files)", [], {"files": "allowed/p*.csv"}),
        ("SELECT * FROM read_csv($files)", [], {"files": "*/p*.csv"}),
        ("SELECT * FROM read_csv($dir || '/people.csv')", [], {"dir": "allowed", "shop": "berlin"}),
        ("SELECT * FROM read_csv('memory://bucket/a/*.csv')", ["memory://bucket/a"], {}),
        ("SELECT * FROM read_csv($files)", [], {"files": "memory://bucket/a/p*.csv"}),
    ],
)
def test_a_model_reads_the_files_that_settings_name(
    models: Models, outside: Path, sql: str, folders: list[str], parameters: dict[str, str]
) -> None:
    (outside / "allowed" / "link.csv").unlink()
    UPath("memory://bucket/a/people.csv").write_text("n\n1\n")
    assert {row["n"] for row in models.table(sql, folders=folders, **parameters).to_pylist()} == {1}


# Failures

SECRET = "ana.silva@example.com"


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.sql: No such file.*CAPI_ORDERS_SQL"):
        SqlModel(tmp_path / "nowhere.sql").fetch([H])


def test_a_model_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.sql").write_bytes(b"SELECT 'S\xe3o'")
    with pytest.raises(SourceError, match=r"model\.sql: it is not UTF-8"):
        SqlModel(tmp_path / "model.sql").fetch([H])


def test_a_missing_column_stops_the_model_and_names_the_nearest(
    harness: IngestHarness, models: Models
) -> None:
    model = models.model("SELECT 'o1' AS OrderId, now() AS occurred_at")
    with pytest.raises(
        SourceError, match=r"'order_id' is missing; the nearest column is 'OrderId'"
    ):
        harness.ingest("orders", [H, H + HOUR], source=model)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM (SELECT 1 AS n)", 'column "nothing" not found'),
        ("SELECT * FROM nowhere", "nowhere does not exist"),
        ("SELECT * FROM read_parquet('/no/where/*.parquet')", "CAPI_MODEL_FOLDERS"),
        ("-- nothing", "is not one SELECT statement"),
    ],
)
def test_an_error_names_what_is_wrong_with_the_model(models: Models, sql: str, words: str) -> None:
    assert words in models.failure(sql)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT v::INT FROM (VALUES ('{SECRET}')) AS t(v)",
        f"SELECT strptime(v, '%Y') FROM (VALUES ('{SECRET}')) AS t(v)",
        f"SELECT error(v) FROM (VALUES ('{SECRET}')) AS t(v)",
        "SELECT order_id FROM read_csv($file, header = true)",
        "SELECT a::INT FROM read_csv($file, header = false, names = ['a', 'b'])",
        "SELECT * FROM read_csv($file, columns = {'a': 'INT', 'b': 'INT'}, header = false)",
        "SELECT * FROM read_json($file)",
    ],
)
def test_an_error_shows_no_row(models: Models, tmp_path: Path, sql: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"{SECRET},1\n{SECRET},2\n")
    words = models.failure(sql, **({"file": str(file)} if "$file" in sql else {}))
    assert "ana" not in words.replace(str(tmp_path), "").lower()
    assert "model.sql failed" in words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////no/where/shop.db", "OperationalError"),
        ("postgresql+psycopg2://me:hush@127.0.0.1:1/shop?connect_timeout=1", "OperationalError"),
        ("nonsense://me:hush@host/shop", "NoSuchModuleError"),
        ("me:hush", "ArgumentError"),
        ("mysql+mysqldb://me:hush@host/shop", "driver of its database is not installed"),
    ],
)
def test_a_database_that_cannot_be_reached_is_an_error_without_its_url(
    models: Models, url: str, words: str
) -> None:
    failure = models.failure("SELECT 1 AS n", url)
    assert words in failure
    assert "hush" not in failure
    assert "hush" not in repr(models.model("SELECT 1", url))


def test_an_error_at_a_url_shows_no_row(models: Models, sqlite_url: str) -> None:
    words = models.failure("SELECT json_extract(email, '$.a') AS e FROM orders", sqlite_url)
    assert "buyer" not in words
    assert "OperationalError" in words


def test_an_error_of_sqlite_keeps_its_name(models: Models, sqlite_url: str) -> None:
    words = models.failure("SELECT nothing FROM orders", sqlite_url)
    assert "OperationalError (SQLITE_ERROR)." in words


def test_a_duckdb_file_is_read_without_attaching_it(
    models: Models, outside: Path, harness: IngestHarness
) -> None:
    with duckdb.connect(str(outside / "shop.duckdb")) as shop:
        shop.execute("CREATE TABLE orders AS SELECT 1 AS n, 'x' AS \"Name\"")
    sql = "SELECT * FROM read_duckdb($shop, table_name = 'orders')"
    assert models.table(sql, shop=str(outside / "shop.duckdb")).to_pylist() == [
        {"n": 1, "Name": "x"}
    ]
    assert "CAPI_MODEL_FOLDERS" in models.failure(
        "SELECT * FROM read_duckdb('shop.duckdb', table_name = 'orders')", folders=["allowed"]
    )
    with duckdb.connect(str(outside / "shop.duckdb")) as shop:
        shop.execute("INSERT INTO orders VALUES (2, 'y')")
    assert models.table(sql, shop=str(outside / "shop.duckdb")).num_rows == 2
