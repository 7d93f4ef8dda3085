"""The statements of claim, intent and outcome; each function runs in one transaction.

The conditions in these statements keep two runs from sending the same event. Transactions, errors
and retries are in ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Update, bindparam, case, func, insert, null, text, update

from capi_assets.contracts.base import UTC_MICROSECONDS
from capi_assets.delivery.identity import (
    IDENTITY,
    aligned,
    former_rows,
    identity_of,
    known_of,
    order_of,
    same_order,
    storable,
)
from capi_assets.delivery.ledger import attempt_ranges as attempt_ranges
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger.schema import (
    ATTEMPTS,
    DELIVERED,
    EVENTS,
    MAYBE_AT_META,
    PENDING,
    UNKNOWN,
)
from capi_assets.delivery.ledger.sets import as_json, numbers
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


# Built once: to build a statement takes as long as to run it over 200 events.
_IS_OWN = _E.claimed_by == bindparam("holder")
_OF_REFS = update(EVENTS).where(_E.ref.in_(numbers("refs")))
_CLAIM = _OF_REFS.values(claimed_by=bindparam("holder"), claimed_until=bindparam("until"))
# An expired claim is no claim, even if nobody took it over: the order may be claimed under another
# event_id since.
_IS_CLAIMED = _IS_OWN & (_E.claimed_until > bindparam("moment"))
_MARK = _OF_REFS.where(_IS_CLAIMED, _E.state != DELIVERED).values(
    state=UNKNOWN,
    reason=IN_FLIGHT,
    attempts=_E.attempts + 1,
    first_attempt_at=func.coalesce(_E.first_attempt_at, bindparam("moment")),
    last_attempt_at=bindparam("moment"),
    unknown_since=func.coalesce(_E.unknown_since, bindparam("moment")),
    unknown_attempt=func.coalesce(_E.unknown_attempt, bindparam("number")),
    claimed_until=bindparam("until"),
)
_WAIT_FOR_CLAIMS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('capi_assets claims ' || dataset, 0))"
    " FROM json_array_elements_text(CAST(:datasets AS JSON)) AS listed (dataset)"
)
_RELEASE = _OF_REFS.where(_IS_OWN).values(claimed_by=None, claimed_until=None)
_ANSWER: dict[str, Any] = {name: bindparam(f"new_{name}") for name in Outcome("unknown").answer()}
_FINISH = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.attempt == bindparam("number"))
    .values(finished_at=bindparam("moment"), outcome=bindparam("result"), **_ANSWER)
)


def register(connection: Connection, events: pa.Table) -> pa.Table:
    """The rows of these events, locked, inserted where they were missing, as `STATE`."""
    known = rows.find(connection, events, lock=True)
    new = rows.new_rows(events, known)
    return pa.concat_tables([known, rows.insert(connection, new)])


def claim(
    connection: Connection,
    events: pa.Table,
    holder: str,
    now: datetime,
    lease: timedelta,
    *,
    renew: bool,
) -> pa.Table:
    moment, until = pa.scalar(now, UTC_MICROSECONDS), pa.scalar(now + lease, UTC_MICROSECONDS)
    candidates = events.drop_columns([n for n in events.column_names if n == "payload"])
    candidates = candidates.filter(storable(events))
    known = rows.find(connection, candidates, lock=True)
    new = rows.new_rows(candidates, known)
    state = pa.concat_tables([known, new])
    elsewhere, former = _under_another_id(connection, candidates, state, moment)
    # Null is unclaimed.
    is_free = pc.fill_null(pc.less_equal(state["claimed_until"], moment), True)
    if renew:
        is_free = pc.or_(is_free, pc.fill_null(pc.equal(state["claimed_by"], holder), False))
    won = np.array(pc.and_(is_free, pc.not_equal(state["state"], DELIVERED)))
    won[elsewhere] = False
    taken = known["ref"].filter(pa.array(won[: known.num_rows]))
    if len(taken):
        until_micros = rows.micros(now + lease)
        given = {"refs": as_json(taken), "holder": holder, "until": until_micros}
        connection.execute(_CLAIM, given)
    is_taken = pa.array(won[known.num_rows :])
    inserted = rows.insert(
        connection,
        new,
        claimed_by=pc.if_else(is_taken, holder, pa.scalar(None, pa.string())),
        claimed_until=pc.if_else(is_taken, until, pa.scalar(None, UTC_MICROSECONDS)),
    )
    claimed = pa.concat_tables([known, inserted]).append_column("won", pa.array(won))
    if len(elsewhere):
        former = former.append_column("won", pa.repeat(False, former.num_rows))
        claimed = known_of(pa.concat_tables([claimed, former]), events)
    else:
        claimed = aligned(claimed, to=events)
    is_won = pc.fill_null(claimed["won"], False)
    return claimed.set_column(claimed.schema.get_field_index("won"), "won", is_won)


def _under_another_id(
    connection: Connection, events: pa.Table, state: pa.Table, moment: pa.Scalar
) -> tuple[list[int], pa.Table]:
    """The rows of `state` whose order may be at Meta, or is being sent, under another event_id, and
    the rows of those events that may be at Meta.

    Of two events of one order in this request the second waits for the first.
    """
    _wait_for_other_claims(connection, events)
    others = rows.find_orders(connection, events, but=state)
    is_claimed = pc.fill_null(pc.greater(others["claimed_until"], moment), False)
    busy = others.filter(pc.or_(_maybe_at_meta(others), is_claimed))
    orders = order_of(events)
    if not busy.num_rows and pc.count_distinct(orders).as_py() == events.num_rows:
        return [], busy
    former = former_rows(busy, events, pa.chunked_array([np.full(busy.num_rows, True)])).to_pylist()
    first = pc.index_in(orders, value_set=orders.combine_chunks())
    is_twin = pc.fill_null(same_order(events, events.take(first)), False).to_pylist()
    own = pc.index_in(identity_of(events), value_set=identity_of(state).combine_chunks())
    may_repeat = _maybe_at_meta(state).to_pylist()  # under its own event_id
    found = {}
    for row, other, twin, is_other in zip(
        own.to_pylist(), former, own.take(first).to_pylist(), is_twin, strict=True
    ):
        if may_repeat[row]:
            continue
        if other is not None:
            found[row] = state.num_rows + other
        elif is_other and twin != row:
            found[row] = twin
    sent = pa.concat_tables([state, busy]).take(pa.array(found.values(), pa.int64()))
    return [*found], sent.filter(_maybe_at_meta(sent))


def _wait_for_other_claims(connection: Connection, events: pa.Table) -> None:
    """Waits until no other transaction is about to claim events of these datasets.

    Two that claim one order under two event_ids would not see each other's row.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time
        datasets = sorted(pc.unique(events["dataset_id"]).to_pylist())
        connection.execute(_WAIT_FOR_CLAIMS, {"datasets": as_json(datasets)})


