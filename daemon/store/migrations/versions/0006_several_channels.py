"""A delivery knows which one of its step it follows on another channel, and which accepted one it goes after."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns without a value: no row is rewritten, whatever their number."""
    op.execute("ALTER TABLE delivery ADD COLUMN follows INTEGER")
    op.execute("ALTER TABLE delivery ADD COLUMN escalates INTEGER")
