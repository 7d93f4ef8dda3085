"""A request that ends: the socket is cut once a request has taken its whole time.

`requests` times each wait for bytes, so a server that drips one byte at a time holds a request for
ever. Here the clock runs over the request as a whole; what its end means is client.py's business.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_here = threading.local()


class _Watch:
    """One request under the clock: the socket it waits on, once there is one."""

    def __init__(self) -> None:
        self.waits_on: socket.socket | None = None

    def cut(self) -> None:
        """Ends the wait of the thread that reads; it sees the connection closed."""
        if self.waits_on is not None:
            with contextlib.suppress(OSError):
                # The plain socket's shutdown: that of a TLS socket would pull the session away
                # from under the reading thread.
                socket.socket.shutdown(self.waits_on, socket.SHUT_RDWR)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Requests that this thread makes inside are cut off after `seconds`, headers and body."""
    watch = _here.watch = _Watch()
    timer = threading.Timer(seconds, watch.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _here.watch = None


def _watched(connection: Any) -> None:
    watch = getattr(_here, "watch", None)
    if watch is not None:
        watch.waits_on = connection.sock


class _PlainConnection(HTTPConnection):
    def getresponse(self) -> Any:
        _watched(self)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    def getresponse(self) -> Any:
        _watched(self)
        return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class DeadlineAdapter(HTTPAdapter):
    """A transport whose requests obey `within`; it never retries by itself."""

    def __init__(self, connections: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self._watch_all(cast(urllib3.PoolManager, self.poolmanager))

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        self._watch_all(manager)
        return manager

    def _watch_all(self, manager: urllib3.PoolManager) -> None:
        manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}
