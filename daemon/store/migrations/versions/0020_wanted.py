"""Who looked at which product of the catalogue, for what is back in stock."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE wanted (person INTEGER NOT NULL, product TEXT NOT NULL, at INTEGER NOT NULL,"
        " PRIMARY KEY (person, product)) WITHOUT ROWID"
    )
