"""Feedback of providers, what waits to be joined with its delivery, and what sending costs."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """New tables only."""
    op.execute(
        "CREATE TABLE provider_ref (provider TEXT NOT NULL, provider_id TEXT NOT NULL, delivery INTEGER NOT NULL, "
        "PRIMARY KEY (provider, provider_id, delivery)) WITHOUT ROWID"
    )
    op.execute(
        "CREATE TABLE feedback (person INTEGER NOT NULL, delivery INTEGER NOT NULL, hash BLOB NOT NULL, kind TEXT NOT NULL, "
        "provider TEXT NOT NULL, event TEXT NOT NULL, human INTEGER NOT NULL, channel TEXT NOT NULL, at INTEGER NOT NULL, "
        "code TEXT, detail TEXT, PRIMARY KEY (person, delivery, hash, kind, provider, event, human)) WITHOUT ROWID"
    )
    op.execute("CREATE INDEX feedback_event ON feedback (provider, event) WHERE event <> ''")
    op.execute("CREATE INDEX feedback_hash ON feedback (hash) WHERE hash <> x''")
    op.execute(
        "CREATE TABLE feedback_parked (id INTEGER NOT NULL, digest BLOB NOT NULL, item TEXT NOT NULL, received_at INTEGER NOT NULL, "
        "PRIMARY KEY (id), UNIQUE (digest))"
    )
    op.execute(
        "CREATE TABLE spend (provider TEXT NOT NULL, day INTEGER NOT NULL, currency TEXT NOT NULL, micros INTEGER NOT NULL, "
        "parts INTEGER NOT NULL, PRIMARY KEY (provider, day, currency)) WITHOUT ROWID"
    )
