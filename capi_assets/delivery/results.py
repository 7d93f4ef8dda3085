"""Folds plan and ledger into `delivery_results`: every matched event with its delivery status.

What an event waits for is what the next run would do, so plan and results cannot disagree.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.delivery import reasons
from capi_assets.delivery.identity import known_of
from capi_assets.delivery.ledger.schema import UNKNOWN
from capi_assets.delivery.plan import plan
from capi_assets.delivery.policy import Policy
from capi_assets.order_identity import IDENTITY_CONFLICT, same_conversion

DELIVERY_RESULTS = arrow_schema(DeliveryResults)

_STATUS_OF_ACTION = {
    "already_delivered": "delivered",
    "hold_unknown": "unknown",
    "claimed_elsewhere": "pending",
    "send": "pending",
}
"""Actions whose status has another name; `send` is `unknown` where an attempt may have counted."""

_FROM_LEDGER = (
    "first_attempt_at",
    "last_attempt_at",
    "delivered_at",
    "http_status",
    "code",
    "subcode",
    "fbtrace_id",
    "api_version",
)


def fold(
    events: pa.Table,
    ledger: pa.Table,
    now: datetime,
    policy: Policy,
    other_hour: pa.ChunkedArray | None = None,
) -> pa.Table:
    """One row per row of `events`, in their order, as the contract `DeliveryResults`.

    `events` has the columns of `matched_events`, payload aside; `ledger` is
    `Ledger.state_of(events)`, read after the delivery; `now` is aware UTC. `status` is the plan's
    action, renamed where an event is pending, delivered or unknown; `reason` says why.
    `payload_sha256` is the digest of what was last sent, or else of what is to be sent; the money
    of a delivered event is what was sent. `other_hour` is as for `plan`.

        results = fold(events, ledger.state_of(events), datetime.now(UTC), policy)
        results["status"].to_pylist()  # ["delivered", "pending", "withheld"]
    """
    planned = plan(events, ledger, now, policy, other_hour=other_hour)
    stored = known_of(ledger, events)
    action = planned["action"]
    known = _own(stored, events, action)
    is_delivered = pc.equal(action, "already_delivered")
    hour = pc.floor_temporal(events["occurred_at"], unit="hour").cast(UTC_MICROSECONDS)
    is_other = pc.or_(
        _differ(stored["hour"], hour), _differ(stored["order_id"], events["order_id"])
    )
    is_other = pc.or_(is_other, pc.equal(planned["reason"], IDENTITY_CONFLICT))
    sent_hour = _where(is_other, stored["hour"])
    if other_hour is not None:
        sent_hour = pc.coalesce(other_hour, sent_hour)
    is_pending = pc.equal(action, "send")
    is_unknown = pc.and_(is_pending, pc.fill_null(pc.equal(known["state"], UNKNOWN), False))
    status = pc.if_else(is_unknown, "unknown", _status(action))
    pending_reason = pc.coalesce(planned["reason"], pa.scalar(reasons.NOT_ATTEMPTED))
    columns = {
        **{name: planned[name] for name in planned.column_names},
        "status": status,
        "reason": pc.if_else(is_pending, pending_reason, planned["reason"]),
        "attempts": pc.fill_null(known["attempts"], 0),
        **{name: known[name] for name in _FROM_LEDGER},
        "value": pc.if_else(is_delivered, known["value"], planned["value"]),
        "currency": pc.if_else(is_delivered, known["currency"], planned["currency"]),
        "sent_event_id": _where(_differ(known["event_id"], events["event_id"]), known["event_id"]),
        "sent_hour": sent_hour,
        "payload_sha256": pc.coalesce(known["payload_sha256"], events["payload_sha256"]),
    }
    # Matching rejects some events under Meta's own subcode.
    columns["subcode"] = pc.coalesce(known["subcode"], events["subcode"])
    return pa.table([columns[name] for name in DELIVERY_RESULTS.names], DELIVERY_RESULTS)


def _status(action: pa.ChunkedArray) -> pa.ChunkedArray:
    names = pa.array(list(_STATUS_OF_ACTION))
    statuses = pa.array(list(_STATUS_OF_ACTION.values()))
    return pc.coalesce(statuses.take(pc.index_in(action, value_set=names)), action)


def _differ(known: pa.ChunkedArray, own: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.not_equal(known, own), False)


def _where(condition: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.fill_null(condition, False), values, pa.scalar(None, values.type))


def _own(known: pa.Table, events: pa.Table, action: pa.ChunkedArray) -> pa.Table:
    """An attempt for another order, or for this one's row of another hour, is not this row's."""
    own = pc.and_(
        pc.fill_null(pc.equal(known["order_id"], events["order_id"]), False),
        pc.and_(same_conversion(events, known), pc.not_equal(action, "repeated")),
    )
    rows = pa.array(np.arange(known.num_rows))
    return known.take(pc.if_else(own, rows, pa.scalar(None, rows.type)))
