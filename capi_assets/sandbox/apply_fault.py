"""How each fault looks on the wire: what a struck call gets instead of the honest answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from threading import Event

import orjson
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from capi_assets.sandbox.answers import JSON, Answer, GraphError, Usage
from capi_assets.sandbox.close_connection import CloseConnection
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.tokens import session_expired

SILENCE_SECONDS = 600.0
DRIP_MS = 50

PAGE = (
    "<!DOCTYPE html><html><head><title>Facebook | Error</title></head>"
    "<body><h1>Sorry, something went wrong.</h1></body></html>"
)


def graph_error(fault: Fault, dataset: str, now: datetime) -> GraphError | None:
    """The Graph error a fault answers with, or None for a fault that looks otherwise."""
    match fault.kind:
        case "expired_token":
            error = session_expired(fault.after or now, now)
        case "invalid_token":
            error = GraphError(
                "Invalid OAuth access token - Cannot parse access token", 190, status=401
            )
        case "permission_lost":
            error = GraphError("(#200) Permissions error", 200, status=403)
        case "unknown_dataset":
            error = out_of_reach(dataset)
        case "throttled":
            error = GraphError("(#4) Application request limit reached", 4, is_transient=True)
            error.headers = throttle_headers(fault, dataset)
        case "insights_refused":
            error = GraphError("(#200) Requires ads_read permission on the dataset", 200, 403)
        case "insights_throttled":
            error = GraphError("(#80004) There have been too many calls", 80004, subcode=2446079)
            error.headers = throttle_headers(fault, dataset)
        case "server_error":
            error = GraphError("Service temporarily unavailable", 2, status=503, is_transient=True)
        case "error":
            error = GraphError("Invalid parameter", 100)
        case _:
            return None
    error.status = fault.http_status or error.status
    error.code = fault.code if fault.code is not None else error.code
    error.subcode = fault.subcode if fault.subcode is not None else error.subcode
    error.is_transient = error.is_transient if fault.is_transient is None else fault.is_transient
    return error


def out_of_reach(dataset: str) -> GraphError:
    """Meta's one answer to a dataset that is missing and to one the token may not see: 100/33."""
    return GraphError(
        f"Unsupported post request. Object with ID '{dataset}' does not exist, cannot be loaded "
        "due to missing permissions, or does not support this operation",
        100,
        type="GraphMethodException",
        subcode=33,
    )


def throttle_headers(fault: Fault, dataset: str) -> dict[str, str]:
    """What a throttled answer says about coming back; Meta promises none of it."""
    headers = {}
    if fault.usage_headers:
        headers = Usage(100, 100, 100, fault.regain_minutes).headers(dataset)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return headers


async def misbehave(
    fault: Fault,
    honest: Answer,
    headers: dict[str, str],
    closing: Event,
    gone: Callable[[], Awaitable[bool]],
) -> Response:
    """The struck answer, for the faults that are no Graph error.

    `honest` is what an unharmed call would have got; `closing` ends silences when the server
    stops, `gone` tells whether the client has left.
    """
    body = honest.content()
    match fault.kind:
        case "html":
            return HTMLResponse(PAGE, fault.http_status or 502)
        case "unavailable_text":
            return PlainTextResponse("Service Unavailable", fault.http_status or 200)
        case "redirect":
            return Response(
                status_code=fault.http_status or 302, headers={"Location": fault.location}
            )
        case "hang_up_before_reading":
            return CloseConnection(abruptly=True)
        case "hang_up_after_accepting":
            return CloseConnection()
        case "cut_off_answer":
            head = f"HTTP/1.1 {honest.status} \r\nContent-Type: {JSON}\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            return CloseConnection(sent=head.encode() + body[: len(body) // 2])
        case "truncated_json":
            return Response(body[: len(body) // 2], honest.status, headers, JSON)
        case "too_few_received":
            told = dict(honest.body)
            if "events_received" in told:
                told["events_received"] = max(0, told["events_received"] - fault.missing)
            return Response(orjson.dumps(told), honest.status, headers, JSON)
        case "read_timeout":
            await silence(fault.latency_ms / 1000 or SILENCE_SECONDS, closing, gone)
            return CloseConnection()
        case "slow_drip":
            return StreamingResponse(
                drip(body, (fault.latency_ms or DRIP_MS) / 1000, closing),
                honest.status,
                headers,
                JSON,
            )
        case _:
            raise ValueError(f"{fault.kind} has no answer of its own")


async def silence(
    seconds: float, closing: Event, gone: Callable[[], Awaitable[bool]] | None = None
) -> None:
    """Wait, until the time is over, the server stops, or the client has left."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0 and not closing.is_set():
        if gone is not None and await gone():
            return
        await asyncio.sleep(min(left, 0.05))


async def drip(body: bytes, pause: float, closing: Event) -> AsyncIterator[bytes]:
    """The body one byte at a time."""
    for position in range(len(body)):
        yield body[position : position + 1]
        if not closing.is_set():
            await asyncio.sleep(pause)
