"""Of several daemons over one lake, one watches it: it alone alerts, and launches runs.

The ledger knows whose turn it is (`Ledger.take_watch`).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from hashlib import sha256

from capi_assets.delivery.ledger.ledger import LedgerError
from capi_assets.lake import Lake
from capi_assets.policies import open_ledger
from capi_assets.settings import Settings

LEASE = timedelta(minutes=3)
"""A daemon that looks every minute keeps its watch; after this long without a look, another takes
over."""


@contextmanager
def watching(
    settings: Settings, last_turn: str | None, now: datetime, log: logging.Logger
) -> Iterator[str | None]:
    """The word of this turn, to be remembered for the next; None while another daemon watches.

    A turn that ends with an exception is given back. Where the ledger cannot be read, everybody
    watches: an alert twice is better than none.
    """
    turn, name = uuid.uuid4().hex, _name(settings)
    try:
        with open_ledger(settings) as ledger:
            is_taken = ledger.take_watch(name, last_turn, turn, now, LEASE)
    except LedgerError as error:
        log.warning("%s Until then, every daemon alerts.", error)
        yield turn
        return
    try:
        yield turn if is_taken else None
    except BaseException:
        if is_taken:
            with open_ledger(settings) as ledger:
                ledger.give_back_watch(name, turn)
        raise


def _name(settings: Settings) -> str:
    """Of the lake, as every daemon that reaches it names it."""
    return f"coverage {sha256(Lake(settings.lake).address.encode()).hexdigest()[:32]}"
