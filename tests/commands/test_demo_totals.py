"""A scenario only succeeds where orders were delivered, none waits, and both sides agree."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from rich.console import Console

from capi_assets.commands.demo.tables import check_totals
from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.hours import HOUR
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.sandbox_samples import DATASET, NOW, TOKEN, post, purchase

H = datetime(2026, 11, 20, 13, tzinfo=UTC)
HOURS = [H, H + HOUR]


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(tokens=[TOKEN], datasets={DATASET: "Shop"}) as server:
        yield server


def health(**first_hour: int) -> pa.Table:
    schema = arrow_schema(AttributionHealth)
    empty = {f.name: 0 for f in schema if f.type in (pa.int64(), pa.float64())}
    names = {"dataset_id": "42", "event_name": "Purchase", "match_keys": "{}"}
    return pa.Table.from_pylist(
        [{**empty, **names, "hour": H, **first_hour}, {**empty, **names, "hour": H + HOUR}],
        schema=schema,
    )


def checked(table: pa.Table, sandbox: SandboxServer) -> tuple[bool, str]:
    console = Console(width=120)
    with console.capture() as captured:
        passed = check_totals(HOURS, table, table, sandbox, console)
    return passed, captured.get()


def test_a_scenario_without_orders_fails(sandbox: SandboxServer) -> None:
    passed, output = checked(health(), sandbox)
    assert not passed
    assert "No orders were generated" in output
    assert "they agree" not in output


def test_a_scenario_that_delivers_nothing_fails(sandbox: SandboxServer) -> None:
    passed, output = checked(health(orders=2, withheld=2), sandbox)
    assert not passed
    assert "Nothing was delivered" in output
    assert "they agree" not in output


def test_orders_that_wait_are_no_success(sandbox: SandboxServer) -> None:
    passed, output = checked(health(orders=3, eligible=3, pending=3), sandbox)
    assert not passed
    assert "3 orders are not delivered yet" in output


def test_hours_that_were_not_evaluated_are_no_success(sandbox: SandboxServer) -> None:
    passed, output = checked(health(orders=1, withheld=1).slice(0, 1), sandbox)
    assert not passed
    assert "1 of 2 hours were not evaluated" in output


def test_a_ledger_that_differs_from_the_sandbox_fails(sandbox: SandboxServer) -> None:
    passed, output = checked(health(orders=2, eligible=2, delivered=2), sandbox)
    assert not passed
    assert "THEY DIFFER" in output


def test_orders_that_all_have_their_place_are_a_success(sandbox: SandboxServer) -> None:
    sandbox.set_clock(NOW)
    post(sandbox, purchase(1), purchase(2))
    passed, output = checked(health(orders=3, withheld=1, eligible=2, delivered=2), sandbox)
    assert passed
    assert "3 orders = 2 delivered + 1 withheld" in output
    assert "they agree" in output
