"""Sums up a plan: what materializing hours would bring, before anything is sent.

Called by the dry run of `delivery_results` and by `capi-assets plan`.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.meta.limits import MAX_EVENTS_PER_REQUEST

OUTLOOKS = {
    "send": "recoverable",
    "claimed_elsewhere": "recoverable",
    "already_delivered": "already_delivered",
    "repeated": "already_delivered",
    "expired": "too_late",
    "withheld": "withheld",
    "invalid": "invalid",
    "rejected": "invalid",
    "hold_unknown": "held",
    "covered_by_pixel": "covered_by_pixel",
    "future_dated": "future_dated",
}
"""What a backfill would do with an event, by the action of its plan."""

OUTLOOK_NAMES = tuple(dict.fromkeys(OUTLOOKS.values()))


BACKFILL_PLAN = pa.schema(
    [
        ("hour", UTC_MICROSECONDS),
        ("outlook", pa.string()),
        ("currency", pa.string()),
        ("events", pa.int64()),
        ("value", pa.float64()),
        ("first_deadline", UTC_MICROSECONDS),
    ]
)


def backfill_plan(planned: pa.Table) -> pa.Table:
    """`BACKFILL_PLAN`: events and money per hour, outlook and currency, in that order.

    `planned` is what `plan.plan` returned. `hour` is the start of an hour in UTC; `first_deadline`
    is null where nothing is recoverable.
    """
    actions = pa.array(list(OUTLOOKS))
    outlooks = pa.array(list(OUTLOOKS.values()))
    outlook = outlooks.take(pc.index_in(planned["action"], value_set=actions))
    recoverable = pc.equal(outlook, "recoverable")
    rows = pa.table(
        {
            "hour": pc.floor_temporal(planned["occurred_at"], unit="hour").cast(UTC_MICROSECONDS),
            "outlook": outlook,
            "currency": planned["currency"],
            "value": pc.fill_null(planned["value"], 0.0),
            "deadline": pc.if_else(
                recoverable, planned["deliver_until"], pa.scalar(None, UTC_MICROSECONDS)
            ),
        }
    )
    sums = rows.group_by(["hour", "outlook", "currency"]).aggregate(
        [([], "count_all"), ("value", "sum"), ("deadline", "min")]
    )
    columns = ["hour", "outlook", "currency", "count_all", "value_sum", "deadline_min"]
    ordered = sums.select(columns).rename_columns(BACKFILL_PLAN.names)
    return ordered.cast(BACKFILL_PLAN).sort_by(
        [("hour", "ascending"), ("outlook", "ascending"), ("currency", "ascending")]
    )


def requests_needed(planned: pa.Table) -> int:
    """Requests needed to send everything recoverable: up to 1,000 events of one dataset each."""
    sends = planned.filter(pc.equal(planned["action"], "send"))
    counts = sends.group_by("dataset_id").aggregate([([], "count_all")])
    return sum(-(-n // MAX_EVENTS_PER_REQUEST) for n in counts["count_all"].to_pylist())


def duplicates_if_resent(planned: pa.Table) -> int:
    """Events that Meta may count twice if what is held back were sent anyway."""
    held = pc.is_in(planned["action"], pa.array(["hold_unknown", "covered_by_pixel"]))
    return int(pc.sum(held).as_py() or 0)
