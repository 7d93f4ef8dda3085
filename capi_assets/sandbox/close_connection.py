"""Closing the TCP connection without an HTTP answer, which ASGI itself has no word for."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

TRANSPORT = "sandbox_transport"


class DroppableConnectionProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """uvicorn's HTTP protocol, which also hands the connection's transport to the application."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvicorn copies app_state into every request's scope["state"].
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class CloseConnection(Response):
    """Ends the connection: first whatever `sent` holds, then no more; `abruptly` sends a reset."""

    def __init__(self, *, abruptly: bool = False, sent: bytes = b"") -> None:
        super().__init__()
        self.abruptly = abruptly
        self.sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the transport and wait until the server has noticed."""
        transport: asyncio.Transport | None = scope.get("state", {}).get(TRANSPORT)
        if transport is None:
            raise RuntimeError(
                "hanging up needs the sandbox's own server (capi_assets.sandbox.run)"
            )
        if self.sent:
            transport.write(self.sent)
        if self.abruptly:
            transport.abort()
        else:
            transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass
