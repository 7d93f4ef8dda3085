"""The weblog example: nothing of the log is lost, doubled or moved against anything else."""

from __future__ import annotations

import csv
import gzip
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from capi_assets.ingest.sources import SqlModel

WEBLOG = Path(__file__).parents[2] / "examples/weblog"
END = datetime(2026, 11, 20, 10, tzinfo=UTC)
HOURS = 84
START = END - timedelta(hours=HOURS)
# The log's last hour is 20 May 2015, 21:00 UTC.
SHIFT = END - datetime(2015, 5, 20, 22, tzinfo=UTC)
EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


@cache
def _connection(session: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = '{session}'")
    return connection


def run(
    model: str,
    start: datetime = START,
    end: datetime = END,
    *,
    shift_to: str = "2026-11-20T10:00Z",
    session: str = "UTC",
    folder: Path = WEBLOG / "data",
) -> Any:
    """What the model returns, as a pyarrow table, by bound parameters only."""
    parameters = {
        "hour_start": start,
        "hour_end": end,
        "weblog_dir": str(folder),
        "shift_to": shift_to,
    }
    sql = (WEBLOG / f"{model}.sql").read_text()
    return _connection(session).sql(sql, params=parameters).to_arrow_table()


@pytest.fixture(scope="module")
def visits() -> Any:
    return run("visits")


@pytest.fixture(scope="module")
def orders() -> Any:
    return run("orders")


def _log() -> list[tuple[str, ...]]:
    """ip, time, method, target, status, referrer and agent of every line, read without DuckDB."""
    line = re.compile(
        r'(\S+) \S+ \S+ \[(.+?)\] "(\S+) (\S+) [^"]*" (\d+) \S+ "([^"]*)" "([^"]*)"?$'
    )
    lines = gzip.decompress((WEBLOG / "data/access.log.gz").read_bytes()).decode().splitlines()
    found = [line.match(text) for text in dict.fromkeys(lines)]
    return [match.groups() for match in found if match]


@pytest.mark.parametrize(("model", "key"), [("visits", "visit_id"), ("orders", "order_id")])
def test_hour_by_hour_is_the_same_as_the_range_at_once(model: str, key: str) -> None:
    whole = run(model).to_pylist()
    hours = [START + timedelta(hours=h) for h in range(HOURS)]
    parts = [run(model, hour, hour + timedelta(hours=1)).to_pylist() for hour in hours]
    assert [row for part in parts for row in part] == whole
    assert len({row[key] for row in whole}) == len(whole)
    if model == "visits":
        assert all(parts)
    for hour, part in zip(hours, parts, strict=True):
        assert all(hour <= row["occurred_at"] < hour + timedelta(hours=1) for row in part)


@pytest.mark.parametrize("model", ["visits", "orders"])
def test_nothing_lies_outside_the_84_hours(model: str) -> None:
    assert run(model, *EVER).equals(run(model))


@pytest.mark.parametrize("model", ["visits", "orders"])
def test_a_later_run_in_another_time_zone_returns_the_same_bytes(model: str) -> None:
    # Kathmandu is 5 h 45 min ahead: an hour cut in local time would begin elsewhere.
    there = run(model, session="Asia/Kathmandu")
    assert there.cast(run(model).schema).equals(run(model))


@pytest.mark.parametrize("model", ["visits", "orders"])
def test_the_shift_is_whole_hours_to_the_end_of_the_last_full_hour(model: str) -> None:
    asked = run(model, *EVER, shift_to="2026-11-20T12:34:56+02:00")
    assert asked.equals(run(model))
    next_day = run(model, *EVER, shift_to="2026-11-21T10:00Z").to_pylist()
    day = timedelta(days=1)
    moved = [row | {"occurred_at": row["occurred_at"] + day} for row in run(model).to_pylist()]
    assert next_day == moved


def test_every_page_view_of_the_log_is_one_visit(visits: Any) -> None:
    part_of_a_page = re.compile(r"\.(png|jpe?g|gif|ico|svg|css|js|woff2?|ttf|otf|eot)$", re.I)
    expected = Counter(
        (
            datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z") + SHIFT,
            ip,
            agent,
            f"https://shop.example{target}",
            None if referrer == "-" else referrer,
        )
        for ip, time, method, target, status, referrer, agent in _log()
        if method == "GET"
        and status in ("200", "304")
        and not part_of_a_page.search(target.split("?")[0])
    )
    columns = ["occurred_at", "client_ip_address", "client_user_agent", "page_url", "referrer_url"]
    returned = Counter(tuple(row[c] for c in columns) for row in visits.to_pylist())
    assert returned == expected
    assert returned.total() == 4_183


def test_every_order_is_returned_as_it_was_typed(orders: Any) -> None:
    with (WEBLOG / "data/orders.csv").open(newline="", encoding="utf-8") as file:
        typed = {row["order_id"]: row for row in csv.DictReader(file)}
    returned = {row["order_id"]: row for row in orders.to_pylist()}
    assert len(returned) == len(typed) == 525
    for order_id, row in returned.items():
        was = typed[order_id]
        assert row.pop("occurred_at") == datetime.fromisoformat(was.pop("occurred_at")) + SHIFT
        assert {name: cell or "" for name, cell in row.items()} == was


def test_every_order_with_an_address_finds_its_visit_within_the_lookback(
    visits: Any, orders: Any
) -> None:
    with duckdb.connect() as connection:
        connection.register("visits", visits)
        connection.register("orders", orders)
        [(known, found)] = connection.execute(
            """
            SELECT count(*) FILTER (client_ip_address IS NOT NULL),
                   count(*) FILTER (EXISTS (
                       SELECT 1 FROM visits AS v
                       WHERE v.client_ip_address = o.client_ip_address
                         AND v.client_user_agent = o.client_user_agent
                         AND v.occurred_at <= o.occurred_at
                         AND v.occurred_at >= o.occurred_at - INTERVAL 168 HOUR))
            FROM orders AS o
            """
        ).fetchall()
    assert (known, found) == (321, 321)


def test_the_ingest_binds_all_four_parameters(visits: Any, orders: Any) -> None:
    bound = {"weblog_dir": str(WEBLOG / "data"), "shift_to": "2026-11-20T10:00Z"}
    hours = [START + timedelta(hours=h) for h in range(HOURS)]
    for model, table in (("visits", visits), ("orders", orders)):
        fetched = SqlModel(WEBLOG / f"{model}.sql", parameters=bound).fetch(hours)
        assert fetched.landed[0].rows.table.to_pylist() == table.to_pylist()


REQUEST = '203.0.113.7 - - [20/May/2015:21:05:00 +0000] "GET /shoes HTTP/1.1" 200 512 "-" "Firefox"'


@pytest.mark.parametrize(
    "line",
    [
        '198.51.100.1 - - [20/May/2015:21:06:00 +0000] "\\x16\\x03\\x01" 400 226 "-" "-"',
        '198.51.100.1 - - [20/May/2015:21:06:00 +0000] "" 400 0 "-" "-"',
        '198.51.100.1 - - [20/May/2015:21:06:00 +0000] "-" 408 0 "-" "-"',
        "nothing like a line of a log",
        "",
    ],
)
def test_a_line_that_is_no_request_costs_only_itself(tmp_path: Path, line: str) -> None:
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(f"{line}\n{REQUEST}\n".encode()))
    assert run("visits", folder=tmp_path)["page_url"].to_pylist() == ["https://shop.example/shoes"]


def test_fields_after_the_user_agent_are_left_out(tmp_path: Path) -> None:
    nginx = f'{REQUEST} "198.51.100.9" rt=0.004'
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(f"{nginx}\n".encode()))
    (visit,) = run("visits", folder=tmp_path).to_pylist()
    assert (visit["client_user_agent"], visit["client_ip_address"]) == ("Firefox", "203.0.113.7")


def test_the_example_stays_small() -> None:
    assert sum(path.stat().st_size for path in WEBLOG.rglob("*") if path.is_file()) < 500_000
