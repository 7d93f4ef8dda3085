"""POST /{version}/{dataset}/events: read, admit, judge, book, answer, and be struck by faults."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from capi_assets.sandbox.answers import Answer, GraphError, new_trace_id
from capi_assets.sandbox.apply_fault import graph_error, misbehave, silence
from capi_assets.sandbox.close_connection import CloseConnection
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.graph import admit, box_of, common_headers, version_of
from capi_assets.sandbox.http_requests import Call, events_of, read_call
from capi_assets.sandbox.inbox import RequestRecord
from capi_assets.sandbox.rules.judge import judge_all
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.versions import CURRENT

MOST_EVENTS = 1000


@dataclass
class ReceivedRequest:
    """One call on its way through: what is known so far, for the answer and the record."""

    box: SandboxState
    now: datetime
    dataset: str
    authorization: str | None = field(repr=False)
    version: str = CURRENT
    trace: str = field(default_factory=new_trace_id)
    call: Call | None = field(default=None, repr=False)
    logged: bool = False
    record: RequestRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = RequestRecord(self.now, self.dataset, None, 0, fbtrace_id=self.trace)

    def note(self, **known: object) -> None:
        """Add to the record."""
        self.record = replace(self.record, **known)  # type: ignore[arg-type]

    def log(self, status: int) -> None:
        """Put the record into the inbox, once: before a silence, not when it is over."""
        if not self.logged:
            self.box.inbox.log(replace(self.record, status=status))
            self.logged = True

    def readable_events(self) -> list[Any]:
        """The events of the request as far as they can be read, for faults only."""
        try:
            return [] if self.call is None else events_of(self.call)
        except GraphError:
            return []

    def event_ids(self) -> set[str]:
        """The event ids of the request, as far as they can be read."""
        events = self.readable_events()
        return {str(event.get("event_id")) for event in events if isinstance(event, dict)}

    def refused(self, wrong: GraphError) -> Answer:
        """Meta's answer to a call it does not take, noted in the record."""
        self.note(code=wrong.code, subcode=wrong.subcode, title=headline(wrong.message))
        answer = Answer.refusing(wrong.error(), self.trace, wrong.status)
        answer.headers |= wrong.headers
        return answer

    def honest_answer(self) -> Answer:
        """What Meta answers when nothing is wrong on its side; books the events it accepts."""
        assert self.call is not None
        try:
            token = admit(self.box, self.call, self.authorization, self.dataset, self.now)
            self.note(token=token.fingerprint)
            events = events_of(self.call)
            self.note(sent=len(events))
            if len(events) > MOST_EVENTS:
                raise GraphError(
                    f"(#100) Too many events: {len(events)}; at most {MOST_EVENTS} in a request",
                    100,
                )
        except GraphError as wrong:
            return self.refused(wrong)
        refused = judge_all(events, self.now)
        if refused is not None:
            index, refusal = refused
            self.note(code=100, subcode=refusal.subcode, title=refusal.title)
            return Answer.refusing(refusal.error(index), self.trace)
        receipt = self.box.inbox.receive(self.dataset, events, self.now)
        self.note(accepted=receipt.accepted, duplicates=receipt.duplicates, doubled=receipt.doubled)
        received = {"events_received": len(events), "messages": [], "fbtrace_id": self.trace}
        return Answer(200, received)


async def events(request: Request) -> Response:
    """The `/events` edge."""
    box = box_of(request)
    arrival = ReceivedRequest(
        box,
        box.clock.now(),
        request.path_params["dataset"],
        request.headers.get("authorization"),
    )
    try:
        response, status = await _answer(arrival, request)
    except ClientDisconnect:
        arrival.note(title="The client left before it had sent everything")
        response, status = CloseConnection(), 0
    arrival.log(status)
    return response


async def _answer(arrival: ReceivedRequest, request: Request) -> tuple[Response, int]:
    box, dataset, now = arrival.box, arrival.dataset, arrival.now
    at_the_door = box.faults.at_the_door(dataset, now)
    if at_the_door is not None:
        arrival.note(fault=at_the_door.kind)
        return CloseConnection(abruptly=True), 0
    body = await request.body()
    try:
        arrival.version = version_of(request, now)
        arrival.note(version=arrival.version)
        arrival.call = read_call(
            body, request.headers.get("content-type", ""), request.query_params
        )
        arrival.note(test_event_code=_text(arrival.call.params.get("test_event_code")))
    except GraphError as wrong:
        return _sent(arrival, arrival.refused(wrong))
    fault, latency_ms = box.faults.on_events(dataset, now, arrival.event_ids)
    if fault is not None:
        return await _struck(arrival, fault, latency_ms, request.is_disconnected)
    answer = arrival.honest_answer()
    if latency_ms:
        arrival.note(fault="slow")
        arrival.log(answer.status)
        await silence(latency_ms / 1000, box.closing)
    return _sent(arrival, answer)


async def _struck(
    arrival: ReceivedRequest, fault: Fault, latency_ms: int, gone: Callable[[], Awaitable[bool]]
) -> tuple[Response, int]:
    box = arrival.box
    if fault.books_events:
        honest = arrival.honest_answer()
    else:
        honest = Answer(200, {})
        arrival.note(sent=len(arrival.readable_events()))
    arrival.note(fault=fault.kind)
    error = graph_error(fault, arrival.dataset, arrival.now)
    refused = None if error is None else arrival.refused(error)
    if latency_ms:
        arrival.log(0 if refused is None else refused.status)
        await silence(latency_ms / 1000, box.closing)
    if refused is not None:
        return _sent(arrival, refused)
    if fault.kind == "read_timeout":
        arrival.log(0)
    headers = common_headers(box, arrival.version, arrival.trace, arrival.dataset)
    response = await misbehave(fault, honest, headers, box.closing, gone)
    answered = not isinstance(response, CloseConnection)
    return response, response.status_code if answered else 0


def headline(message: str) -> str:
    """A message of Meta's without its number and its particulars."""
    return re.sub(r"^\(#[0-9]+\) ", "", message).partition(":")[0].partition(".")[0]


def _sent(arrival: ReceivedRequest, answer: Answer) -> tuple[Response, int]:
    headers = common_headers(arrival.box, arrival.version, arrival.trace, arrival.dataset)
    return answer.response(headers), answer.status


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
