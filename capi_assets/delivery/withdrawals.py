"""Notes in the ledger when consent or an order was withdrawn after an event was recorded there.

plan.py alone decides that a withheld event is not sent. The note answers later when a delivery run
first saw the withdrawal, also for events that were delivered before it.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.delivery.identity import aligned
from capi_assets.delivery.ledger.ledger import Ledger


def note_withdrawals(ledger: Ledger, events: pa.Table, known: pa.Table, now: datetime) -> int:
    """Notes which of the events in the ledger are withheld as of `now` (aware UTC).

    `events` are rows of `matched_events`, `known` is `ledger.state_of(events)`. A note keeps the
    time at which its reason was first seen, and is removed when the event is no longer withheld.
    Returns how many events are newly withheld, or for another reason than noted.

    Raises:
        LedgerError: the ledger cannot be written.
    """
    stored = aligned(known, to=events)
    own = pc.fill_null(pc.equal(stored["order_id"], events["order_id"]), False)
    withheld = pc.fill_null(pc.equal(events["verdict"], "withheld"), False)
    reason = pc.if_else(
        withheld, pc.coalesce(events["reason"], pa.scalar("withheld")), pa.scalar(None, pa.string())
    )
    noted = stored["withheld_reason"]
    is_new = pc.and_(withheld, pc.fill_null(pc.not_equal(noted, reason), True))
    is_over = pc.and_(pc.invert(withheld), pc.is_valid(noted))
    changed = pc.and_(own, pc.or_(is_new, is_over))
    notes = pa.table({"ref": stored["ref"], "reason": reason}).filter(changed)
    ledger.note_withheld(notes, now)
    return int(pc.count(notes["reason"]).as_py())
