"""Which orders stand in another hour, so that each is counted, and sent, in one.

Rows of one order, as it came again with its next status or in a later export, compete: where Meta
may have it comes first, then what can still be sent, then the newest state.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import UTC_MICROSECONDS, arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery.consent import withhold_withdrawn
from capi_assets.delivery.identity import ORDER, is_shared, known_of, order_of, same_order
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.schema import (
    DELIVERED,
    EXPIRED,
    PENDING,
    REJECTED,
    UNKNOWN,
    WRITTEN_OFF,
)
from capi_assets.hours import HOUR, hours_between
from capi_assets.lake import Lake
from capi_assets.order_identity import same_conversion

_TABLE = "matched_events"
_SCHEMA = arrow_schema(MatchedEvents)
_RESULTS = "delivery_results"
_RESULTS_SCHEMA = arrow_schema(DeliveryResults)
_UNUSED = {"payload", "action_source", "matched_by", "shared_keys", "match_keys", "without_browser"}
LIGHT = [name for name in _SCHEMA.names if name not in _UNUSED]
"""Columns of `matched_events` that planning and folding need."""

NEAR_HOURS = 48
"""An order comes again with its next status, or in the next export, within two days."""

_UNSENT = pa.array(["withheld", "invalid"])
_HOURS_AT_ONCE = 24  # order ids of a day at a time: 15 MB at 20,000 orders an hour


def in_other_hours(
    lake: Lake, ledger: Ledger, events: pa.Table, known: pa.Table, now: datetime
) -> pa.ChunkedArray:
    """The hour in which each order stands, null where it is the row's own; for `plan` and `fold`.

    `events` has the columns `LIGHT`; `known` is `Ledger.state_of(events)`. Hours that the ledger
    names are read; those within `NEAR_HOURS` only for events that are not to be sent, or that the
    ledger does not know from this hour.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    rows = pa.concat_tables([events.select(LIGHT), _elsewhere(lake, ledger, events, known, now)])
    competing = np.flatnonzero(is_shared(order_of(rows)))
    if not len(competing):
        return pa.chunked_array([pa.nulls(events.num_rows, UTC_MICROSECONDS)])
    rows = rows.take(pa.array(competing))
    places = _places(rows, known_of(ledger.state_of(rows), rows), now)
    own = np.flatnonzero(competing < events.num_rows)
    standing = np.full(events.num_rows, -1)
    standing[competing[own]] = places[own]
    return _hour(rows).take(pa.array(standing, mask=standing < 0))


