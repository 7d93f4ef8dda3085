"""Runs the sandbox: inside a test or a demo (`SandboxServer`), or until stopped (`serve`).

    with SandboxServer(tokens=["EAAtoken"], datasets=["1234567890"]) as server:
        server.set_fault("server_error", count=2)
        requests.post(f"{server.url}/v26.0/1234567890/events", ...)

uvicorn's access log is off: SDKs send the token in the query string, and no log may contain it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Collection
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, Self, Unpack

import uvicorn

from capi_assets.sandbox.close_connection import DroppableConnectionProtocol
from capi_assets.sandbox.faults import Fault
from capi_assets.sandbox.server import create_app
from capi_assets.sandbox.state import Options, SandboxState
from capi_assets.sandbox.tokens import digest_of

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0  # twice uvicorn's own time to close connections


class SandboxServer:
    """A sandbox that listens while its `with` block runs, by default on 127.0.0.1 and a free port.

    Arguments as in `Options`, and `hosts` as for `serve`. Its faults, clock and tokens can be
    changed while it runs; `inbox` is what it received, `url` (once started) stands for
    `https://graph.facebook.com`.

    Raises:
        OSError: on `start`, if the port is taken.
    """

    url: str

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        hosts: Collection[str] = (),
        **options: Unpack[Options],
    ) -> None:
        self.state = SandboxState(options)
        self.inbox = self.state.inbox
        self._address = (host, port)
        self._server = _uvicorn(self.state, hosts)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Starts to listen; a first request waits until uvicorn runs."""
        try:
            self._listener = listening(*self._address)
        except OSError:
            self.stop()
            raise
        self.url = url_of(self._listener)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name="sandbox", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops listening, ends responses that faults delay, and closes the state file."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        if self._listener is not None:
            self._listener.close()  # uvicorn does not, if it is stopped before it runs
        self.inbox.close()

    def set_fault(self, kind: str, **settings: Any) -> Fault:
        """Switches a fault on; settings as for `Fault`."""
        return self.state.faults.put(Fault(kind, **settings))

    def clear_faults(self, kind: str | None = None) -> None:
        self.state.faults.remove(kind)

    def set_clock(self, at: datetime | None, *, ticking: bool = False) -> None:
        """Sets the sandbox's clock to `at` (aware); None: the real time again."""
        self.state.clock.set(at, ticking=ticking)

    def expire_token(self, token: str, at: datetime | None = None) -> None:
        """Lets a token expire at `at`; by default it has expired already."""
        self.renew_token(token, at or self.state.clock.now() - timedelta(seconds=1))

    def renew_token(self, token: str, until: datetime | None = None) -> None:
        """Sets the time at which a token expires; None: never."""
        self.state.tokens.put(digest_of(token), self.state.clock.now(), expires_at=until)


def serve(
    host: str = "127.0.0.1",
    port: int = 8026,
    *,
    hosts: Collection[str] = (),
    on_ready: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> None:
    """Runs until SIGINT or SIGTERM; called by `capi-assets sandbox`.

    Arguments as in `Options`; `hosts` are names under which it is called besides localhost and
    numbers, such as that of a container; `on_ready` is called with the URL once it listens.

    Raises:
        OSError: the port is taken.
    """
    state = SandboxState(options)
    with closing(state.inbox):
        listener = listening(host, port)
        url = url_of(listener)
        log.info("The Meta sandbox listens at %s", url)
        if on_ready is not None:
            # The socket listens already: a first request waits until the server runs.
            on_ready(url)
        _uvicorn(state, hosts).run([listener])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens on this address; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _uvicorn(state: SandboxState, hosts: Collection[str]) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(state, hosts),
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
    server = uvicorn.Server(config)
    state.is_closing = lambda: server.should_exit
    return server
