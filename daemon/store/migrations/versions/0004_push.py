"""Browsers that may be pushed to."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table and its index."""
    op.execute(
        "CREATE TABLE push_subscription (hash BLOB NOT NULL, person INTEGER NOT NULL, address TEXT NOT NULL, family TEXT, "
        "created_at INTEGER NOT NULL, last_seen_at INTEGER NOT NULL, PRIMARY KEY (hash)) WITHOUT ROWID"
    )
    op.execute("CREATE INDEX push_subscription_person ON push_subscription (person)")
