"""The statements of claim, intent and outcome; each function runs in one transaction.

The conditions in these statements keep two runs from sending the same event. Transactions, errors
and retries are in ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, bindparam, case, func, insert, null, select, update

from capi_assets.delivery.identity import (
    IDENTITY,
    aligned,
    former_rows,
    known_of,
    order_of,
    same_order,
    storable,
)
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger.schema import (
    ATTEMPT_EVENTS,
    ATTEMPTS,
    DELIVERED,
    EVENTS,
    MAYBE_AT_META,
    PENDING,
    UNKNOWN,
)
from capi_assets.delivery.outcome import Outcome
from capi_assets.delivery.reasons import IN_FLIGHT

_E = EVENTS.c


@dataclass(frozen=True, slots=True)
class Intent:
    """The request to send: its holder, run, `size` in bytes, and how long the claims last."""

    holder: str
    run_id: str
    size: int
    lease: timedelta


class ClaimLostError(Exception):
    """Rolls back the intent's transaction."""


def register(connection: Connection, events: pa.Table) -> list[Any]:
    """The rows of these events, locked, inserted where they were missing."""
    known = rows.find(connection, events, lock=True)
    missing = rows.new_rows(events, known)
    if not missing:
        return known
    connection.execute(insert(EVENTS), missing)
    return rows.find(connection, events, lock=True)


def claim(
    connection: Connection,
    events: pa.Table,
    holder: str,
    now: datetime,
    lease: timedelta,
    *,
    renew: bool,
) -> pa.Table:
    moment, until = rows.micros(now), rows.micros(now + lease)
    candidates = events.filter(storable(events))
    known = register(connection, candidates)
    elsewhere = _under_another_id(connection, candidates, known, moment)
    free = [
        row.state != DELIVERED
        and row.ref not in elsewhere
        and (
            row.claimed_by is None
            or row.claimed_until <= moment
            or (renew and row.claimed_by == holder)
        )
        for row in known
    ]
    won = [row.ref for row, is_free in zip(known, free, strict=True) if is_free]
    if won:
        connection.execute(
            update(EVENTS).where(_E.ref.in_(won)).values(claimed_by=holder, claimed_until=until)
        )
    claimed = rows.state(known).append_column("won", pa.array(free, pa.bool_()))
    if elsewhere:
        former = rows.state([row for row in elsewhere.values() if row.state in MAYBE_AT_META])
        former = former.append_column("won", pa.array([False] * former.num_rows, pa.bool_()))
        claimed = known_of(pa.concat_tables([claimed, former]), events)
    else:
        claimed = aligned(claimed, to=events)
    is_won = pc.fill_null(claimed["won"], False)
    return claimed.set_column(claimed.schema.get_field_index("won"), "won", is_won)


def _under_another_id(
    connection: Connection, events: pa.Table, known: list[Any], moment: int
) -> dict[int, Any]:
    """By ref the events whose order may be at Meta, or is being sent, under another event_id: the
    row of that event. Of two events of one order in this request the second waits for the first."""
    others = rows.find_orders(connection, events, {row.ref for row in known})
    busy = [r for r in others if r.state in MAYBE_AT_META or (r.claimed_until or 0) > moment]
    orders = order_of(events)
    if not busy and pc.count_distinct(orders).as_py() == events.num_rows:
        return {}
    state = rows.state(busy)
    former = former_rows(state, events, pa.chunked_array([np.full(len(busy), True)])).to_pylist()
    first = pc.index_in(orders, value_set=orders.combine_chunks())
    is_twin = pc.fill_null(same_order(events, events.take(first)), False).to_pylist()
    by_ref = {row.ref: row for row in known}
    refs = aligned(rows.state(known), to=events)["ref"].to_pylist()
    found = {}
    for ref, other, twin, is_other in zip(refs, former, first.to_pylist(), is_twin, strict=True):
        if by_ref[ref].state in MAYBE_AT_META:
            continue  # it may be repeated under its own event_id
        if other is not None:
            found[ref] = busy[other]
        elif is_other and refs[twin] != ref:
            found[ref] = by_ref[refs[twin]]
    return found


def mark_in_flight(
    connection: Connection, events: pa.Table, claimed: pa.Table, intent: Intent, now: datetime
) -> int:
    moment = rows.micros(now)
    refs = claimed["ref"].to_pylist()
    written = connection.execute(
        insert(ATTEMPTS).values(
            run_id=intent.run_id,
            dataset_id=events["dataset_id"][0].as_py(),
            started_at=moment,
            events=len(refs),
            bytes=intent.size,
        )
    )
    attempt = int(cast(Any, written.inserted_primary_key)[0])
    marked = connection.execute(
        update(EVENTS)
        .where(_E.ref.in_(refs), _E.claimed_by == intent.holder, _E.state != DELIVERED)
        .values(
            state=UNKNOWN,
            reason=IN_FLIGHT,
            attempts=_E.attempts + 1,
            first_attempt_at=func.coalesce(_E.first_attempt_at, moment),
            last_attempt_at=moment,
            unknown_since=func.coalesce(_E.unknown_since, moment),
            unknown_attempt=func.coalesce(_E.unknown_attempt, attempt),
            claimed_until=rows.micros(now + intent.lease),
        )
    )
    if marked.rowcount != len(refs):
        raise ClaimLostError
    rows.write_changes(connection, events, claimed)
    connection.execute(insert(ATTEMPT_EVENTS), [{"attempt": attempt, "ref": ref} for ref in refs])
    return attempt


