"""Running the sandbox: inside a test or a demo (`SandboxServer`), or until stopped (`serve`).

uvicorn's access log stays off: SDKs send the token in the query string, and no log may hold it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from capi_assets.sandbox.clock import utc_now
from capi_assets.sandbox.close_connection import DroppableConnectionProtocol
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.inbox import Inbox
from capi_assets.sandbox.server import create_app
from capi_assets.sandbox.state import Datasets, SandboxState, Tokens
from capi_assets.sandbox.tokens import digest_of

log = logging.getLogger(__name__)

START_SECONDS = 10.0
STOP_SECONDS = 10.0


class SandboxServer:
    """A sandbox that listens while its `with` block runs; arguments as of `SandboxState`.

    On 127.0.0.1 and a free port unless told otherwise.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = utc_now,
        tokens: Tokens = None,
        datasets: Datasets = None,
        app_secret: str | None = None,
        state_path: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.box = SandboxState(
            clock, tokens, datasets, app_secret=app_secret, state_path=state_path
        )
        self._address = (host, port)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._url: str | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen; returns once calls are answered."""
        try:
            listener = listening(*self._address)
        except OSError:
            self.box.close()
            raise
        self._url = url_of(listener)
        self._server = _uvicorn(self.box)
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="sandbox", daemon=True
        )
        self._thread.start()
        patience = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            patience.wait(0.01)
        self.stop()
        raise RuntimeError("the sandbox did not start")

    def stop(self) -> None:
        """Stop listening, end what faults keep waiting, and close the state file."""
        self.box.closing.set()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS)
            self._server = self._thread = None
        self.box.close()

    @property
    def url(self) -> str:
        """The address to put where `https://graph.facebook.com` stands otherwise."""
        if self._url is None:
            raise RuntimeError("the sandbox is not started")
        return self._url

    @property
    def inbox(self) -> Inbox:
        """What it received."""
        return self.box.inbox

    def set_fault(self, kind: str, **settings: Any) -> Fault:
        """Switch a fault on; settings as of `Fault`."""
        return self.box.faults.put(Fault(kind, **settings))

    def clear_faults(self, kind: str | None = None) -> None:
        """Switch the faults of one kind off, or all."""
        self.box.faults.remove(kind)

    def set_clock(self, at: datetime | None, *, ticking: bool = False) -> None:
        """Let the sandbox believe it is `at`; None: the real time again."""
        self.box.clock.set(at, ticking=ticking)

    def expire_token(self, token: str, at: datetime | None = None) -> None:
        """End a token's life at `at`; by default it is over already."""
        now = self.box.clock.now()
        self.box.tokens.put(digest_of(token), now, expires_at=at or now - timedelta(seconds=1))

    def renew_token(self, token: str, until: datetime | None = None) -> None:
        """Let a token live until `until`; None: for ever."""
        self.box.tokens.put(digest_of(token), self.box.clock.now(), expires_at=until)


def serve(
    host: str = "127.0.0.1",
    port: int = 8026,
    *,
    clock: Callable[[], datetime] = utc_now,
    tokens: Tokens = None,
    datasets: Datasets = None,
    app_secret: str | None = None,
    state_path: str | Path | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Run until SIGINT or SIGTERM; arguments as of `SandboxState`. `on_ready` gets the address.

    OSError if the port is taken.
    """
    box = SandboxState(clock, tokens, datasets, app_secret=app_secret, state_path=state_path)
    try:
        listener = listening(host, port)
        url = url_of(listener)
        log.info("The Meta sandbox listens at %s", url)
        if on_ready is not None:
            # The socket listens already: a caller's first request waits until the server runs.
            on_ready(url)
        _uvicorn(box).run([listener])
    finally:
        box.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on this address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def url_of(listener: socket.socket) -> str:
    """The http address of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn's server, which ends the silences of faults as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, box: SandboxState) -> None:
        super().__init__(config)
        self._box = box

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._box.closing.set()
        await super().shutdown(sockets)


def _uvicorn(box: SandboxState) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(box=box),
        http=DroppableConnectionProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        # Meta keeps connections open longer than uvicorn's 5 s; clients pool them.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    return _Server(config, box)
