"""Which exceptions a person can mend, and as what text the command line shows them.

Everything else is a defect of ours and keeps its stack trace.
"""

from __future__ import annotations

import errno
from pathlib import Path


def problem_text(error: Exception) -> str | None:
    """A text with cause and remedy; None for a defect."""
    if isinstance(error, OSError):
        return _os_text(error)
    module = type(error).__module__
    # Our own exceptions name cause and remedy; classes such as KeyError are defects.
    if module.startswith("capi_assets."):
        return str(error.args[0]) if error.args else type(error).__name__
    if module.startswith(("sqlalchemy.", "sqlite3")):
        # SQLAlchemy's own text has the statement and its parameters.
        cause = str(getattr(error, "orig", error if module == "sqlite3" else type(error).__name__))
        return (
            f"A database cannot be used: {cause}. If it is Dagster's, check `storage` in"
            " dagster.yaml, and that this user may write its folder."
        )
    if type(error).__name__ == "IOException" and "duckdb" in module:
        return str(error).splitlines()[0]
    return None


def _os_text(error: OSError) -> str | None:
    if error.errno == errno.EADDRINUSE:
        return "The port is in use by another program; choose another."
    if error.filename is None or error.strerror is None:
        return None
    remedies = {
        errno.EACCES: "Give this user the permission, or choose another folder.",
        errno.EROFS: "Its file system is read-only: choose another folder.",
        errno.ENOSPC: "Make room on the disk.",
        errno.ENOTDIR: "A file is where a folder is needed: choose another folder.",
        errno.EISDIR: "A folder is where a file is needed: choose another name.",
        errno.EEXIST: "A file is where a folder is needed: choose another folder.",
    }
    remedy = remedies.get(error.errno or 0)
    return remedy and f"Cannot use {Path(str(error.filename))}: {error.strerror}. {remedy}"
