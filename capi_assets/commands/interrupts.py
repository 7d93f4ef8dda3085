"""Ctrl-C, noticed whoever handles it: Dagster records it as the run's failure, DuckDB as the
query's error, and both go on.

    with interrupts() as is_interrupted:
        ...
        if is_interrupted():
            raise KeyboardInterrupt
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Notices SIGINT and SIGTERM in the block; in another thread than the main one, nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    with closing(reader), closing(writer):
        reader.setblocking(False)
        writer.setblocking(False)
        # Python writes the number of each signal here, whatever handler is installed.
        former = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        seen: set[int] = set()

        def is_interrupted() -> bool:
            with suppress(BlockingIOError):
                seen.update(reader.recv(4096))
            return bool(seen & {signal.SIGINT, signal.SIGTERM})

        try:
            yield is_interrupted
        finally:
            signal.set_wakeup_fd(former)
