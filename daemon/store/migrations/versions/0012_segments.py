"""Segments, who is in them, and the evaluation that is under way."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = (
    """CREATE TABLE segment (
        id INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT, members INTEGER DEFAULT 0 NOT NULL, evaluated_at INTEGER,
        PRIMARY KEY (id), UNIQUE (name))""",
    """CREATE TABLE segment_member (
        segment INTEGER NOT NULL, person INTEGER NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (segment, person)) WITHOUT ROWID""",
    """CREATE TABLE segment_run (
        id INTEGER NOT NULL, segments TEXT NOT NULL, at INTEGER NOT NULL, reached INTEGER DEFAULT 0 NOT NULL, quiet TEXT,
        PRIMARY KEY (id))""",
    """CREATE TABLE category_cycle (
        category TEXT NOT NULL, days FLOAT NOT NULL, people INTEGER NOT NULL, PRIMARY KEY (category)) WITHOUT ROWID""",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
