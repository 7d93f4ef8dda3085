"""SQL models on a real PostgreSQL: types, times and text as they come, errors without a row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from capi_assets.ingest.sources import SourceError, SqlModel
from tests.helpers.factories import DATASET, H, at, digest
from tests.helpers.ingest_harness import IngestHarness
from tests.helpers.postgres_server import database

SECRET = "ana.silva@example.com"


@pytest.fixture(scope="module")
def shop(postgres: str) -> Iterator[str]:
    """A shop's database in a session that is not in UTC."""
    with database(postgres, "shop", "Asia/Kolkata") as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE TABLE orders (id uuid, made timestamptz, local timestamp,"
                    " total numeric(9, 2), items jsonb, skus text[], email text, agreed boolean,"
                    " born date, raw bytea)"
                )
            )
            connection.execute(
                sa.text(
                    "INSERT INTO orders VALUES ('0c1f1c0e-0001-4000-8000-000000000001', :made,"
                    " :made AT TIME ZONE 'Europe/Berlin', 49.90, '[{\"id\": \"A\"}]', '{A,B}',"
                    " :email, true, '1990-05-04', 'x'::bytea)"
                ),
                {"made": at(5), "email": SECRET},
            )
        engine.dispose()
        yield url


@pytest.fixture
def run(shop: str, tmp_path: Path) -> Any:
    """The table that a model returns for the hour."""

    def table(sql: str, **parameters: str) -> pa.Table:
        (tmp_path / "model.sql").write_text(sql)
        (landed,) = SqlModel(tmp_path / "model.sql", shop, parameters).fetch([H]).landed
        return landed.rows.table

    return table


def test_a_model_with_every_type_gives_an_order(
    shop: str, harness: IngestHarness, tmp_path: Path
) -> None:
    (tmp_path / "model.sql").write_text(
        "SELECT id AS order_id, made AS occurred_at, total AS value, 'EUR' AS currency,"
        " items AS contents, skus AS content_ids, email, agreed AS consent, born AS date_of_birth"
        " FROM orders WHERE made >= $hour_start AND made < $hour_end"
    )
    (row,) = harness.rows("orders", source=SqlModel(tmp_path / "model.sql", shop))
    assert row["order_id"] == "0c1f1c0e-0001-4000-8000-000000000001"
    assert (row["occurred_at"], row["value"], row["consent"]) == (at(5), 49.9, True)
    assert (row["contents"], row["content_ids"]) == ('[{"id":"A"}]', '["A","B"]')
    assert (row["em"], row["db"]) == (digest(SECRET), digest("19900504"))
    assert (row["dataset_id"], row["dropped_fields"]) == (DATASET, None)


def test_values_come_as_their_type_says(run: Any) -> None:
    (row,) = run("SELECT made, local, total, born, raw FROM orders").to_pylist()
    assert row["made"] == at(5)
    assert row["local"] == datetime(2026, 11, 20, 14, 5)  # noqa: DTZ001  as Berlin's clock shows
    assert (row["total"], row["born"]) == (Decimal("49.90"), date(1990, 5, 4))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n FROM orders WHERE email LIKE '%@example.com' AND 7 % 4 = 3",
        "SELECT 1 AS n FROM orders WHERE email LIKE $like",
        "SELECT 1 AS n FROM orders WHERE made = ($at)::timestamptz AND $at::text <> ':x'",
        "SELECT 1 AS n FROM orders WHERE items @> '[{\"id\": \"A\"}]' AND skus[1:1] = '{A}'",
        "SELECT 1 AS n FROM orders WHERE $$it's $like$$ = 'it''s $like' -- $like;",
        "SELECT 1 AS n FROM orders WHERE made BETWEEN $hour_start AND $hour_end;",
        "SELECT 1 AS n FROM orders WHERE local AT TIME ZONE 'Europe/Berlin' >= $hour_start",
    ],
)
def test_text_that_looks_like_a_parameter_is_text(run: Any, sql: str) -> None:
    table = run(sql, like="%@example.com", at=at(5).isoformat())
    assert table.to_pylist() == [{"n": 1}]


def test_a_naive_time_is_compared_in_the_sessions_zone(run: Any) -> None:
    """Why a model says AT TIME ZONE: without it the database takes Kolkata's."""
    sql = "SELECT count(*) AS n FROM orders WHERE made AT TIME ZONE 'UTC' >= $hour_start"
    assert run(sql).to_pylist() == [{"n": 0}]
    assert run(f"{sql} AT TIME ZONE 'UTC'").to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "-- a\nSELECT 1\nFROM nowhere",
            "ProgrammingError (UndefinedTable, 42P01) in line 3 at nowhere.",
        ),
        ("\n\nSELECT\n  nothing FROM orders", "(UndefinedColumn, 42703) in line 4 at nothing."),
        ("SELECT 1\nFRO orders WHERE", "(SyntaxError, 42601) in line 2 at orders."),
        (
            "SELECT 1 FROM orders WHERE made > $hour_start AND $like <> ''\nAND nothing = 1",
            "(UndefinedColumn, 42703) in line 2 at nothing.",
        ),
        ("SELECT email::int FROM orders", "DataError (InvalidTextRepresentation, 22P02)."),
        ("SELECT to_date(email, 'YYYY') FROM orders", "(InvalidDatetimeFormat, 22007)."),
        ("SELECT 1 / (id IS NULL)::int FROM orders", "(DivisionByZero, 22012)."),
        ("SELECT $like::int FROM orders", "(InvalidTextRepresentation, 22P02) in line 1."),
    ],
)  # fmt: skip
def test_an_error_keeps_class_state_and_place_and_no_row(run: Any, sql: str, words: str) -> None:
    with pytest.raises(SourceError) as error:
        run(sql, like=SECRET)
    assert words in str(error.value)
    assert "ana" not in str(error.value).partition("failed:")[2]
    assert error.value.__cause__ is None


def test_a_refused_password_is_not_shown(shop: str, tmp_path: Path) -> None:
    (tmp_path / "model.sql").write_text("SELECT 1")
    url = sa.make_url(shop).set(username="nobody", password="hush")
    model = SqlModel(tmp_path / "model.sql", url.render_as_string(hide_password=False))
    with pytest.raises(SourceError) as error:
        model.fetch([H])
    assert "OperationalError" in str(error.value)
    assert "hush" not in str(error.value)
