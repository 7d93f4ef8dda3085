"""POST /{version}/{dataset}/events: read, authorise, validate, store, respond, or apply a fault."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from capi_assets.sandbox.apply_fault import faulty_response, graph_error, stay_silent
from capi_assets.sandbox.close_connection import CloseConnection
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.graph import admit, common_headers, state_of, version_of
from capi_assets.sandbox.http_requests import Call, events_of, read_call
from capi_assets.sandbox.inbox import RequestRecord
from capi_assets.sandbox.responses import GraphError, error_response, graph_response
from capi_assets.sandbox.rules.validate import validate_events
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.versions import CURRENT

MAX_EVENTS = 1000


@dataclass
class ReceivedRequest:
    """One call: what is known of it so far, for its response and its record."""

    state: SandboxState
    record: RequestRecord
    authorization: str | None = field(repr=False)
    call: Call | None = field(default=None, repr=False)
    is_logged: bool = False

    def log(self, status: int) -> None:
        """Puts the record into the inbox, once: before a delay, not after it."""
        if not self.is_logged:
            self.record.status = status
            self.state.inbox.log(self.record)
            self.is_logged = True

    def readable_events(self) -> list[Any]:
        """The events of the request, empty if they cannot be read; for faults only."""
        try:
            return [] if self.call is None else events_of(self.call)
        except GraphError:
            return []

    def event_ids(self) -> set[str]:
        events = self.readable_events()
        return {str(event.get("event_id")) for event in events if isinstance(event, dict)}

    def headers(self) -> dict[str, str]:
        version = self.record.version or CURRENT
        return common_headers(self.state, version, self.record.fbtrace_id, self.record.dataset)

    def refuse(self, error: GraphError) -> Response:
        """The response to a call that Meta refuses, noted in the record."""
        self.record.code, self.record.subcode = error.code, error.subcode
        self.record.title = headline(error.message)
        return error_response(error, self.record.fbtrace_id, self.headers())

    def normal_response(self) -> Response:
        """Meta's response without any fault; stores the events it accepts."""
        assert self.call is not None
        record, now = self.record, self.record.received_at
        try:
            token = admit(self.state, self.call, self.authorization, record.dataset, now)
            record.token = token.fingerprint
            events = events_of(self.call)
            record.sent = len(events)
            if len(events) > MAX_EVENTS:
                raise GraphError(
                    f"(#100) Too many events: {len(events)}; at most {MAX_EVENTS} in a request",
                    100,
                )
        except GraphError as error:
            return self.refuse(error)
        rejected = validate_events(events, now)
        if rejected is not None:
            index, refusal = rejected
            record.code, record.subcode, record.title = 100, refusal.subcode, refusal.title
            body = {"error": {**refusal.error(index), "fbtrace_id": record.fbtrace_id}}
            return graph_response(body, self.headers(), 400)
        receipt = self.state.inbox.receive(record.dataset, events, now)
        record.accepted, record.duplicates = receipt.accepted, receipt.duplicates
        record.doubled = receipt.doubled
        received = {"events_received": len(events), "messages": [], "fbtrace_id": record.fbtrace_id}
        return graph_response(received, self.headers())


async def events(request: Request) -> Response:
    state = state_of(request)
    record = RequestRecord(state.clock.now(), request.path_params["dataset"])
    received = ReceivedRequest(state, record, request.headers.get("authorization"))
    try:
        response = await _respond(received, request)
    except ClientDisconnect:
        record.title = "The client disconnected before it had sent everything"
        response = CloseConnection()
    received.log(0 if isinstance(response, CloseConnection) else response.status_code)
    return response


async def _respond(received: ReceivedRequest, request: Request) -> Response:
    state, record, now = received.state, received.record, received.record.received_at
    fault = state.faults.draw("connection", record.dataset, now)
    if fault is not None:
        record.fault = fault.kind
        return CloseConnection(abruptly=True)
    body = await request.body()
    try:
        record.version = version_of(request, now)
        content_type = request.headers.get("content-type", "")
        received.call = read_call(body, content_type, request.query_params)
    except GraphError as error:
        return received.refuse(error)
    test_event_code = received.call.params.get("test_event_code")
    record.test_event_code = test_event_code if isinstance(test_event_code, str) else None
    slow = state.faults.draw("delay", record.dataset, now, received.event_ids)
    latency_ms = 0 if slow is None else slow.latency_ms
    fault = state.faults.draw("events", record.dataset, now, received.event_ids)
    if fault is not None:
        return await _faulty(received, fault, latency_ms, request.is_disconnected)
    response = received.normal_response()
    if latency_ms:
        record.fault = "slow"
        received.log(response.status_code)
        await stay_silent(latency_ms / 1000, state.is_closing)
    return response


async def _faulty(
    received: ReceivedRequest,
    fault: Fault,
    latency_ms: int,
    is_disconnected: Callable[[], Awaitable[bool]],
) -> Response:
    state, record = received.state, received.record
    if fault.is_accepting:
        normal = received.normal_response()
    else:
        normal = graph_response({}, received.headers())
        record.sent = len(received.readable_events())
    record.fault = fault.kind
    error = graph_error(fault, record.dataset, record.received_at)
    refusal = None if error is None else received.refuse(error)
    if latency_ms:
        received.log(0 if refusal is None else refusal.status_code)
        await stay_silent(latency_ms / 1000, state.is_closing)
    if refusal is not None:
        return refusal
    if fault.kind == "read_timeout":
        received.log(0)
    return await faulty_response(fault, normal, state.is_closing, is_disconnected)


def headline(message: str) -> str:
    """A message of Meta's without its number and its details."""
    return re.sub(r"^\(#[0-9]+\) ", "", message).partition(":")[0].partition(".")[0]
