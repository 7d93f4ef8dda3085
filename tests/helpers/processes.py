"""Processes that tests start, wait for, and stop."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests


@contextmanager
def running(
    command: list[Any],
    ready: Callable[[], bool],
    *,
    seconds: float = 180,
    stop: signal.Signals = signal.SIGTERM,
    patience: float = 20,
    log: Path | None = None,
    **options: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the `with` block, once `ready` within `seconds`; then stopped by `stop`, and
    killed if it has not ended after `patience` seconds. What it prints goes to `log`."""
    if log is not None:
        options |= {"stdout": log.open("wb"), "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, **options)
    try:
        deadline = time.monotonic() + seconds
        while not _is(ready):
            said = log.read_text()[-3000:] if log else command
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.3)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if log is not None:
            options["stdout"].close()


def _is(ready: Callable[[], bool]) -> bool:
    try:
        return ready()
    except requests.RequestException:
        return False
