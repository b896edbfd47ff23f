"""A member of an audience knows the job whose delivery put it in: a cancelled one takes it out again."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column without a value: no row is rewritten. Who was put in before stays until its time is up."""
    op.execute("ALTER TABLE audience_member ADD COLUMN job INTEGER")
