"""Whose order an event was, and an index that finds an order under a former event_id."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("events", sa.Column("person", sa.Text))
    op.create_index("events_by_order", "events", ["dataset_id", "event_name", "order_id"])
