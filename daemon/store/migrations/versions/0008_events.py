"""Events, what they add up to for each person, and other ids of a person."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = (
    "CREATE TABLE event_name (id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (id), UNIQUE (name))",
    """CREATE TABLE event (
        person INTEGER NOT NULL, name INTEGER NOT NULL, id INTEGER NOT NULL, at INTEGER NOT NULL, received_at INTEGER NOT NULL,
        properties TEXT, PRIMARY KEY (person, name, id)) WITHOUT ROWID""",
    """CREATE TABLE profile (
        person INTEGER NOT NULL, orders INTEGER DEFAULT 0 NOT NULL, value INTEGER DEFAULT 0 NOT NULL,
        unvalued INTEGER DEFAULT 0 NOT NULL, returns INTEGER DEFAULT 0 NOT NULL, discount_orders INTEGER DEFAULT 0 NOT NULL,
        first_order_at INTEGER, previous_order_at INTEGER, last_order_at INTEGER, last_product TEXT, last_open_at INTEGER,
        last_click_at INTEGER, last_visit_at INTEGER, last_seen_at INTEGER, score INTEGER DEFAULT 0 NOT NULL, score_until INTEGER,
        tickets_open INTEGER DEFAULT 0 NOT NULL, subscription_active INTEGER DEFAULT 0 NOT NULL, subscription_ends_at INTEGER,
        lapse_reason TEXT, nps INTEGER, last_survey_at INTEGER, p_alive FLOAT, PRIMARY KEY (person)) WITHOUT ROWID""",
    "CREATE TABLE alias (previous TEXT NOT NULL, person INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (previous)) WITHOUT ROWID",
    "CREATE INDEX profile_score_until ON profile (score_until) WHERE score_until IS NOT NULL",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
