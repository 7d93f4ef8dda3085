"""The routes of Meta's Graph API: reads here, `/events` in events_edge.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from capi_assets.sandbox import insights, reports
from capi_assets.sandbox.apply_fault import graph_error, unknown_dataset
from capi_assets.sandbox.faults import Stage
from capi_assets.sandbox.field_selection import read_fields, select
from capi_assets.sandbox.http_requests import Call, read_call
from capi_assets.sandbox.responses import GraphError, error_response, graph_response, new_trace_id
from capi_assets.sandbox.state import SandboxState
from capi_assets.sandbox.tokens import Token, describe, reason, unknown_token
from capi_assets.sandbox.versions import CURRENT, responding_version

Read = Callable[[SandboxState, Request, datetime], Awaitable[dict[str, Any]]]


def state_of(request: Request) -> SandboxState:
    state: SandboxState = request.app.state.sandbox
    return state


def version_of(request: Request, now: datetime) -> str:
    """The version that responds; a call without one gets the newest.

    Raises:
        GraphError: 2500 for a version that never existed.
    """
    requested = request.path_params.get("version")
    if requested is None:
        return CURRENT
    version = responding_version(requested, now)
    if version is None:
        raise GraphError(f"Unknown path components: /{requested}", 2500)
    return version


def common_headers(state: SandboxState, version: str, trace: str, business: str) -> dict[str, str]:
    """The headers of every Graph response, with the usage headers while load is reported."""
    usage = {} if state.usage is None else state.usage.headers(business)
    return {"facebook-api-version": version, "x-fb-trace-id": trace, **usage}


def admit(
    state: SandboxState, call: Call, authorization: str | None, dataset: str, now: datetime
) -> Token:
    """The call's token, if it is valid and has access to the dataset.

    Raises:
        GraphError: it has not, or the dataset does not exist.
    """
    token = state.tokens.admit(call.token(authorization), call.proof, now)
    has_access = token.datasets is None or dataset in token.datasets
    if not has_access or state.dataset_name(dataset) is None:
        raise unknown_dataset(dataset)
    return token


def read_endpoint(read: Read) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that responds to a read with Meta's headers and error bodies."""

    @wraps(read)
    async def endpoint(request: Request) -> Response:
        state, trace = state_of(request), new_trace_id()
        now = state.clock.now()
        request.state.params = request.query_params
        business = request.path_params.get("dataset", "0")
        headers = common_headers(state, CURRENT, trace, business)
        try:
            headers = common_headers(state, version_of(request, now), trace, business)
            if request.method == "POST":
                request.state.params = await _form_of_read(request)
            body = await read(state, request, now)
        except GraphError as error:
            return error_response(error, trace, headers)
        return graph_response(body, headers)

    return endpoint


async def _form_of_read(request: Request) -> dict[str, Any]:
    """The parameters of a read sent as a form, as Meta's JavaScript and PHP SDKs send every read.

    Raises:
        GraphError: it is no read.
    """
    call = read_call(
        await request.body(), request.headers.get("content-type", ""), request.query_params
    )
    params = dict(call.params)
    if str(params.pop("method", "")).lower() != "get":
        code = 2500 if "dataset" in request.path_params else 100
        raise GraphError(f"Unknown path components: {request.url.path}; POST method=get", code)
    return params


def _raise_fault(state: SandboxState, dataset: str, now: datetime, stage: Stage) -> None:
    fault = state.faults.draw(stage, dataset, now)
    error = None if fault is None else graph_error(fault, dataset, now)
    if error is not None:
        raise error


def _check_access(
    state: SandboxState, request: Request, dataset: str, now: datetime, stage: Stage = "insights"
) -> None:
    _raise_fault(state, dataset, now, stage)
    call = Call(dict(request.state.params), None)
    admit(state, call, request.headers.get("authorization"), dataset, now)


@read_endpoint
async def node(state: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """The dataset's node: id, name, last_fired_time and a few constants of a healthy one."""
    dataset = request.path_params["dataset"]
    _check_access(state, request, dataset, now, "reads")
    last = reports.last_received(state.inbox, dataset)
    whole: dict[str, Any] = {
        "id": dataset,
        "name": state.dataset_name(dataset),
        "creation_time": insights.graph_time(state.started_at),
        "is_unavailable": False,
        "data_use_setting": "ADVERTISING_AND_ANALYTICS",
    }
    if last is not None:
        whole["last_fired_time"] = insights.graph_time(last)
    fields = request.state.params.get("fields", "name,last_fired_time")
    return {**select(whole, read_fields(fields)), "id": dataset}


@read_endpoint
async def stats(state: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """Hourly counts in the shape of the Pixel's /stats edge."""
    dataset = request.path_params["dataset"]
    _check_access(state, request, dataset, now)
    counts = insights.stats(state.inbox, dataset, request.state.params, now, state.counting)
    is_paged = state.faults.draw("pages", dataset, now) is not None
    return insights.page(counts, request) if is_paged else counts


@read_endpoint
async def dataset_quality(state: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """Match quality per event name in the shape of the Dataset Quality API."""
    dataset = request.state.params.get("dataset_id")
    if not dataset:
        raise GraphError("(#100) The parameter dataset_id is required", 100)
    _check_access(state, request, dataset, now)
    fields = read_fields(request.state.params.get("fields", "web"))
    return dict(select(insights.quality(state.inbox, dataset, now), fields))


@read_endpoint
async def debug_token(state: SandboxState, request: Request, now: datetime) -> dict[str, Any]:
    """Meta's data on `input_token`; the caller uses that token, another valid one, or the app's.

    Meta reads it from the query of a GET, or from the form of a POST with `method=get`, as its
    JavaScript and PHP SDKs send every read. Only the second is accepted here, to prove that
    no token of ours is sent in a URL, where proxies and logs would store it.
    """
    if "input_token" in request.query_params:
        raise GraphError("(#100) The sandbox accepts no input_token in a URL; POST it", 100)
    call = Call(request.state.params, None)
    if request.method != "POST":
        raise GraphError("Unsupported request: POST input_token with method=get", 100)
    _raise_fault(state, "", now, "debug_token")
    caller = call.token(request.headers.get("authorization"))
    inspected = call.params.get("input_token")
    if not isinstance(inspected, str) or not inspected:
        raise GraphError("(#100) The parameter input_token is required", 100)
    is_app = state.tokens.is_app_token(caller)
    if not is_app and not state.tokens.admit(caller, call.proof, now).may_inspect:
        message = "an app access token, or a user access token that is an owner or developer"
        raise GraphError(f"(#100) You must provide {message} of the app", 100)
    token = state.tokens.find(inspected, now)
    if token is None:
        return {"data": {"error": reason(unknown_token()), "is_valid": False, "scopes": []}}
    data = describe(token, now)
    fault = state.faults.draw("reads", "", now)
    refusal = None if fault is None else graph_error(fault, "", now)
    if refusal is not None and refusal.code == 190 and data["is_valid"]:
        data |= {"is_valid": False, "error": reason(refusal)}
    return {"data": data}


async def unknown_path(request: Request, wrong: Exception) -> Response:
    """Rejects any other path or method as the Graph API does."""
    state, trace = state_of(request), new_trace_id()
    status = getattr(wrong, "status_code", 404)
    error = GraphError(f"Unknown path components: {request.url.path}", 2500, status)
    return error_response(error, trace, common_headers(state, CURRENT, trace, "0"))
