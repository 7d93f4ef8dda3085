"""Withdrawals of consent, which outlive their files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("mark", sa.String(16), primary_key=True),
        sa.Column("withdrawn_at", sa.BigInteger, nullable=False),
    )
