"""What persons decided about held events, and since when an event is withheld."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.add_column("events", sa.Column("withheld_at", sa.BigInteger))
    op.add_column("events", sa.Column("withheld_reason", sa.String(128)))
    op.create_table(
        "decisions",
        sa.Column("decision", _ROW_NUMBER, primary_key=True, autoincrement=True),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
    )
    op.create_table(
        "decision_events",
        sa.Column("decision", _ROW_NUMBER, sa.ForeignKey("decisions.decision"), primary_key=True),
        sa.Column("ref", _ROW_NUMBER, sa.ForeignKey("events.ref"), primary_key=True),
        sa.Column("unknown_since", sa.BigInteger),
        sa.Column("unknown_attempt", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("decision_events_by_event", "decision_events", ["ref"])
