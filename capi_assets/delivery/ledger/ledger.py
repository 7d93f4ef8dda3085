"""The ledger: who may send an event now (claim), that a request is about to leave (intent), and
its outcome, each in one transaction.

An intent makes its events `unknown` at once, and only an outcome changes that: what a killed
process leaves behind is correct and needs no recovery. What to send is decided in plan.py; the
tables are in schema.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Self, TypeVar

import pyarrow as pa
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from capi_assets.delivery.ledger import copy as copy
from capi_assets.delivery.ledger import decision_writes as decisions
from capi_assets.delivery.ledger import old_rows as old_rows
from capi_assets.delivery.ledger import rows as rows
from capi_assets.delivery.ledger import watches as watches
from capi_assets.delivery.ledger import writes as writes
from capi_assets.delivery.ledger.decisions import Decision
from capi_assets.delivery.ledger.engine import (
    HEAD,
    WRITES,
    LedgerError,
    migrate,
    open_engine,
    revision_of,
)
from capi_assets.delivery.ledger.old_rows import LedgerTraces
from capi_assets.delivery.ledger.schema import (
    CHUNK,
    METADATA,
    READ_CHUNK,
    STATE,
    TOMBSTONES,
    WITHDRAWAL,
    WITHDRAWALS,
)
from capi_assets.delivery.ledger.writes import Intent
from capi_assets.delivery.outcome import Outcome
from capi_assets.ingest.tombstones import NONE, Tombstones, tombstones_of
from capi_assets.web_addresses import database_label, without_passwords

__all__ = ["HEAD", "Intent", "Ledger", "LedgerError", "stored_revision"]

T = TypeVar("T")

# Each conflict means that another process's transaction succeeded; five in a row are no chance.
_CONFLICT_TRIES = 5
_CONFLICTS = frozenset({"40001", "40P01"})  # SQL states: serialization failure, deadlock


class Ledger:
    """The delivery ledger at a SQLAlchemy URL; opening it brings its tables up to date.

    Event tables passed to it have the columns of `matched_events`; those it returns are described
    by `schema.STATE`, `ATTEMPT` and `DECISION`. Times are aware UTC datetimes. One thread uses a
    `Ledger` at a time; any number of processes may, each with its own.

        with Ledger("sqlite:///data/ledger.db") as ledger:
            claimed = ledger.claim(events, "run-1", now, timedelta(minutes=2))
            sent = claimed.filter(claimed["won"])  # and the same rows of events
            attempt = ledger.mark_in_flight(events, sent, Intent("run-1", run_id, 812, lease), now)
            ledger.record(attempt, Outcome("delivered"), "run-1", now, keep_claim=False)

    Raises:
        LedgerError: here and in every method, when the database cannot be read or written.
    """

    # The timeout is far beyond the longest transaction (8,000 events, some 0.3 s): what waits
    # longer is stuck, not slow.
    def __init__(
        self,
        url: str,
        *,
        busy_timeout: timedelta = timedelta(seconds=30),
        erasure_key_file: str | None = None,
    ) -> None:
        self.engine = open_engine(url, busy_timeout)
        self._key_file = erasure_key_file
        self._tombstones = NONE
        self._tombstones_as_of: tuple[int | None, ...] = (0, None)
        self._writer = self.engine.execution_options(**{WRITES: True})
        self.name = database_label(url)
        with self._named("opened"):
            migrate(self.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the ledger may be used again afterwards."""
        self.engine.dispose()

    def claim(
        self, events: pa.Table, holder: str, now: datetime, lease: timedelta, *, renew: bool = False
    ) -> pa.Table:
        """Claims the events of one request for `holder` until `now + lease`; inserts new ones.

        The sender calls it before each request. Returns `schema.STATE` of every event, in the order
        of `events`, with a column `won`. Not won are delivered events, those that another holder
        has claimed, and those that `holder` has claimed before, unless `renew` extends its claims.
        An expired claim may be taken over by anyone.
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
        """Records, before a request leaves, that its events may be at Meta from now on.

        They become `unknown`, and their claims are extended by the lease of `intent`. `claimed` is
        their state in the same order, as `claim` returned it. Returns the number of the attempt,
        or None, with nothing changed, if a claim was lost meanwhile: then the request must not go.
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
        """Records the outcome of an attempt, for it and for each of its events.

        `attempt` is what `mark_in_flight` returned. A delivery is recorded whoever holds the claims
        by now, any other outcome only for events that `holder` still holds. A delivered event stays
        delivered. With `keep_claim` the events stay claimed, to be sent again in the same run.
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
        """Releases claims of `holder` (all, or those of the events `refs`).

        `why` becomes the reason of those that are pending: what the next run will read about them.
        """
        self._write(partial(writes.release, holder=holder, refs=refs, why=why))

    def defer(self, events: pa.Table, why: Outcome, now: datetime) -> None:
        """Records why events were not attempted; inserts new ones.

        Only pending events that nobody has claimed are changed.
        """
        for chunk in rows.chunks(self.tombstones().without(events), CHUNK):
            self._write(partial(writes.defer, events=chunk, why=why, now=now))

    def restore(self, lost: pa.Table, now: datetime) -> int:
        """Inserts or updates events as another witness knows them; returns how many.

        `lost` has columns of `schema.STATE`, as `ledger_from_lake.lost_events` returns them. What
        is delivered, claimed by a run, or sent for another order is unchanged.
        """
        return sum(
            self._write(partial(writes.restore, lost=chunk, now=now))
            for chunk in rows.chunks(self.tombstones().without(lost), CHUNK)
        )

    def decide(self, known: pa.Table, decision: Decision, now: datetime) -> int:
        """Records a person's decision about events that are held or rejected, in one transaction.

        `known` is `state_of` these events as the person saw it; events that were attempted, settled
        or claimed since are unchanged. Returns how many the decision changed.

            ledger.decide(known, Decision("resend", "Ada", "not in Events Manager"), now)
        """
        return len(self._write(partial(decisions.decide, known=known, decision=decision, now=now)))

    def note_withheld(self, notes: pa.Table, now: datetime) -> None:
        """Notes since when and why events (columns `ref`, `reason`) are withheld; a null reason
        removes the note."""
        for start in range(0, notes.num_rows, CHUNK):
            chunk = notes.slice(start, CHUNK)
            self._write(partial(decisions.note_withheld, notes=chunk, now=now))

    def take_watch(
        self, name: str, mine: str | None, turn: str, now: datetime, lease: timedelta
    ) -> bool:
        """Takes the next turn of the watch `name`, held until `now + lease`.

        `turn` is a new word for it, `mine` the word of the caller's last turn. False while somebody
        else holds it. The coverage sensor calls it.
        """
        return self._write(
            partial(watches.take, name=name, mine=mine, turn=turn, now=now, lease=lease)
        )

    def give_back_watch(self, name: str, turn: str) -> None:
        """Ends a turn that could not be used, so that nobody waits for its lease."""
        self._write(partial(watches.give_back, name=name, turn=turn))

    def add_withdrawals(self, withdrawals: pa.Table, now: datetime) -> int:
        """Adds withdrawals of consent (`mark`, `withdrawn_at`); returns how many are new.

        A null time is `now`; of several times the latest counts.
        """
        return self._write(partial(decisions.add_withdrawals, withdrawals=withdrawals, now=now))

    def withdrawals(self) -> pa.Table:
        """Every withdrawal of consent, as `schema.WITHDRAWAL`."""
        with self._reading() as connection:
            return rows.fetch(connection, select(WITHDRAWALS), WITHDRAWAL)

    def tombstones(self) -> Tombstones:
        """The tombstones of erased people, as of now.

        Raises:
            TombstoneError: there are some, and their key cannot be read.
        """
        with self._reading() as connection:
            latest = func.max(TOMBSTONES.c.erased_at)
            as_of = tuple(connection.execute(select(func.count(TOMBSTONES.c.mark), latest)).one())
            if as_of != self._tombstones_as_of:
                stored = {row.mark: row.erased_at for row in connection.execute(select(TOMBSTONES))}
                self._tombstones = tombstones_of(stored, self._key_file)
                self._tombstones_as_of = as_of
        return self._tombstones

    def add_tombstones(self, marks: Iterable[str], now: datetime) -> None:
        """Adds the marks of erased ids, as of `now`; one that is known gets the later time."""
        self._write(partial(old_rows.add_tombstones, marks=sorted({*marks}), now=now))

    def traces(self, order_ids: Sequence[str], marks: Sequence[str]) -> LedgerTraces:
        """What the ledger has of events with these order ids, and of people with one of these marks
        (`order_identity.marks_of`)."""
        with self._reading() as connection:
            return old_rows.traces(connection, order_ids, marks)

    def erase(self, traces: LedgerTraces, redact: Callable[[str], str]) -> None:
        """Deletes these events with what refers to them, and these withdrawals.

        Attempts and decisions stay, with their number of events; `redact` changes their texts. A
        run that has claimed one of the events cannot send it: its intent is refused.
        """
        self._write(partial(old_rows.erase, traces=traces, redact=redact))

    def without_ids_before(self, hour: datetime, *, dry_run: bool) -> int:
        """Removes order, event and person ids of events before `hour`; returns of how many.

        States, times, money and codes stay. They are too old for Meta, so nothing is sent again.
        """
        if dry_run:
            with self._reading() as connection:
                return old_rows.count_with_ids(connection, hour)
        total = 0
        while changed := self._write(partial(old_rows.remove_ids, hour=hour)):
            total += changed
        return total

    def compact(self) -> None:
        """Gives back the space of deleted rows, so that no file has a trace of them.

        SQLite rewrites the file and its journal. PostgreSQL only reuses the space from here on.
        """
        with self._named("compacted"):
            if self.engine.dialect.name == "sqlite":  # outside of any transaction
                with closing(self.engine.raw_connection()) as connection:
                    for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                        connection.cursor().execute(statement)
                return
            with self.engine.connect() as opened:
                run = opened.execution_options(isolation_level="AUTOCOMMIT")
                for table in METADATA.sorted_tables:
                    run.exec_driver_sql(f"VACUUM {table.name}")

    def state_of(self, events: pa.Table) -> pa.Table:
        """The ledger's rows of these events, as `schema.STATE`, in no particular order.

        An event that was never claimed or deferred has no row. Of an order that may be at Meta
        under another event_id that row is among them; `identity.known_of` joins rows to events.
        """
        with self._reading() as connection:
            return pa.concat_tables(
                [STATE.empty_table()]
                + [
                    rows.find_with_former(connection, part)
                    for part in rows.chunks(events, READ_CHUNK)
                ]
            )

    def unknown_since(self, moment: datetime) -> pa.Table:
        """The rows of all events whose outcome is unknown since `moment` or later, as
        `schema.STATE`. Reads the whole table: for a large range."""
        with self._reading() as connection:
            return rows.unknown_since(connection, moment)

    def last_accepted_at(self, dataset_id: str) -> datetime | None:
        """When the latest request of the dataset left of which Meta accepted the events."""
        with self._reading() as connection:
            return rows.last_accepted_at(connection, dataset_id)

    def attempts_for(self, events: pa.Table) -> pa.Table:
        """Every attempt to send any of these events, as `schema.ATTEMPT`: one row per event and
        attempt."""
        with self._reading() as connection:
            return rows.attempts(connection, rows.chunks(events, READ_CHUNK))

    def decisions_for(self, events: pa.Table) -> pa.Table:
        """Every decision about any of these events, as `schema.DECISION`: one row per event and
        decision."""
        with self._reading() as connection:
            return decisions.decisions(connection, rows.chunks(events, READ_CHUNK))

    def copy_into(self, target: Ledger, now: datetime) -> dict[str, int]:
        """Copies every row into another ledger, in one transaction; returns the rows per table.

        Raises:
            LedgerError: `target` has rows already, or a run is sending. Nothing was copied then.
        """
        with self._reading() as old:
            if sending := copy.claimed_events(old, now):
                raise LedgerError(
                    f"A run is sending from the ledger {self.name} (events claimed: {sending:,}):"
                    " stop Dagster's daemon and its runs, wait two minutes, and copy again."
                )

            def work(new: Connection) -> dict[str, int]:
                if filled := copy.filled_tables(new):
                    raise LedgerError(
                        f"The ledger {target.name} has rows already (in {', '.join(filled)}), and"
                        " a copy replaces nothing: name an empty database in CAPI_LEDGER_URL."
                    )
                return copy.copy_rows(old, new)

            return target._write(work)

    def _write(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in one transaction, again after a conflict with another process.

        Two runs that insert the same event conflict on its identity; the second finds it on the
        next try.
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
        with _named(self.engine, self.name, done):
            yield


def stored_revision(url: str) -> str | None:
    """The revision of the tables of an existing ledger, without migrating it; None without tables.

    Raises:
        LedgerError: it cannot be opened.
    """
    engine = open_engine(url, timedelta(seconds=5))
    try:
        with _named(engine, database_label(url), "opened"):
            return revision_of(engine)
    finally:
        engine.dispose()


@contextmanager
def _named(engine: Engine, name: str, done: str) -> Iterator[None]:
    """Turns a driver's error into one that names the ledger and the remedy."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        cause = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        cause = without_passwords(cause, engine.url)
        raise LedgerError(
            f"The ledger {name} could not be {done}: {cause}. {_remedy(cause)} Nothing "
            "is sent without the ledger; materialize again once it can be written."
        ) from None  # a driver's error may show the password


def _is_conflict(error: DBAPIError) -> bool:
    state = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None)
    return isinstance(error, IntegrityError) or state in _CONFLICTS


def _remedy(cause: str) -> str:
    lowered = cause.lower()
    for phrase, remedy in _REMEDIES.items():
        if phrase in lowered:
            return remedy
    return "Check that CAPI_LEDGER_URL is right and that its database runs."


_REMEDIES = {
    "locked": "Another program has locked it: close whatever has the file open for writing.",
    "readonly": "The file or its folder is read-only: give this process permission to write it.",
    "read-only": "The database is read-only: connect to the primary.",
    "full": "The disk is full: make room.",
    "not a database": "The URL names a file that is not a SQLite database.",
    "unable to open": "Its folder does not exist or is not writable.",
    "malformed": "The file is damaged: restore it from a backup before anything is sent.",
}
