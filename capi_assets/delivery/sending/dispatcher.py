"""One dataset's way to Meta: what waits, how wide it is, when it pauses, and when it is closed.

Datasets share nothing, so a dead token or a throttled dataset never holds up another. A lane
decides only; claims, requests and records are the sender's.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa

from capi_assets.delivery import reasons
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.queue import Queue
from capi_assets.delivery.sending.request import Budget, Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision
from capi_assets.delivery.sending.summary import Stop

_FIRST_LOOK = 0.25  # seconds until a claim of another run's is looked at again; doubles, up to
_LONGEST_LOOK = 2.0


class DatasetDispatcher:
    """The requests of one dataset. Times are seconds of the sender's monotonic clock."""

    def __init__(
        self,
        dataset_id: str,
        client: EventsClient | None,
        policy: Policy,
        dice: Callable[[], float],
    ) -> None:
        self.dataset_id = dataset_id
        self.queue = Queue()
        self.in_flight = 0
        self.stop: Stop | None = None
        self._client = client
        self._policy = policy
        self._dice = dice
        self._ready: list[Request] = []  # halves; the last in is the next to go
        self._later: list[tuple[float, int, Request]] = []
        self._count = itertools.count()
        rate = policy.requests_per_second_of.get(dataset_id)
        self._interval = 1 / rate if rate else 0.0
        self._not_before = 0.0
        self._failures = 0
        # One request first, more with each that is delivered: a dead token costs one request.
        self._width = 1
        if client is None:
            self.close(Outcome("refused", reasons.NO_ACCESS))

    @property
    def client(self) -> EventsClient:
        """The way out; only lanes that are open have one."""
        if self._client is None:
            raise LookupError(f"no access to dataset {self.dataset_id} is configured")
        return self._client

    def next_request(self, clock: float) -> Request | None:
        """The request to send now: one that comes again before a new one."""
        if self.stop or self.in_flight >= self._width or clock < self._not_before:
            return None
        if self._ready:
            return self._without_the_obvious(self._ready.pop())
        if self._later and self._later[0][0] <= clock:
            return heapq.heappop(self._later)[2]
        if not self._has_slot():
            return None
        events = self.queue.next_request(self._policy)
        if events is None:
            return None
        return Request(events, Budget(self._policy.bisection_requests))

    def wakes_at(self) -> float | None:
        """When there may be something to send, if nothing else happens until then."""
        if self.stop or self.in_flight >= self._width:
            return None
        due = [self._later[0][0]] if self._later else []
        if self._ready:
            due.append(self._not_before)
        if self.queue.waiting and self._has_slot():
            due.append(self._not_before)
        return max(min(due), self._not_before) if due else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not (self.in_flight or self._ready or self._later or self.queue.waiting)

    def begun(self, clock: float) -> None:
        """Counts a request that just left, and keeps the next one off for the dataset's rate."""
        self.in_flight += 1
        self._not_before = max(self._not_before, clock + self._interval)

    def settle(
        self, request: Request, ruling: ResponseDecision, clock: float
    ) -> tuple[Outcome, bool]:
        """What to book for an answered request, and whether it stays claimed to come again."""
        outcome, comes_again = self._settle(request, ruling, clock)
        if not comes_again:
            self.finish(request, accepted=ruling.then is NextStep.DONE)
        return outcome, comes_again

    def finish(self, request: Request, *, accepted: bool = False) -> None:
        """Lets go what waited behind a request that is over."""
        if request.behind is not None:
            request.behind.is_guilty = accepted and request.twin_is_behind
            self._ready.append(request.behind)

    def _settle(
        self, request: Request, ruling: ResponseDecision, clock: float
    ) -> tuple[Outcome, bool]:
        match ruling.then:
            case NextStep.DONE:
                self._failures = 0
                self._width = min(self._width * 2, self._policy.requests_in_flight)
                return ruling.outcome, False
            case NextStep.RETRY:
                return ruling.outcome, self._retry(request, ruling, clock)
            case NextStep.SPLIT:
                return self._split(request, ruling)
            case NextStep.STOP:
                self.close(ruling.outcome)
            case NextStep.LEAVE:
                self._failed(ruling)
        return ruling.outcome, False

    def pause(self, wait: timedelta, clock: float, why: Outcome) -> None:
        """Keeps the whole lane away from Meta as long as it asked; too long closes it."""
        if wait > self._policy.longest_pause:
            self.close(why, wait)
        self._not_before = max(self._not_before, clock + wait.total_seconds())

    def reset_concurrency(self) -> None:
        """Goes on with one request at a time."""
        self._width = 1

    def wait_for_claims(self, events: pa.Table, request: Request, clock: float) -> bool:
        """Looks again later at events that another run has claimed; False if it did long enough."""
        since = request.looking_since if request.looks else clock
        if self.stop or clock - since > self._policy.claim_patience.total_seconds():
            return False
        look = min(_FIRST_LOOK * 2**request.looks, _LONGEST_LOOK)
        again = Request(events, request.budget, looks=request.looks + 1, looking_since=since)
        self._push(again, clock + look)
        return True

    def close(self, outcome: Outcome, asked_wait: timedelta | None = None) -> None:
        """Lets nothing more out. The first cause stands."""
        if self.stop is None:
            self.stop = Stop(self.dataset_id, outcome, asked_wait)

    def abandoned(self) -> list[Request]:
        """Requests that a closed lane will not send again; they are forgotten here."""
        first = [*self._ready, *(request for _, _, request in self._later)]
        self._ready.clear()
        self._later.clear()
        return [request for one in first for request in one.chain()]

    def _retry(self, request: Request, ruling: ResponseDecision, clock: float) -> bool:
        self.reset_concurrency()
        request.tries += 1
        if self.stop or request.tries >= self._policy.tries:
            self._failed(ruling)
            return False
        # Full jitter: many runs that failed together do not come back together.
        ceiling = min(
            self._policy.backoff_base.total_seconds() * 2 ** (request.tries - 1),
            self._policy.backoff_cap.total_seconds(),
        )
        self._push(request, clock + self._dice() * ceiling)
        return True

    def _split(self, request: Request, ruling: ResponseDecision) -> tuple[Outcome, bool]:
        if len(request) == 1:
            return ruling.alone or ruling.outcome, False
        if request.budget.left < 2:
            if not request.budget.is_spent:
                request.budget.is_spent = True  # one failure, however many parts are left over
                self._failed(ruling)
            return replace(ruling.outcome, reason=reasons.BISECTION_BUDGET), False
        self._ready.append(request.halved(ruling.suspect_index))
        return ruling.outcome, True

    def _without_the_obvious(self, request: Request) -> Request:
        """A request that would surely be refused is halved unsent."""
        while request.is_guilty and len(request) > 1 and request.budget.left >= 2:
            request.budget.left += 1  # it was reckoned with, and is not sent
            request = request.halved(None)
        return request

    def _failed(self, ruling: ResponseDecision) -> None:
        """Several requests in a row that came to nothing: it is not the requests, it is the way."""
        self._failures += 1
        if self._failures >= self._policy.failures_before_stop:
            outcome = ruling.outcome
            if ruling.then is NextStep.SPLIT:
                outcome = replace(outcome, reason=reasons.REFUSED_TOGETHER)
            elif outcome.reason == reasons.NO_ANSWER:
                outcome = replace(outcome, reason=reasons.META_DOWN)
            self.close(replace(outcome, state="refused"))

    def _has_slot(self) -> bool:
        """Requests that come again hold their events, so they count as under way."""
        held = len(self._ready) + sum(1 for _, _, request in self._later if request.is_held)
        return self.in_flight + held < self._policy.requests_in_flight

    def _push(self, request: Request, due: float) -> None:
        heapq.heappush(self._later, (due, next(self._count), request))
