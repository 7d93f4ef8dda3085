"""How Alembic reaches the ledger: over the connection that `engine.migrate` hands it."""

from __future__ import annotations

from alembic import context

from capi_assets.delivery.ledger.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,  # SQLite cannot alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
