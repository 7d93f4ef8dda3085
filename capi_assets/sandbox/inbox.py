"""Stores what the sandbox received: requests, events, and which of them Meta would count.

SQLite, in memory or in a file that outlives the process. Times are microseconds since 1970 in the
tables and aware datetimes outside. Payloads of the newest events stay in memory: they contain
personal data, which no file may. Queries are in reports.py.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock
from typing import Any

import orjson

from capi_assets.sandbox.dedup import ACCEPTED, DOUBLED, DUPLICATE, Dedup, identity_of
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
create index if not exists events_by_verdict on events (verdict, seq);
create table if not exists tally (
    dataset text not null, hour integer not null, event_name text not null,
    action_source text not null, verdict text not null, currency text not null,
    keys text not null, with_id integer not null, events integer not null, value real not null,
    in_ten_minutes integer not null, in_two_hours integer not null, in_a_day integer not null,
    primary key (dataset, hour, event_name, action_source, verdict, currency, keys, with_id)
) without rowid;
"""

INSERT_EVENT = f"insert into events values ({', '.join('?' * 15)})"
ADD_TO_TALLY = f"""insert into tally values ({", ".join("?" * 13)})
    on conflict do update set
        events = events + excluded.events, value = value + excluded.value,
        in_ten_minutes = in_ten_minutes + excluded.in_ten_minutes,
        in_two_hours = in_two_hours + excluded.in_two_hours,
        in_a_day = in_a_day + excluded.in_a_day"""

TEN_MINUTES = 600
HOUR = 3600
TWO_HOURS = 2 * HOUR
DAY = 24 * HOUR
MAX_PAYLOADS = 20_000  # some 30 MB
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class RequestRecord:
    """One call of `/events` and its response; `status` 0 means that there was none."""

    received_at: datetime
    dataset: str
    version: str | None
    status: int
    code: int | None = None
    subcode: int | None = None
    title: str | None = None
    fault: str | None = None
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    doubled: int = 0
    token: str | None = None
    fbtrace_id: str | None = None
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
        self._payloads: OrderedDict[int, bytes] = OrderedDict()
        self._next = self._last_seq() + 1
        self._dedup = Dedup(self._identities())

    def close(self) -> None:
        """Closes the file."""
        with self.lock:
            self.db.close()

    def clear(self) -> None:
        """Deletes all that was received, and the identities to deduplicate by."""
        with self._writing() as db:
            for table in ("requests", "events", "tally"):
                db.execute(f"delete from {table}")
            self._payloads.clear()
            self._dedup = Dedup()

    def log(self, record: RequestRecord) -> None:
        """Stores the record of a call."""
        row = (micros(record.received_at), *astuple(record)[1:])
        places = ", ".join("?" * len(row))
        with self._writing() as db:
            db.execute(f"insert into requests values (null, {places})", row)

    def receive(self, dataset: str, events: Sequence[dict[str, Any]], at: datetime) -> Receipt:
        """Stores valid events, received at `at`; all of them or none."""
        now = micros(at)
        with self._writing() as db:
            try:
                return self._store(db, dataset, events, now)
            except BaseException:
                # The tables are rolled back; so must be what is in memory.
                for seq in [seq for seq in self._payloads if seq >= self._next]:
                    del self._payloads[seq]
                self._dedup = Dedup(self._identities())
                raise

    def _store(
        self, db: sqlite3.Connection, dataset: str, events: Sequence[dict[str, Any]], now: int
    ) -> Receipt:
        now_s = now // 1_000_000
        rows: list[tuple[Any, ...]] = []
        tally: dict[tuple[Any, ...], list[float]] = {}
        verdicts: Counter[str] = Counter()
        for seq, event in enumerate(events, self._next):
            happened = seconds_of(event["event_time"]) or 0
            hour = happened - happened % HOUR
            name, source, event_id = (
                event["event_name"],
                event["action_source"],
                event.get("event_id"),
            )
            identity = identity_of(dataset, event)
            verdict, first = self._dedup.verdict(identity, now)
            verdicts[verdict] += 1
            value, currency = value_of(event)
            keys = present_keys(event["user_data"])
            body = self._payloads[seq] = orjson.dumps(event)
            digest = hashlib.sha256(body).hexdigest()
            rows.append(
                (seq, now, dataset, name, None if event_id is None else str(event_id), happened,
                 hour, source, verdict, first, identity, value, currency, keys, digest)
            )  # fmt: skip
            group = (
                dataset,
                hour,
                name,
                source,
                verdict,
                currency or "",
                keys,
                event_id is not None,
            )
            sums = tally.setdefault(group, [0, 0.0, 0, 0, 0])
            delay = now_s - happened
            sums[0] += 1
            sums[1] += value or 0.0
            sums[2] += delay <= TEN_MINUTES
            sums[3] += delay <= TWO_HOURS
            sums[4] += delay <= DAY
        db.executemany(INSERT_EVENT, rows)
        db.executemany(ADD_TO_TALLY, [(*group, *sums) for group, sums in tally.items()])
        self._next += len(rows)
        while len(self._payloads) > MAX_PAYLOADS:
            self._payloads.popitem(last=False)
        return Receipt(verdicts[ACCEPTED], verdicts[DUPLICATE], verdicts[DOUBLED])

    def payload(self, seq: int) -> bytes | None:
        """The JSON of an event as received, while it is in memory."""
        return self._payloads.get(seq)

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

    def _last_seq(self) -> int:
        return int(self.rows("select coalesce(max(seq), 0) from events")[0][0])

    def _identities(self) -> Iterator[tuple[str, int]]:
        rows = self.rows(
            """select identity, received_at from events
            where verdict <> ? and identity is not null order by seq""",
            DUPLICATE,
        )
        yield from map(tuple, rows)


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
    """An aware datetime as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def aware(at: int) -> datetime:
    """Microseconds since 1970 as an aware datetime in UTC."""
    return EPOCH + timedelta(microseconds=at)
