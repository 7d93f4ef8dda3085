"""Decides for one dataset what is sent when: its queue, concurrency, retries, pauses, and the stop.

Datasets share nothing, so an expired token or a throttled dataset never delays another. A
dispatcher decides only; claims, requests and the ledger are sender.py's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pyarrow as pa

from capi_assets.delivery import reasons
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.bisection import Bisection
from capi_assets.delivery.sending.queue import Queue
from capi_assets.delivery.sending.request import Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision
from capi_assets.delivery.sending.summary import Stop

# How soon a claim of another run is checked again. A request usually takes less than a second, so
# the first check is early; each wait is twice the last, so that the claim of a dead run (two
# minutes) costs some 70 checks and not 500.
_FIRST_CLAIM_CHECK_SECONDS = 0.25
_MAX_CLAIM_CHECK_SECONDS = 2.0

# Rejected requests held in memory until everything else was sent: some 75 MB.
_MAX_REJECTED_REQUESTS = 50


class DatasetDispatcher:
    """The requests of one dataset: `next_request`, then `count_started`, then `settle`.

    The sender asks each dispatcher in turn for a request, tells it when that has left and what Meta
    answered, and sleeps until the earliest `wakes_at`. A dispatcher that is closed (`stop`) gives
    no more requests; `take_unsent` and `queue.drain` give back what it holds.

    A rejected request waits until everything else of the dataset was sent (`is_source_empty` is
    set by the sender at the end of the events); then its invalid events are searched for.

    No event is settled as rejected before Meta accepted an event of the dataset: in this run, or
    (`last_accepted_at`) in the run that attempted the event before, or since. Until then it may be
    a gateway or Meta that is wrong: the verdict is held, and the event stays pending.

    Times (`clock`) are seconds of the sender's monotonic clock; `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        dataset_id: str,
        client: EventsClient | None,
        policy: Policy,
        jitter: Callable[[], float],
        last_accepted_at: datetime | None = None,
    ) -> None:
        self.dataset_id = dataset_id
        self.queue = Queue()
        self.in_flight = 0
        self.stop: Stop | None = None
        self._client = client
        self._policy = policy
        self._jitter = jitter
        self.is_source_empty = False
        self._ready: list[Request] = []  # parts of rejected requests
        self._bisection = Bisection(policy.bisection_requests)
        self._left: list[tuple[Request, Outcome]] = []
        self._has_accepted = False
        self._last_accepted_at = last_accepted_at
        self._held: list[tuple[Request, Outcome]] = []  # single events with their held verdicts
        self._later: list[tuple[float, int, Request]] = []
        self._count = itertools.count()
        rate = policy.requests_per_second_of.get(dataset_id)
        self._interval = 1 / rate if rate else 0.0
        self._not_before = 0.0
        self._failures = 0
        # Doubles with each delivered request: an expired token costs one request, not four.
        self._concurrency = 1
        if client is None:
            self.close(Outcome("refused", reasons.NO_ACCESS))

    @property
    def client(self) -> EventsClient:
        """The dataset's client; only a dispatcher that is open has one."""
        if self._client is None:
            raise LookupError(f"no access to dataset {self.dataset_id} is configured")
        return self._client

    def next_request(self, clock: float, taken: int = 0) -> Request | None:
        """The request to send now: retries before new ones, parts of rejected ones last.

        `taken` counts requests that were given before and have not left yet.
        """
        busy = self.in_flight + taken
        if self.stop or busy >= self._concurrency or clock < self._not_before:
            return None
        if taken and self._interval:
            return None
        if self._ready:
            return self._ready.pop()
        if self._later and self._later[0][0] <= clock:
            return heapq.heappop(self._later)[2]
        if self._has_slot(busy) and not self._searches_first():
            events = self.queue.next_request(self._policy)
            if events is not None:
                return Request(events)
        return self._next_part() if self._only_rejected_remain(busy) else None

    def wakes_at(self) -> float | None:
        """When there may be something to send, if nothing else happens until then."""
        if self.stop or self.in_flight >= self._concurrency:
            return None
        due = [self._later[0][0]] if self._later else []
        has_slot = self._has_slot(self.in_flight)
        sends_new = self.queue.waiting and has_slot and not self._searches_first()
        if self._ready or sends_new or self._only_rejected_remain(self.in_flight):
            due.append(self._not_before)
        return max(min(due), self._not_before) if due else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is in flight."""
        return not (
            self.in_flight
            or self._ready
            or self._later
            or self.queue.waiting
            or len(self._bisection)
        )

    def count_started(self, clock: float) -> None:
        """Counts a request that just left; the next one waits for the dataset's rate."""
        self.in_flight += 1
        self._not_before = max(self._not_before, clock + self._interval)

    def settle(
        self, request: Request, decision: ResponseDecision, clock: float
    ) -> tuple[Outcome, bool]:
        """The outcome to record for a request in flight, and whether it stays claimed to be sent
        again."""
        self.in_flight -= 1
        outcome, is_sent_again = self._settle(request, decision, clock)
        if not is_sent_again or decision.then is NextStep.SPLIT:
            self.finish(request, is_accepted=decision.then is NextStep.DONE)
        return outcome, is_sent_again

    def finish(self, request: Request, *, is_accepted: bool = False) -> None:
        """Lets the sibling of a request go that is over, or not sent at all."""
        sibling = self._bisection.sibling_to_send(request, is_accepted=is_accepted)
        if sibling is not None:
            self._ready.append(sibling)

    def pause(self, wait: timedelta, clock: float, why: Outcome) -> None:
        """Sends nothing for as long as Meta asked; a wait that is too long closes."""
        if wait > self._policy.longest_pause:
            self.close(why, wait)
        self._not_before = max(self._not_before, clock + wait.total_seconds())

    def reset_concurrency(self) -> None:
        """Goes on with one request at a time."""
        self._concurrency = 1

    def wait_for_claims(self, events: pa.Table, request: Request, clock: float) -> bool:
        """Checks events again later that another run has claimed; False once it waited enough."""
        since = request.waiting_since if request.claim_checks else clock
        if self.stop or clock - since > self._policy.claim_patience.total_seconds():
            return False
        wait = min(_FIRST_CLAIM_CHECK_SECONDS * 2**request.claim_checks, _MAX_CLAIM_CHECK_SECONDS)
        checks = request.claim_checks + 1
        again = Request(events, claim_checks=checks, waiting_since=since)
        self._schedule(again, clock + wait)
        return True

    def close(self, outcome: Outcome, asked_wait: timedelta | None = None) -> None:
        """Sends nothing more in this run. The first cause stays."""
        if self.stop is None:
            self.stop = Stop(self.dataset_id, outcome, asked_wait)

    def take_unsent(self) -> list[Request]:
        """Takes out the requests that a closed dispatcher will not send again."""
        unsent = [*self._ready, *(request for _, _, request in self._later)]
        unsent += [request.sibling for request in unsent if request.sibling is not None]
        unsent += [rejected.request for rejected in self._bisection.take()]
        self._ready.clear()
        self._later.clear()
        return unsent

    def take_left(self) -> list[tuple[Request, Outcome]]:
        """Takes out the rejected requests that wait for the next run, with their outcomes."""
        if self.stop or (self.is_source_empty and self.is_idle):
            self._left += [(request, _hold(verdict)) for request, verdict in self._held]
            self._held = []
        left, self._left = self._left, []
        return left

    def take_verdicts(self) -> list[tuple[Request, Outcome]]:
        """Takes out the held events that count as rejected, now that Meta accepted another one."""
        if not self._has_accepted:
            return []
        verdicts, self._held = self._held, []
        return verdicts

    def _settle(
        self, request: Request, decision: ResponseDecision, clock: float
    ) -> tuple[Outcome, bool]:
        match decision.then:
            case NextStep.DONE:
                self._failures = 0
                self._has_accepted = True
                self._concurrency = min(self._concurrency * 2, self._policy.requests_in_flight)
            case NextStep.RETRY:
                return decision.outcome, self._retry(request, decision, clock)
            case NextStep.SPLIT:
                return self._split(request, decision)
            case NextStep.STOP:
                self.close(decision.outcome)
            case NextStep.LEAVE:
                self._count_failure(decision)
        return decision.outcome, False

    def _retry(self, request: Request, decision: ResponseDecision, clock: float) -> bool:
        self.reset_concurrency()
        request.tries += 1
        if self.stop or request.tries >= self._policy.tries:
            self._count_failure(decision)
            return False
        # Full jitter: many runs that failed together do not come back together.
        ceiling = min(
            self._policy.backoff_base.total_seconds() * 2 ** (request.tries - 1),
            self._policy.backoff_cap.total_seconds(),
        )
        self._schedule(request, clock + self._jitter() * ceiling)
        return True

    def _split(self, request: Request, decision: ResponseDecision) -> tuple[Outcome, bool]:
        if len(request) == 1:
            verdict = decision.alone or decision.outcome
            if verdict.state != "rejected" or self._is_accepting_since(request):
                return verdict, False
            self._held.append((request, verdict))
            return _hold(verdict), True
        if request.parent is None and self._has_accepted and self._is_search_full():
            return replace(decision.outcome, reason=reasons.BISECTION_BUDGET), False
        self._bisection.add(request, decision)
        return decision.outcome, True

    def _is_accepting_since(self, request: Request) -> bool:
        """Whether Meta accepted an event of the dataset in this run, or in the run that attempted
        this one before, or since."""
        attempted_at = request.events["last_attempt_at"][0].as_py()
        accepted_at = self._last_accepted_at
        if attempted_at is None or accepted_at is None:
            return self._has_accepted
        return self._has_accepted or bool(accepted_at > attempted_at - self._policy.time_budget)

    def _is_search_full(self) -> bool:
        return len(self._bisection) >= _MAX_REJECTED_REQUESTS

    def _searches_first(self) -> bool:
        """Whether so much was rejected and nothing accepted that a search comes before the rest."""
        return self._is_search_full() and not self._has_accepted

    def _only_rejected_remain(self, busy: int) -> bool:
        is_rest_sent = self.is_source_empty and not self.queue.waiting
        is_due = is_rest_sent or self._searches_first()
        return bool(is_due and not self._later and not busy and len(self._bisection))

    def _next_part(self) -> Request | None:
        part = self._bisection.next_part()
        if part is None:
            rejected = self._bisection.take()
            if self._has_accepted:
                self._left += [
                    (one.request, replace(one.decision.outcome, reason=reasons.BISECTION_BUDGET))
                    for one in rejected
                ]
            else:
                self._ready += [one.request for one in rejected]
                first = rejected[0].decision
                # What Meta may accept later needs no proof that the way to Meta is good.
                self.close(_hold(first.outcome) if first.alone else first.outcome)
        return part

    def _count_failure(self, decision: ResponseDecision) -> None:
        """Several requests in a row without a delivery: the cause is not in the requests."""
        self._failures += 1
        if self._failures >= self._policy.failures_before_stop:
            outcome = decision.outcome
            if outcome.reason == reasons.NO_ANSWER:
                outcome = replace(outcome, reason=reasons.META_DOWN)
            self.close(replace(outcome, state="refused"))

    def _has_slot(self, busy: int) -> bool:
        """Requests that are sent again hold their events, so they count as in flight."""
        held = len(self._ready) + sum(1 for _, _, request in self._later if request.is_claimed)
        return busy + held < self._policy.requests_in_flight

    def _schedule(self, request: Request, due: float) -> None:
        heapq.heappush(self._later, (due, next(self._count), request))


def _hold(verdict: Outcome) -> Outcome:
    return replace(verdict, state="refused", reason=reasons.NOTHING_ACCEPTED)
