"""The sandbox as one Starlette application: Graph routes, controls, and the page."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from capi_assets.sandbox import controls, graph, page
from capi_assets.sandbox.events_edge import events
from capi_assets.sandbox.state import SandboxState


class VersionConvertor(StringConvertor):
    """A Graph version in a path: `v26.0`."""

    regex = r"v[0-9]+\.[0-9]+"


register_url_convertor("graph_version", VersionConvertor())

GRAPH: tuple[tuple[str, Any, list[str]], ...] = (
    ("/debug_token", graph.debug_token, ["GET", "POST"]),
    ("/dataset_quality", graph.dataset_quality, ["GET", "POST"]),
    ("/{dataset}/events", events, ["POST"]),
    ("/{dataset}/stats", graph.stats, ["GET", "POST"]),
    ("/{dataset}", graph.node, ["GET", "POST"]),
)


class OwnPagesOnly:
    """Refuses what a page of another site may send to the sandbox, with 403.

    A browser names the page in Origin, which must be the address that it calls. A name in Host must
    be localhost or one of `names`: a hostile page's own name may lead to this machine (DNS
    rebinding). Addresses of numbers cannot be rebound.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app = app
        self.names = {"localhost", *names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) else host
        if not (name.lower() in self.names or _is_ip_address(name)):
            problem = "this host name is not the sandbox's; start it with --allow-host"
        elif origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            problem = "pages of other sites may not call the sandbox"
        else:
            await self.app(scope, receive, send)
            return
        await JSONResponse({"problem": problem}, 403)(scope, receive, send)


def _is_ip_address(name: str) -> bool:
    with suppress(ValueError):
        return bool(ip_address(name.strip("[]")))
    return False


def create_app(state: SandboxState, hosts: Collection[str] = ()) -> Starlette:
    """The application, served by `run.py`; it also responds under the names `hosts`."""
    app = Starlette(
        middleware=[Middleware(OwnPagesOnly, names=hosts)],
        routes=[
            Route("/", page.show),
            Route("/login/", login, methods=["GET", "POST"]),
            *controls.ROUTES,
            # Without a version the newest responds.
            *(
                Route(version + path, endpoint, methods=methods)
                for path, endpoint, methods in GRAPH
                for version in ("/{version:graph_version}", "")
            ),
        ],
        exception_handlers={404: graph.unknown_path, 405: graph.unknown_path},
    )
    app.state.sandbox = state
    return app


async def login(request: Request) -> Response:
    """The target of the redirect fault: a page, as Facebook's login is."""
    return HTMLResponse("<!DOCTYPE html><title>Log in</title><h1>Log in to continue</h1>")
