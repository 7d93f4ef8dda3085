"""Every recipe of examples/sources reads files as their source writes them, into the right rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from capi_assets.contracts.landing import LandedOrders
from capi_assets.ingest.column_map import PLAIN, read_column_map
from capi_assets.ingest.hashing import HashPolicy
from capi_assets.ingest.landing_folder import LandingFolder
from capi_assets.ingest.sources import SqlModel
from tests.helpers.factories import HOUR, H, at, digest, land
from tests.helpers.ingest_harness import IngestHarness
from tests.helpers.postgres_server import database

SOURCES = Path(__file__).parents[2] / "examples" / "sources"
POLICY = HashPolicy(default_country="DE")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CLICK = "https://shop.example/?fbclid=IwAR0aZ3x"
THANKS = "https://shop.example/thanks"
BUYER = digest("ana.silva@example.com")
NIGHT = datetime(2026, 11, 20, 23, tzinfo=UTC)

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A model or a column map, its parameters, and the rows that it gives for an hour, written by
    hand; `tables` are loaded into PostgreSQL, where the model then runs."""

    folder: str
    table: str
    expected: Rows
    parameters: Mapping[str, str] = field(default_factory=dict)
    columns: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)
    hour: datetime = H
    name: str = ""

    def __str__(self) -> str:
        return f"{self.folder}-{self.table}{self.name}"


def event(order_id: str, minutes: float, value: float, **more: Any) -> dict[str, Any]:
    """An order as it is expected."""
    return {"order_id": order_id, "occurred_at": at(minutes), "value": value, **more}


def visit(minutes: float, **more: Any) -> dict[str, Any]:
    """A visit as it is expected."""
    return {"occurred_at": at(minutes), **more}


