"""Removals from an audience wait for themselves alone, not for what went wrong with additions."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE audience ADD COLUMN removals_at INTEGER DEFAULT 0 NOT NULL")
