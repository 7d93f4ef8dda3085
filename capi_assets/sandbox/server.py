"""The sandbox as one Starlette application: Graph routes, controls, and the page."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

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


def create_app(state: SandboxState) -> Starlette:
    """The application, served by `run.py`."""
    app = Starlette(
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
