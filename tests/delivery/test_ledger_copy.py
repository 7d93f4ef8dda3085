"""A ledger moves to another database whole, so that nothing is sent again."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest
from sqlalchemy import select

from capi_assets.commands.ledger_copy import copy_ledger
from capi_assets.delivery.ledger.decisions import Decision
from capi_assets.delivery.ledger.ledger import Ledger, LedgerError
from capi_assets.delivery.ledger.schema import METADATA, WATCHES, WITHDRAWAL
from capi_assets.settings import Settings
from tests.delivery.test_ledger import DELIVERED, LEASE, NO_ANSWER, attempt, states
from tests.helpers.delivery_harness import NOW, Clock, column, event, orders, register, table

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def source(tmp_path) -> tuple[str, pa.Table]:
    """A SQLite ledger with delivered, unknown and pending events, a decision and a withdrawal."""
    path = f"{tmp_path}/old.db"
    events = orders(6)
    with Ledger(f"sqlite:///{path}") as ledger:
        register(ledger, events)
        clock = Clock()
        for part, outcome in ((events[:3], DELIVERED), (events[3:5], NO_ANSWER)):
            number = attempt(ledger, part, clock)
            ledger.record(number, outcome, "run-1/a", clock(), keep_claim=False)
        decision = Decision("write_off", "Ada", "cannot be told")
        assert ledger.decide(ledger.state_of(events[4:5]), decision, clock()) == 1
        mark = {"mark": "o1", "withdrawn_at": NOW}
        assert ledger.add_withdrawals(pa.Table.from_pylist([mark], schema=WITHDRAWAL), NOW) == 1
    return path, events


def contents(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    with ledger.engine.connect() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in METADATA.sorted_tables
            if table is not WATCHES
        }


def settings(url: str) -> Settings:
    return Settings(ledger_url=url)


def test_every_row_arrives_and_what_was_delivered_is_not_sent_again(
    source: tuple[str, pa.Table], any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = source
    monkeypatch.setenv("OLD_LEDGER", f"sqlite:///{path}")
    copied = copy_ledger("OLD_LEDGER", settings(any_url), LATER)
    with Ledger(f"sqlite:///{path}") as old, Ledger(any_url) as new:
        assert contents(new) == contents(old)
        assert copied == {name: len(rows) for name, rows in contents(old).items()}
        assert copied["events"] == 6
        clock = Clock(LATER)
        won = new.claim(events, "run-2/a", clock(), LEASE)
        assert column(won, "won") == [False] * 3 + column(won, "won")[3:]
        # New rows are numbered after the copied ones.
        more = table(event(f"new-{n}") for n in range(2))
        number = attempt(new, more, clock, "run-3/a")
        new.record(number, DELIVERED, "run-3/a", clock(), keep_claim=False)
        assert set(states(new, more).values()) == {"delivered"}


def test_a_ledger_with_rows_is_never_copied_over(
    source: tuple[str, pa.Table], any_url: str
) -> None:
    path, _ = source
    with Ledger(any_url) as new:
        register(new, orders(1))
        before = contents(new)
    with pytest.raises(LedgerError, match=r"has rows already \(in events\)"):
        copy_ledger(path, settings(any_url), LATER)
    with Ledger(any_url) as new:
        assert contents(new) == before


def test_nothing_is_copied_while_a_run_sends(source: tuple[str, pa.Table], any_url: str) -> None:
    path, events = source
    with Ledger(f"sqlite:///{path}") as old:
        old.claim(events[5:], "run-9/a", LATER, LEASE)
    with pytest.raises(LedgerError, match=r"A run is sending from .* \(events claimed: 1\)"):
        copy_ledger(path, settings(any_url), LATER)
    with Ledger(any_url) as new:
        assert not any(contents(new).values())


def test_a_source_is_a_file_or_the_name_of_a_variable(any_url: str) -> None:
    for given, says in (
        ("postgresql://a:b@host/c", "environment variable and give its name"),
        ("nothing.db", "neither a file nor an environment variable"),
    ):
        with pytest.raises(LedgerError, match=says):
            copy_ledger(given, settings(any_url), LATER)
