"""A rehearsal is only a success where something was delivered and nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from rich.console import Console

from capi_assets.commands.demo.run_hours import DemoTotals, check_totals
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.hours import HOUR
from capi_assets.sandbox.run import SandboxServer

H = datetime(2026, 11, 20, 13, tzinfo=UTC)
HOURS = [H, H + HOUR]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(tokens=["good"], datasets={"42": "Shop"}) as server:
        yield server


def health(**first_hour: int) -> pa.Table:
    schema = arrow_schema(AttributionHealth)
    empty = {f.name: 0 for f in schema if f.type in (pa.int64(), pa.float64())}
    names = {"dataset_id": "42", "event_name": "Purchase", "match_keys": "{}"}
    return pa.Table.from_pylist(
        [{**empty, **names, "hour": H, **first_hour}, {**empty, **names, "hour": H + HOUR}],
        schema=schema,
    )


def reckoned(table: pa.Table, sandbox: SandboxServer) -> tuple[DemoTotals, str]:
    console = Console(record=True, width=120, quiet=False)
    with console.capture() as told:
        found = check_totals(HOURS, table, table, sandbox, console)
    return found, told.get()


def test_a_rehearsal_without_orders_shows_nothing(sandbox: SandboxServer) -> None:
    found, told = reckoned(health(), sandbox)
    assert not found.reconciled
    assert "There was not one order" in told


def test_orders_that_wait_are_no_success(sandbox: SandboxServer) -> None:
    found, told = reckoned(health(orders=3, eligible=3, pending=3), sandbox)
    assert not found.reconciled
    assert "3 orders still wait" in told


def test_hours_that_were_never_judged_are_no_success(sandbox: SandboxServer) -> None:
    found, told = reckoned(health(orders=1, withheld=1).slice(0, 1), sandbox)
    assert not found.reconciled
    assert "1 of 2 hours were never judged" in told


def test_books_that_meta_does_not_share_differ(sandbox: SandboxServer) -> None:
    found, told = reckoned(health(orders=2, eligible=2, delivered=2), sandbox)
    assert not found.reconciled
    assert "THEY DIFFER" in told


def test_orders_that_all_have_their_place_are(sandbox: SandboxServer) -> None:
    found, told = reckoned(health(orders=2, withheld=2), sandbox)
    assert found.reconciled
    assert "they agree" in told
