"""docs/data-dictionary.md says of every table what the models say, and they say enough."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

from capi_assets import contracts
from capi_assets.contracts import meta_pages
from capi_assets.contracts.base import Contract, columns
from capi_assets.contracts.landing import LandedOrders
from capi_assets.contracts.orders import Orders
from capi_assets.ingest.hashing import CONTACT_FIELDS
from capi_assets.meta.events.build import EVENT_FIELDS
from capi_assets.meta.events.custom_data import CUSTOM_DATA_FIELDS
from capi_assets.meta.events.user_data import USER_DATA_FIELDS
from tools.data_dictionary import PAGE, TABLES, page

PAGES = {value["source"] for name, value in vars(meta_pages).items() if name.isupper()}
OWN_NAMES = {"order_id"}  # Meta has a field of this name, but the id is the advertiser's


def test_the_page_is_written_from_the_models() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tools.data_dictionary`"


def test_no_table_is_missing() -> None:
    for module in pkgutil.iter_modules(contracts.__path__):
        importlib.import_module(f"{contracts.__name__}.{module.name}")
    ours = {c for c in Contract.__subclasses__() if c.__module__.startswith("capi_assets.")}
    assert {table.contract for table in TABLES} == ours


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.heading)
def test_every_column_is_described_in_a_sentence(table) -> None:
    for column in columns(table.contract):
        assert re.fullmatch(r"\S.*[.]", column.description), column.name
        assert "|" not in column.description, column.name
        assert column.metadata.get("source", "End-to-end implementation") in PAGES, column.name


@pytest.mark.parametrize("contract", [LandedOrders, Orders])
def test_every_column_that_meta_knows_names_metas_page(contract: type[Contract]) -> None:
    metas = {*EVENT_FIELDS, *CUSTOM_DATA_FIELDS, *USER_DATA_FIELDS, *CONTACT_FIELDS} - OWN_NAMES
    silent = [c.name for c in columns(contract) if c.name in metas and "source" not in c.metadata]
    assert not silent


def test_every_row_of_every_table_has_as_many_cells_as_its_head() -> None:
    rows = [line for line in page().splitlines() if line.startswith("|")]
    assert len(rows) == sum(len(columns(table.contract)) + 2 for table in TABLES)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}


def test_what_a_break_costs_stands_beside_the_column() -> None:
    cells = {
        row.split(" | ")[0].strip("| `"): row.split(" | ")[2]
        for row in page().split("## orders, as they land")[1].split("## ")[0].splitlines()
        if row.startswith("| `")
    }
    assert cells["order_id"] == "yes"
    assert cells["event_name"] == "default `Purchase`"
    assert cells["opt_out"] == cells["consent"] == "*never guessed*"
    assert cells["email"] == cells["value"] == ""
    assert "a Purchase must have one" in page()
