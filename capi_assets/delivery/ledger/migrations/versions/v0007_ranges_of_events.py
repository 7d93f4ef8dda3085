"""An attempt's events as ranges of their numbers, instead of a row for each.

No index has the holder of an event any more, and on PostgreSQL half of each page is left for the
next states of its events: so changes of state write no index.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# Numbers that follow each other differ by the same amount from their places in the order.
_RANGES = """
INSERT INTO attempt_ranges (attempt, first_ref, last_ref)
SELECT attempt, min(ref), max(ref)
FROM (
    SELECT attempt, ref, row_number() OVER (PARTITION BY attempt ORDER BY ref) AS place
    FROM attempt_events
) AS placed
GROUP BY attempt, ref - place, (place - 1) / 1000
"""


def upgrade() -> None:
    op.create_table(
        "attempt_ranges",
        sa.Column(
            "attempt",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey("attempts.attempt"),
            primary_key=True,
        ),
        sa.Column("first_ref", sa.BigInteger, primary_key=True),
        sa.Column("last_ref", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(_RANGES)
    op.create_index("attempt_ranges_by_event", "attempt_ranges", ["first_ref", "last_ref"])
    op.drop_table("attempt_events")
    op.drop_index("events_by_holder", "events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE events SET (fillfactor = 50)")
