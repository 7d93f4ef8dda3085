"""`capi-assets ledger copy`: moves the ledger to another database, before Dagster starts on it."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from capi_assets.delivery.ledger.ledger import Ledger, LedgerError
from capi_assets.policies import open_ledger
from capi_assets.settings import Settings


def copy_ledger(source: str, settings: Settings, now: datetime) -> dict[str, int]:
    """Copies the ledger `source` into the configured one; returns the rows per table.

    `source` is a SQLite file or the name of an environment variable with a URL: an address with a
    password does not belong on a command line, which other users can read.

    Raises:
        LedgerError: see `Ledger.copy_into`; or there is no such source.
    """
    if "://" in source:
        raise LedgerError(
            "An address may hold a password, and other users can read command lines: put it into an"
            " environment variable and give its name."
        )
    if Path(source).is_file():
        url = f"sqlite:///{source}"
    elif source in os.environ:
        url = os.environ[source]
    else:
        raise LedgerError(f"{source} is neither a file nor an environment variable.")
    with Ledger(url) as old, open_ledger(settings) as new:
        return old.copy_into(new, now)
