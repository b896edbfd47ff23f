"""Offers that stand beside the ladder: codes that are passed on, and what is earned by it."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE issue ADD COLUMN apart INTEGER DEFAULT 0 NOT NULL")
