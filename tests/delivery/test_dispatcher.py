"""One dataset's dispatcher where time or order decides, which HTTP tests cannot see: backoff,
concurrency, hints, claims of other runs. What each fault leads to is in test_faults_over_http.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import DatasetAccess
from capi_assets.delivery.sending.dispatcher import DatasetDispatcher
from capi_assets.delivery.sending.request import CLAIM_COLUMNS, Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision
from capi_assets.meta.graph.client import Answer, RequestOutcome
from tests.helpers.delivery_harness import DATASET, QUICK, ids, orders

POLICY = replace(
    QUICK,
    backoff_base=timedelta(seconds=1),
    backoff_cap=timedelta(seconds=5),
    tries=5,
    requests_in_flight=4,
    events_per_request=10,
)
DONE = ResponseDecision(NextStep.DONE, Outcome("delivered"))
DOWN = ResponseDecision(NextStep.RETRY, Outcome("unknown", "meta_down"))
BAD = ResponseDecision(
    NextStep.SPLIT, Outcome("refused", "missing_value"), alone=Outcome("rejected", "missing_value")
)
DEAD = ResponseDecision(NextStep.STOP, Outcome("refused", "token_expired", code=190))


class UnusedClient:
    """A client that is never called."""

    access = DatasetAccess(DATASET, "token")

    def body(self, events: list[bytes]) -> bytes:
        return b",".join(events)

    def post(self, body: bytes) -> Answer:
        return Answer(RequestOutcome.NOT_SENT)


def dispatcher_of(events: int, policy: Policy = POLICY, jitter: float = 1.0) -> DatasetDispatcher:
    dispatcher = DatasetDispatcher(DATASET, UnusedClient(), policy, lambda: jitter)
    dispatcher.queue.add(orders(events))
    return dispatcher


def start(dispatcher: DatasetDispatcher, clock: float = 0.0) -> Request:
    """The next request, claimed and in flight."""
    request = dispatcher.next_request(clock)
    assert request is not None
    dispatcher.count_started(clock)
    if request.is_claimed:
        return request
    events, numbers = request.events, pa.array(range(len(request)), pa.int64())
    for name in CLAIM_COLUMNS:
        events = events.append_column(name, numbers)
    return replace(request, events=events)


def test_each_delivery_doubles_the_concurrency_and_a_failure_resets_it() -> None:
    dispatcher = dispatcher_of(1_000)
    for concurrency in (1, 2, 4, 4):
        requests = [start(dispatcher) for _ in range(concurrency)]
        assert dispatcher.next_request(0.0) is None
        for request in requests:
            dispatcher.settle(request, DONE, 0.0)
    dispatcher.settle(start(dispatcher), DOWN, 0.0)
    start(dispatcher, 10.0)
    assert dispatcher.next_request(10.0) is None


@pytest.mark.parametrize(
    ("jitter", "waits"),
    [(1.0, [1, 2, 4, 5]), (0.5, [0.5, 1, 2, 2.5]), (0.0, [0, 0, 0, 0])],
)
def test_waits_grow_with_full_jitter_up_to_a_ceiling_and_retries_end(
    jitter: float, waits: list[float]
) -> None:
    dispatcher = dispatcher_of(10, jitter=jitter)
    request, clock = start(dispatcher), 0.0
    for wait in waits:
        assert dispatcher.settle(request, DOWN, clock) == (DOWN.outcome, True)
        wakes_at = dispatcher.wakes_at()
        assert wakes_at == pytest.approx(clock + wait)
        clock = wakes_at or 0.0
        request = start(dispatcher, clock)
    assert dispatcher.settle(request, DOWN, clock) == (DOWN.outcome, False)
    assert dispatcher.is_idle


def test_a_new_request_does_not_wait_for_one_that_backs_off() -> None:
    dispatcher = dispatcher_of(20)
    dispatcher.settle(start(dispatcher), DOWN, 0.0)
    assert len(start(dispatcher)) == 10


def test_requests_that_back_off_count_as_in_flight() -> None:
    dispatcher = dispatcher_of(1_000, replace(POLICY, failures_before_stop=99))
    for _ in range(POLICY.requests_in_flight):
        dispatcher.settle(start(dispatcher), DOWN, 0.0)
    assert dispatcher.next_request(0.0) is None
    assert dispatcher.next_request(100.0) is not None


def test_one_delivery_between_failures_is_enough_to_go_on() -> None:
    dispatcher = dispatcher_of(1_000, replace(POLICY, tries=1))
    for _ in range(10):
        for decision in (DOWN, DOWN, DONE):
            dispatcher.settle(start(dispatcher), decision, 0.0)
        dispatcher.reset_concurrency()
    assert dispatcher.stop is None


def test_a_stop_ends_retries_and_its_first_cause_stays() -> None:
    dispatcher = dispatcher_of(100)
    dispatcher.settle(start(dispatcher), DONE, 0.0)
    first, second = start(dispatcher), start(dispatcher)
    dispatcher.settle(first, DEAD, 0.0)
    assert dispatcher.settle(second, DOWN, 0.0) == (DOWN.outcome, False)
    dispatcher.close(Outcome("refused", "time_budget"))
    assert dispatcher.stop is not None
    assert dispatcher.stop.reason == "token_expired"


def test_the_event_that_meta_blames_is_tried_alone_first() -> None:
    dispatcher = dispatcher_of(9)
    dispatcher.is_source_empty = True
    dispatcher.settle(start(dispatcher), replace(BAD, suspect_index=4), 0.0)
    suspect = start(dispatcher)
    assert ids(suspect.events) == ["order-0004"]
    dispatcher.settle(suspect, BAD, 0.0)
    assert "order-0004" not in ids(start(dispatcher).events)


def test_a_hint_outside_the_request_is_ignored() -> None:
    dispatcher = dispatcher_of(9)
    dispatcher.is_source_empty = True
    dispatcher.settle(start(dispatcher), replace(BAD, suspect_index=999), 0.0)
    assert len(start(dispatcher)) == 4


def test_claims_of_other_runs_are_checked_repeatedly_but_not_for_ever() -> None:
    dispatcher = dispatcher_of(0, replace(POLICY, claim_patience=timedelta(seconds=10)))
    request = Request(orders(3))
    clock, checks = 100.0, 0
    while dispatcher.wait_for_claims(request.events, request, clock):
        wakes_at = dispatcher.wakes_at()
        assert wakes_at is not None
        assert clock < wakes_at <= clock + 2
        clock, checks = wakes_at, checks + 1
        next_request = dispatcher.next_request(clock)
        assert next_request is not None
        request = next_request
    assert 110 < clock < 113
    assert checks < 12


def test_claims_of_other_runs_do_not_delay_other_requests() -> None:
    dispatcher = dispatcher_of(1_000)
    for _ in range(10):
        dispatcher.wait_for_claims(orders(3), Request(orders(3)), 0.0)
    assert dispatcher.next_request(0.0) is not None
