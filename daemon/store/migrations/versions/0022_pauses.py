"""When campaigns, queues and jobs were paused."""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE pause (kind TEXT NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER,"
        " PRIMARY KEY (kind, name, since)) WITHOUT ROWID"
    )
