"""Decides what to do with each event now: one action and its reason.

`plan` reads the event, what the ledger knows of it, and the clock; it is pure and vectorised.
It runs three times for an event, by design: `hours_to_send.plan_hours` plans whole hours (as does
the dry run), sender.py plans a request again once its events are claimed, and `results.fold` plans
after the delivery, so that what an event waits for is what the next run would do.
"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.delivery import reasons
from capi_assets.delivery.identity import (
    first_rows,
    known_of,
    repeats,
    storable,
)
from capi_assets.delivery.ledger.schema import (
    DELIVERED,
    EXPIRED,
    MAYBE_AT_META,
    PENDING,
    REJECTED,
    UNKNOWN,
    WRITTEN_OFF,
)
from capi_assets.delivery.policy import Policy
from capi_assets.meta.limits import FUTURE_TOLERANCE
from capi_assets.order_identity import IDENTITY_CONFLICT, same_conversion

SENDABLE = ("send", "claimed_elsewhere")
"""Actions of events to send: now, or if the run that has claimed them fails."""

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
    other_hour: pa.ChunkedArray | None = None,
) -> pa.Table:
    """One row per row of `events`, in their order, as `PLAN`.

    `events` has the columns of `matched_events`, payload aside; `ledger` is
    `Ledger.state_of(events)`, in which rows of other events do no harm; `now` is aware UTC.
    `holder` names the caller's own claims, which do not make an event `claimed_elsewhere`.
    `other_hour` is the other hour in which an order stands, else null (`in_other_hours`); without
    it, those count that were delivered from another hour.

    The first action that applies wins, in the order of `choices` below; `send` is what remains.
    The reason of `send` is null for a first attempt, else the reason of the last attempt, or
    `corrected` where the payload has changed since Meta rejected it.

        planned = plan(events, ledger.state_of(events), datetime.now(UTC), Policy())
        planned["action"].to_pylist()  # ["send", "already_delivered", "expired"]
    """
    known = known_of(ledger, events)
    when = _Conditions(events, known, now, policy, holder, other_hour)
    choices = [
        (when.repeated, "repeated", _text(reasons.OTHER_HOUR)),
        (when.delivered, "already_delivered", when.reason_if_delivered),
        (when.withheld, "withheld", events["reason"]),
        (when.invalid, "invalid", events["reason"]),
        (when.unstorable, "invalid", _text(reasons.UNSTORABLE)),
        (when.conflict, "invalid", _text(IDENTITY_CONFLICT)),
        (when.duplicate, "invalid", _text(reasons.DUPLICATE)),
        (when.pixel_reported, "covered_by_pixel", _text(reasons.PIXEL_REPORTED)),
        (when.pixel_assumed, "covered_by_pixel", _text(reasons.PIXEL_ASSUMED)),
        (when.unknown_former, "hold_unknown", _text(reasons.HELD_FORMER_ID)),
        (when.unknown_too_late, "hold_unknown", _text(reasons.HELD_TOO_LATE)),
        (when.unknown_too_old, "hold_unknown", _text(reasons.HELD)),
        (when.written_off, "rejected", _text(reasons.WRITTEN_OFF)),
        (when.rejected_before, "rejected", known["reason"]),
        (when.expired_before, "expired", known["reason"]),
        (when.too_late, "expired", _text(reasons.TOO_LATE)),
        (when.in_future, "future_dated", _text(reasons.FUTURE)),
        (when.claimed_elsewhere, "claimed_elsewhere", _text(reasons.CLAIMED_ELSEWHERE)),
    ]
    applies = pc.make_struct(
        *(condition for condition, _, _ in choices),
        field_names=[str(i) for i in range(len(choices))],
    )
    action = pc.case_when(applies, *(_text(action) for _, action, _ in choices), _text("send"))
    reason = pc.case_when(applies, *(reason for _, _, reason in choices), when.reason_to_send)
    columns = [name for name in PLAN.names if name not in ("action", "reason")]
    return (
        events.select(columns)
        .append_column("action", action)
        .append_column("reason", reason)
        .cast(PLAN)
    )


def to_send(events: pa.Table, planned: pa.Table) -> pa.Table:
    """The events of which the plan's action is `SENDABLE`."""
    return events.filter(pc.is_in(planned["action"], value_set=pa.array(SENDABLE)))


