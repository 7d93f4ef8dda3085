"""What every process of ours sets for itself: who may read its files, no core dumps, where DuckDB
spills, and when memory goes back to the system.

`capi_assets.cli` and the code location call `protect_process` first; processes that they start
inherit it. `engine.open_duckdb` uses `spill_folder`.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import resource
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

_PREFIX = "capi-assets-spill-"


def protect_process(umask: str) -> None:
    """Gives files and folders no permissions of `umask` (octal), disables core dumps, which would
    contain tokens and contact data, and removes what killed processes spilled."""
    os.umask(int(umask, 8))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    remove_abandoned()


@cache
def spill_folder() -> Path:
    """A folder for this process alone, for what DuckDB cannot hold in memory.

    It is in the system's temporary folder (`TMPDIR`), only this user may open it, and it is removed
    when the process ends. It is locked meanwhile, so that no other process removes it.
    """
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)  # until the process ends
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def release_memory() -> None:
    """Gives the system what Arrow's allocator keeps of freed tables.

    Stages call it where a batch ends: what they hold next is often DuckDB's or Python's, and would
    come on top. Of a usual hour it takes a millisecond.
    """
    import pyarrow as pa  # commands that read no data start without it

    pa.default_memory_pool().release_unused()


def remove_abandoned() -> None:
    """Removes the spill folders of processes that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another process may remove it at the same time; other users' folders cannot be opened.
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(handle).st_uid == os.getuid():
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
