"""The ledger's tables: events with their state, attempts, decisions, and the events of each.

An attempt's events are kept as ranges of their numbers (attempt_ranges.py).

No personal data of customers: keys, digests, times, codes and trace ids. Times are whole
microseconds of the Unix epoch, UTC: one exact type on every database, and Arrow's own without
conversion. Changes to these tables need a migration (`migrations/`); a test compares the two.
"""

from __future__ import annotations

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from capi_assets.contracts.base import UTC_MICROSECONDS

METADATA = MetaData()

CHUNK = 1_000  # events per statement and transaction: a request's worth, some 20 ms of locks
READ_CHUNK = 10_000  # events per statement that only reads: some 10 MB of rows at most

# SQLite numbers rows by itself only for a column declared INTEGER.
_ROW_NUMBER = BigInteger().with_variant(Integer, "sqlite")

PENDING = "pending"
UNKNOWN = "unknown"
DELIVERED = "delivered"
REJECTED = "rejected"
EXPIRED = "expired"
WRITTEN_OFF = "written_off"  # by a person: the outcome will stay unknown

MAYBE_AT_META = (DELIVERED, UNKNOWN, WRITTEN_OFF)

EVENTS = Table(
    "events",
    METADATA,
    Column("ref", _ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("dataset_id", String(64), nullable=False),
    Column("event_name", String(128), nullable=False),
    Column("event_id", String(512), nullable=False),
    Column("order_id", Text, nullable=False),
    Column("hour", BigInteger, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("value", Float(53)),
    Column("currency", String(16)),
    # Prefixes of contact digests (`order_identity.person_of`): whether two orders are one person's.
    Column("person", Text),
    Column("deliver_until", BigInteger, nullable=False),
    # Of the bytes last sent; before the first attempt, of those to send.
    Column("payload_sha256", String(64)),
    Column("state", String(16), nullable=False),
    Column("reason", String(128)),
    Column("message", Text),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", BigInteger),
    Column("last_attempt_at", BigInteger),
    Column("delivered_at", BigInteger),
    # The first attempt with unknown outcome: the 48 hours run from it.
    Column("unknown_since", BigInteger),
    Column("unknown_attempt", BigInteger),
    Column("http_status", Integer),
    Column("code", Integer),
    Column("subcode", Integer),
    Column("fbtrace_id", String(128)),
    Column("api_version", String(32)),
    Column("claimed_by", String(128)),
    Column("claimed_until", BigInteger),
    # Set while the event is withheld, as a delivery run last saw it: since when, and why.
    Column("withheld_at", BigInteger),
    Column("withheld_reason", String(128)),
    UniqueConstraint("dataset_id", "event_name", "event_id", name="events_identity"),
    Index("events_by_order", "dataset_id", "event_name", "order_id"),
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("attempt", _ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("run_id", String(128), nullable=False),
    Column("dataset_id", String(64), nullable=False),
    Column("started_at", BigInteger, nullable=False),  # the intent: recorded before the request
    Column("finished_at", BigInteger),  # null: the process died before the outcome
    Column("outcome", String(16)),
    Column("reason", String(128)),
    Column("message", Text),
    Column("http_status", Integer),
    Column("code", Integer),
    Column("subcode", Integer),
    Column("fbtrace_id", String(128)),
    Column("api_version", String(32)),
    Column("events", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Index("attempts_by_start", "started_at"),
)

ATTEMPT_RANGES = Table(
    "attempt_ranges",
    METADATA,
    Column("attempt", ForeignKey("attempts.attempt"), primary_key=True),
    # A range of events, both ends included, of at most CHUNK; every number in it is an event's.
    Column("first_ref", BigInteger, primary_key=True),
    Column("last_ref", BigInteger, nullable=False),
    Index("attempt_ranges_by_event", "first_ref", "last_ref"),
    sqlite_with_rowid=False,
)

DECISIONS = Table(
    "decisions",
    METADATA,
    Column("decision", _ROW_NUMBER, primary_key=True, autoincrement=True),
    Column("decided_at", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("who", String(256), nullable=False),
    Column("why", Text, nullable=False),
    Column("events", Integer, nullable=False),
)

DECISION_EVENTS = Table(
    "decision_events",
    METADATA,
    Column("decision", ForeignKey("decisions.decision"), primary_key=True),
    Column("ref", ForeignKey("events.ref"), primary_key=True),
    # What the decision removed from the event: the attempt that Meta may have accepted.
    Column("unknown_since", BigInteger),
    Column("unknown_attempt", BigInteger),
    Index("decision_events_by_event", "ref"),
    sqlite_with_rowid=False,
)

WITHDRAWALS = Table(
    "withdrawals",
    METADATA,
    # Of an order or a person (`order_identity.marks_of`).
    Column("mark", String(16), primary_key=True),
    Column("withdrawn_at", BigInteger, nullable=False),
)

WATCHES = Table(
    "watches",
    METADATA,
    # One sensor at a time tells and launches (watches.py): whose turn it is, and until when.
    Column("name", String(64), primary_key=True),
    Column("turn", String(64), nullable=False),
    Column("held_until", BigInteger, nullable=False),
)

TOMBSTONES = Table(
    "tombstones",
    METADATA,
    # The HMAC of an erased id (`ingest.tombstones`).
    Column("mark", String(64), primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)

_TIMES = frozenset(
    {
        "withdrawn_at",
        "hour",
        "deliver_until",
        "first_attempt_at",
        "last_attempt_at",
        "delivered_at",
        "unknown_since",
        "claimed_until",
        "started_at",
        "finished_at",
        "withheld_at",
        "decided_at",
    }
)


def _arrow_schema(table: Table) -> pa.Schema:
    return pa.schema([(column.name, _arrow_type(column)) for column in table.columns])


def _arrow_type(column: Column[object]) -> pa.DataType:
    if column.name in _TIMES:
        return UTC_MICROSECONDS
    if isinstance(column.type, Float):
        return pa.float64()
    return pa.string() if isinstance(column.type, (String, Text)) else pa.int64()


STATE = _arrow_schema(EVENTS)
"""Columns of `Ledger.state_of`: the `events` table, times as timestamp[us, UTC]."""

WITHDRAWAL = _arrow_schema(WITHDRAWALS)
"""Columns of `Ledger.withdrawals`."""

ATTEMPT = pa.schema(
    [("event_name", pa.string()), ("event_id", pa.string()), *_arrow_schema(ATTEMPTS)]
)
"""Columns of `Ledger.attempts_for`: an event, and one attempt to send it."""

DECISION = pa.schema(
    [
        ("event_name", pa.string()),
        ("event_id", pa.string()),
        ("unknown_since", UTC_MICROSECONDS),
        ("unknown_attempt", pa.int64()),
        *_arrow_schema(DECISIONS),
    ]
)
"""Columns of `Ledger.decisions_for`: an event, and one decision about it."""
