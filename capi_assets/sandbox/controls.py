"""The `/_sandbox` routes: switch faults, tokens, clock and load while it runs; read the inbox.

Used by the page, by tests and by the demo; Meta has no such routes. Bodies are JSON; an invalid
one gets 400 and `{"problem": ...}`. Times are ISO 8601 with a zone.

    curl -X PUT localhost:8026/_sandbox/faults -d '{"kind": "throttled", "count": 3}'
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from capi_assets.sandbox import reports
from capi_assets.sandbox.clock import parse_utc
from capi_assets.sandbox.faults import read_fault
from capi_assets.sandbox.graph import state_of
from capi_assets.sandbox.responses import Usage
from capi_assets.sandbox.simulated_stats import Counting, read_counting
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.tokens import Token, digest_of

MAX_ROWS = 10_000

Control = Callable[[SandboxState, Request, Any], Any]


def control(work: Control) -> Any:
    """An endpoint around `work(box, request, body)`; an error of the input becomes a 400."""

    @wraps(work)
    async def endpoint(request: Request) -> Response:
        try:
            raw = await request.body()
            body = orjson.loads(raw) if raw else {}
            return _json(work(state_of(request), request, body))
        except (ValueError, TypeError, KeyError, AttributeError) as wrong:
            return _json({"problem": str(wrong) or type(wrong).__name__}, 400)

    return endpoint


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


@control
def summary(box: SandboxState, request: Request, body: Any) -> Any:
    """Totals, the clock, the faults and the tokens in one answer."""
    return {
        **reports.totals(box.inbox),
        "clock": _clock(box),
        "faults": [fault.to_dict() for fault in box.faults.all()],
        "tokens": [_token(box, token) for token in box.tokens.all()],
    }


@control
def show_faults(box: SandboxState, request: Request, body: Any) -> Any:
    """The faults that are on."""
    return {"faults": [fault.to_dict() for fault in box.faults.all()]}


@control
def put_faults(box: SandboxState, request: Request, body: Any) -> Any:
    """Switch on the fault of the body; a list switches all others off first."""
    if isinstance(body, list):
        faults = [read_fault(one) for one in body]
        box.faults.remove()
    else:
        faults = [read_fault(body)]
    for fault in faults:
        box.faults.put(fault)
    return {"faults": [fault.to_dict() for fault in box.faults.all()]}


@control
def delete_faults(box: SandboxState, request: Request, body: Any) -> Any:
    """Switch off the faults of `?kind=`, or all."""
    return {"removed": box.faults.remove(request.query_params.get("kind"))}


@control
def show_tokens(box: SandboxState, request: Request, body: Any) -> Any:
    """The known tokens by fingerprint, never the tokens themselves."""
    return {"tokens": [_token(box, token) for token in box.tokens.all()]}


@control
def put_token(box: SandboxState, request: Request, body: Any) -> Any:
    """Add a token, or set when one ends: `{"token"|"fingerprint", "expires_at", "datasets"}`.

    `expires_at` is a time, "now", or null for never.
    """
    now, end = box.clock.now(), body.get("expires_at")
    token = box.tokens.put(
        _digest(box, body),
        now,
        expires_at=None if end is None else now if end == "now" else parse_utc(end),
        datasets=body.get("datasets"),
    )
    return _token(box, token)


@control
def delete_token(box: SandboxState, request: Request, body: Any) -> Any:
    """Revoke a token: `{"token" or "fingerprint"}`; it is then unknown."""
    box.tokens.remove(_digest(box, body))
    return {"tokens": [_token(box, token) for token in box.tokens.all()]}


@control
def show_clock(box: SandboxState, request: Request, body: Any) -> Any:
    """The sandbox's time."""
    return _clock(box)


@control
def put_clock(box: SandboxState, request: Request, body: Any) -> Any:
    """Set the clock: `{"at": ISO 8601 or null, "ticking": false}`; null follows real time again."""
    at = body["at"]
    box.clock.set(None if at is None else parse_utc(at), ticking=bool(body.get("ticking")))
    return _clock(box)


