"""Offers that people have, their codes, the orders that used them, and what experiments came to."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATEMENTS = (
    """CREATE TABLE issue (
        id INTEGER NOT NULL, walk INTEGER NOT NULL, step TEXT NOT NULL, person INTEGER NOT NULL, campaign INTEGER NOT NULL,
        offer TEXT NOT NULL, rank INTEGER NOT NULL, pool TEXT, code TEXT, state TEXT NOT NULL, valid INTEGER, zone TEXT,
        reserved_at INTEGER NOT NULL, accepted_at INTEGER, ends_at INTEGER, ended_at INTEGER, redeemed_at INTEGER, order_key TEXT,
        PRIMARY KEY (id), UNIQUE (walk, step))""",
    "CREATE INDEX issue_person ON issue (person)",
    "CREATE INDEX issue_code ON issue (code) WHERE code IS NOT NULL",
    "CREATE INDEX issue_reserved ON issue (id) WHERE state = 'reserved'",
    "CREATE INDEX issue_ends ON issue (ends_at) WHERE state = 'open' AND ends_at IS NOT NULL",
    "CREATE TABLE code_pool (name TEXT NOT NULL, total INTEGER NOT NULL, free INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID",
    """CREATE TABLE code (
        id INTEGER NOT NULL, pool TEXT NOT NULL, code TEXT NOT NULL, said TEXT NOT NULL, issue INTEGER, added_at INTEGER NOT NULL,
        PRIMARY KEY (id), UNIQUE (code))""",
    "CREATE INDEX code_free ON code (pool, id) WHERE issue IS NULL",
    "CREATE INDEX code_issue ON code (issue) WHERE issue IS NOT NULL",
    """CREATE TABLE redemption (
        code TEXT NOT NULL, order_key TEXT NOT NULL, person INTEGER NOT NULL, at INTEGER NOT NULL, refunded INTEGER DEFAULT 0 NOT NULL,
        cancelled INTEGER DEFAULT 0 NOT NULL, PRIMARY KEY (code, order_key)) WITHOUT ROWID""",
    "CREATE INDEX redemption_person ON redemption (person)",
    """CREATE TABLE experiment_result (
        campaign INTEGER NOT NULL, step TEXT NOT NULL, trial TEXT NOT NULL, slice TEXT NOT NULL, finding TEXT NOT NULL, winner TEXT,
        looked_at INTEGER NOT NULL, decided_at INTEGER, body TEXT NOT NULL, PRIMARY KEY (campaign, step, trial, slice)) WITHOUT ROWID""",
    "ALTER TABLE flight ADD COLUMN issue INTEGER",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
