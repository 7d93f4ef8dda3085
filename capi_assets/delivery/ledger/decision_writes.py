"""The statements of a person's decision and of a withdrawal; each function runs in one transaction
of ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

import pyarrow as pa
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from capi_assets.delivery import reasons
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger.decisions import Decision
from capi_assets.delivery.ledger.schema import (
    DECISION,
    DECISION_EVENTS,
    DECISIONS,
    EVENTS,
    PENDING,
    REJECTED,
    UNKNOWN,
    WITHDRAWALS,
    WRITTEN_OFF,
)

_E = EVENTS.c

_AFTER = {
    # As if never attempted: the 48 hours run anew from the next attempt.
    "resend": {"state": PENDING, "reason": reasons.RESEND_DECIDED},
    "write_off": {"state": WRITTEN_OFF, "reason": reasons.WRITTEN_OFF},
    "retry": {"state": PENDING, "reason": reasons.RESEND_DECIDED},
}
_NOTE = (
    update(EVENTS)
    .where(_E.ref == bindparam("this"))
    .values(withheld_at=bindparam("at"), withheld_reason=bindparam("why"))
)

_KNOWN = select(WITHDRAWALS)
_LATER = (
    update(WITHDRAWALS)
    .where(WITHDRAWALS.c.mark == bindparam("this"))
    .values(withdrawn_at=bindparam("at"))
)


def decide(connection: Connection, known: pa.Table, decision: Decision, now: datetime) -> list[int]:
    """Applies a decision to the events of `known` whose state is still the same.

    Events that were attempted, settled or claimed since are unchanged: the person did not know.
    Returns the refs of the others.
    """
    attempts = dict(zip(known["ref"].to_pylist(), known["attempts"].to_pylist(), strict=True))
    moment = rows.micros(now)
    before = REJECTED if decision.kind == "retry" else UNKNOWN
    decided = [
        row
        for row in _locked(connection, list(attempts))
        if row.state == before
        and row.attempts == attempts[row.ref]
        and (row.claimed_by is None or row.claimed_until <= moment)
    ]
    if not decided:
        return []
    written = connection.execute(
        insert(DECISIONS).values(
            decided_at=moment,
            kind=decision.kind,
            who=decision.who,
            why=decision.why,
            events=len(decided),
        )
    )
    number = int(cast(Any, written.inserted_primary_key)[0])
    connection.execute(
        insert(DECISION_EVENTS),
        [
            {
                "decision": number,
                "ref": row.ref,
                "unknown_since": row.unknown_since,
                "unknown_attempt": row.unknown_attempt,
            }
            for row in decided
        ],
    )
    refs = [row.ref for row in decided]
    for chunk in rows.pieces(refs):
        connection.execute(
            update(EVENTS)
            .where(_E.ref.in_(chunk))
            .values(
                **_AFTER[decision.kind],
                message=None,
                unknown_since=None,
                unknown_attempt=None,
                claimed_by=None,  # an expired claim; its late response must not undo the decision
                claimed_until=None,
            )
        )
    return refs


def decisions(connection: Connection, events: Iterator[pa.Table]) -> pa.Table:
    """The decisions about any of these events, as `DECISION`, the oldest first."""
    refs = [ref for part in events for ref in rows.find(connection, part)["ref"].to_pylist()]
    tables = [
        rows.fetch(
            connection,
            select(
                _E.event_name,
                _E.event_id,
                DECISION_EVENTS.c.unknown_since,
                DECISION_EVENTS.c.unknown_attempt,
                *DECISIONS.c,
            )
            .join(DECISION_EVENTS, DECISION_EVENTS.c.ref == _E.ref)
            .join(DECISIONS, DECISIONS.c.decision == DECISION_EVENTS.c.decision)
            .where(_E.ref.in_(chunk))
            .order_by(DECISIONS.c.decision, _E.ref),
            DECISION,
        )
        for chunk in rows.pieces(refs)
    ]
    return pa.concat_tables([DECISION.empty_table(), *tables])


def note_withheld(connection: Connection, notes: pa.Table, now: datetime) -> None:
    """Notes since when and why events (`ref`, `reason`) are withheld; a null reason removes it."""
    moment = rows.micros(now)
    connection.execute(
        _NOTE,
        [
            {"this": row["ref"], "why": row["reason"], "at": moment if row["reason"] else None}
            for row in notes.to_pylist()
        ],
    )


def add_withdrawals(connection: Connection, withdrawals: pa.Table, now: datetime) -> int:
    """Adds withdrawals (`mark`, `withdrawn_at`); a null time is `now`, of several the latest
    counts. Returns how many are new."""
    known: dict[str, int] = {row.mark: row.withdrawn_at for row in connection.execute(_KNOWN)}
    moment, latest = rows.micros(now), dict[str, int]()
    times = withdrawals["withdrawn_at"].cast(pa.int64()).to_pylist()
    for mark, at in zip(withdrawals["mark"].to_pylist(), times, strict=True):
        since = max(moment if at is None else at, latest.get(mark, 0))
        if mark not in known or (at is not None and since > known[mark]):
            latest[mark] = since
    is_new = [mark for mark in latest if mark not in known]
    for marks, statement in (
        (is_new, insert(WITHDRAWALS).values(mark=bindparam("this"), withdrawn_at=bindparam("at"))),
        (latest.keys() - is_new, _LATER),
    ):
        if marks:
            connection.execute(statement, [{"this": m, "at": latest[m]} for m in sorted(marks)])
    return len(is_new)


def _locked(connection: Connection, refs: list[int]) -> list[Row[Any]]:
    return [
        row
        for chunk in rows.pieces(sorted(refs))
        for row in connection.execute(
            select(EVENTS).where(_E.ref.in_(chunk)).order_by(_E.ref).with_for_update()
        ).all()
    ]
