"""POST /{version}/{dataset}/events: read, authorise, validate, store, respond, or apply a fault."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from capi_assets.sandbox.apply_fault import faulty_response, graph_error, stay_silent
from capi_assets.sandbox.close_connection import CloseConnection
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.graph import admit, common_headers, state_of, version_of
from capi_assets.sandbox.http_requests import Call, events_of, read_call
from capi_assets.sandbox.inbox import RequestRecord
from capi_assets.sandbox.responses import GraphError, GraphResponse, new_trace_id
from capi_assets.sandbox.rules.validate import validate_events
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.versions import CURRENT

MAX_EVENTS = 1000


@dataclass
class ReceivedRequest:
    """One call: what is known of it so far, for its response and its record."""

    state: SandboxState
    now: datetime
    dataset: str
    authorization: str | None = field(repr=False)
    version: str = CURRENT
    trace: str = field(default_factory=new_trace_id)
    call: Call | None = field(default=None, repr=False)
    is_logged: bool = False
    record: RequestRecord = field(init=False)

    def __post_init__(self) -> None:
        self.record = RequestRecord(self.now, self.dataset, None, 0, fbtrace_id=self.trace)

    def note(self, **known: object) -> None:
        """Adds to the record."""
        self.record = replace(self.record, **known)  # type: ignore[arg-type]

    def log(self, status: int) -> None:
        """Puts the record into the inbox, once: before a delay, not after it."""
        if not self.is_logged:
            self.state.inbox.log(replace(self.record, status=status))
            self.is_logged = True

    def readable_events(self) -> list[Any]:
        """The events of the request, empty if they cannot be read; for faults only."""
        try:
            return [] if self.call is None else events_of(self.call)
        except GraphError:
            return []

    def event_ids(self) -> set[str]:
        """The event ids of the request."""
        events = self.readable_events()
        return {str(event.get("event_id")) for event in events if isinstance(event, dict)}

    def error_response(self, error: GraphError) -> GraphResponse:
        """The response to a call that Meta refuses, noted in the record."""
        self.note(code=error.code, subcode=error.subcode, title=headline(error.message))
        response = GraphResponse.of_error(error.error(), self.trace, error.status)
        response.headers |= error.headers
        return response

    def normal_response(self) -> GraphResponse:
        """Meta's response without any fault; stores the events it accepts."""
        assert self.call is not None
        try:
            token = admit(self.state, self.call, self.authorization, self.dataset, self.now)
            self.note(token=token.fingerprint)
            events = events_of(self.call)
            self.note(sent=len(events))
            if len(events) > MAX_EVENTS:
                raise GraphError(
                    f"(#100) Too many events: {len(events)}; at most {MAX_EVENTS} in a request",
                    100,
                )
        except GraphError as error:
            return self.error_response(error)
        rejected = validate_events(events, self.now)
        if rejected is not None:
            index, refusal = rejected
            self.note(code=100, subcode=refusal.subcode, title=refusal.title)
            return GraphResponse.of_error(refusal.error(index), self.trace)
        receipt = self.state.inbox.receive(self.dataset, events, self.now)
        self.note(accepted=receipt.accepted, duplicates=receipt.duplicates, doubled=receipt.doubled)
        received = {"events_received": len(events), "messages": [], "fbtrace_id": self.trace}
        return GraphResponse(200, received)


async def events(request: Request) -> Response:
    """The `/events` edge."""
    state = state_of(request)
    received = ReceivedRequest(
        state,
        state.clock.now(),
        request.path_params["dataset"],
        request.headers.get("authorization"),
    )
    try:
        response, status = await _respond(received, request)
    except ClientDisconnect:
        received.note(title="The client disconnected before it had sent everything")
        response, status = CloseConnection(), 0
    received.log(status)
    return response


async def _respond(received: ReceivedRequest, request: Request) -> tuple[Response, int]:
    state, dataset, now = received.state, received.dataset, received.now
    fault = state.faults.before_reading(dataset, now)
    if fault is not None:
        received.note(fault=fault.kind)
        return CloseConnection(abruptly=True), 0
    body = await request.body()
    try:
        received.version = version_of(request, now)
        received.note(version=received.version)
        received.call = read_call(
            body, request.headers.get("content-type", ""), request.query_params
        )
        received.note(test_event_code=_text(received.call.params.get("test_event_code")))
    except GraphError as error:
        return _to_http(received, received.error_response(error))
    fault, latency_ms = state.faults.on_events(dataset, now, received.event_ids)
    if fault is not None:
        return await _faulty(received, fault, latency_ms, request.is_disconnected)
    response = received.normal_response()
    if latency_ms:
        received.note(fault="slow")
        received.log(response.status)
        await stay_silent(latency_ms / 1000, state.closing)
    return _to_http(received, response)


async def _faulty(
    received: ReceivedRequest,
    fault: Fault,
    latency_ms: int,
    is_disconnected: Callable[[], Awaitable[bool]],
) -> tuple[Response, int]:
    state = received.state
    if fault.is_accepting:
        normal = received.normal_response()
    else:
        normal = GraphResponse(200, {})
        received.note(sent=len(received.readable_events()))
    received.note(fault=fault.kind)
    error = graph_error(fault, received.dataset, received.now)
    refusal = None if error is None else received.error_response(error)
    if latency_ms:
        received.log(0 if refusal is None else refusal.status)
        await stay_silent(latency_ms / 1000, state.closing)
    if refusal is not None:
        return _to_http(received, refusal)
    if fault.kind == "read_timeout":
        received.log(0)
    headers = common_headers(state, received.version, received.trace, received.dataset)
    response = await faulty_response(fault, normal, headers, state.closing, is_disconnected)
    has_responded = not isinstance(response, CloseConnection)
    return response, response.status_code if has_responded else 0


def headline(message: str) -> str:
    """A message of Meta's without its number and its details."""
    return re.sub(r"^\(#[0-9]+\) ", "", message).partition(":")[0].partition(".")[0]


def _to_http(received: ReceivedRequest, response: GraphResponse) -> tuple[Response, int]:
    headers = common_headers(received.state, received.version, received.trace, received.dataset)
    return response.to_http(headers), response.status


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
