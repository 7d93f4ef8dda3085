"""The `/_sandbox` routes: switch faults, tokens, clock and load while it runs; read the inbox.

Used by the page, by tests and by the demo; Meta has no such routes. Bodies are JSON; an invalid
one gets 400 and `{"problem": ...}`. Times are ISO 8601 with a zone.

    curl -X PUT localhost:8026/_sandbox/faults -d '{"kind": "throttled", "count": 3}'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from capi_assets.sandbox import reports
from capi_assets.sandbox.clock import parse_utc
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.graph import state_of
from capi_assets.sandbox.responses import Usage
from capi_assets.sandbox.settings import problem_of
from capi_assets.sandbox.simulated_stats import Counting
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.tokens import Token, digest_of

MAX_ROWS = 10_000
ROUTES: list[Route] = []

Control = Callable[[SandboxState, Mapping[str, str], Any], Any]


def control(method: str, path: str) -> Callable[[Control], Control]:
    """Adds a route around `work(box, query, body)`; an error of the input becomes a 400."""

    def register(work: Control) -> Control:
        async def endpoint(request: Request) -> Response:
            try:
                raw = await request.body()
                body = orjson.loads(raw) if raw else {}
                content, status = work(state_of(request), request.query_params, body), 200
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                content, status = {"problem": problem_of(error)}, 400
            return Response(orjson.dumps(content), status, media_type="application/json")

        ROUTES.append(Route("/_sandbox" + path, endpoint, methods=[method]))
        return work

    return register


@control("GET", "")
def summary(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Totals, the clock, the faults and the tokens in one answer."""
    shown = (show_clock, show_faults, show_tokens)
    clock, faults, tokens = (show(box, query, body) for show in shown)
    return {**reports.totals(box.inbox), "clock": clock, **faults, **tokens}


@control("GET", "/faults")
def show_faults(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """The faults that are on."""
    return {"faults": [fault.to_dict() for fault in box.faults.all()]}


@control("PUT", "/faults")
def put_faults(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Switch on the fault of the body; a list switches all others off first."""
    faults = [Fault(**one) for one in (body if isinstance(body, list) else [body])]
    if isinstance(body, list):
        box.faults.remove()
    for fault in faults:
        box.faults.put(fault)
    return show_faults(box, query, body)


@control("DELETE", "/faults")
def delete_faults(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Switch off the faults of `?kind=`, or all."""
    return {"removed": box.faults.remove(query.get("kind"))}


@control("GET", "/tokens")
def show_tokens(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """The known tokens by fingerprint, never the tokens themselves."""
    return {"tokens": [_token(box, token) for token in box.tokens.all()]}


@control("PUT", "/tokens")
def put_token(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Add a token, or set when one ends: `{"token"|"fingerprint", "expires_at", "datasets"}`.

    `expires_at` is a time, "now", or null for never.
    """
    now, end = box.clock.now(), body.get("expires_at")
    expires_at = None if end is None else now if end == "now" else parse_utc(end)
    digest = _digest(box, body)
    token = box.tokens.put(digest, now, expires_at=expires_at, datasets=body.get("datasets"))
    return _token(box, token)


@control("DELETE", "/tokens")
def delete_token(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Revoke a token: `{"token" or "fingerprint"}`; it is then unknown."""
    box.tokens.remove(_digest(box, body))
    return show_tokens(box, query, body)


@control("GET", "/clock")
def show_clock(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """The sandbox's time."""
    return {"now": box.clock.now(), "simulated": box.clock.simulated}


@control("PUT", "/clock")
def put_clock(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Set the clock: `{"at": ISO 8601 or null, "ticking": false}`; null follows real time again."""
    at = body["at"]
    box.clock.set(None if at is None else parse_utc(at), ticking=bool(body.get("ticking")))
    return show_clock(box, query, body)


def _attribute(name: str, setting: Callable[..., Any], default: Any) -> None:
    """Routes that show, set (PUT) and reset (DELETE) one attribute of the sandbox's state."""

    @control("GET", f"/{name}")
    def show(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
        return {name: getattr(box, name)}

    @control("PUT", f"/{name}")
    def put(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
        setattr(box, name, setting(**body))
        return show(box, query, body)

    @control("DELETE", f"/{name}")
    def reset(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
        setattr(box, name, default)
        return show(box, query, body)


# The load in the usage headers (per cent, minutes; null: none), and how /stats counts.
_attribute("usage", Usage, None)
_attribute("counting", Counting, Counting())


@control("GET", "/received")
def show_received(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Counts and values per hour of event_time; `?hour=` and `?dataset=` filter."""
    hours = reports.received(box.inbox, hour=query.get("hour"), dataset=query.get("dataset"))
    return {"hours": hours, "totals": reports.totals(box.inbox)}


@control("DELETE", "/received")
def delete_received(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Delete everything received."""
    box.inbox.clear()
    return reports.totals(box.inbox)


@control("GET", "/events")
def show_events(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """Events, newest first, or in order from `?after=`; `?payloads=1` adds them as received.

    `?before=`, `?verdict=`, `?dataset=`, `?event_id=` and `?limit=` narrow them.
    """
    limit = _limit(query)
    filters: dict[str, Any] = {
        name: int(query[name]) if name in ("before", "after") else query[name]
        for name in reports.FILTERS
        if name in query
    }
    payloads = query.get("payloads") in ("1", "true")
    rows = reports.events(box.inbox, limit=limit, payloads=payloads, **filters)
    return {"events": rows, "next": rows[-1]["seq"] if len(rows) == limit else None}


@control("GET", "/requests")
def show_requests(box: SandboxState, query: Mapping[str, str], body: Any) -> Any:
    """The newest calls of `/events`, newest first."""
    return {"requests": reports.requests(box.inbox, _limit(query))}


def _limit(query: Mapping[str, str]) -> int:
    return min(int(query.get("limit", 100)), MAX_ROWS)


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
    for token in box.tokens.all():
        if token.fingerprint == str(body["fingerprint"]):
            return token.digest
    raise ValueError("no token has this fingerprint")
