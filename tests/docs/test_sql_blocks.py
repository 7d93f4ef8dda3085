"""The SQL of the pages runs as it is written, over the tables as they are stored."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.contracts.meta_stats import MetaStats
from tests.helpers.asset_harness import TABLES

DOCS = Path(__file__).parents[2] / "docs"
CONTRACTS = {**TABLES, "dataset_quality": DatasetQuality, "meta_stats": MetaStats}
BLOCK = re.compile(r"```sql\n(.*?)```", re.DOTALL)
SPAN = re.compile(r"`(SELECT [^`]+)`")


def statements() -> list[tuple[str, str]]:
    """Page and statement, of the pages that query the lake."""
    pages = [DOCS / "pixel.md", DOCS / "match-quality.md"]
    found = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found += [(page.name, sql) for sql in (*BLOCK.findall(text), *SPAN.findall(text))]
    return found


@pytest.mark.parametrize(("page", "sql"), statements())
def test_a_statement_of_a_page_runs(page: str, sql: str) -> None:
    with duckdb.connect() as connection:
        for name, contract in CONTRACTS.items():
            table = arrow_schema(contract).empty_table()
            connection.register(name, table)
        assert connection.sql(sql).fetchall() == []


def test_the_pixels_code_sends_the_id_that_orders_get() -> None:
    page = (DOCS / "pixel.md").read_text(encoding="utf-8")
    ((event_name, prefix),) = re.findall(
        r"fbq\('track', '(\w+)', .*\{eventID: '([^']+)' \+ orderId\}\)", page
    )
    orders = (Path(DOCS.parent) / "docs" / "events.md").read_text(encoding="utf-8")
    assert prefix == f"{event_name}:"
    assert "`{event_name}:{order_id}`" in orders