class _Conditions:
    """The conditions of the plan, each a column of booleans without nulls."""

    def __init__(
        self,
        events: pa.Table,
        known: pa.Table,
        now: datetime,
        policy: Policy,
        holder: str | None,
        other_hour: pa.ChunkedArray | None,
    ) -> None:
        moment = pa.scalar(now, UTC_MICROSECONDS)
        window_start = pa.scalar(now - policy.dedup_window, UTC_MICROSECONDS)
        state = pc.fill_null(known["state"], PENDING)
        attempted = _is_true(pc.greater(known["attempts"], 0))
        # Another order's event under this identity, once attempted, is the one Meta knows.
        foreign = pc.and_(attempted, _is_true(pc.not_equal(known["order_id"], events["order_id"])))
        same_order = _is_true(pc.equal(known["order_id"], events["order_id"]))
        maybe_at_meta = pc.and_(same_order, pc.is_in(state, value_set=pa.array(MAYBE_AT_META)))
        is_same = same_conversion(events, known)
        conflict = pc.and_(maybe_at_meta, pc.invert(is_same))
        is_former = pc.and_(
            maybe_at_meta, _is_true(pc.not_equal(known["event_id"], events["event_id"]))
        )
        delivered = pc.equal(state, DELIVERED)
        unknown = pc.equal(state, UNKNOWN)
        same_bytes = _is_true(pc.equal(known["payload_sha256"], events["payload_sha256"]))
        ready = pc.and_(
            _is_true(pc.equal(events["verdict"], "ready")), pc.is_valid(events["payload_sha256"])
        )

        is_delivered = pc.and_(delivered, pc.and_(is_same, pc.invert(foreign)))
        if other_hour is None:
            hour = pc.floor_temporal(events["occurred_at"], unit="hour")
            is_elsewhere = _is_true(pc.not_equal(known["hour"], hour.cast(UTC_MICROSECONDS)))
            is_elsewhere = pc.and_(is_elsewhere, is_delivered)
        else:
            is_elsewhere = pc.is_valid(other_hour)
        is_delivered = pc.and_(is_delivered, pc.invert(is_elsewhere))
        is_repeated = repeats(events, among=is_delivered)
        self.delivered = pc.and_(is_delivered, pc.invert(is_repeated))
        self.reason_if_delivered = pc.if_else(
            is_former,
            _text(reasons.FORMER_ID),
            pc.if_else(
                pc.and_(ready, pc.invert(same_bytes)),
                _text(reasons.PAYLOAD_CHANGED),
                pa.scalar(None, pa.string()),
            ),
        )
        self.withheld = _is_true(pc.equal(events["verdict"], "withheld"))
        self.invalid = pc.invert(pc.or_(ready, self.withheld))
        self.unstorable = pc.invert(_is_true(storable(events)))

        reported = events["pixel_reported_at"]
        self.pixel_reported = _is_true(pc.less(reported, window_start))
        self.pixel_assumed = pc.and_(
            pc.fill_null(pc.less(events["occurred_at"], window_start), False),
            pc.and_(pc.is_null(reported), pa.scalar(policy.pixel_redundant)),
        )
        self.too_late = pc.fill_null(pc.less_equal(events["deliver_until"], moment), True)
        # Of the orders that share an identity that Meta does not know, the first is sent.
        free = pc.and_(ready, pc.invert(pc.or_(pc.or_(foreign, conflict), is_elsewhere)))
        free = pc.and_(free, pc.invert(pc.or_(self.too_late, is_delivered)))
        first = first_rows(events, among=free)
        later = repeats(events, among=free)
        is_twin, is_other = _compared(events, first, later)
        self.repeated = pc.or_(pc.or_(is_elsewhere, is_repeated), is_twin)
        self.conflict = pc.or_(conflict, is_other)
        self.duplicate = pc.or_(foreign, later)
        self.unknown_former = pc.and_(unknown, is_former)
        self.unknown_too_late = pc.and_(unknown, self.too_late)
        self.unknown_too_old = pc.and_(
            pc.and_(unknown, _is_true(pc.less(known["unknown_since"], window_start))),
            pa.scalar(policy.unknown == "hold"),
        )
        # Whatever its payload is by now: it may be at Meta, where it would count once more.
        self.written_off = pc.equal(state, WRITTEN_OFF)
        self.rejected_before = pc.and_(pc.equal(state, REJECTED), same_bytes)
        self.expired_before = pc.and_(pc.equal(state, EXPIRED), same_bytes)
        latest = int((now + FUTURE_TOLERANCE).timestamp())
        self.in_future = _is_true(pc.greater(events["event_time"], latest))
        live = _is_true(pc.greater(known["claimed_until"], moment))
        self.claimed_elsewhere = (
            live
            if holder is None
            else pc.and_(live, _is_true(pc.not_equal(known["claimed_by"], holder)))
        )
        self.reason_to_send = pc.if_else(
            pc.equal(state, REJECTED), _text(reasons.CORRECTED), known["reason"]
        )


def _compared(
    events: pa.Table, first: pa.Array, later: pa.ChunkedArray
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Which `later` rows have their `first` row's order id: the same conversion, another one."""
    if not pc.any(later).as_py():
        return later, later
    before = events.select(["order_id", "person", "event_time", "value", "currency"]).take(first)
    same_order = pc.and_(later, _is_true(pc.equal(before["order_id"], events["order_id"])))
    is_same = same_conversion(events, before)
    return pc.and_(same_order, is_same), pc.and_(same_order, pc.invert(is_same))


def _is_true(condition: pa.ChunkedArray) -> pa.ChunkedArray:
    """The condition with null, which is "not known", taken as False."""
    return pc.fill_null(condition, False)


def _text(value: str) -> pa.Scalar:
    return pa.scalar(value, pa.string())