FIREFOX = {"client_ip_address": "203.0.113.7", "client_user_agent": AGENT}
FROM_AD = {"page_url": CLICK, "referrer_url": "https://m.facebook.com/", "fbclid": "IwAR0aZ3x"}
SEGMENT_VISITS = [
    visit(1 + 0.25 / 60, visit_id="m-1", external_id=digest("anon-1"), **FROM_AD, **FIREFOX),
    visit(59 + 59 / 60, visit_id="m-2", external_id=digest("c-18")),
]
SEGMENT_ORDERS = [
    event(
        *("S-1", 5, 59.9),
        **{"event_id": "m-9", "em": BUYER, "external_id": digest("c-17")},
        **{"event_source_url": THANKS, **FIREFOX},
    ),
    event("S-2", 59 + 59.999 / 60, 20, event_id="m-10", currency="USD", em=None),
]
RECIPES = [
    Recipe(
        *("shopify", "orders"),
        [
            event(
                *("#1001", 5, 59.9),
                **{"status": "confirmed", "currency": "EUR", "em": BUYER, "num_items": 3},
                **{"content_ids": '["MUG-1","CUP-2"]', "zp": digest("07001")},
                **{"ph": digest("34971234567"), "country": digest("es"), "ct": digest("palma")},
            ),
            event("#1002", 15, 20, status="cancelled", action_source="website"),
            event(
                *("#1003", 59 + 59 / 60, 30),
                **{"status": "confirmed", "action_source": "physical_store"},
                **{"ph": digest("34612345678")},
            ),
        ],
        {"shopify_orders": "orders_export.csv"},
    ),
    Recipe(
        *("access_log", "visits"),
        [
            visit(1, **FROM_AD, **FIREFOX),
            visit(
                59 + 59 / 60,
                **{"page_url": "https://shop.example/mugs", "client_user_agent": None},
                **{"client_ip_address": "198.51.100.9", "referrer_url": None},
            ),
        ],
        {"access_logs": "access.log", "site": "https://shop.example"},
    ),
    Recipe(
        *("cloudfront", "visits"),
        [
            visit(
                *(1,),
                **{"visit_id": "aaaaEXAMPLE1==", "fbp": "fb.1.1795179600000.1234567890"},
                **{"fbc": "fb.1.1795179600000.IwAR0aZ3x", **FROM_AD, **FIREFOX},
            ),
            visit(
                *(2,),
                **{"page_url": "https://shop.example/mugs", "client_user_agent": AGENT},
                **{"client_ip_address": "2001:db8::7", "fbp": None, "fbc": None},
            ),
            visit(4, page_url="https://shop.example/old", client_ip_address="203.0.113.8"),
        ],
        {"cloudfront_logs": "*.gz"},
    ),
    Recipe(
        *("woocommerce", "orders"),
        [
            event(
                *("W-901", 5, 49.9),
                **{"status": "confirmed", "currency": "EUR", "em": BUYER, **FIREFOX},
                **{"external_id": digest("17"), "ph": digest("4930901820")},
                **{"fn": digest("ana"), "ln": digest("silva"), "zp": digest("01067")},
            ),
            event("W-902", 59 + 59 / 60, 20, status="pending", external_id=None),
        ],
        {"woo_orders": "orders.csv", "woo_zone": "Europe/Berlin"},
        columns=True,
    ),
    Recipe(
        *("ga4", "visits"),
        [
            visit(
                1 + 0.000001 / 60,
                **{"visit_id": "1193046.1795000000.1795179600.1795179660000001"},
                **{"consent": True, "external_id": digest("1193046.1795000000"), **FROM_AD},
            )
        ],
        {"ga4_events": "events_*.json"},
    ),
    Recipe(
        *("ga4", "visits"),
        [
            {
                "occurred_at": datetime(2026, 11, 20, 23, 59, 59, 999_999, tzinfo=UTC),
                "page_url": "https://shop.example/night",
                "consent": False,
                "fbclid": None,
            }
        ],
        {"ga4_events": "events_*.json"},
        hour=NIGHT,
        name="-night",
    ),
    Recipe(
        *("ga4", "orders"),
        [
            event(
                *("G-1", 5, 54.9),
                **{"currency": "EUR", "consent": True, "external_id": digest("c-17")},
                **{"event_source_url": THANKS, "status": "confirmed"},
                contents='[{"id":"MUG-1","quantity":1,"item_price":24.9},'
                '{"id":"CUP-2","quantity":2,"item_price":15.0}]',
            )
        ],
        {"ga4_events": "events_*.json"},
    ),
    Recipe(
        *("matomo", "visits"),
        [
            visit(
                *(1,),
                **{"visit_id": "101.5001", "external_id": digest("a1b2c3d4e5f60718"), **FROM_AD},
                client_ip_address="203.0.113.0",
            )
        ],
        {"matomo_visits": "*.json"},
    ),
    Recipe(
        *("matomo", "orders"),
        [
            event(
                *("M-1", 5, 59.9),
                **{"currency": "EUR", "num_items": 2, "external_id": digest("a1b2c3d4e5f60718")},
                contents='[{"id":"MUG-1","quantity":2,"item_price":29.95}]',
            )
        ],
        {"matomo_visits": "*.json"},
    ),
    Recipe("segment", "visits", SEGMENT_VISITS, tables={"web.pages": "pages.csv"}),
    Recipe(
        *("segment", "orders", SEGMENT_ORDERS),
        tables={"web.order_completed": "order_completed.csv"},
    ),
    Recipe(
        *("rudderstack", "visits"),
        [SEGMENT_VISITS[0], SEGMENT_VISITS[1] | {"client_ip_address": "198.51.100.9"}],
        tables={"web.pages": "pages.csv"},
    ),
    Recipe(
        *("rudderstack", "orders", SEGMENT_ORDERS),
        tables={"web.order_completed": "order_completed.csv"},
    ),
    Recipe(
        *("snowplow", "visits"),
        [
            visit(
                1 + 0.123 / 60,
                **{"visit_id": "0c1f1c0e-0001-4000-8000-000000000001", **FROM_AD, **FIREFOX},
                external_id=digest("d-1"),
            )
        ],
        tables={"atomic.events": "events.csv"},
    ),
    Recipe(
        *("snowplow", "orders"),
        [
            event(
                *("P-1", 5, 59.9),
                **{"currency": "EUR", "external_id": digest("c-17"), "event_source_url": THANKS},
                **{"ct": digest("dresden"), "country": digest("de"), **FIREFOX},
            )
        ],
        tables={"atomic.events": "events.csv"},
    ),
]


@pytest.fixture
def warehouse(postgres: str) -> Iterator[str]:
    """A database whose sessions are in New York, as a warehouse's may be."""
    with database(postgres, "recipes", "America/New_York") as url:
        yield url


