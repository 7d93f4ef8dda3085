"""What to do with each event now: one action and its reason, from the event, what the ledger
knows of it, and the clock.

Pure and vectorised; the dry run, the backfill planner, the sender and the fold into results all
ask this one function. How it is sent is sender.py's business.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.delivery import reasons
from capi_assets.delivery.identity import aligned, repeats, storable
from capi_assets.delivery.ledger.schema import (
    DELIVERED,
    EXPIRED,
    PENDING,
    REJECTED,
    UNKNOWN,
    WRITTEN_OFF,
)
from capi_assets.delivery.policy import Policy
from capi_assets.meta.limits import FUTURE_TOLERANCE

ACTIONS = (
    "send",
    "already_delivered",
    "withheld",
    "invalid",
    "covered_by_pixel",
    "hold_unknown",
    "rejected",
    "expired",
    "future_dated",
    "claimed_elsewhere",
)

PLAN = pa.schema(
    [
        ("dataset_id", pa.string()),
        ("event_name", pa.string()),
        ("event_id", pa.string()),
        ("order_id", pa.string()),
        ("occurred_at", UTC_MICROSECONDS),
        ("value", pa.float64()),
        ("currency", pa.string()),
        ("deliver_until", UTC_MICROSECONDS),
        ("action", pa.string()),
        ("reason", pa.string()),
    ]
)


def plan(
    events: pa.Table,
    ledger: pa.Table,
    now: datetime,
    policy: Policy,
    *,
    holder: str | None = None,
) -> pa.Table:
    """One row per row of `events` (columns of `matched_events`, payload aside), as `PLAN`.

    `ledger` is `Ledger.state_of(events)`; rows of other events in it do no harm. `holder` names
    the caller's own claims, which are no obstacle to it.

    The first action that applies wins, in the order of `ACTIONS` save `send`, which is what is
    left. Reasons of `send`: null for a first attempt, else what the last attempt ended with, or
    `corrected` where a rejected payload has changed since.
    """
    known = aligned(ledger, to=events)
    verdict = _Verdict(events, known, now, policy, holder)
    choices = [
        (verdict.at_meta, "already_delivered", verdict.if_changed),
        (verdict.withheld, "withheld", events["reason"]),
        (verdict.invalid, "invalid", events["reason"]),
        (verdict.unstorable, "invalid", _text(reasons.UNSTORABLE)),
        (verdict.duplicate, "invalid", _text(reasons.DUPLICATE)),
        (verdict.pixel_reported, "covered_by_pixel", _text(reasons.PIXEL_REPORTED)),
        (verdict.pixel_assumed, "covered_by_pixel", _text(reasons.PIXEL_ASSUMED)),
        (verdict.unknown_too_late, "hold_unknown", _text(reasons.HELD_TOO_LATE)),
        (verdict.unknown_too_old, "hold_unknown", _text(reasons.HELD)),
        (verdict.written_off, "rejected", _text(reasons.WRITTEN_OFF)),
        (verdict.refused_for_good, "rejected", known["reason"]),
        (verdict.refused_as_expired, "expired", known["reason"]),
        (verdict.too_late, "expired", _text(reasons.TOO_LATE)),
        (verdict.in_future, "future_dated", _text(reasons.FUTURE)),
        (verdict.claimed_elsewhere, "claimed_elsewhere", _text(reasons.CLAIMED_ELSEWHERE)),
    ]
    applies = pc.make_struct(
        *(when for when, _, _ in choices), field_names=[str(i) for i in range(len(choices))]
    )
    action = pc.case_when(applies, *(_text(name) for _, name, _ in choices), _text("send"))
    reason = pc.case_when(applies, *(why for _, _, why in choices), verdict.why_again)
    kept = events.select([n for n in PLAN.names if n not in ("action", "reason")])
    return kept.append_column("action", action).append_column("reason", reason).cast(PLAN)


def to_send(events: pa.Table, planned: pa.Table) -> pa.Table:
    """The events that `plan` sends now, and those another run is sending, which may fail."""
    actions = pa.array(["send", "claimed_elsewhere"])
    return events.filter(pc.is_in(planned["action"], value_set=actions))


class _Verdict:
    """The conditions of the plan, each a column of flags without nulls."""

    def __init__(
        self, events: pa.Table, known: pa.Table, now: datetime, policy: Policy, holder: str | None
    ) -> None:
        moment = pa.scalar(now, UTC_MICROSECONDS)
        window_start = pa.scalar(now - policy.dedup_window, UTC_MICROSECONDS)
        state = pc.fill_null(known["state"], PENDING)
        attempted = _sure(pc.greater(known["attempts"], 0))
        # Another order's event under this identity, once attempted, is the one Meta knows.
        foreign = pc.and_(attempted, _sure(pc.not_equal(known["order_id"], events["order_id"])))
        delivered = pc.equal(state, DELIVERED)
        unknown = pc.equal(state, UNKNOWN)
        same_bytes = _sure(pc.equal(known["payload_sha256"], events["payload_sha256"]))
        ready = pc.and_(
            _sure(pc.equal(events["verdict"], "ready")), pc.is_valid(events["payload_sha256"])
        )

        ours = pc.and_(delivered, pc.invert(foreign))
        self.at_meta = pc.and_(ours, pc.invert(repeats(events, among=ours)))
        self.if_changed = pc.if_else(
            pc.and_(ready, pc.invert(same_bytes)),
            _text(reasons.PAYLOAD_CHANGED),
            pa.scalar(None, pa.string()),
        )
        self.withheld = _sure(pc.equal(events["verdict"], "withheld"))
        self.invalid = pc.invert(pc.or_(ready, self.withheld))
        self.unstorable = pc.invert(_sure(storable(events)))
        self.duplicate = pc.or_(foreign, repeats(events, among=pc.and_(ready, pc.invert(foreign))))

        reported = events["pixel_reported_at"]
        self.pixel_reported = _sure(pc.less(reported, window_start))
        self.pixel_assumed = pc.and_(
            pc.fill_null(pc.less(events["occurred_at"], window_start), False),
            pc.and_(pc.is_null(reported), pa.scalar(policy.pixel_redundant)),
        )
        self.too_late = pc.fill_null(pc.less_equal(events["deliver_until"], moment), True)
        self.unknown_too_late = pc.and_(unknown, self.too_late)
        self.unknown_too_old = pc.and_(
            pc.and_(unknown, _sure(pc.less(known["unknown_since"], window_start))),
            pa.scalar(policy.unknown == "hold"),
        )
        # Whatever its payload is by now: it may be at Meta, where it would count once more.
        self.written_off = pc.equal(state, WRITTEN_OFF)
        self.refused_for_good = pc.and_(pc.equal(state, REJECTED), same_bytes)
        self.refused_as_expired = pc.and_(pc.equal(state, EXPIRED), same_bytes)
        latest = int((now + FUTURE_TOLERANCE).timestamp())
        self.in_future = _sure(pc.greater(events["event_time"], latest))
        live = _sure(pc.greater(known["claimed_until"], moment))
        self.claimed_elsewhere = (
            live
            if holder is None
            else pc.and_(live, _sure(pc.not_equal(known["claimed_by"], holder)))
        )
        self.why_again = pc.if_else(
            pc.equal(state, REJECTED), _text(reasons.CORRECTED), known["reason"]
        )


def _sure(flags: pa.ChunkedArray) -> pa.ChunkedArray:
    """Flags with null, which is "cannot be said", taken as no."""
    return pc.fill_null(flags, False)


def _text(word: str) -> pa.Scalar:
    return pa.scalar(word, pa.string())
