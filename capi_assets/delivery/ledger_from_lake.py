"""Restores into the ledger what `delivery_results` in the lake knows of events and it does not.

A ledger that was lost or restored from an older backup would send events again that Meta has. The
lake is the second witness: its results are written after the ledger, so they are never ahead of a
ledger that lost nothing. `delivery_results` calls `restore_if_behind` before it plans, `doctor`
counts `lost_events`, and `capi-assets ledger rebuild` calls `restore`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.delivery import reasons
from capi_assets.delivery.identity import IDENTITY, aligned, storable
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.delivery.ledger.schema import (
    DELIVERED,
    EXPIRED,
    PENDING,
    REJECTED,
    STATE,
    UNKNOWN,
    WRITTEN_OFF,
)
from capi_assets.lake import BATCH_ROWS, Lake, in_batches
from capi_assets.order_identity import joined_key

_TABLE = "delivery_results"
_SCHEMA = arrow_schema(DeliveryResults)
_EVENT = (*IDENTITY, "order_id", "occurred_at")
_EVENTS = pa.schema([arrow_schema(MatchedEvents).field(name) for name in (*_EVENT, "person")])

_WITNESS_HOURS = 24  # the newest stored hours, of which the first with attempts is compared, too


def restore_if_behind(lake: Lake, ledger: Ledger, hours: Sequence[datetime], now: datetime) -> int:
    """Restores all stored hours if the ledger lacks attempts of `hours` or of the newest hour.

    The newest hour is compared because a backup lacks the latest events, and an order of the run
    may have been sent with another hour. Returns how many events were restored.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read or written.
    """
    stored = lake.hours(_TABLE)
    newest = (
        hour
        for hour in reversed(stored[-_WITNESS_HOURS:])
        if pc.max(lake.read(_TABLE, [hour], _SCHEMA, ["attempts"])["attempts"]).as_py()
    )
    compared = {*stored} & {*hours} | {*[*newest][:1]}
    is_behind = any(rows.num_rows for rows in lost_events(lake, ledger, sorted(compared)))
    return restore(lake, ledger, stored, now) if is_behind else 0


def restore(lake: Lake, ledger: Ledger, hours: Sequence[datetime], now: datetime) -> int:
    """Restores `hours`; returns how many events. Nothing is sent, and nothing known is removed.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read or written.
    """
    return sum(ledger.restore(rows, now) for rows in lost_events(lake, ledger, hours))


def lost_events(lake: Lake, ledger: Ledger, hours: Sequence[datetime]) -> Iterator[pa.Table]:
    """The events of `hours` of which the lake knows an attempt or a delivery and the ledger does
    not, as rows of the ledger (some columns of `schema.STATE`), in batches.

    Raises:
        LakeError: an hour cannot be read.
        LedgerError: the ledger cannot be read.
    """
    for batch, results in in_batches((hour, lake.read(_TABLE, [hour], _SCHEMA)) for hour in hours):
        attempted = results.filter(pc.and_(pc.greater(results["attempts"], 0), storable(results)))
        events = lake.read("matched_events", batch, _EVENTS)
        for start in range(0, attempted.num_rows, BATCH_ROWS):
            part = _as_sent(attempted.slice(start, BATCH_ROWS), events)
            known = aligned(ledger.state_of(part), to=part)
            has_more = pc.greater(part["attempts"], pc.fill_null(known["attempts"], 0))
            undelivered = pc.fill_null(pc.not_equal(known["state"], DELIVERED), True)
            is_ahead = pc.or_(has_more, pc.and_(pc.is_valid(part["delivered_at"]), undelivered))
            yield _ledger_rows(part.filter(pc.and_(is_ahead, undelivered)))


def _as_sent(results: pa.Table, events: pa.Table) -> pa.Table:
    """The results under the event_id that Meta has, with the person of the same order's event."""
    row = pc.index_in(
        joined_key(results, _EVENT), value_set=joined_key(events, _EVENT).combine_chunks()
    )
    event_id = pc.coalesce(results["sent_event_id"], results["event_id"])
    at = results.schema.get_field_index("event_id")
    results = results.set_column(at, "event_id", event_id)
    return results.append_column("person", events["person"].take(row))


def _ledger_rows(results: pa.Table) -> pa.Table:
    state = _states(results)
    is_unknown = pc.equal(state, UNKNOWN)
    moment = results["occurred_at"]
    columns = {
        **{name: results[name] for name in results.column_names if name in STATE.names},
        "hour": pc.coalesce(results["sent_hour"], pc.floor_temporal(moment, unit="hour")),
        "event_time": pc.divide(moment.cast(pa.int64()), 1_000_000),
        "state": state,
        # The lake has no time of the first unknown outcome; this one is never too late.
        "unknown_since": _where(is_unknown, results["first_attempt_at"]),
        # No attempt has this number, so that no later refusal makes the event pending.
        "unknown_attempt": _where(is_unknown, pa.scalar(0, pa.int64())),
    }
    return pa.table({name: column.cast(STATE.field(name).type) for name, column in columns.items()})


def _states(results: pa.Table) -> pa.ChunkedArray:
    """The ledger's state of each event; `unknown` where the lake does not say it."""
    status, reason = results["status"], pc.fill_null(results["reason"], "")
    choices = [
        (pc.is_valid(results["delivered_at"]), DELIVERED),
        (pc.equal(reason, reasons.WRITTEN_OFF), WRITTEN_OFF),
        (pc.equal(status, "rejected"), REJECTED),
        (pc.and_(pc.equal(status, "expired"), pc.not_equal(reason, reasons.TOO_LATE)), EXPIRED),
        (pc.equal(status, "expired"), PENDING),
        (
            # What another run had claimed may have been in flight.
            pc.and_(pc.equal(status, "pending"), pc.not_equal(reason, reasons.CLAIMED_ELSEWHERE)),
            PENDING,
        ),
    ]
    state = pa.chunked_array([pa.repeat(UNKNOWN, results.num_rows)])
    for applies, name in reversed(choices):
        state = pc.if_else(applies, name, state)
    return state


def _where(condition: pa.ChunkedArray, value: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray:
    return pc.if_else(condition, value, pa.scalar(None, value.type))
