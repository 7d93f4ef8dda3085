"""The response of each fault, in place of the normal one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse

from capi_assets.sandbox.close_connection import CloseConnection
from capi_assets.sandbox.faults import KINDS, Fault
from capi_assets.sandbox.responses import JSON, GraphError, Usage, graph_response
from capi_assets.sandbox.tokens import session_expired

MAX_SILENCE_SECONDS = 600.0  # longer than any client waits
DRIP_PAUSE_MS = 50  # a response of 100 bytes takes five seconds

PAGE = (
    "<!DOCTYPE html><html><head><title>Facebook | Error</title></head>"
    "<body><h1>Sorry, something went wrong.</h1></body></html>"
)


def graph_error(fault: Fault, dataset: str, now: datetime) -> GraphError | None:
    """The Graph error of a fault, or None for a fault of another form."""
    match fault.kind:
        case "expired_token":
            error = session_expired(fault.after or now, now)
        case "unknown_dataset":
            error = unknown_dataset(dataset)
        case kind:
            fixed = KINDS[kind].error
            if fixed is None:
                return None
            error = fixed
    changes: dict[str, Any] = {
        "status": fault.http_status,
        "message": fault.message,
        "type": fault.type,
        "code": fault.code,
        "subcode": fault.subcode,
        "is_transient": fault.is_transient,
        "title": fault.title,
    }
    if fault.kind in ("throttled", "insights_throttled"):
        changes["headers"] = throttle_headers(fault, dataset)
    return replace(error, **{name: v for name, v in changes.items() if v is not None})


def unknown_dataset(dataset: str) -> GraphError:
    """Meta's error 100/33, the same for a missing dataset and for one the token may not access."""
    return GraphError(
        f"Unsupported post request. Object with ID '{dataset}' does not exist, cannot be loaded "
        "due to missing permissions, or does not support this operation",
        100,
        type="GraphMethodException",
        subcode=33,
    )


def throttle_headers(fault: Fault, dataset: str) -> dict[str, str]:
    """The headers of a throttled response about when to retry; Meta promises none of them."""
    headers = {}
    if fault.usage_headers:
        headers = Usage(100, 100, 100, fault.regain_minutes).headers(dataset)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return headers


async def faulty_response(
    fault: Fault,
    normal: Response,
    is_closing: Callable[[], bool],
    is_disconnected: Callable[[], Awaitable[bool]],
) -> Response:
    """The response of a fault that is no Graph error.

    `normal` is the response without the fault. Delays end when the server is closing or the client
    has disconnected.
    """
    content, status = bytes(normal.body), normal.status_code
    headers = {name: v for name, v in normal.headers.items() if name != "content-length"}
    match fault.kind:
        case "html":
            return HTMLResponse(PAGE, fault.http_status or 502)
        case "request_too_large":
            return HTMLResponse(PAGE, fault.http_status or 413)
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
            head = f"HTTP/1.1 {status} \r\nContent-Type: {JSON}\r\n"
            head += f"Content-Length: {len(content)}\r\n\r\n"
            return CloseConnection(sent=head.encode() + content[: len(content) // 2])
        case "truncated_json":
            return Response(content[: len(content) // 2], status, headers)
        case "too_few_received":
            body = orjson.loads(content)
            if "events_received" in body:
                body["events_received"] = max(0, body["events_received"] - fault.missing)
            return graph_response(body, headers, status)
        case "read_timeout":
            seconds = fault.latency_ms / 1000 or MAX_SILENCE_SECONDS
            await stay_silent(seconds, is_closing, is_disconnected)
            return CloseConnection()
        case "slow_drip":
            drops = drip(content, (fault.latency_ms or DRIP_PAUSE_MS) / 1000, is_closing)
            return StreamingResponse(drops, status, headers)
        case _:
            raise ValueError(f"{fault.kind} has no response of its own")


async def stay_silent(
    seconds: float,
    is_closing: Callable[[], bool],
    is_disconnected: Callable[[], Awaitable[bool]] | None = None,
) -> None:
    """Waits until the time is over, the server stops, or the client has disconnected."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (remaining := end - loop.time()) > 0 and not is_closing():
        if is_disconnected is not None and await is_disconnected():
            return
        await asyncio.sleep(min(remaining, 0.05))


async def drip(body: bytes, pause: float, is_closing: Callable[[], bool]) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]
        if not is_closing():
            await asyncio.sleep(pause)
