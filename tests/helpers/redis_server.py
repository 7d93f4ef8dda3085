"""A Redis of our own with a password, for tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.processes import running

PASSWORD = "redisPasswordOfATest"


def missing() -> str | None:
    """Why there can be no Redis here; None if there can."""
    return None if shutil.which("redis-server") else "Redis is not installed (apt: redis-server)"


@contextmanager
def redis_server(address: str, port: int, log: Path) -> Iterator[str]:
    """Starts it in memory; its URL. It is gone afterwards."""
    # On the command line every user would see the password.
    settings = f'bind {address}\nport {port}\nrequirepass {PASSWORD}\nsave ""\n'
    path = log.with_suffix(".conf")
    path.write_text(settings)
    ready = ["redis-cli", "-h", address, "-p", str(port), "ping"]

    def answers() -> bool:
        return subprocess.run(ready, capture_output=True, check=False).returncode == 0

    with running(["redis-server", path], answers, log=log, cwd=log.parent):
        yield f"redis://:{PASSWORD}@{address}:{port}/0"
