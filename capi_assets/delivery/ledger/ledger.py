"""The ledger: who may send an event now (claim), that a request is about to leave (intent), and
what became of it (outcome), each one transaction.

An intent makes its events `unknown` at once, and only an outcome makes them anything else: a
process killed in between leaves the truth behind and needs no recovery. When to send is plan.py's
business; the tables are in ledger_schema.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import pyarrow as pa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from capi_assets.delivery.ledger import decision_writes as decisions
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger import writes as writes
from capi_assets.delivery.ledger.decisions import Decision
from capi_assets.delivery.ledger.engine import WRITES, LedgerError, migrate, open_engine
from capi_assets.delivery.ledger.schema import CHUNK, STATE
from capi_assets.delivery.ledger.writes import Intent
from capi_assets.delivery.outcome import Outcome

__all__ = ["Intent", "Ledger", "LedgerError"]

T = TypeVar("T")

_CONFLICT_TRIES = 5
_CONFLICTS = frozenset({"40001", "40P01"})  # SQL states: serialization failure, deadlock


class Ledger:
    """The delivery ledger at a SQLAlchemy URL; opening it brings its tables up to date.

    Event tables given to it have the columns of `matched_events`; those it returns are described
    by `ledger_schema.STATE`, `ATTEMPT` and `DECISION`. One thread uses a ledger at a time; any
    number of processes may, each with its own.

    Raises:
        LedgerError: here and in every method, when the database cannot be read or written.
    """

    def __init__(self, url: str, *, busy_timeout: timedelta = timedelta(seconds=30)) -> None:
        self.engine = open_engine(url, busy_timeout)
        self._writer = self.engine.execution_options(**{WRITES: True})
        self.name = self.engine.url.render_as_string(hide_password=True)
        with self._named("opened"):
            migrate(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back the connections; the ledger may be used again afterwards."""
        self.engine.dispose()

    def register(self, events: pa.Table) -> None:
        """Makes the events known, as pending; those known already stay as they are."""
        for chunk in rows.chunks(events, CHUNK):
            self._write(partial(writes.register, events=chunk))

    def claim(
        self, events: pa.Table, holder: str, now: datetime, lease: timedelta, *, renew: bool = False
    ) -> pa.Table:
        """Takes the events for `holder` until `now + lease`, registering new ones.

        Returns the state of every event given, in their order, with one more column `won`. Not
        won are delivered events and those that another holder claims, or this one (unless
        `renew`: claims it holds already are prolonged). A lapsed claim is anyone's.
        """
        return self._write(
            partial(writes.claim, events=events, holder=holder, now=now, lease=lease, renew=renew)
        )

    def mark_in_flight(
        self,
        events: pa.Table,
        claimed: pa.Table,
        intent: Intent,
        now: datetime,
    ) -> int | None:
        """Writes down that a request with these events is about to leave.

        `claimed` is their state in the same order, as `claim` returned it. Returns the attempt's
        number, or None, with nothing changed, if any claim was lost in the meantime.
        """
        try:
            return self._write(
                partial(
                    writes.mark_in_flight, events=events, claimed=claimed, intent=intent, now=now
                )
            )
        except writes.ClaimLostError:
            return None

    def record(
        self, attempt: int, outcome: Outcome, holder: str, now: datetime, *, keep_claim: bool
    ) -> None:
        """Writes what became of an attempt, for it and each event it carried.

        A delivery is booked whoever holds the claims by now; anything else only where `holder`
        still does. What is delivered stays delivered.
        """
        self._write(
            partial(
                writes.record,
                attempt=attempt,
                outcome=outcome,
                holder=holder,
                now=now,
                keep_claim=keep_claim,
            )
        )

    def release(
        self,
        holder: str,
        refs: pa.Array | pa.ChunkedArray | None = None,
        why: Outcome | None = None,
    ) -> None:
        """Gives back claims of `holder` (all, or those of `refs`), noting why on pending events."""
        numbers = None if refs is None else refs.to_pylist()
        self._write(partial(writes.release, holder=holder, refs=numbers, why=why))

    def defer(self, events: pa.Table, why: Outcome, now: datetime) -> None:
        """Notes on events that were not attempted why not; claimed and settled ones stay."""
        for chunk in rows.chunks(events, CHUNK):
            self._write(partial(writes.defer, events=chunk, why=why, now=now))

    def decide(self, known: pa.Table, decision: Decision, now: datetime) -> int:
        """Books what a person decided about events of unknown fate, all or none at a time.

        `known` is `state_of` them as the person saw it; events that were attempted, settled or
        claimed since stay as they are. Returns how many the decision changed.
        """
        return len(self._write(partial(decisions.decide, known=known, decision=decision, now=now)))

    def note_withheld(self, notes: pa.Table, now: datetime) -> None:
        """Notes since when and why events (columns `ref`, `reason`) are withheld; a reason of null
        takes the note away."""
        for start in range(0, notes.num_rows, CHUNK):
            some = notes.slice(start, CHUNK)
            self._write(partial(decisions.note_withheld, notes=some, now=now))

    def state_of(self, events: pa.Table) -> pa.Table:
        """What the ledger knows of these events: one row each, absent where never registered."""
        with self._reading() as connection:
            return pa.concat_tables(
                [STATE.empty_table()]
                + [rows.state(rows.find(connection, part)) for part in rows.chunks(events, CHUNK)]
            )

    def attempts_for(self, events: pa.Table) -> pa.Table:
        """Every attempt that carried any of these events: one row per event and attempt."""
        with self._reading() as connection:
            return rows.attempts(connection, rows.chunks(events, CHUNK))

    def decisions_for(self, events: pa.Table) -> pa.Table:
        """Every decision about any of these events: one row per event and decision."""
        with self._reading() as connection:
            return decisions.decisions(connection, rows.chunks(events, CHUNK))

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in one transaction, again if another process was in the way.

        Two runs that register the same event collide on its identity; whoever comes second finds
        it on the next try.
        """
        for tries_left in reversed(range(_CONFLICT_TRIES)):
            with self._named("written"):
                try:
                    with self._writer.begin() as connection:
                        return work(connection)
                except DBAPIError as error:
                    if tries_left == 0 or not _is_conflict(error):
                        raise
        raise AssertionError("unreachable: the last try returns or raises")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._named("read"), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _named(self, done: str) -> Iterator[None]:
        """Turns what a driver raises into one error that names the ledger and the remedy."""
        try:
            yield
        except (DBAPIError, OSError) as error:
            cause = str(error.orig if isinstance(error, DBAPIError) else error).strip()
            raise LedgerError(
                f"The ledger {self.name} could not be {done}: {cause}. {_remedy(cause)} Nothing "
                "is sent without it; materialize again once it can be written."
            ) from error


def _is_conflict(error: DBAPIError) -> bool:
    state = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None)
    return isinstance(error, IntegrityError) or state in _CONFLICTS


def _remedy(cause: str) -> str:
    lowered = cause.lower()
    for sign, remedy in _REMEDIES.items():
        if sign in lowered:
            return remedy
    return "Check CAPI_LEDGER_URL and that its database runs."


_REMEDIES = {
    "locked": "Another program holds it: close whatever has the file open for writing.",
    "readonly": "The file or its folder is read-only: give this process the right to write it.",
    "read-only": "The database is read-only: connect to the primary.",
    "full": "The disk is full: make room.",
    "not a database": "The address names a file of another kind.",
    "unable to open": "Its folder does not exist or may not be written.",
    "malformed": "The file is damaged: restore it from a backup before anything is sent.",
}
