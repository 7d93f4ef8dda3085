"""kill -9 of real Dagster runs at every step, and many at once: none lost, none doubled."""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from killed_world import ORDERS, PATIENCE, House, a_house, kill, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with a_house(tmp_path) as opened:
        yield opened


def count(books: sqlite3.Connection, what: str) -> int:
    return int(books.execute(f"select count(*) from {what}").fetchone()[0])


def assert_all_arrived_once(house: House) -> None:
    """By the books and by what Meta received, each alone and both together."""
    received = house.received()
    assert received["accepted"] == ORDERS
    assert received["doubled"] == 0
    assert house.statuses() == {"delivered": ORDERS}
    # What Meta removed as duplicates is listed: the ledger names a second attempt for each.
    attempts = house.attempts()
    assert len(attempts) == ORDERS
    again = {event for event, requests in attempts.items() if requests > 1}
    assert house.removed_as_duplicates() <= again
    assert received.total() <= attempts.total()


def test_killed_at_every_step_one_run_after_the_other(house: House) -> None:
    # Before the claim: the lock is held from the start, so the run cannot come further.
    with house.holding_the_ledger() as books:
        run = house.start()
        wait_until(lambda: bool(list(house.lake.paths("matched_events", [house.hour]))))
        time.sleep(0.3)
        kill(run)
        assert count(books, "events") == 0
    house.claims_lapse()

    # After the claim, before the intent.
    run = house.start()
    house.kill_when(run, lambda books: count(books, "events where claimed_by is not null") > 0)
    with house.holding_the_ledger() as books:
        assert count(books, "attempts") == 0
    assert house.received().total() == 0
    house.claims_lapse()

    # After the intent, before or while the request leaves.
    run = house.start()
    house.kill_when(run, lambda books: count(books, "attempts") == 1)
    with house.holding_the_ledger() as books:
        assert count(books, "events where state = 'unknown'") == 1_000
    house.claims_lapse()

    # In the middle of a request: Meta has it and has not answered.
    slow = house.meta.set_fault("slow", latency_ms=2_000)
    run = house.start()
    wait_until(lambda: slow.struck > 0)
    kill(run)
    house.meta.clear_faults()
    house.claims_lapse()

    # After the acceptance, before its outcome is written: the lock keeps it from that.
    run = house.start()
    before = house.received().total()

    def has_accepted(books: sqlite3.Connection) -> bool:
        if count(books, "attempts") < 3:
            return False
        wait_until(lambda: house.received().total() >= before + 1_000)
        return True

    house.kill_when(run, has_accepted)
    assert house.accepted() == 1_000
    with house.holding_the_ledger() as books:
        assert count(books, "events where state = 'delivered'") == 0
    house.claims_lapse()

    # After the first outcome, before the second request's.
    run = house.start()
    house.kill_when(run, lambda books: count(books, "attempts where outcome = 'delivered'") > 0)
    with house.holding_the_ledger() as books:
        assert count(books, "events where state = 'delivered'") == 1_000
    assert not house.has_results()
    house.claims_lapse()

    # After the last outcome, before the table is written.
    run = house.start()
    house.kill_when(run, lambda books: count(books, "events where state = 'delivered'") == ORDERS)
    assert not house.has_results()

    requests = house.received().total()
    assert house.recover()
    assert house.received().total() == requests  # nothing was left to send
    assert_all_arrived_once(house)
    assert house.received()["duplicate"] <= 4_000  # at most what was under way at four kills


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_random_moments(seed: int, house: House) -> None:
    dice = random.Random(seed)
    house.meta.set_fault("slow", latency_ms=150)
    for _ in range(3):
        run = house.start()
        # From the first write on: earlier there is nothing to lose.
        house.wait_for(run, lambda books: count(books, "events") > 0)
        run.join(dice.uniform(0.0, 0.6))
        if run.is_alive():
            kill(run)
        house.claims_lapse()
    house.meta.clear_faults()
    assert house.recover()
    assert_all_arrived_once(house)
    # At most the two or three requests under way at each kill were sent again.
    assert house.received()["duplicate"] <= 3 * ORDERS


@pytest.mark.parametrize("runs", [2, 8])
def test_runs_of_the_same_hour_at_once_send_every_event_once(runs: int, house: House) -> None:
    house.meta.set_fault("slow", latency_ms=50)
    started = [house.start() for _ in range(runs)]
    for run in started:
        run.join(2 * PATIENCE)
    assert [run.exitcode for run in started] == [0] * runs
    assert house.received() == {"accepted": ORDERS}
    assert Counter(house.attempts().values()) == {1: ORDERS}
    assert_all_arrived_once(house)
