"""Retargeting audiences: sets, their members, the batches on their way."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = (
    """CREATE TABLE audience (
        id INTEGER NOT NULL, campaign INTEGER NOT NULL, provider TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL,
        description TEXT NOT NULL, remote_id TEXT, made_at INTEGER NOT NULL, synced_at INTEGER, next_at INTEGER DEFAULT 0 NOT NULL,
        failures INTEGER DEFAULT 0 NOT NULL, blocked TEXT, trouble TEXT, least INTEGER, most INTEGER, sized_at INTEGER,
        received INTEGER DEFAULT 0 NOT NULL, PRIMARY KEY (id), UNIQUE (campaign, provider, name))""",
    """CREATE TABLE audience_member (
        audience INTEGER NOT NULL, person INTEGER NOT NULL, want INTEGER NOT NULL, state INTEGER NOT NULL, until INTEGER,
        since INTEGER NOT NULL, left_at INTEGER, changed_at INTEGER NOT NULL, batch INTEGER, guard INTEGER NOT NULL, address BLOB,
        handle BLOB, reason TEXT, PRIMARY KEY (audience, person)) WITHOUT ROWID""",
    """CREATE TABLE audience_batch (
        id INTEGER NOT NULL, audience INTEGER NOT NULL, adds INTEGER NOT NULL, state TEXT NOT NULL, session INTEGER NOT NULL,
        sequence INTEGER NOT NULL, last INTEGER DEFAULT 0 NOT NULL, total INTEGER DEFAULT 0 NOT NULL, members INTEGER DEFAULT 0 NOT NULL,
        began_at INTEGER NOT NULL, made_at INTEGER NOT NULL, sent_at INTEGER, next_at INTEGER DEFAULT 0 NOT NULL,
        tries INTEGER DEFAULT 0 NOT NULL, request TEXT, received INTEGER, invalid INTEGER DEFAULT 0 NOT NULL, detail TEXT,
        PRIMARY KEY (id))""",
    """CREATE TABLE audience_failure (
        audience INTEGER NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL, last_at INTEGER NOT NULL,
        PRIMARY KEY (audience, reason)) WITHOUT ROWID""",
)
INDEXES = (
    "CREATE INDEX audience_member_pending ON audience_member (audience, state, person) WHERE state IN (2, 3)",
    "CREATE INDEX audience_member_batch ON audience_member (batch, person) WHERE batch IS NOT NULL",
    "CREATE INDEX audience_member_person ON audience_member (person)",
    "CREATE INDEX audience_batch_open ON audience_batch (audience) WHERE state <> 'done'",
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES):
        op.execute(statement)
