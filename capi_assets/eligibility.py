"""Which orders ought to be at Meta: what is withheld on purpose, and why; and `matched_events`.

Meta has no consent field (page "End-to-end implementation"): without consent, nothing is sent.
An order is judged as it stands in the books now, so a withdrawal or cancellation after the order
stops any later delivery.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import conform
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.meta.events.build import build_events
from capi_assets.meta.limits import deliver_until

_ORDER = ("occurred_at", "order_id", "event_name", "dataset_id")

WITHHELD_WORDS = {
    "test_order": "A test order of the shop.",
    "not_confirmed": "The order is not confirmed yet; it is sent once its status says so.",
    "cancelled": "The order was cancelled.",
    "refunded": "The order was refunded.",
    "no_consent": "The person refused to share data with Meta.",
    "consent_not_recorded": "No consent is recorded, and CAPI_CONSENT_REQUIRED asks for one.",
}

_STATUS_REASONS = {
    "test": "test_order",
    "pending": "not_confirmed",
    "cancelled": "cancelled",
    "refunded": "refunded",
}


def withheld_reason(orders: pa.Table, consent_required: bool) -> pa.Array:
    """The reason to withhold each order (columns `status`, `consent`), null where there is none."""
    status = orders.column("status").combine_chunks()
    consent = orders.column("consent").combine_chunks()
    by_status = pc.take(
        pa.array(_STATUS_REASONS.values()),
        pc.index_in(status, pa.array(_STATUS_REASONS.keys())),
    )
    refused = pc.fill_null(pc.invert(consent), False)
    reason = pc.if_else(refused, "no_consent", by_status)
    if consent_required:
        unrecorded = pc.and_(pc.is_null(consent), pc.is_null(reason))
        reason = pc.if_else(unrecorded, "consent_not_recorded", reason)
    return reason


def matched_events_of(matched: pa.Table, consent_required: bool) -> pa.Table:
    """The `matched_events` of orders that were matched; rows sorted, so the same input gives the
    same bytes.

    `matched` is what `matching.match` returns. No event is built for an order that is withheld:
    its match keys go no further than `orders`.

    Raises:
        ContractError: the result breaks its contract, which is a fault of ours.
    """
    withheld = withheld_reason(matched, consent_required)
    eligible = pc.is_null(withheld)
    built = build_events(matched.filter(eligible))
    # Where each eligible row stands among the built ones; null for the withheld.
    places = pc.subtract(pc.cumulative_sum(eligible.cast(pa.int64())), 1)
    places = pc.if_else(eligible, places, pa.scalar(None, pa.int64()))
    made = {name: matched.column(name) for name in matched.column_names}
    made |= {name: pc.take(built.column(name), places) for name in built.column_names}
    seconds = pc.divide(matched.column("occurred_at").cast(pa.int64()), 1_000_000)
    made |= {
        "event_time": seconds,
        "deliver_until": deliver_until(seconds, matched.column("action_source")),
        "verdict": pc.fill_null(made["verdict"], "withheld"),
        "reason": pc.coalesce(withheld, made["reason"]),
    }
    table = conform(pa.table(made), MatchedEvents)
    return table.sort_by([(name, "ascending") for name in _ORDER])
