"""Drops an index that no query uses and every insert pays for."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_index("events_by_hour", "events")
