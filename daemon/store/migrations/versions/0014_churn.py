"""How likely a recipient does not order again soon."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE profile ADD COLUMN churn FLOAT")
