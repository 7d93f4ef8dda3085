"""The sandbox as one Starlette application: Graph routes, controls, and the page.

`run.py` serves it; tests may also mount it in a server of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from capi_assets.sandbox import controls, graph, page
from capi_assets.sandbox.clock import utc_now
from capi_assets.sandbox.events_edge import events
from capi_assets.sandbox.state import Datasets, SandboxState, Tokens


class VersionConvertor(Convertor[str]):
    """A Graph version in a path: `v26.0`."""

    regex = r"v[0-9]+\.[0-9]+"

    def convert(self, value: str) -> str:
        """The version as written."""
        return value

    def to_string(self, value: str) -> str:
        """The version as written."""
        return value


register_url_convertor("graph_version", VersionConvertor())


def create_app(
    clock: Callable[[], datetime] = utc_now,
    tokens: Tokens = None,
    datasets: Datasets = None,
    *,
    app_secret: str | None = None,
    state_path: str | Path | None = None,
    state: SandboxState | None = None,
) -> Starlette:
    """The application; arguments as for `SandboxState`, or its `state`.

    Faults that close the connection need the server of `capi_assets.sandbox.run`.
    """
    both = graph.with_and_without_version
    app = Starlette(
        routes=[
            Route("/", page.show),
            Route("/login/", login, methods=["GET", "POST"]),
            *controls.ROUTES,
            *both("/debug_token", graph.debug_token, "GET"),
            *both("/debug_token", graph.debug_token, "POST"),
            *both("/dataset_quality", graph.dataset_quality, "GET"),
            *both("/{dataset}/events", events, "POST"),
            *both("/{dataset}/stats", graph.stats, "GET"),
            *both("/{dataset}", graph.node, "GET"),
        ],
        exception_handlers={404: graph.unknown_path, 405: graph.unknown_path},
    )
    app.state.sandbox = state or SandboxState(
        clock, tokens, datasets, app_secret=app_secret, state_path=state_path
    )
    return app


async def login(request: Request) -> Response:
    """The target of the redirect fault: a page, as Facebook's login is."""
    return HTMLResponse("<!DOCTYPE html><title>Log in</title><h1>Log in to continue</h1>")
