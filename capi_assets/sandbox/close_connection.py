"""Closes the TCP connection without an HTTP response, which ASGI has no message for."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

TRANSPORT = "sandbox_transport"


class DroppableConnectionProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's HTTP protocol, which also passes the connection's transport to the application."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvicorn copies app_state into every request's scope["state"].
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class CloseConnection(Response):
    """Closes the connection after sending `sent`; with `abruptly` it sends a TCP reset."""

    def __init__(self, *, abruptly: bool = False, sent: bytes = b"") -> None:
        super().__init__()
        self.abruptly = abruptly
        self.sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Closes the transport and waits until the server has noticed."""
        transport: asyncio.Transport | None = scope.get("state", {}).get(TRANSPORT)
        if transport is None:
            raise RuntimeError(
                "closing the connection needs the sandbox's own server (capi_assets.sandbox.run)"
            )
        if self.sent:
            transport.write(self.sent)
        if self.abruptly:
            transport.abort()
        else:
            transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass
