"""What the messages of campaigns with a budget cost so far, and which of them are counted."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE outlay (campaign INTEGER NOT NULL, channel TEXT NOT NULL, micros INTEGER NOT NULL,"
        " PRIMARY KEY (campaign, channel)) WITHOUT ROWID"
    )
    op.execute("CREATE TABLE outlaid (delivery INTEGER NOT NULL, PRIMARY KEY (delivery))")
