"""What an attempt held is kept as ranges of event numbers, also of attempts of former versions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import insert, select, text

from capi_assets.delivery.ledger import attempt_ranges
from capi_assets.delivery.ledger.engine import WRITES, open_engine, upgrade
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.old_rows import LedgerTraces
from capi_assets.delivery.ledger.schema import ATTEMPT_RANGES, ATTEMPTS, CHUNK, EVENTS
from capi_assets.delivery.outcome import Outcome
from tests.delivery.test_ledger import attempt
from tests.helpers.delivery_harness import Clock, column, orders

HELD = {1: [1, 2, 3, 5], 2: [5, 6]}


def ranges(ledger: Ledger) -> list[tuple[int, int, int]]:
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(ATTEMPT_RANGES).order_by(*ATTEMPT_RANGES.primary_key))
        return [tuple(row) for row in rows]


def history(ledger: Ledger) -> list[tuple[int, str]]:
    rows = ledger.attempts_for(orders(7))
    return sorted(zip(column(rows, "attempt"), column(rows, "event_id"), strict=True))


def held(refs: dict[int, list[int]]) -> list[tuple[int, str]]:
    return [(number, f"Purchase:order-{ref - 1:04d}") for number in refs for ref in refs[number]]


@pytest.fixture
def former(any_url: str) -> str:
    """The address of a ledger as version 0006 wrote it, with a row for each event of an attempt."""
    events = orders(6).to_pylist()
    same = {"hour": 0, "state": "rejected", "attempts": 1}
    opened = open_engine(any_url, timedelta(seconds=5))
    with opened.execution_options(**{WRITES: True}).begin() as connection:
        upgrade(connection, "0006")
        for event in events:
            known = {c.name: event[c.name] for c in EVENTS.c if c.name in event}
            connection.execute(insert(EVENTS).values({**known, **same, "deliver_until": 9}))
        for number, refs in HELD.items():
            row = {"run_id": "r", "dataset_id": "d", "started_at": 1, "bytes": 1}
            connection.execute(insert(ATTEMPTS).values(**row, events=len(refs)))
            for ref in refs:
                connection.execute(
                    text("INSERT INTO attempt_events (attempt, ref) VALUES (:number, :ref)"),
                    {"number": number, "ref": ref},
                )
    opened.dispose()
    return any_url


def test_attempts_of_a_former_version_are_carried_over(former: str) -> None:
    with Ledger(former) as ledger:
        assert ranges(ledger) == [(1, 1, 3), (1, 5, 5), (2, 5, 6)]
        assert history(ledger) == held(HELD)


def test_an_erased_event_leaves_its_attempts_and_no_other_event_inherits_them(
    former: str, clock: Clock
) -> None:
    with Ledger(former) as ledger:
        erased = [(ref, "d", "Purchase", "o", "e", "rejected", None) for ref in (2, 6)]
        ledger.erase(LedgerTraces(erased), lambda text: text)
        assert ranges(ledger) == [(1, 1, 1), (1, 3, 3), (1, 5, 5), (2, 5, 5)]
        left = {1: [1, 3, 5], 2: [5]}
        assert history(ledger) == held(left)
        number = attempt(ledger, orders(7).slice(6), clock)  # SQLite gives it the number 6 again
        ledger.record(number, Outcome("delivered"), "run-1/a", clock(), keep_claim=False)
        assert history(ledger) == [*held(left), (number, "Purchase:order-0006")]


def test_no_range_is_too_long_to_be_found(ledger: Ledger) -> None:
    refs = [*range(10, 10 + 2 * CHUNK + 1), 9_999, 9_998]
    with ledger.engine.begin() as connection:
        connection.execute(
            insert(ATTEMPTS).values(
                run_id="r", dataset_id="d", started_at=1, events=len(refs), bytes=1
            )
        )
        attempt_ranges.write(connection, 1, refs)
        assert attempt_ranges.refs_of(connection, 1) == sorted(refs)
    assert [last - first + 1 for _, first, last in ranges(ledger)] == [CHUNK, CHUNK, 1, 2]
