"""The routes that answer like Meta's Graph API: reads here, `/events` in `events_edge`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from capi_assets.sandbox import insights, reports
from capi_assets.sandbox.answers import Answer, GraphError, new_trace_id
from capi_assets.sandbox.apply_fault import graph_error, out_of_reach
from capi_assets.sandbox.field_selection import read_fields, select
from capi_assets.sandbox.http_requests import Call, read_call
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.tokens import Token, describe
from capi_assets.sandbox.versions import CURRENT, answering_version

Read = Callable[[SandboxState, Request, datetime], dict[str, Any]]


def box_of(request: Request) -> SandboxState:
    """The box behind this request."""
    box: SandboxState = request.app.state.box
    return box


def call_of(request: Request) -> Call:
    """A read as a call: its query, no body."""
    return Call(dict(request.query_params), None)


def version_of(request: Request, now: datetime) -> str:
    """The version that answers; a call without one gets the newest. GraphError 2500 if unknown."""
    asked = request.path_params.get("version")
    if asked is None:
        return CURRENT
    answering = answering_version(asked, now)
    if answering is None:
        raise GraphError(f"Unknown path components: /{asked}", 2500)
    return answering


def common_headers(box: SandboxState, version: str, trace: str, business: str) -> dict[str, str]:
    """The headers every Graph answer carries, with the usage headers while load is reported."""
    usage = {} if box.usage is None else box.usage.headers(business)
    return {"facebook-api-version": version, "x-fb-trace-id": trace, **usage}


def admit(
    box: SandboxState, call: Call, authorization: str | None, dataset: str, now: datetime
) -> Token:
    """The call's valid token with access to the dataset, which exists; GraphError otherwise."""
    token = box.tokens.admit(call.token(authorization), call.proof, now)
    blind = token.datasets is not None and dataset not in token.datasets
    if blind or box.dataset_name(dataset) is None:
        raise out_of_reach(dataset)
    return token


def reading(read: Read) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers a read with Meta's headers and error bodies."""

    @wraps(read)
    async def endpoint(request: Request) -> Response:
        box, trace, version = box_of(request), new_trace_id(), CURRENT
        now = box.clock.now()
        try:
            version = version_of(request, now)
            answer = Answer(200, read(box, request, now))
        except GraphError as wrong:
            answer = Answer.refusing(wrong.error(), trace, wrong.status)
            answer.headers |= wrong.headers
        business = request.path_params.get("dataset", "0")
        return answer.response(common_headers(box, version, trace, business))

    return endpoint


def _admitted(
    box: SandboxState, request: Request, dataset: str, now: datetime, *, insights_too: bool = False
) -> None:
    draw = box.faults.on_insights if insights_too else box.faults.on_read
    fault = draw(dataset, now)
    error = None if fault is None else graph_error(fault, dataset, now)
    if error is not None:
        raise error
    admit(box, call_of(request), request.headers.get("authorization"), dataset, now)


@reading
def node(box: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """The dataset's node: id, name, last_fired_time and a few constants of a healthy one."""
    dataset = request.path_params["dataset"]
    _admitted(box, request, dataset, now)
    last = reports.last_received(box.inbox, dataset)
    whole: dict[str, Any] = {
        "id": dataset,
        "name": box.dataset_name(dataset),
        "creation_time": insights.graph_time(box.started_at),
        "is_unavailable": False,
        "data_use_setting": "ADVERTISING_AND_ANALYTICS",
    }
    if last is not None:
        whole["last_fired_time"] = insights.graph_time(last)
    asked = request.query_params.get("fields", "name,last_fired_time")
    return {**select(whole, read_fields(asked)), "id": dataset}


@reading
def stats(box: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """Hourly counts in the shape of the Pixel's /stats edge."""
    dataset = request.path_params["dataset"]
    _admitted(box, request, dataset, now, insights_too=True)
    return insights.stats(box.inbox, dataset, request.query_params, now, box.counting)


@reading
def dataset_quality(box: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """Match quality per event name in the shape of the Dataset Quality API."""
    dataset = request.query_params.get("dataset_id")
    if not dataset:
        raise GraphError("(#100) The parameter dataset_id is required", 100)
    _admitted(box, request, dataset, now, insights_too=True)
    fields = read_fields(request.query_params.get("fields", "web"))
    return dict(select(insights.quality(box.inbox, dataset, now), fields))


async def debug_token(request: Request) -> Response:
    """What Meta knows of `input_token`; asked with that token, another valid one, or the app's.

    Meta reads it from the query of a GET, or from the form of a POST with `method=get`, as its
    JavaScript and PHP SDKs send every read. Only the second is taken here: this box is to show
    that no token of ours travels in a URL, where proxies and logs keep it.
    """
    body = await request.body()

    def read(box: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
        if "input_token" in request.query_params:
            raise GraphError("(#100) The sandbox takes no input_token in a URL; POST it", 100)
        call = read_call(body, request.headers.get("content-type", ""), request.query_params)
        if request.method != "POST" or str(call.params.get("method", "")).lower() != "get":
            raise GraphError("Unsupported request: POST input_token with method=get", 100)
        return _token_facts(box, call, request.headers.get("authorization"), now)

    return await reading(read)(request)


def _token_facts(
    box: SandboxState, call: Call, authorization: str | None, now: datetime
) -> dict[str, Any]:
    asking = call.token(authorization)
    inspected = call.params.get("input_token")
    if not isinstance(inspected, str) or not inspected:
        raise GraphError("(#100) The parameter input_token is required", 100)
    if (
        not box.tokens.is_app_token(asking)
        and not box.tokens.admit(asking, call.proof, now).may_inspect
    ):
        raise GraphError(
            "(#100) You must provide an app access token, or a user access token that is an owner"
            " or developer of the app",
            100,
        )
    token = box.tokens.find(inspected, now)
    if token is None:
        error = {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"}
        return {"data": {"error": error, "is_valid": False, "scopes": []}}
    told = describe(token, now)
    fault = box.faults.on_read("", now)
    if fault is not None and told["is_valid"]:
        struck = graph_error(fault, "", now)
        if struck is not None and struck.code == 190:
            error = {"code": 190, "message": struck.message, "subcode": struck.subcode}
            told |= {"is_valid": False, "error": error}
    return {"data": told}


async def nowhere(request: Request, wrong: Exception) -> Response:
    """Any other path or method, refused as the Graph API does."""
    box, trace = box_of(request), new_trace_id()
    error = GraphError(f"Unknown path components: {request.url.path}", 2500).error()
    answer = Answer.refusing(error, trace, getattr(wrong, "status_code", 404))
    return answer.response(common_headers(box, CURRENT, trace, "0"))


def with_and_without_version(path: str, endpoint: Any, method: str) -> list[Route]:
    """A Graph route under its version, and without, where the newest answers."""
    return [
        Route("/{version:graph_version}" + path, endpoint, methods=[method]),
        Route(path, endpoint, methods=[method]),
    ]
