"""What a recipient asked for on its page of preferences: a pause, and fewer messages."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE recipient ADD COLUMN paused_until INTEGER")
    op.execute("ALTER TABLE recipient ADD COLUMN weekly INTEGER DEFAULT 0 NOT NULL")
