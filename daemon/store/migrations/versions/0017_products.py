"""The catalogue, who bought what of it, and what goes with what."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = (
    """CREATE TABLE product (
        "key" TEXT NOT NULL, name TEXT NOT NULL, url TEXT, image_url TEXT, category TEXT, price INTEGER, currency TEXT,
        in_stock INTEGER DEFAULT 1 NOT NULL, added_at INTEGER NOT NULL, restocked_at INTEGER, buyers INTEGER DEFAULT 0 NOT NULL,
        PRIMARY KEY ("key")) WITHOUT ROWID""",
    """CREATE TABLE bought (
        person INTEGER NOT NULL, product TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (person, product)) WITHOUT ROWID""",
    "CREATE INDEX bought_product ON bought (product, at, person)",
    """CREATE TABLE product_pair (
        product TEXT NOT NULL, place INTEGER NOT NULL, other TEXT NOT NULL, PRIMARY KEY (product, place)) WITHOUT ROWID""",
    """CREATE TABLE bestseller (
        category TEXT NOT NULL, place INTEGER NOT NULL, product TEXT NOT NULL, PRIMARY KEY (category, place)) WITHOUT ROWID""",
    # the orders that are there already, read as `journey.recommend.products_of` reads a new one
    """INSERT INTO bought (person, product, at)
        SELECT found.person, found.product, max(found.at) FROM (
            SELECT event.person, event.at, CAST(CASE
                WHEN line.type <> 'object' THEN NULL
                WHEN json_type(line.value, '$.product_id') IN ('text', 'integer') AND json_extract(line.value, '$.product_id') <> ''
                THEN json_extract(line.value, '$.product_id')
                WHEN json_type(line.value, '$.sku') IN ('text', 'integer') AND json_extract(line.value, '$.sku') <> ''
                THEN json_extract(line.value, '$.sku') END AS TEXT) AS product
            FROM event JOIN event_name ON event_name.id = event.name
            CROSS JOIN json_each(event.properties, '$.products') AS line
            WHERE event_name.name = 'Order Completed' AND json_type(event.properties, '$.products') = 'array'
                AND line.type = 'object' AND line.key < 100) AS found
        WHERE found.product IS NOT NULL AND length(found.product) <= 100
        GROUP BY found.person, found.product""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
