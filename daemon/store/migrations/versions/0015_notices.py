"""Facts that are to be told, and how far each target was told."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATEMENTS = (
    """CREATE TABLE notice (
        id INTEGER NOT NULL, type TEXT NOT NULL, at INTEGER, person INTEGER, delivery INTEGER, walk INTEGER, job INTEGER, detail TEXT,
        noted_at INTEGER, PRIMARY KEY (id))""",
    "CREATE INDEX notice_new ON notice (id) WHERE noted_at IS NULL",
    """CREATE TABLE notice_target (
        name TEXT NOT NULL, cursor INTEGER NOT NULL, tries INTEGER DEFAULT 0 NOT NULL, again_at INTEGER, failing_since INTEGER, error TEXT,
        told INTEGER DEFAULT 0 NOT NULL, lost INTEGER DEFAULT 0 NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