def _attribute(name: str, read: Callable[[Any], Any], default: Callable[[], Any]) -> list[Route]:
    """Routes that show, set (PUT) and reset (DELETE) one attribute of the sandbox's state."""

    def show(box: SandboxState, request: Request, body: Any) -> Any:
        return {name: getattr(box, name)}

    def put(box: SandboxState, request: Request, body: Any) -> Any:
        setattr(box, name, read(body))
        return show(box, request, body)

    def delete(box: SandboxState, request: Request, body: Any) -> Any:
        setattr(box, name, default())
        return show(box, request, body)

    handlers = {"GET": show, "PUT": put, "DELETE": delete}
    return [
        Route(f"/_sandbox/{name}", control(handler), methods=[method])
        for method, handler in handlers.items()
    ]


@control
def show_received(box: SandboxState, request: Request, body: Any) -> Any:
    """Counts and values per hour of event_time; `?hour=` and `?dataset=` filter."""
    query = request.query_params
    hours = reports.received(box.inbox, hour=query.get("hour"), dataset=query.get("dataset"))
    return {"hours": hours, "totals": reports.totals(box.inbox)}


@control
def delete_received(box: SandboxState, request: Request, body: Any) -> Any:
    """Delete everything received."""
    box.inbox.clear()
    return reports.totals(box.inbox)


@control
def show_events(box: SandboxState, request: Request, body: Any) -> Any:
    """Events, newest first, or in order from `?after=`; `?payloads=1` adds them as received."""
    query = request.query_params
    limit = min(int(query.get("limit", 100)), MAX_ROWS)
    rows = reports.events(
        box.inbox,
        limit=limit,
        before=_number(query.get("before")),
        after=_number(query.get("after")),
        verdict=query.get("verdict"),
        dataset=query.get("dataset"),
        event_id=query.get("event_id"),
        payloads=query.get("payloads") in ("1", "true"),
    )
    return {"events": rows, "next": rows[-1]["seq"] if len(rows) == limit else None}


@control
def show_requests(box: SandboxState, request: Request, body: Any) -> Any:
    """The newest calls of `/events`, newest first."""
    limit = min(int(request.query_params.get("limit", 100)), MAX_ROWS)
    return {"requests": reports.requests(box.inbox, limit)}


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _clock(box: SandboxState) -> dict[str, Any]:
    return {"now": box.clock.now(), "simulated": box.clock.simulated}


def _token(box: SandboxState, token: Token) -> dict[str, Any]:
    return {
        "fingerprint": token.fingerprint,
        "expires_at": token.expires_at,
        "valid": not token.expired(box.clock.now()),
        "datasets": None if token.datasets is None else sorted(token.datasets),
    }


def _digest(box: SandboxState, body: dict[str, Any]) -> str:
    if "token" in body:
        return digest_of(str(body["token"]))
    known = box.tokens.with_fingerprint(str(body["fingerprint"]))
    if known is None:
        raise ValueError("no token has this fingerprint")
    return known.digest


ROUTES = [
    Route("/_sandbox", summary),
    Route("/_sandbox/faults", show_faults),
    Route("/_sandbox/faults", put_faults, methods=["PUT"]),
    Route("/_sandbox/faults", delete_faults, methods=["DELETE"]),
    Route("/_sandbox/tokens", show_tokens),
    Route("/_sandbox/tokens", put_token, methods=["PUT"]),
    Route("/_sandbox/tokens", delete_token, methods=["DELETE"]),
    Route("/_sandbox/clock", show_clock),
    Route("/_sandbox/clock", put_clock, methods=["PUT"]),
    # The load in the usage headers (per cent, minutes; null: none), and how /stats counts.
    *_attribute("usage", lambda body: Usage(**body), lambda: None),
    *_attribute("counting", read_counting, Counting),
    Route("/_sandbox/received", show_received),
    Route("/_sandbox/received", delete_received, methods=["DELETE"]),
    Route("/_sandbox/events", show_events),
    Route("/_sandbox/requests", show_requests),
]
