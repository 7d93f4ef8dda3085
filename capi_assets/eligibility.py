"""Which orders should reach Meta, and the rows of `matched_events`.

Meta has no consent parameter (page "End-to-end implementation"): without consent, nothing is sent.
The latest stored status and consent decide, so that a withdrawal or cancellation after the order
stops any later delivery.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import conform
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.identity import person_of
from capi_assets.meta.events.build import build_events
from capi_assets.meta.limits import deliver_until

_ORDER = ("occurred_at", "order_id", "event_name", "dataset_id")

WITHHELD_TEXTS = {
    "test_order": "A test order of the shop.",
    "not_confirmed": "The order is not confirmed yet; it is sent once its status is confirmed.",
    "cancelled": "The order was cancelled.",
    "refunded": "The order was refunded.",
    "no_consent": "The person refused to share data with Meta.",
    "consent_not_recorded": "No consent is recorded, and CAPI_CONSENT_REQUIRED is set.",
}

_STATUS_REASONS = {
    "test": "test_order",
    "pending": "not_confirmed",
    "cancelled": "cancelled",
    "refunded": "refunded",
}


def withheld_reason(orders: pa.Table, consent_required: bool) -> pa.Array:
    """Why each order is withheld (a key of `WITHHELD_TEXTS`), null where it is not.

    Reads the columns `status` and `consent`. A refusal of consent comes before any status; a
    missing consent counts only if `consent_required` (CAPI_CONSENT_REQUIRED).
    """
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
    """The rows of `matched_events`, sorted, so that the same input gives the same bytes.

    The asset `matched_events` calls it with the result of `matching.match`. No event is built for a
    withheld order: its match keys stay in `orders`.

        matched_events_of(match(orders, visits, lookback, engine), consent_required=False)

    Raises:
        ContractError: the result breaks its contract, which is a bug.
    """
    withheld = withheld_reason(matched, consent_required)
    eligible = pc.is_null(withheld)
    built = build_events(matched.filter(eligible))
    # The row number of each eligible order in `built`; null for the withheld.
    places = pc.subtract(pc.cumulative_sum(eligible.cast(pa.int64())), 1)
    places = pc.if_else(eligible, places, pa.scalar(None, pa.int64()))
    columns = {name: matched.column(name) for name in matched.column_names}
    columns |= {name: pc.take(built.column(name), places) for name in built.column_names}
    seconds = pc.divide(matched.column("occurred_at").cast(pa.int64()), 1_000_000)
    columns |= {
        "event_time": seconds,
        "deliver_until": deliver_until(seconds, matched.column("action_source")),
        "verdict": pc.fill_null(columns["verdict"], "withheld"),
        "reason": pc.coalesce(withheld, columns["reason"]),
        "person": person_of(matched),
    }
    table = conform(pa.table(columns), MatchedEvents)
    return table.sort_by([(name, "ascending") for name in _ORDER])