def record(
    connection: Connection,
    attempt: int,
    outcome: Outcome,
    holder: str,
    now: datetime,
    keep_claim: bool,
) -> None:
    moment = rows.micros(now)
    connection.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.attempt == attempt)
        .values(finished_at=moment, outcome=outcome.state, **outcome.answer())
    )
    # As a list: a fresh PostgreSQL has no statistics yet and would scan all events for a subquery.
    refs = (
        connection.execute(select(ATTEMPT_EVENTS.c.ref).where(ATTEMPT_EVENTS.c.attempt == attempt))
        .scalars()
        .all()
    )
    change = update(EVENTS).where(_E.ref.in_(refs), _E.state != DELIVERED)
    if outcome.state != "delivered":
        change = change.where(_E.claimed_by == holder)
    connection.execute(change.values(**_state_after(outcome, attempt, moment), **outcome.answer()))
    if not keep_claim:
        connection.execute(
            update(EVENTS)
            .where(_E.ref.in_(refs), _E.claimed_by == holder)
            .values(claimed_by=None, claimed_until=None)
        )


def _state_after(outcome: Outcome, attempt: int, moment: int) -> dict[str, Any]:
    match outcome.state:
        case "unknown":
            return {"state": UNKNOWN}
        case "refused":
            # Pending again only if no earlier attempt may have been accepted.
            is_first = _E.unknown_attempt == attempt
            return {
                "state": case((is_first, PENDING), else_=_E.state),
                "unknown_since": case((is_first, null()), else_=_E.unknown_since),
                "unknown_attempt": case((is_first, null()), else_=_E.unknown_attempt),
            }
    settled = {"state": outcome.state, "unknown_since": None, "unknown_attempt": None}
    return {**settled, "delivered_at": moment} if outcome.state == "delivered" else settled


def restore(connection: Connection, lost: pa.Table, now: datetime) -> int:
    moment = rows.micros(now)
    known = {_identity(row._asdict()): row for row in rows.find(connection, lost, lock=True)}
    new, changed = [], []
    # An order that came again may be in the results of two hours: its delivery stands.
    values_of = {
        _identity(values): values
        for values in sorted(_values(lost), key=lambda values: values["state"] == DELIVERED)
    }
    for identity, values in sorted(values_of.items()):
        row = known.get(identity)
        if row is None:
            new.append(values)
            continue
        is_free = row.claimed_by is None or row.claimed_until <= moment
        is_own = row.order_id == values["order_id"] or not row.attempts
        if is_own and row.state != DELIVERED and (is_free or values["state"] == DELIVERED):
            changed.append({f"new_{name}": value for name, value in values.items()})
            changed[-1]["this"] = row.ref
    if new:
        connection.execute(insert(EVENTS), new)
    if changed:
        connection.execute(
            update(EVENTS)
            .where(_E.ref == bindparam("this"))
            .values({name: bindparam(f"new_{name}") for name in lost.column_names}),
            changed,
        )
    return len(new) + len(changed)


def _identity(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in IDENTITY)


def _values(lost: pa.Table) -> Iterable[dict[str, Any]]:
    """One row per identity, times as whole microseconds."""
    unique = {_identity(row): row for row in lost.to_pylist()}
    return [
        {n: rows.micros(v) if isinstance(v, datetime) else v for n, v in row.items()}
        for row in unique.values()
    ]


def release(
    connection: Connection, holder: str, refs: list[int] | None, why: Outcome | None
) -> None:
    for chunk in [None] if refs is None else rows.pieces(refs):
        held = update(EVENTS).where(_E.claimed_by == holder)
        held = held if chunk is None else held.where(_E.ref.in_(chunk))
        if why is not None:
            connection.execute(held.where(_E.state == PENDING).values(**why.answer()))
        connection.execute(held.values(claimed_by=None, claimed_until=None))


def defer(connection: Connection, events: pa.Table, why: Outcome, now: datetime) -> None:
    refs = [row.ref for row in register(connection, events)]
    unclaimed = _E.claimed_by.is_(None) | (_E.claimed_until <= rows.micros(now))
    connection.execute(
        update(EVENTS)
        .where(_E.ref.in_(refs), _E.state == PENDING, unclaimed)
        .values(**why.answer())
    )
