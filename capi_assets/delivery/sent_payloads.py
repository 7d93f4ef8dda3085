"""Keeps the bytes of events that Meta may have accepted, when their hour is matched again.

Within the 48 hours in which Meta removes duplicates, such an event is repeated byte for byte. The
ledger stores digests only, so the stored `matched_events` has to keep the payload.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.delivery.identity import aligned, identity_of
from capi_assets.delivery.ledger.schema import UNKNOWN
from capi_assets.delivery.policy import Policy
from capi_assets.order_identity import same_conversion


def keep_sent_payloads(
    new: pa.Table, stored: pa.Table, state: pa.Table, now: datetime, policy: Policy
) -> pa.Table:
    """`new` with stored rows of the same orders, if they were sent with unknown outcome.

    Called by `matched_events` before an hour is replaced. `new` and `stored` have the columns of
    `matched_events`, of the same hours; `state` is `Ledger.state_of(stored)`; `now` is aware UTC.
    A better match waits for events that were never sent. An order that is withheld now stays so.

        events = keep_sent_payloads(events, stored, ledger.state_of(stored), now, policy)
    """
    known = aligned(state, to=stored)
    window_start = pa.scalar(now - policy.dedup_window, UTC_MICROSECONDS)
    was_sent = pc.and_(
        pc.equal(known["state"], UNKNOWN), pc.greater_equal(known["unknown_since"], window_start)
    )
    for name in ("order_id", "payload_sha256"):
        was_sent = pc.and_(was_sent, pc.equal(known[name], stored[name]))
    sent = stored.filter(was_sent)
    if not sent.num_rows:
        return new
    position = pc.index_in(_keys(new), value_set=_keys(sent).combine_chunks())
    is_kept = pc.and_(
        same_conversion(new, sent.take(position)), pc.not_equal(new["verdict"], "withheld")
    )
    own = pa.array(np.arange(new.num_rows, dtype=np.int64))
    rows = pc.if_else(is_kept, pc.add(position.cast(pa.int64()), new.num_rows), own)
    kept = pa.concat_tables([new, sent.cast(new.schema)]).take(rows)
    # Rows of a former version have no person, by whom consent is withdrawn.
    person = pc.coalesce(kept["person"], new["person"])
    place = kept.schema.get_field_index("person")
    return kept.set_column(place, kept.schema.field(place), person)


def _keys(events: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(identity_of(events), events["order_id"], "\x1f")
