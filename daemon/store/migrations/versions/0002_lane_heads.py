"""Lanes keep their head and campaign, flights what their record needs; the indexes of `flight` go."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ADDED = {
    "lane": ("campaign INTEGER DEFAULT 0 NOT NULL", "head INTEGER", "person INTEGER"),
    "flight": (
        "campaign INTEGER DEFAULT 0 NOT NULL",
        "lane INTEGER DEFAULT 0 NOT NULL",
        "attempts INTEGER DEFAULT 0 NOT NULL",
        "doubted INTEGER DEFAULT 0 NOT NULL",
        "uncapped INTEGER DEFAULT 0 NOT NULL",
    ),
}


def upgrade() -> None:
    """Columns, what they hold, then the indexes."""
    for table, columns in ADDED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    op.execute(
        "UPDATE lane SET campaign = (SELECT campaign FROM job WHERE job.id = lane.job), "
        "head = (SELECT min(not_before) FROM due WHERE due.lane = lane.id), "
        "person = (SELECT delivery.person FROM job JOIN delivery ON delivery.id = job.first_id "
        "WHERE job.id = lane.job AND job.accepted = 1)"
    )
    op.execute(
        "UPDATE flight SET campaign = (SELECT campaign FROM wave WHERE wave.id = flight.wave), "
        "(lane, attempts, doubted) = (SELECT lane, attempts, coalesce(key, '') = 'doubt' FROM delivery WHERE delivery.id = flight.delivery)"
    )
    op.execute("CREATE INDEX lane_ahead ON lane (channel, queue, priority, head) WHERE head IS NOT NULL")
    op.execute("CREATE INDEX lane_campaign ON lane (campaign) WHERE head IS NOT NULL AND person IS NULL")
    op.execute("CREATE INDEX lane_person ON lane (person) WHERE person IS NOT NULL")
    op.execute("DROP INDEX flight_person")
    op.execute("DROP INDEX flight_address")