def changed_orders(
    lake: Lake, hour: datetime, results: pa.Table
) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The orders (`order_of`) that `hour` counts no longer, and those that it counts newly.

    Called before `results` (columns of `delivery_results`) replace those of the hour.

    Raises:
        LakeError: stored results cannot be read.
    """
    stored = lake.read(_RESULTS, [hour], _RESULTS_SCHEMA, [*ORDER, "status"])
    before, after = order_of(_counted(stored)), order_of(_counted(results))
    return _without(before, after), _without(after, before)


def hours_to_count_again(lake: Lake, hour: datetime, left: pa.ChunkedArray) -> list[datetime]:
    """The hours whose stored results say that orders `left` count in `hour`, which has them no
    more.

    Raises:
        LakeError: stored results cannot be read.
    """
    if not len(left):
        return []
    columns = [*ORDER, "occurred_at", "status", "sent_hour"]
    rows = lake.read(_RESULTS, _around({hour}) - {hour}, _RESULTS_SCHEMA, columns)
    moved = pc.and_(
        pc.equal(rows["status"], "repeated"), pc.equal(rows["sent_hour"], pa.scalar(hour))
    )
    moved = pc.and_(moved, pc.is_in(order_of(rows), value_set=left.combine_chunks()))
    return sorted(pc.unique(_hour(rows.filter(moved))).to_pylist())


def hours_that_count_too(
    lake: Lake, hours: Sequence[datetime], orders: pa.ChunkedArray
) -> list[datetime]:
    """The hours within `NEAR_HOURS` of `hours` whose stored results count some of `orders` unsent.

    An order that was withheld there, as before it was confirmed, now stands in one of `hours`.

    Raises:
        LakeError: stored results cannot be read.
    """
    found: set[datetime] = set()
    near = sorted(_around(set(hours)) - set(hours)) if len(orders) else []
    wanted = orders.combine_chunks()
    for start in range(0, len(near), _HOURS_AT_ONCE):
        columns = [*ORDER, "occurred_at", "status"]
        rows = lake.read(_RESULTS, near[start : start + _HOURS_AT_ONCE], _RESULTS_SCHEMA, columns)
        rows = rows.filter(pc.is_in(rows["status"], value_set=_UNSENT))
        rows = rows.filter(pc.is_in(order_of(rows), value_set=wanted))
        found |= set(pc.unique(_hour(rows)).to_pylist())
    return sorted(found)


def _without(orders: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    return orders.filter(pc.invert(pc.is_in(orders, value_set=others.combine_chunks())))


def _counted(results: pa.Table) -> pa.Table:
    return results.filter(pc.not_equal(results["status"], "repeated"))


def _around(hours: set[datetime]) -> set[datetime]:
    span = NEAR_HOURS * HOUR
    return {near for hour in hours for near in hours_between(hour - span, hour + span + HOUR)}


def _elsewhere(
    lake: Lake, ledger: Ledger, events: pa.Table, known: pa.Table, now: datetime
) -> pa.Table:
    """The rows of these orders that are stored in other hours than those of `events`."""
    here = set(pc.unique(_hour(events)).to_pylist())
    hours = set(pc.unique(known["hour"]).to_pylist()) - here
    doubtful = _may_stand_elsewhere(events, known, now)
    ids = events["order_id"].filter(doubtful).combine_chunks()
    if len(ids):
        near = sorted(_around(here) - here - hours)
        for start in range(0, len(near), _HOURS_AT_ONCE):
            columns = ["order_id", "occurred_at"]
            stored = lake.read(_TABLE, near[start : start + _HOURS_AT_ONCE], _SCHEMA, columns)
            found = stored.filter(pc.is_in(stored["order_id"], value_set=ids))
            hours |= set(pc.unique(_hour(found)).to_pylist())
    rows = [_SCHEMA.empty_table().select(LIGHT)]
    orders = order_of(events).combine_chunks() if hours else None
    for hour in sorted(hours):
        stored = lake.read(_TABLE, [hour], _SCHEMA, LIGHT)
        rows.append(stored.filter(pc.is_in(order_of(stored), value_set=orders)))
    return withhold_withdrawn(pa.concat_tables(rows), ledger, lake, now)


def _may_stand_elsewhere(events: pa.Table, known: pa.Table, now: datetime) -> pa.ChunkedArray:
    """Which events no ledger row of this hour holds here, nor are they new and to be sent."""
    own = known_of(known, events)
    here = pc.fill_null(pc.equal(own["hour"], _hour(events)), False)
    here = pc.and_(here, same_conversion(events, own))
    sendable = _is_sendable(events, now)
    is_open = pc.is_in(own["state"], value_set=pa.array([PENDING, UNKNOWN]))
    is_held = pc.and_(sendable, pc.or_(pc.is_null(own["state"]), pc.and_(here, is_open)))
    is_sent = pc.and_(here, pc.is_in(own["state"], value_set=pa.array([DELIVERED, WRITTEN_OFF])))
    return pc.invert(pc.or_(is_held, is_sent))


def _is_sendable(events: pa.Table, now: datetime) -> pa.ChunkedArray:
    in_time = pc.fill_null(pc.greater(events["deliver_until"], now), False)
    return pc.and_(pc.fill_null(pc.equal(events["verdict"], "ready"), False), in_time)


def _places(rows: pa.Table, known: pa.Table, now: datetime) -> npt.NDArray[np.int64]:
    """For each row the row in which its order stands; -1 for the row itself."""
    times = rows["occurred_at"].cast(pa.int64()).to_numpy()
    rank = _rank(rows, known, now)
    # The first row of those that are, or will be, at Meta; of others the newest state.
    left = np.lexsort((np.where(rank < _IDLE, times, -times), rank))
    places = np.full(rows.num_rows, -1)
    while len(left):
        part = rows.take(pa.array(left))
        orders = order_of(part).combine_chunks()
        first = pc.index_in(orders, value_set=orders)
        is_first = first.to_numpy() == np.arange(len(left))
        is_same = same_order(part, part.take(first)).to_numpy() & ~is_first
        places[left[is_same]] = left[first.to_numpy()[is_same]]
        left = left[~is_same & ~is_first]
    return places


_SENT_FROM_HERE, _SENT, _RECORDED, _OPEN, _IDLE = range(5)


def _rank(rows: pa.Table, known: pa.Table, now: datetime) -> npt.NDArray[np.int64]:
    """How strong the claim of each row to its order is; the lowest wins."""
    own = pc.and_(
        same_conversion(rows, known),
        pc.fill_null(pc.equal(known["order_id"], rows["order_id"]), False),
    )
    state = pc.if_else(own, pc.fill_null(known["state"], ""), "")
    here = pc.fill_null(pc.equal(known["hour"], _hour(rows)), False)
    sendable = _is_sendable(rows, now)
    is_at_meta = pc.is_in(state, value_set=pa.array([DELIVERED, WRITTEN_OFF]))
    is_unknown = pc.equal(state, UNKNOWN)
    # A correction comes later than what was rejected, or has other bytes in the same hour.
    is_settled = pc.is_in(state, value_set=pa.array([REJECTED, EXPIRED]))
    same_bytes = pc.fill_null(pc.equal(known["payload_sha256"], rows["payload_sha256"]), False)
    later = pc.fill_null(pc.greater(known["hour"], _hour(rows)), False)
    is_settled = pc.and_(is_settled, pc.or_(same_bytes, later))
    ready = pc.fill_null(pc.equal(rows["verdict"], "ready"), False)
    conditions = [
        pc.and_(here, pc.or_(is_at_meta, pc.and_(is_unknown, ready))),
        pc.or_(is_at_meta, pc.and_(is_unknown, ready)),
        pc.and_(pc.and_(here, pc.equal(state, PENDING)), sendable),
        pc.and_(sendable, pc.invert(is_settled)),
    ]
    ranks = (_SENT_FROM_HERE, _SENT, _RECORDED, _OPEN)
    return np.select([c.to_numpy() for c in conditions], ranks, _IDLE)


def _hour(table: pa.Table) -> pa.ChunkedArray:
    return pc.floor_temporal(table["occurred_at"], unit="hour").cast(UTC_MICROSECONDS)
