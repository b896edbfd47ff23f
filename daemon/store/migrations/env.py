"""Alembic's entry: runs the migrations on the connection that `daemon.store.migrate` hands in. Never run by hand."""

from __future__ import annotations

from alembic import context

from daemon.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
