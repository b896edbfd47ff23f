"""Recipients lie in order of arrival, with a narrow index of their ids: the table is written anew, since `id` was its rowid."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = "id, key, email, phone, zone, locale, country, traits, email_hash, phone_hash, guard, erased, created_at, updated_at"
TABLE = """CREATE TABLE recipient (
    id BIGINT NOT NULL,
    "key" TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    zone TEXT,
    locale TEXT,
    country TEXT,
    traits TEXT,
    email_hash BLOB,
    phone_hash BLOB,
    guard INTEGER DEFAULT 0 NOT NULL,
    erased INTEGER DEFAULT 0 NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (id)
)"""


def upgrade() -> None:
    """In order of id, as they lay: what a claim reads together stays together, and the index is built from its one end."""
    op.execute("ALTER TABLE recipient RENAME TO recipient_before")
    op.execute(TABLE)
    op.execute(f"INSERT INTO recipient ({COLUMNS}) SELECT {COLUMNS} FROM recipient_before ORDER BY id")  # noqa: S608 - names of our own
    op.execute("DROP TABLE recipient_before")
