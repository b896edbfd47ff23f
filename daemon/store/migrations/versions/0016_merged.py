"""Recipients that became another one."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE merged (person INTEGER NOT NULL, survivor INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (person))"
        " WITHOUT ROWID"
    )
    op.execute("CREATE INDEX merged_survivor ON merged (survivor)")
