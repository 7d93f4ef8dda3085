"""kill -9 of real Dagster runs at every step, and several at once: none lost, none doubled."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow.compute as pc
import pytest

from tests.helpers.killed_runs import (
    ANY_STATEMENT,
    ORDERS,
    KilledRuns,
    KillPoint,
    ended,
    kill,
    killed_runs,
    matched,
    wait_until,
)

pytestmark = pytest.mark.e2e
REQUEST = 1_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[datetime]]:
    """Two matched hours of which nothing is delivered."""
    root = tmp_path_factory.mktemp("matched")
    return root, matched(root)


@pytest.fixture
def house(tmp_path: Path, made: tuple[Path, list[datetime]]) -> Iterator[KilledRuns]:
    with killed_runs(tmp_path, *made) as opened:
        yield opened


def assert_all_arrived_once(house: KilledRuns) -> None:
    """By the books and by what Meta received, each alone and both together."""
    received = house.received()
    assert received["accepted"] == ORDERS
    assert set(received) <= {"accepted", "duplicate"}
    assert house.statuses() == {"delivered": ORDERS}
    assert house.states() == {"delivered": ORDERS}
    assert house.finished() == set(house.hours)
    # What Meta removed as duplicates is listed: the ledger names an attempt more for each.
    attempts = house.attempts()
    assert len(attempts) == ORDERS
    for event_id, removed in house.removed_as_duplicates().items():
        assert attempts[event_id] > removed


@dataclass(frozen=True)
class Left:
    """What a dead run leaves behind: events, and hours that are written."""

    claimed: int = 0
    unknown: int = 0
    delivered: int = 0
    accepted: int = 0
    written: int = 0


STEPS = {
    KillPoint("before the claim"): Left(),
    KillPoint("after the claim"): Left(claimed=REQUEST),
    KillPoint("after the intent"): Left(claimed=REQUEST, unknown=REQUEST),
    KillPoint("after acceptance, before the outcome"): Left(
        claimed=REQUEST, unknown=REQUEST, accepted=REQUEST
    ),
    KillPoint("after the outcome"): Left(delivered=REQUEST, accepted=REQUEST),
    KillPoint("before a table is written"): Left(delivered=ORDERS, accepted=ORDERS),
    KillPoint("after a table is written"): Left(delivered=ORDERS, accepted=ORDERS, written=1),
}


def left_by(house: KilledRuns) -> Left:
    states, received = house.states(), house.received()
    return Left(
        claimed=house.claimed(),
        unknown=states["unknown"],
        delivered=states["delivered"],
        accepted=received["accepted"],
        written=house.written(),
    )


@pytest.mark.parametrize("death", STEPS, ids=lambda death: death.place)
def test_a_run_killed_at_any_step_is_made_up_for_by_the_next(
    death: KillPoint, house: KilledRuns
) -> None:
    house.dies(death)
    left = STEPS[death]
    assert left_by(house) == left
    house.recovers()
    assert_all_arrived_once(house)
    # Sent again is what Meta had and we did not know of, and nothing else.
    assert house.received()["duplicate"] == left.accepted - left.delivered


def test_a_withdrawal_that_lands_after_the_kill_stops_what_has_not_left(house: KilledRuns) -> None:
    house.dies(KillPoint("after the outcome"))
    with house.ledger() as ledger:
        known = ledger.state_of(house.events())
    sent = known.filter(pc.equal(known["state"], "delivered"))["order_id"].to_pylist()
    orders = house.events()["order_id"].to_pylist()
    late = [order for order in orders if order not in set(sent)][:10]
    folder = house.root / "landing" / "withdrawals"
    folder.mkdir(parents=True)
    (folder / "w.csv").write_text("\n".join(["order_id", *late, *sent[:10]]))
    house.recovers()
    assert house.received() == {"accepted": ORDERS - 10}
    assert house.statuses() == {"delivered": ORDERS - 10, "withheld": 10}


@pytest.mark.parametrize("accepted", [False, True])
def test_a_run_killed_in_the_middle_of_a_request(accepted: bool, house: KilledRuns) -> None:
    silence = house.meta.set_fault("read_timeout", accepts=accepted)
    run = house.start()
    wait_until(lambda: silence.struck > 0, run)
    if accepted:
        wait_until(lambda: house.received()["accepted"] == REQUEST, run)
    kill(run)
    house.meta.clear_faults()
    arrived = REQUEST if accepted else 0
    assert left_by(house) == Left(claimed=REQUEST, unknown=REQUEST, accepted=arrived)
    house.recovers()
    assert_all_arrived_once(house)
    assert house.received()["duplicate"] == arrived


@pytest.mark.parametrize("seed", range(2))
def test_runs_killed_at_random_again_and_again(seed: int, house: KilledRuns) -> None:
    dice = random.Random(seed)
    exits = []
    for _ in range(3):
        # A whole delivery takes some 60 statements and commits, what is left of one takes fewer.
        exits.append(ended(house.start(KillPoint(ANY_STATEMENT, dice.randint(1, 50)))))
        house.claims_expire()
    assert exits[0] == -signal.SIGKILL
    assert set(exits) <= {-signal.SIGKILL, 0}
    house.recovers()
    assert_all_arrived_once(house)
    assert house.received()["duplicate"] <= 3 * ORDERS


@pytest.mark.parametrize("runs", [2, 8])
def test_runs_over_the_same_hours_at_once_send_every_event_once(
    runs: int, house: KilledRuns
) -> None:
    house.meta.set_fault("slow", latency_ms=50)
    started = [house.start() for _ in range(runs)]
    assert [ended(run) for run in started] == [0] * runs
    assert house.received() == {"accepted": ORDERS}
    assert Counter(house.attempts().values()) == {1: ORDERS}
    assert_all_arrived_once(house)
