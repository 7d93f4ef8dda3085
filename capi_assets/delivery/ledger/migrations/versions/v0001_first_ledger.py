"""The first ledger: events, attempts, and which events each attempt carried."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("ref", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("dataset_id", sa.String(64), nullable=False),
        sa.Column("event_name", sa.String(128), nullable=False),
        sa.Column("event_id", sa.String(512), nullable=False),
        sa.Column("order_id", sa.Text, nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("event_time", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("currency", sa.String(16)),
        sa.Column("deliver_until", sa.BigInteger, nullable=False),
        sa.Column("payload_sha256", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(128)),
        sa.Column("message", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("first_attempt_at", sa.BigInteger),
        sa.Column("last_attempt_at", sa.BigInteger),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("unknown_since", sa.BigInteger),
        sa.Column("unknown_attempt", sa.BigInteger),
        sa.Column("http_status", sa.Integer),
        sa.Column("code", sa.Integer),
        sa.Column("subcode", sa.Integer),
        sa.Column("fbtrace_id", sa.String(128)),
        sa.Column("api_version", sa.String(32)),
        sa.Column("claimed_by", sa.String(128)),
        sa.Column("claimed_until", sa.BigInteger),
        sa.UniqueConstraint("dataset_id", "event_name", "event_id", name="events_identity"),
    )
    op.create_index("events_by_hour", "events", ["hour"])
    op.create_index("events_by_holder", "events", ["claimed_by"])
    op.create_table(
        "attempts",
        sa.Column("attempt", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("dataset_id", sa.String(64), nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("outcome", sa.String(16)),
        sa.Column("reason", sa.String(128)),
        sa.Column("message", sa.Text),
        sa.Column("http_status", sa.Integer),
        sa.Column("code", sa.Integer),
        sa.Column("subcode", sa.Integer),
        sa.Column("fbtrace_id", sa.String(128)),
        sa.Column("api_version", sa.String(32)),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("attempts_by_start", "attempts", ["started_at"])
    op.create_table(
        "attempt_events",
        sa.Column("attempt", _ROW_NUMBER, sa.ForeignKey("attempts.attempt"), primary_key=True),
        sa.Column("ref", _ROW_NUMBER, sa.ForeignKey("events.ref"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("attempt_events_by_event", "attempt_events", ["ref"])