def _maybe_at_meta(state: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(state["state"], value_set=pa.array(MAYBE_AT_META))


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
    given = {"refs": as_json(refs), "holder": intent.holder, "number": attempt, "moment": moment}
    marked = connection.execute(_MARK, {**given, "until": rows.micros(now + intent.lease)})
    if marked.rowcount != len(refs):
        raise ClaimLostError
    rows.write_changes(connection, events, claimed)
    attempt_ranges.write(connection, attempt, refs)
    return attempt


def record(
    connection: Connection,
    attempt: int,
    outcome: Outcome,
    holder: str,
    now: datetime,
    keep_claim: bool,
) -> None:
    answer = {f"new_{name}": value for name, value in outcome.answer().items()}
    given = {"number": attempt, "moment": rows.micros(now), **answer}
    connection.execute(_FINISH, {**given, "result": outcome.state})
    refs = attempt_ranges.refs_of(connection, attempt)
    of_refs = {"refs": as_json(refs), "holder": holder}
    changed = connection.execute(_outcome(outcome.state, keep_claim), {**given, **of_refs})
    if changed.rowcount != len(refs) and not keep_claim:  # delivered before, or another's by now
        connection.execute(_RELEASE, of_refs)


@cache
def _outcome(state: str, keep_claim: bool) -> Update:
    """The statement that records an outcome for the events of an attempt."""
    values: dict[str, Any] = {**_state_after(state), **_ANSWER}
    if not keep_claim:
        values |= {
            column.name: case((_IS_OWN, null()), else_=column)
            for column in (_E.claimed_by, _E.claimed_until)
        }
    change = _OF_REFS.where(_E.state != DELIVERED).values(**values)
    return change if state == DELIVERED else change.where(_IS_OWN)


def _state_after(state: str) -> dict[str, Any]:
    match state:
        case "unknown":
            return {"state": UNKNOWN}
        case "refused":
            # Pending again only if no earlier attempt may have been accepted.
            is_first = _E.unknown_attempt == bindparam("number")
            return {
                "state": case((is_first, PENDING), else_=_E.state),
                "unknown_since": case((is_first, null()), else_=_E.unknown_since),
                "unknown_attempt": case((is_first, null()), else_=_E.unknown_attempt),
            }
    settled = {"state": state, "unknown_since": None, "unknown_attempt": None}
    return {**settled, "delivered_at": bindparam("moment")} if state == DELIVERED else settled


def restore(connection: Connection, lost: pa.Table, now: datetime) -> int:
    moment = rows.micros(now)
    stored = rows.as_integers(rows.find(connection, lost, lock=True)).to_pylist()
    known = {_identity(row): row for row in stored}
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
        is_free = row["claimed_by"] is None or row["claimed_until"] <= moment
        is_own = row["order_id"] == values["order_id"] or not row["attempts"]
        if is_own and row["state"] != DELIVERED and (is_free or values["state"] == DELIVERED):
            changed.append({f"new_{name}": value for name, value in values.items()})
            changed[-1]["this"] = row["ref"]
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
    connection: Connection,
    holder: str,
    refs: pa.Array | pa.ChunkedArray | None,
    why: Outcome | None,
) -> None:
    held, given = update(EVENTS).where(_IS_OWN), {"holder": holder}
    if refs is not None:
        held, given = _OF_REFS.where(_IS_OWN), {"refs": as_json(refs), "holder": holder}
    if why is not None:
        connection.execute(held.where(_E.state == PENDING).values(**why.answer()), given)
    connection.execute(held.values(claimed_by=None, claimed_until=None), given)


def defer(connection: Connection, events: pa.Table, why: Outcome, now: datetime) -> None:
    refs = register(connection, events)["ref"]
    unclaimed = _E.claimed_by.is_(None) | (_E.claimed_until <= rows.micros(now))
    connection.execute(
        _OF_REFS.where(_E.state == PENDING, unclaimed).values(**why.answer()),
        {"refs": as_json(refs)},
    )
