"""One dataset's way to Meta: backoff, pauses, the circuit breaker, bisection, claims of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import DatasetAccess
from capi_assets.delivery.sending.dispatcher import DatasetDispatcher
from capi_assets.delivery.sending.request import Budget, Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision
from capi_assets.meta.graph.client import Answer, RequestOutcome
from tests.helpers.delivery_harness import DATASET, QUICK, orders

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
ODD = ResponseDecision(NextStep.LEAVE, Outcome("unknown", "unexpected_answer"))


class Silent:
    """A client that is never called here."""

    access = DatasetAccess(DATASET, "token")

    def body(self, events: list[bytes]) -> bytes:
        return b",".join(events)

    def post(self, body: bytes) -> Answer:
        return Answer(RequestOutcome.NOT_SENT)


def lane_of(events: int, policy: Policy = POLICY, dice: float = 1.0) -> DatasetDispatcher:
    lane = DatasetDispatcher(DATASET, Silent(), policy, lambda: dice)
    lane.queue.add(orders(events))
    return lane


def start(lane: DatasetDispatcher, clock: float = 0.0) -> Request:
    request = lane.next_request(clock)
    assert request is not None
    lane.in_flight += 1
    return request


def answer(
    lane: DatasetDispatcher, request: Request, ruling: ResponseDecision, clock: float = 0.0
) -> tuple[Outcome, bool]:
    lane.in_flight -= 1
    if not request.is_held:
        refs = pa.array(range(len(request)), pa.int64())
        request = replace(request, events=request.events.append_column("ref", refs))
    return lane.settle(request, ruling, clock)


def test_the_first_request_goes_alone_and_each_delivery_widens_the_way() -> None:
    lane = lane_of(1_000)
    first = start(lane)
    assert lane.next_request(0) is None
    answer(lane, first, DONE)
    pair = [start(lane), start(lane)]
    assert lane.next_request(0) is None
    for request in pair:
        answer(lane, request, DONE)
    for _ in range(4):
        start(lane)
    assert lane.next_request(0) is None


class TestRetries:
    def test_waits_grow_with_full_jitter_up_to_a_ceiling(self) -> None:
        for dice, waits in ((1.0, [1, 2, 4, 5]), (0.5, [0.5, 1, 2, 2.5]), (0.0, [0, 0, 0, 0])):
            lane = lane_of(10, dice=dice)
            request, clock = start(lane), 0.0
            for wait in waits:
                assert answer(lane, request, DOWN, clock) == (DOWN.outcome, True)
                wakes_at = lane.wakes_at()
                assert wakes_at == pytest.approx(clock + wait)
                clock = wakes_at or 0.0
                request = start(lane, clock)

    def test_they_end_and_the_events_stay_as_the_last_answer_left_them(self) -> None:
        lane = lane_of(10)
        request, clock = start(lane), 0.0
        for _ in range(POLICY.tries - 1):
            assert answer(lane, request, DOWN, clock)[1]
            clock += 100
            request = start(lane, clock)
        assert answer(lane, request, DOWN, clock) == (DOWN.outcome, False)
        assert lane.is_idle

    def test_after_a_failure_one_request_at_a_time(self) -> None:
        lane = lane_of(1_000)
        answer(lane, start(lane), DONE)
        first, second = start(lane), start(lane)
        answer(lane, first, DOWN)
        answer(lane, second, DOWN)
        start(lane, 10.0)
        assert lane.next_request(10.0) is None

    def test_a_new_request_need_not_wait_for_one_that_backs_off(self) -> None:
        lane = lane_of(20)
        answer(lane, start(lane), DOWN)
        assert len(start(lane)) == 10

    def test_but_only_so_many_requests_may_be_under_way(self) -> None:
        lane = lane_of(1_000, replace(POLICY, failures_before_stop=99))
        for _ in range(POLICY.requests_in_flight):
            answer(lane, start(lane), DOWN)
        assert lane.next_request(0.0) is None
        assert lane.next_request(100.0) is not None


class TestPauses:
    def test_the_whole_dataset_stays_away_as_long_as_it_is_asked(self) -> None:
        lane = lane_of(100)
        lane.pause(timedelta(seconds=60), 0.0, DOWN.outcome)
        assert lane.next_request(59.9) is None
        assert lane.wakes_at() == 60
        assert lane.next_request(60.0) is not None

    def test_a_pause_that_is_too_long_leaves_the_rest_for_later(self) -> None:
        lane = lane_of(100)
        why = Outcome("refused", "throttled", http_status=429)
        lane.pause(timedelta(minutes=5), 0.0, why)
        assert lane.stop is not None
        assert lane.stop.reason == "throttled"
        assert "0:05:00" in str(lane.stop)


class TestBreaker:
    def test_a_dead_token_lets_nothing_more_out(self) -> None:
        lane = lane_of(1_000)
        assert answer(lane, start(lane), DEAD) == (DEAD.outcome, False)
        assert lane.next_request(0.0) is None
        assert lane.wakes_at() is None
        assert lane.stop is not None
        assert lane.stop.reason == "token_expired"

    def test_the_first_cause_stands(self) -> None:
        lane = lane_of(100)
        answer(lane, start(lane), DEAD)
        lane.close(Outcome("refused", "time_budget"), "")
        assert lane.stop is not None
        assert lane.stop.reason == "token_expired"

    def test_requests_under_way_do_not_come_again_to_a_closed_lane(self) -> None:
        lane = lane_of(100)
        answer(lane, start(lane), DONE)
        first, second = start(lane), start(lane)
        answer(lane, first, DEAD)
        assert answer(lane, second, DOWN) == (DOWN.outcome, False)

    def test_what_backs_off_when_the_lane_closes_is_handed_back(self) -> None:
        lane = lane_of(20)
        answer(lane, start(lane), DOWN)
        answer(lane, start(lane), DEAD)
        assert [len(request) for request in lane.abandoned()] == [10]
        assert [table.num_rows for table in lane.queue.drain()] == []
        assert lane.is_idle

    def test_several_fruitless_requests_in_a_row_are_an_outage(self) -> None:
        lane = lane_of(1_000, replace(POLICY, tries=1))
        for _ in range(2):
            answer(lane, start(lane), DOWN)
        assert lane.stop is None
        answer(lane, start(lane), DOWN)
        assert lane.stop is not None
        assert lane.stop.reason == "meta_down"

    def test_one_delivery_between_them_is_enough_to_go_on(self) -> None:
        lane = lane_of(1_000, replace(POLICY, tries=1))
        for _ in range(10):
            answer(lane, start(lane), DOWN)
            answer(lane, start(lane), DOWN)
            answer(lane, start(lane), DONE)
            lane.reset_concurrency()
        assert lane.stop is None

    def test_an_address_that_is_not_metas_is_found_out_after_a_few_requests(self) -> None:
        lane = lane_of(1_000)
        for _ in range(3):
            answer(lane, start(lane), ODD)
        assert lane.stop is not None
        assert lane.stop.reason == "unexpected_answer"

    def test_a_dataset_without_access_is_closed_from_the_start(self) -> None:
        lane = DatasetDispatcher(DATASET, None, POLICY, lambda: 1.0)
        assert lane.stop is not None
        assert lane.stop.reason == "no_access_configured"


class TestBisection:
    def test_a_refused_request_comes_again_in_halves_one_after_the_other(self) -> None:
        lane = lane_of(9)
        assert answer(lane, start(lane), BAD) == (BAD.outcome, True)
        first = start(lane)
        assert len(first) == 4
        assert lane.next_request(0.0) is None
        answer(lane, first, ODD)
        assert len(start(lane)) == 5

    def test_if_one_half_is_accepted_the_other_is_halved_unsent(self) -> None:
        lane = lane_of(8)
        answer(lane, start(lane), BAD)
        answer(lane, start(lane), DONE)
        assert len(start(lane)) == 2

    def test_a_thousand_events_and_one_guilty_take_about_fifteen_requests(self) -> None:
        for suspect_index in (0, 1, 333, 500, 998, 999):
            lane = lane_of(1_000, replace(POLICY, events_per_request=1_000))
            name, requests, rejected = f"order-{suspect_index:04d}", 0, []
            while (request := lane.next_request(0.0)) is not None:
                lane.in_flight += 1
                requests += 1
                names = request.events["order_id"].to_pylist()
                outcome, _ = answer(lane, request, BAD if name in names else DONE)
                rejected += names if outcome.state == "rejected" else []
            assert rejected == [name]
            assert requests <= 21
            assert suspect_index != 999 or requests <= 12

    def test_an_event_alone_is_rejected(self) -> None:
        lane = lane_of(1)
        assert answer(lane, start(lane), BAD) == (BAD.alone, False)

    def test_the_one_meta_points_at_is_tried_alone_first(self) -> None:
        lane = lane_of(9)
        answer(lane, start(lane), replace(BAD, suspect_index=4))
        suspect = start(lane)
        assert suspect.events["order_id"].to_pylist() == ["order-0004"]
        answer(lane, suspect, BAD)
        assert "order-0004" not in start(lane).events["order_id"].to_pylist()

    def test_a_hint_that_points_nowhere_is_ignored(self) -> None:
        lane = lane_of(9)
        answer(lane, start(lane), replace(BAD, suspect_index=999))
        assert len(start(lane)) == 4

    def test_it_costs_a_bounded_number_of_requests(self) -> None:
        lane = lane_of(64, replace(POLICY, events_per_request=64, bisection_requests=10))
        requests, left = 0, 0
        while (request := lane.next_request(0.0)) is not None:
            lane.in_flight += 1
            requests += 1
            outcome, again = answer(lane, request, BAD)
            if not again and outcome.state == "refused":
                assert outcome.reason == "bisection_budget"
                left += len(request)
        assert requests <= 11
        assert left > 0

    def test_when_every_request_is_refused_to_the_last_event_the_lane_closes(self) -> None:
        policy = replace(POLICY, bisection_requests=0)
        lane = lane_of(1_000, policy)
        for _ in range(3):
            answer(lane, start(lane), BAD)
        assert lane.stop is not None
        assert lane.stop.reason == "refused_together"


class TestOtherRunsClaims:
    def test_they_are_looked_at_again_and_again_but_not_for_ever(self) -> None:
        lane = lane_of(0, replace(POLICY, claim_patience=timedelta(seconds=10)))
        request = Request(orders(3), Budget(5))
        clock, looks = 100.0, 0
        while lane.wait_for_claims(request.events, request, clock):
            wakes_at = lane.wakes_at()
            assert wakes_at is not None
            assert clock < wakes_at <= clock + 2
            clock = wakes_at
            request = start(lane, clock)
            lane.in_flight = 0
            looks += 1
        assert 110 < clock < 113
        assert looks < 12

    def test_they_do_not_keep_other_requests_waiting(self) -> None:
        lane = lane_of(1_000)
        for _ in range(10):
            lane.wait_for_claims(orders(3), Request(orders(3), Budget(5)), 0.0)
        assert lane.next_request(0.0) is not None
