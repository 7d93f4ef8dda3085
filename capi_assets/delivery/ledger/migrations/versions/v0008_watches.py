"""Whose turn it is to watch a lake, where several daemons do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "watches",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("turn", sa.String(64), nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
    )
