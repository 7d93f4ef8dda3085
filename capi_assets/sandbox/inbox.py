"""Stores what the sandbox received: requests, events, and which of them Meta would count.

SQLite, in memory or in a file that outlives the process. Times are microseconds since 1970 in the
tables and aware datetimes outside. Payloads of the newest events stay in memory: they contain
personal data, which no file may. Queries are in reports.py.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

import orjson

from capi_assets.sandbox.dedup import ACCEPTED, DOUBLED, DUPLICATE, identity_of, verdict_of
from capi_assets.sandbox.responses import new_trace_id
from capi_assets.sandbox.rules.event import seconds_of
from capi_assets.sandbox.rules.person import has_value

SCHEMA = """
create table if not exists requests (
    seq integer primary key, received_at integer not null, dataset text not null, version text,
    status integer not null, code integer, subcode integer, title text, fault text,
    sent integer not null, accepted integer not null, duplicates integer not null,
    doubled integer not null, token text, fbtrace_id text, test_event_code text);
create table if not exists events (
    seq integer primary key, received_at integer not null, dataset text not null,
    event_name text not null, event_id text, event_time integer not null, hour integer not null,
    action_source text not null, verdict text not null, first_received_at integer not null,
    identity text, value real, currency text, keys text not null, sha256 text not null);
create index if not exists counts on events (dataset, hour, verdict, currency, value);
create index if not exists windows on events (identity) where verdict <> 'duplicate';
attach ':memory:' as volatile;
create table volatile.payloads (seq integer primary key, payload blob not null);
"""

FIRST_RECEIPT = """
select received_at from events where identity = ? and verdict <> 'duplicate'
order by seq desc limit 1"""
INSERT_EVENT = f"insert into events values (null, {', '.join('?' * 14)})"

HOUR = 3600
MAX_PAYLOADS = 20_000  # some 30 MB
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass
class RequestRecord:
    """One call of `/events` and its response; `status` 0 means that there was none."""

    received_at: datetime
    dataset: str
    version: str | None = None
    status: int = 0
    code: int | None = None
    subcode: int | None = None
    title: str | None = None
    fault: str | None = None
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    doubled: int = 0
    token: str | None = None
    fbtrace_id: str = field(default_factory=new_trace_id)
    test_event_code: str | None = None


@dataclass(frozen=True)
class Receipt:
    """How many of a request's events Meta counts, removes as duplicates, and counts twice."""

    accepted: int = 0
    duplicates: int = 0
    doubled: int = 0


class Inbox:
    """Everything received so far. Safe to use from any thread.

    `state_path` names a SQLite file (its folder is created) that one sandbox at a time may use;
    None keeps everything in memory.
    """

    def __init__(self, state_path: str | Path | None = None) -> None:
        self.lock = RLock()
        if state_path is not None:
            Path(state_path).parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(
            ":memory:" if state_path is None else str(state_path),
            check_same_thread=False,
            isolation_level=None,
        )
        self.db.row_factory = sqlite3.Row
        # A sandbox that is killed may lose its last requests, not its file.
        self.db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + SCHEMA)

    def close(self) -> None:
        with self.lock:
            self.db.close()

    def clear(self) -> None:
        """Deletes all that was received, and with it the identities to deduplicate by."""
        with self._writing() as db:
            for table in ("requests", "events", "payloads"):
                db.execute(f"delete from {table}")

    def log(self, record: RequestRecord) -> None:
        row = (micros(record.received_at), *astuple(record)[1:])
        places = ", ".join("?" * len(row))
        with self._writing() as db:
            db.execute(f"insert into requests values (null, {places})", row)

    def receive(self, dataset: str, events: Sequence[dict[str, Any]], at: datetime) -> Receipt:
        """Stores valid events, received at `at`; all of them or none."""
        now = micros(at)
        verdicts: Counter[str] = Counter()
        with self._writing() as db:
            for event in events:
                verdicts[self._store(db, dataset, event, now)] += 1
            db.execute(
                "delete from payloads where seq <= (select max(seq) from payloads) - ?",
                (MAX_PAYLOADS,),
            )
        return Receipt(verdicts[ACCEPTED], verdicts[DUPLICATE], verdicts[DOUBLED])

    def _store(self, db: sqlite3.Connection, dataset: str, event: dict[str, Any], now: int) -> str:
        happened = seconds_of(event["event_time"]) or 0
        event_id = event.get("event_id")
        identity = identity_of(dataset, event)
        window = db.execute(FIRST_RECEIPT, (identity,)).fetchone()
        first = None if window is None else window["received_at"]
        verdict = verdict_of(identity, first, now)
        body = orjson.dumps(event)
        row = (
            now, dataset, event["event_name"], None if event_id is None else str(event_id),
            happened, happened - happened % HOUR, event["action_source"], verdict,
            now if first is None else first, identity, *value_of(event),
            present_keys(event["user_data"]), hashlib.sha256(body).hexdigest(),
        )  # fmt: skip
        seq = db.execute(INSERT_EVENT, row).lastrowid
        db.execute("insert into payloads values (?, ?)", (seq, body))
        return verdict

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a query over the tables above."""
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            self.db.execute("begin immediate")
            try:
                yield self.db
            except BaseException:
                self.db.execute("rollback")
                raise
            self.db.execute("commit")


def value_of(event: dict[str, Any]) -> tuple[float | None, str | None]:
    """The value and upper-case currency in custom_data."""
    details = event.get("custom_data") or {}
    value, currency = details.get("value"), details.get("currency")
    return (
        None if value is None or value == "" else float(value),
        currency.upper() if currency else None,
    )


def present_keys(person: dict[str, Any]) -> str:
    """The names of the user_data keys that are not empty, sorted, separated by spaces."""
    return " ".join(sorted([key for key, value in person.items() if has_value(value)]))


def micros(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def aware(at: int) -> datetime:
    return EPOCH + timedelta(microseconds=at)