def load(url: str, table: str, file: Path) -> None:
    """A table with the rows of a CSV file; times and numbers of their types, empty is null."""
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    naive = table.startswith("atomic.")  # Snowplow's times have no zone, the others' have
    kinds = {
        name: f"timestamp{'' if naive else 'tz'}"
        if name.endswith(("timestamp", "tstamp", "_at"))
        else "numeric"
        if name in ("total", "revenue", "tr_total")
        else "text"
        for name in rows[0]
    }
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {table.partition('.')[0]}"))
        columns = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
        connection.execute(sa.text(f"CREATE TABLE {table} ({columns})"))
        marks = ", ".join(f":{name}" for name in kinds)
        values = [{name: value or None for name, value in row.items()} for row in rows]
        connection.execute(sa.text(f"INSERT INTO {table} VALUES ({marks})"), values)
    engine.dispose()


def same(rows: Sequence[Mapping[str, Any]], expected: Rows) -> None:
    """Every expected value of every expected row, in the order of time."""
    found = [
        {name: row[name] for name in wanted} for row, wanted in zip(rows, expected, strict=True)
    ]
    assert found == expected


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_recipe_gives_the_rows_that_are_in_its_file(
    recipe: Recipe, harness: IngestHarness, request: pytest.FixtureRequest
) -> None:
    folder, url = SOURCES / recipe.folder, None
    if recipe.tables:
        url = request.getfixturevalue("warehouse")
        for table, file in recipe.tables.items():
            load(url, table, folder / file)
    parameters = {
        name: str(folder / value) if "." in value and "/" not in value else value
        for name, value in recipe.parameters.items()
    }
    columns = (
        read_column_map(str(folder / "columns.toml"), LandedOrders, "CAPI_ORDERS_COLUMNS")
        if recipe.columns
        else PLAIN
    )
    model = SqlModel(folder / f"{recipe.table}.sql", url, parameters, columns=columns)
    rows = harness.rows(recipe.table, source=model, hours=[recipe.hour], policy=POLICY)
    same(rows, recipe.expected)


def test_the_woocommerce_map_reads_landed_files_alone(harness: IngestHarness) -> None:
    """The hour's rows in its folder, as an hourly export lands them: no SQL is needed."""
    folder = SOURCES / "woocommerce"
    lines = (folder / "orders.csv").read_text().splitlines(keepends=True)
    land(harness.landing, "orders", "a.csv", "".join(lines[:3]).encode())
    land(harness.landing, "orders", "b.csv", "".join([lines[0], lines[3]]).encode(), H + HOUR)
    columns = read_column_map(str(folder / "columns.toml"), LandedOrders, "CAPI_ORDERS_COLUMNS")
    source = LandingFolder(harness.landing, "orders", columns=columns)
    (woo,) = (recipe for recipe in RECIPES if recipe.folder == "woocommerce")
    same(harness.rows("orders", source=source, policy=POLICY), woo.expected)
    (later,) = harness.rows("orders", source=source, hours=[H + HOUR], policy=POLICY)
    assert (later["order_id"], later["status"]) == ("W-903", "confirmed")


def reader(table: str) -> tuple[int, int, str]:
    """Where GA4's model reads its files, and its text."""
    sql = (SOURCES / "ga4" / f"{table}.sql").read_text()
    return sql.index("read_json(\n"), sql.index("\n    )\n)") + len("\n    )"), sql


def test_ga4_in_parquet_gives_what_json_gives(harness: IngestHarness, tmp_path: Path) -> None:
    """As BigQuery extracts it, by the change that the model's first lines name."""
    export = tmp_path / "events.parquet"
    start, end, sql = reader("orders")
    events = sql[start:end].replace("$ga4_events", f"'{SOURCES}/ga4/events_20261120.json'")
    with duckdb.connect() as connection:
        connection.execute(f"COPY (FROM {events}) TO '{export}'")
    for table in ("visits", "orders"):
        start, end, sql = reader(table)
        changed = f"{sql[:start]}read_parquet($ga4_events){sql[end:]}"
        (tmp_path / "m.sql").write_text(changed)
        model = SqlModel(tmp_path / "m.sql", parameters={"ga4_events": str(export)})
        (recipe, *_) = (r for r in RECIPES if (r.folder, r.table) == ("ga4", table))
        same(harness.rows(table, source=model, policy=POLICY), recipe.expected)


def test_every_recipe_is_tested_and_listed() -> None:
    page = (SOURCES / "README.md").read_text(encoding="utf-8")
    models = {(path.parent.name, path.stem) for path in SOURCES.glob("*/*.sql")}
    assert models == {(recipe.folder, recipe.table) for recipe in RECIPES}
    for folder, table in models:
        assert f"({folder}/{table}.sql)" in page
    used = {name.upper() for recipe in RECIPES for name in recipe.parameters}
    assert all(f"`CAPI_SQL_{name}`" in page for name in used)
