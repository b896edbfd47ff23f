"""Walks: one row for each recipient's way through a campaign of more than one message."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    """CREATE TABLE walk (
        id INTEGER NOT NULL, campaign INTEGER NOT NULL, person INTEGER NOT NULL, occurrence INTEGER NOT NULL, version INTEGER NOT NULL,
        state TEXT NOT NULL, entered_at INTEGER NOT NULL, since_at INTEGER NOT NULL, anchor_at INTEGER NOT NULL,
        shift INTEGER DEFAULT 0 NOT NULL, event TEXT, vars TEXT, held_out INTEGER DEFAULT 0 NOT NULL, arms TEXT, step TEXT,
        step_at INTEGER, next_at INTEGER, first_touch_at INTEGER, touched_at INTEGER, goal_at INTEGER, ended_at INTEGER,
        end_reason TEXT, watched INTEGER DEFAULT 1 NOT NULL, job INTEGER,
        asked TEXT, settled INTEGER DEFAULT 0 NOT NULL, PRIMARY KEY (id), UNIQUE (campaign, person, occurrence))""",
    "CREATE INDEX walk_next ON walk (state, campaign, next_at) WHERE next_at IS NOT NULL",
    "CREATE INDEX walk_watched ON walk (person) WHERE watched = 1",
    """CREATE TABLE campaign_event (
        event TEXT NOT NULL, kind TEXT NOT NULL, campaign INTEGER NOT NULL, filter TEXT,
        PRIMARY KEY (event, kind, campaign)) WITHOUT ROWID""",
    """CREATE TABLE trigger_event (
        id INTEGER NOT NULL, campaign INTEGER NOT NULL, person INTEGER NOT NULL, at INTEGER NOT NULL, due_at INTEGER NOT NULL,
        event TEXT NOT NULL, properties TEXT, PRIMARY KEY (id))""",
    "CREATE INDEX trigger_event_due ON trigger_event (campaign, due_at)",
    "ALTER TABLE delivery ADD COLUMN walk INTEGER",
    "ALTER TABLE touch ADD COLUMN ghost INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE job ADD COLUMN enrols INTEGER DEFAULT 0 NOT NULL",
)


def upgrade() -> None:
    """Columns without a value, or with a constant one: no row is rewritten, whatever their number."""
    for statement in STATEMENTS:
        op.execute(statement)
