"""The delivery itself: claim, intent, request, outcome, until nothing is left that may go.

One thread owns the ledger and decides; the pool's threads only post. What to send is plan.py's,
what follows from an answer answers.py's and lane.py's, what Meta means `capi_assets.meta`'s.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery import reasons
from capi_assets.delivery.ledger.ledger import Intent, Ledger, LedgerError
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.delivery.sending.access import EventsClient
from capi_assets.delivery.sending.api_warnings import warnings_in
from capi_assets.delivery.sending.dispatcher import DatasetDispatcher
from capi_assets.delivery.sending.rate_limit_usage import load, requested_wait
from capi_assets.delivery.sending.request import Request
from capi_assets.delivery.sending.responses import NextStep, ResponseDecision, decide
from capi_assets.delivery.sending.summary import DeliverySummary, Progress, Stop
from capi_assets.meta.graph.client import Answer

_MOST_THREADS = 32
_BUSY = 0.9  # of a limit used up: one request at a time from here


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
    dice: Callable[[], float] = random.random,
) -> DeliverySummary:
    """Sends the events, most urgent first, and books every answer.

    `sends` are rows of `matched_events` that `plan` chose (`plan.to_send`): one table, or any
    number of them, the most urgent first, of which few are in memory at a time. Each request is
    planned again once its events are claimed, so a stale plan, another run or a passing deadline
    never sends anything wrong. `clients` maps a dataset to its way out; `now` gives aware UTC
    datetimes; `sleep`, `monotonic` and `dice` are for tests.

    Whatever Meta answers, this returns; what could not be sent is pending and says why.

    Raises:
        LedgerError: the ledger cannot be read or written. Nothing is sent any more then; what was
            under way is unknown until the next run.
    """
    delivery = _Delivery(ledger, clients, now, policy, run_id, on_progress, sleep, monotonic, dice)
    return delivery.run(iter([sends] if isinstance(sends, pa.Table) else sends))


@dataclass(frozen=True)
class _Flight:
    lane: DatasetDispatcher
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
        dice: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._clients = clients
        self._now = now
        self._policy = policy
        self._on_progress = on_progress
        self._sleep = sleep
        self._monotonic = monotonic
        self._dice = dice
        # Two calls never share claims, even of one run that is retried by its orchestrator.
        self._holder = f"{run_id[:100]}/{uuid.uuid4().hex[:12]}"
        self._lanes: dict[str, DatasetDispatcher] = {}
        self._source: Iterator[pa.Table] = iter(())
        self._source_is_dry = False
        self._flights: dict[Future[Answer], _Flight] = {}
        self._threads = min(_MOST_THREADS, policy.requests_in_flight * max(1, len(clients)))
        self._started = monotonic()
        self._next_start = self._started
        self.summary = DeliverySummary(run_id, now())

    def run(self, source: Iterator[pa.Table]) -> DeliverySummary:
        self._source = source
        with ThreadPoolExecutor(self._threads, thread_name_prefix="meta") as pool:
            try:
                while True:
                    self._start_requests(pool)
                    self._clear_closed_lanes()
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
        self.summary.finished_at = self._now()
        self.summary.seconds = self._elapsed()
        return self.summary

    # What waits

    def _read_ahead(self) -> None:
        """Takes the next tables while an open lane is hungry and none is full."""
        one = self._policy.events_per_request
        enough = 2 * self._policy.requests_in_flight * one
        while not self._source_is_dry:
            open_lanes = [lane for lane in self._lanes.values() if not lane.stop]
            if any(lane.queue.waiting >= enough for lane in open_lanes) or (
                open_lanes and all(lane.queue.waiting >= one for lane in open_lanes)
            ):
                return
            events = next(self._source, None)
            if events is None:
                self._source_is_dry = True
                return
            for dataset in pc.unique(events["dataset_id"]).to_pylist():
                lane = self._lane(dataset)
                lane.queue.add(events.filter(pc.equal(events["dataset_id"], dataset)))
            self._clear_closed_lanes()

    def _lane(self, dataset: str) -> DatasetDispatcher:
        if dataset not in self._lanes:
            client = self._clients.get(dataset)
            self._lanes[dataset] = DatasetDispatcher(dataset, client, self._policy, self._dice)
        return self._lanes[dataset]

    def _is_done(self) -> bool:
        idle = all(lane.is_idle for lane in self._lanes.values())
        return self._source_is_dry and idle and not self._flights

    # What goes out

    def _start_requests(self, pool: ThreadPoolExecutor) -> None:
        """Starts whatever may start now, the datasets taking turns."""
        if self._elapsed() >= self._policy.time_budget.total_seconds():
            for lane in self._lanes.values():
                if not (lane.is_idle and self._source_is_dry):
                    lane.close(Outcome("refused", reasons.TIME_BUDGET))
        started = True
        while started:
            self._read_ahead()
            started = False
            for lane in self._lanes.values():
                clock = self._monotonic()
                if len(self._flights) >= self._threads or clock < self._next_start:
                    return
                request = lane.next_request(clock)
                if request is not None:
                    self._start(pool, lane, request)
                    started = True

    def _start(self, pool: ThreadPoolExecutor, lane: DatasetDispatcher, request: Request) -> None:
        claimed = self._claim(lane, request)
        if claimed is None:
            lane.finish(request)
            return
        events, state = claimed
        body = lane.client.body(events["payload"].to_pylist())
        intent = Intent(self._holder, self.summary.run_id[:128], len(body), self._policy.lease)
        attempt = self._ledger.mark_in_flight(events, state, intent, self._now())
        if attempt is None:  # this process stood still so long that another took over
            self._wait_for_claims(lane, request, events)
            lane.finish(request)
            return
        sent = replace(request, events=events.append_column("ref", state["ref"]))
        self._flights[pool.submit(lane.client.post, body)] = _Flight(lane, sent, attempt)
        lane.begun(self._monotonic())
        self.summary.requests += 1
        self.summary.bytes += len(body)
        if self._policy.requests_per_second:
            self._next_start = self._monotonic() + 1 / self._policy.requests_per_second

    def _claim(self, lane: DatasetDispatcher, request: Request) -> tuple[pa.Table, pa.Table] | None:
        """Claims the events and plans them again; those that go, with their state, if any."""
        events = request.events.drop_columns("ref") if request.is_held else request.events
        now = self._now()
        state = self._ledger.claim(
            events, self._holder, now, self._policy.lease, renew=request.is_held
        )
        planned = plan(events, state, now, self._policy, holder=self._holder)
        sendable = pc.is_in(planned["action"], value_set=pa.array(["send", "claimed_elsewhere"]))
        goes = pc.and_(state["won"], sendable)
        self._release_others(planned, state, goes)
        self._wait_for_claims(
            lane, request, events.filter(pc.and_(pc.invert(state["won"]), sendable))
        )
        if not pc.any(goes).as_py():
            return None
        return events.filter(goes), state.filter(goes)

    def _release_others(self, planned: pa.Table, state: pa.Table, goes: pa.ChunkedArray) -> None:
        """Lets go of what turned out not to be sent: delivered meanwhile, too late by now, …"""
        won = state.filter(pc.and_(state["won"], pc.invert(goes)))["ref"]
        kept = state.filter(goes)["ref"]
        unused = won.filter(pc.invert(pc.is_in(won, value_set=kept.combine_chunks())))
        if len(unused):
            self._ledger.release(self._holder, unused)
        actions = planned.filter(pc.invert(goes))["action"]
        for counted in pc.value_counts(actions).to_pylist():
            if counted["values"] not in ("send", "claimed_elsewhere"):
                self.summary.not_sent[counted["values"]] += counted["counts"]

    def _wait_for_claims(self, lane: DatasetDispatcher, request: Request, events: pa.Table) -> None:
        if events.num_rows and not lane.wait_for_claims(events, request, self._monotonic()):
            self.summary.pending[reasons.CLAIMED_ELSEWHERE] += events.num_rows

    # What comes back

    def _wait(self) -> None:
        """Until an answer comes, or something may start."""
        may_start = len(self._flights) < self._threads
        lanes = self._lanes.values() if may_start else ()
        wake = [at for lane in lanes if (at := lane.wakes_at()) is not None]
        if self._next_start > self._monotonic():
            wake = [max(at, self._next_start) for at in wake]
        wake.append(self._started + self._policy.time_budget.total_seconds())
        seconds = max(0.0, min(wake) - self._monotonic())
        if not self._flights:
            if seconds:
                self._sleep(seconds)
            return
        timeout = None if self._elapsed() >= self._policy.time_budget.total_seconds() else seconds
        for future in wait(self._flights, timeout, FIRST_COMPLETED).done:
            self._book(future)

    def _book(self, future: Future[Answer]) -> None:
        flight = self._flights[future]
        flight.lane.in_flight -= 1
        answer = future.result()
        ruling = decide(answer, len(flight.request))
        clock, now = self._monotonic(), self._now()
        asked = requested_wait(answer.usage, now)
        if asked:
            flight.lane.pause(asked, clock, _why_pause(ruling))
        outcome, comes_again = flight.lane.settle(flight.request, ruling, clock)
        if load(answer.usage) >= _BUSY:
            flight.lane.reset_concurrency()
        self._ledger.record(flight.attempt, outcome, self._holder, now, keep_claim=comes_again)
        del self._flights[future]  # only now: what could not be booked is tried once more
        self.summary.outcomes[outcome.state] += 1
        if not comes_again:
            self.summary.count(outcome, len(flight.request))
        for remark in warnings_in(flight.lane.client.access, answer, len(flight.request)):
            self.summary.warn(remark)
        self._report()

    def _report(self) -> None:
        if self._on_progress is None:
            return
        done = self.summary
        self._on_progress(
            Progress(
                delivered=done.delivered,
                settled=done.rejected + done.expired + done.not_sent.total(),
                pending=done.pending.total(),
                unknown=done.unknown,
                requests=done.requests,
                in_flight=len(self._flights),
                seconds=self._elapsed(),
            )
        )

    # What is left

    def _clear_closed_lanes(self) -> None:
        """Books why the events of closed lanes wait, and forgets them."""
        for lane in self._lanes.values():
            stop = lane.stop
            if stop is None:
                continue
            if stop not in self.summary.stops:
                self.summary.stops.append(stop)
            for request in lane.abandoned():
                if request.is_held:
                    self._ledger.release(self._holder, request.events["ref"], stop.outcome)
                else:
                    self._ledger.defer(request.events, stop.outcome, self._now())
                self._leave(stop, len(request))
            for events in lane.queue.drain():
                self._ledger.defer(events, stop.outcome, self._now())
                self._leave(stop, events.num_rows)

    def _leave(self, stop: Stop, events: int) -> None:
        stop.events_left += events
        self.summary.pending[stop.reason] += events

    def _abandon(self) -> None:
        """On the way out of a failure: book the answers still to come, give back the claims.

        What the ledger does not take any more is safe without: the intents stand, the claims lapse.
        """
        with suppress(LedgerError):
            for future, flight in self._flights.items():
                outcome = decide(future.result(), len(flight.request)).outcome
                self._ledger.record(
                    flight.attempt, outcome, self._holder, self._now(), keep_claim=False
                )
            self._ledger.release(self._holder, why=Outcome("refused", reasons.INTERRUPTED))

    def _elapsed(self) -> float:
        return self._monotonic() - self._started


def _why_pause(ruling: ResponseDecision) -> Outcome:
    """Why the lane stays away: what was answered; a limit, if the answer was about events."""
    if ruling.then in (NextStep.DONE, NextStep.SPLIT):
        return replace(ruling.outcome, state="refused", reason=reasons.THROTTLED)
    return replace(ruling.outcome, state="refused")
