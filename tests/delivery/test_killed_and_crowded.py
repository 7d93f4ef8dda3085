"""kill -9 at every step, and several runs at once: nothing lost, nothing counted twice."""

from __future__ import annotations

import multiprocessing
import random
import signal

import pytest

from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.sandbox.run import SandboxServer
from tests.helpers.delivery_harness import Clock, column, ids, orders
from tests.helpers.delivery_process import STEPS, run, run_and_die

COUNT = 200
SPAWN = multiprocessing.get_context("spawn")


def verdicts(sandbox: SandboxServer) -> dict[str, int]:
    rows = sandbox.inbox.rows("select verdict, count(*) from events group by 1")
    return dict(map(tuple, rows))


def assert_everything_arrived_once(sandbox: SandboxServer, url: str) -> None:
    events = orders(COUNT)
    with Ledger(url) as ledger:
        known = ledger.state_of(events)
    assert set(column(known, "state")) == {"delivered"}
    assert sorted(ids(known)) == sorted(ids(events))
    found = verdicts(sandbox)
    assert found["accepted"] == COUNT
    assert found.get("doubled", 0) == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_run_killed_at_any_step_loses_nothing_and_duplicates_nothing(
    step: str, sandbox: SandboxServer, clock: Clock, sqlite_url: str
) -> None:
    if step == "mid_request":
        sandbox.set_fault("slow", latency_ms=400)
    at = 1 if step == "mid_request" else 3
    child = SPAWN.Process(
        target=run_and_die, args=(sqlite_url, sandbox.url, clock(), COUNT, step, at)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    sandbox.clear_faults()
    before = verdicts(sandbox).get("accepted", 0)
    assert before < COUNT

    clock.move(minutes=3)  # the dead run's claims lapse
    run(sqlite_url, sandbox.url, clock(), COUNT, 0.0, "recovers")
    assert_everything_arrived_once(sandbox, sqlite_url)
    # Only what was under way when the process died may have been sent again.
    assert verdicts(sandbox).get("duplicate", 0) <= 40
    if step in ("before_claim", "after_claim"):
        assert verdicts(sandbox).get("duplicate", 0) <= 20


def test_the_next_run_waits_for_a_dead_runs_claims_to_expire(
    sandbox: SandboxServer, sqlite_url: str, clock: Clock
) -> None:
    lease = 4.0
    where = (sqlite_url, sandbox.url, clock(), COUNT)
    child = SPAWN.Process(target=run_and_die, args=(*where, "after_intent", 1, lease))
    child.start()
    child.join(60)
    impatient, _ = run(*where, 0.0, "impatient", lease)
    assert impatient == COUNT - 20
    patient, _ = run(*where, 60.0, "patient", lease)  # ends with the lease
    assert patient == 20
    assert_everything_arrived_once(sandbox, sqlite_url)


@pytest.mark.parametrize("seed", range(3))
def test_runs_killed_at_random_moments_lose_nothing(
    seed: int, sandbox: SandboxServer, clock: Clock, sqlite_url: str
) -> None:
    rng = random.Random(seed)
    sandbox.set_fault("slow", latency_ms=15)
    for number in range(3):
        child = SPAWN.Process(
            target=run_and_die,
            args=(sqlite_url, sandbox.url, clock(), COUNT, rng.choice(STEPS), rng.randint(1, 6)),
        )
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL), number
        clock.move(minutes=3)
    sandbox.clear_faults()
    run(sqlite_url, sandbox.url, clock(), COUNT, 0.0, "last")
    assert_everything_arrived_once(sandbox, sqlite_url)


def _deliver_all(job: tuple[str, str, Clock, int]) -> tuple[int, int]:
    url, graph_url, clock, number = job
    return run(url, graph_url, clock(), COUNT, 30.0, f"run-{number}")


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_over_the_same_hours_send_every_event_once(
    runs: int, sandbox: SandboxServer, clock: Clock, any_url: str
) -> None:
    sandbox.set_fault("slow", latency_ms=10)
    jobs = [(any_url, sandbox.url, clock, number) for number in range(runs)]
    with SPAWN.Pool(runs) as pool:
        done = pool.map(_deliver_all, jobs)
    assert sum(delivered for delivered, _ in done) == COUNT
    assert verdicts(sandbox) == {"accepted": COUNT}
    assert_everything_arrived_once(sandbox, any_url)


def test_a_run_that_finds_all_claimed_waits_and_then_knows_the_outcome(
    sandbox: SandboxServer, clock: Clock, sqlite_url: str
) -> None:
    sandbox.set_fault("slow", latency_ms=300)
    with SPAWN.Pool(2) as pool:
        pool.map(_deliver_all, [(sqlite_url, sandbox.url, clock, n) for n in range(2)])
    with Ledger(sqlite_url) as ledger:
        history = ledger.attempts_for(orders(COUNT))
    # One attempt per event, whichever run made it: the other waited instead of sending too.
    assert history.num_rows == COUNT
    assert set(column(history, "outcome")) == {"delivered"}
