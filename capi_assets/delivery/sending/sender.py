"""Sends events: claims them, records the intent, posts the request, records the outcome.

`deliver` is called by the asset `delivery_results`. One thread owns the ledger and decides; the
pool's threads only post. What to send is decided in plan.py, what follows from a response in
responses.py and dispatcher.py.
"""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery import reasons
from capi_assets.delivery.ledger.ledger import Intent, Ledger, LedgerError
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.plan import SENDABLE, plan
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.api_warnings import warnings_in
from capi_assets.delivery.sending.dispatcher import DatasetDispatcher
from capi_assets.delivery.sending.rate_limit_usage import load, requested_wait
from capi_assets.delivery.sending.request import CLAIM_COLUMNS, Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision, decide
from capi_assets.delivery.sending.summary import DeliverySummary, Progress, Stop
from capi_assets.meta.graph.client import Answer

_MAX_THREADS = 32  # each holds a connection and up to 8 MB of a request
_MAX_CLAIMED_TOGETHER = 8  # requests: no other run waits for the ledger longer than 0.2 s
_HIGH_USAGE_SHARE = 0.9  # of Meta's limit: one request at a time from here, before it throttles


def deliver(
    sends: pa.Table | Iterable[pa.Table],
    ledger: Ledger,
    clients: Mapping[str, EventsClient],
    now: Callable[[], datetime],
    policy: Policy,
    *,
    run_id: str,
    on_progress: Callable[[Progress], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> DeliverySummary:
    """Sends the events in the order given and records the outcome of every request.

    `sends` are rows of `matched_events` (`queue.COLUMNS`) that `plan` chose: one table, or an
    iterable of tables, of which few are in memory at a time. Each request is planned again once its
    events are claimed, so an outdated plan, another run or a passing deadline never sends anything
    wrong. `clients` maps a dataset id to its client; `now` returns aware UTC datetimes; `sleep`,
    `monotonic` (seconds) and `jitter` (0 to 1) are for tests.

        with clients_for(accesses, policy) as clients:
            pending = plan_hours(lake, ledger, hours, now(), policy)
            summary = deliver(pending.tables(lake), ledger, clients, now, policy, run_id=run_id)

    Whatever Meta responds, this returns; what could not be sent is pending and says why.

    Raises:
        LedgerError: the ledger cannot be read or written. Nothing more is sent then; what was in
            flight is unknown until the next run.
    """
    delivery = _Delivery(
        ledger, clients, now, policy, run_id, on_progress, sleep, monotonic, jitter
    )
    return delivery.run(iter([sends] if isinstance(sends, pa.Table) else sends))


@dataclass(frozen=True)
class _Starting:
    dispatcher: DatasetDispatcher
    request: Request


@dataclass(frozen=True)
class _Claimed:
    dispatcher: DatasetDispatcher
    request: Request
    events: pa.Table  # of the request, those to send
    state: pa.Table  # the ledger's, in the same order


@dataclass(frozen=True)
class _RequestInFlight:
    dispatcher: DatasetDispatcher
    request: Request
    attempt: int


class _Delivery:
    def __init__(
        self,
        ledger: Ledger,
        clients: Mapping[str, EventsClient],
        now: Callable[[], datetime],
        policy: Policy,
        run_id: str,
        on_progress: Callable[[Progress], None] | None,
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._clients = clients
        self._now = now
        self._policy = policy
        self._on_progress = on_progress
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        # Two calls never share claims, even of one run that is retried by its orchestrator.
        self._holder = f"{run_id[:100]}/{uuid.uuid4().hex[:12]}"
        self._dispatchers: dict[str, DatasetDispatcher] = {}
        self._source: Iterator[pa.Table] = iter(())
        self._is_source_empty = False
        self._in_flight: dict[Future[Answer], _RequestInFlight] = {}
        self._threads = min(_MAX_THREADS, policy.requests_in_flight * max(1, len(clients)))
        self._started = monotonic()
        self._next_start = self._started
        self._last_reported: Progress | None = None
        self.summary = DeliverySummary(run_id, now())

    def run(self, source: Iterator[pa.Table]) -> DeliverySummary:
        self._source = source
        with ThreadPoolExecutor(self._threads, thread_name_prefix="meta") as pool:
            try:
                while True:
                    self._start_requests(pool)
                    self._defer_unsent()
                    if self._is_done():
                        break
                    self._wait()
            except BaseException:
                self._abandon()
                raise
        self.summary.stops = [
            stop
            for stop in self.summary.stops
            if stop.events_left or stop.reason != reasons.TIME_BUDGET
        ]
        self._report()
        self.summary.seconds = self._elapsed()
        return self.summary

    # Read

    def _read_ahead(self) -> None:
        """Reads tables until every open dataset has a request, or one of them two for each slot."""
        one = self._policy.events_per_request
        enough = 2 * self._policy.requests_in_flight * one
        while not self._is_source_empty:
            waiting = [d.queue.waiting for d in self._dispatchers.values() if not d.stop]
            if waiting and (max(waiting) >= enough or min(waiting) >= one):
                return
            events = next(self._source, None)
            if events is None:
                self._is_source_empty = True
                for dispatcher in self._dispatchers.values():
                    dispatcher.is_source_empty = True
                return
            for dataset in pc.unique(events["dataset_id"]).to_pylist():
                rows = events.filter(pc.equal(events["dataset_id"], dataset))
                self._dispatcher_for(dataset).queue.add(rows)
            self._defer_unsent()

    def _dispatcher_for(self, dataset: str) -> DatasetDispatcher:
        if dataset not in self._dispatchers:
            client = self._clients.get(dataset)
            accepted_at = self._ledger.last_accepted_at(dataset)
            self._dispatchers[dataset] = DatasetDispatcher(
                dataset, client, self._policy, self._jitter, accepted_at
            )
        return self._dispatchers[dataset]

    def _is_done(self) -> bool:
        is_idle = all(dispatcher.is_idle for dispatcher in self._dispatchers.values())
        return self._is_source_empty and is_idle and not self._in_flight

    # Send

    def _start_requests(self, pool: ThreadPoolExecutor) -> None:
        """Starts whatever may start now, the datasets taking turns."""
        if self._elapsed() >= self._policy.time_budget.total_seconds():
            for dispatcher in self._dispatchers.values():
                if not (dispatcher.is_idle and self._is_source_empty):
                    dispatcher.close(Outcome("refused", reasons.TIME_BUDGET))
        while starting := self._next_requests():
            new = [each for each in starting if not each.request.is_claimed]
            for requests in [new, *([each] for each in starting if each.request.is_claimed)]:
                for claimed in self._claim(requests):
                    self._start(pool, claimed)

    def _next_requests(self) -> list[_Starting]:
        """The requests that may start now, the datasets taking turns."""
        starting: list[_Starting] = []
        given = Counter[str]()
        while True:
            self._read_ahead()
            before = len(starting)
            for name, dispatcher in self._dispatchers.items():
                clock = self._monotonic()
                is_full = len(self._in_flight) + len(starting) >= self._threads
                is_full = is_full or len(starting) >= _MAX_CLAIMED_TOGETHER
                if is_full or clock < self._next_start:
                    return starting
                request = dispatcher.next_request(clock, given[name])
                if request is not None:
                    starting.append(_Starting(dispatcher, request))
                    given[name] += 1
                    if self._policy.requests_per_second:
                        return starting
            if len(starting) == before:
                return starting

    def _claim(self, requests: Sequence[_Starting]) -> Iterator[_Claimed]:
        """Claims the events of the requests, in one transaction, and plans them again; gives the
        requests with events to send.

        Either all requests were claimed by this run before, or none.
        """
        if not requests:
            return
        tombstones = self._ledger.tombstones()
        parts = [tombstones.without(each.request.events) for each in requests]
        events = pa.concat_tables(parts)
        is_renewed = requests[0].request.is_claimed
        if is_renewed:
            events = events.drop_columns(list(CLAIM_COLUMNS))
        now = self._now()
        state = self._ledger.claim(events, self._holder, now, self._policy.lease, renew=is_renewed)
        planned = plan(events, state, now, self._policy, holder=self._holder)
        is_sendable = pc.is_in(planned["action"], value_set=pa.array(SENDABLE))
        is_sent = pc.and_(state["won"], is_sendable)
        self._release_unsent(planned, state, is_sent)
        is_claimed_elsewhere = pc.and_(pc.invert(state["won"]), is_sendable)
        end = 0
        for each, part in zip(requests, parts, strict=True):
            start, end = end, end + part.num_rows
            own, sent = events.slice(start, end - start), is_sent.slice(start, end - start)
            waiting = own.filter(is_claimed_elsewhere.slice(start, end - start))
            self._wait_for_claims(each.dispatcher, each.request, waiting)
            if not pc.any(sent).as_py():
                each.dispatcher.finish(each.request)
                continue
            own_state = state.slice(start, end - start)
            if not pc.all(sent).as_py():
                own, own_state = own.filter(sent), own_state.filter(sent)
            yield _Claimed(each.dispatcher, each.request, own, own_state)

    def _start(self, pool: ThreadPoolExecutor, claimed: _Claimed) -> None:
        dispatcher, request, events = claimed.dispatcher, claimed.request, claimed.events
        body = dispatcher.client.body(events["payload"].to_pylist())
        intent = Intent(self._holder, self.summary.run_id[:128], len(body), self._policy.lease)
        attempt = self._ledger.mark_in_flight(events, claimed.state, intent, self._now())
        if attempt is None:  # this process stood still so long that another took over
            self._wait_for_claims(dispatcher, request, events)
            dispatcher.finish(request)
            return
        for name in CLAIM_COLUMNS:
            events = events.append_column(name, claimed.state[name])
        claimed_request = replace(request, events=events, attempt=attempt)
        future = pool.submit(dispatcher.client.post, body)
        self._in_flight[future] = _RequestInFlight(dispatcher, claimed_request, attempt)
        dispatcher.count_started(self._monotonic())
        self.summary.requests += 1
        self.summary.bytes += len(body)
        if self._policy.requests_per_second:
            self._next_start = self._monotonic() + 1 / self._policy.requests_per_second

    def _release_unsent(self, planned: pa.Table, state: pa.Table, is_sent: pa.ChunkedArray) -> None:
        """Releases what need not or may not be sent any more: delivered meanwhile, too late, …"""
        if pc.all(is_sent).as_py():
            return
        won = state.filter(pc.and_(state["won"], pc.invert(is_sent)))["ref"]
        # An event given twice has one row in the ledger: its claim stays while either is sent.
        sent = state.filter(is_sent)["ref"].combine_chunks()
        unused = won.filter(pc.invert(pc.is_in(won, value_set=sent)))
        if len(unused):
            self._ledger.release(self._holder, unused)
        actions = planned.filter(pc.invert(is_sent))["action"]
        for action in pc.value_counts(actions).to_pylist():
            if action["values"] not in SENDABLE:
                self.summary.not_sent[action["values"]] += action["counts"]

    def _wait_for_claims(
        self, dispatcher: DatasetDispatcher, request: Request, events: pa.Table
    ) -> None:
        if not events.num_rows:
            return
        if not dispatcher.wait_for_claims(events, request, self._monotonic()):
            self.summary.pending[reasons.CLAIMED_ELSEWHERE] += events.num_rows

    # Record

    def _wait(self) -> None:
        """Waits until a response comes, or something may start."""
        may_start = len(self._in_flight) < self._threads
        dispatchers = self._dispatchers.values() if may_start else ()
        wake = [at for dispatcher in dispatchers if (at := dispatcher.wakes_at()) is not None]
        if self._next_start > self._monotonic():
            wake = [max(at, self._next_start) for at in wake]
        wake.append(self._started + self._policy.time_budget.total_seconds())
        seconds = max(0.0, min(wake) - self._monotonic())
        if not self._in_flight:
            if seconds:
                self._sleep(seconds)
            return
        timeout = None if self._elapsed() >= self._policy.time_budget.total_seconds() else seconds
        for future in wait(self._in_flight, timeout, FIRST_COMPLETED).done:
            self._record(future)

    def _record(self, future: Future[Answer]) -> None:
        in_flight = self._in_flight[future]
        dispatcher, request = in_flight.dispatcher, in_flight.request
        response = future.result()
        decision = decide(response, len(request))
        clock, now = self._monotonic(), self._now()
        requested = requested_wait(response.usage, now)
        if requested:
            dispatcher.pause(requested, clock, _pause_cause(decision))
        outcome, is_sent_again = dispatcher.settle(request, decision, clock)
        if load(response.usage) >= _HIGH_USAGE_SHARE:
            dispatcher.reset_concurrency()
        self._ledger.record(in_flight.attempt, outcome, self._holder, now, keep_claim=is_sent_again)
        del self._in_flight[future]  # only now: what could not be recorded is tried once more
        self.summary.outcomes[outcome.state] += 1
        if not is_sent_again:
            self.summary.count(outcome, len(request))
        for held, verdict in dispatcher.take_verdicts():
            self._ledger.record(held.attempt or 0, verdict, self._holder, now, keep_claim=False)
            self.summary.count(verdict, len(held))
        for warning in warnings_in(dispatcher.client.access, response, len(request)):
            self.summary.warn(warning)
        self._report()

    def _report(self) -> None:
        if self._on_progress is None:
            return
        done = self.summary
        progress = Progress(
            delivered=done.delivered,
            settled=done.rejected + done.expired + done.not_sent.total(),
            pending=done.pending.total(),
            unknown=done.unknown,
            requests=done.requests,
            in_flight=len(self._in_flight),
            seconds=self._elapsed(),
        )
        # The end has nothing new to say where the last answer said it.
        counts = replace(progress, in_flight=0, seconds=0.0)
        if counts != self._last_reported:
            self._last_reported = counts
            self._on_progress(progress)

    # Leave

    def _defer_unsent(self) -> None:
        """Notes in the ledger why events wait that are not sent in this run, and drops them."""
        for dispatcher in self._dispatchers.values():
            for request, outcome in dispatcher.take_left():
                self._ledger.release(self._holder, request.events["ref"], outcome)
                self.summary.count(outcome, len(request))
            stop = dispatcher.stop
            if stop is None:
                continue
            if stop not in self.summary.stops:
                self.summary.stops.append(stop)
            for request in dispatcher.take_unsent():
                if request.is_claimed:
                    self._ledger.release(self._holder, request.events["ref"], stop.outcome)
                else:
                    self._ledger.defer(request.events, stop.outcome, self._now())
                self._count_left(stop, len(request))
            for events in dispatcher.queue.drain():
                self._ledger.defer(events, stop.outcome, self._now())
                self._count_left(stop, events.num_rows)

    def _count_left(self, stop: Stop, events: int) -> None:
        stop.events_left += events
        self.summary.pending[stop.reason] += events

    def _abandon(self) -> None:
        """Before a failure is raised: records the responses still to come, releases the claims.

        If the ledger cannot be written, nothing is lost: the intents stay, the claims lapse.
        """
        with suppress(LedgerError):
            for future, in_flight in self._in_flight.items():
                outcome = decide(future.result(), len(in_flight.request)).outcome
                self._ledger.record(
                    in_flight.attempt, outcome, self._holder, self._now(), keep_claim=False
                )
            self._ledger.release(self._holder, why=Outcome("refused", reasons.INTERRUPTED))

    def _elapsed(self) -> float:
        return self._monotonic() - self._started


def _pause_cause(decision: ResponseDecision) -> Outcome:
    """Why a dataset pauses: the response, or a limit, if the response was about events."""
    if decision.then in (NextStep.DONE, NextStep.SPLIT):
        return replace(decision.outcome, state="refused", reason=reasons.THROTTLED)
    return replace(decision.outcome, state="refused")
