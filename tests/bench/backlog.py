"""A store with any number of due deliveries, filled directly: the daemon's own schema, rows and indexes, without its intake.

How it is made: `INSERT .. SELECT` over a number series, with syncing off, into the empty store that `Store.open` made. Persons have
ids spread evenly over the 63 bits, as their hashes are; deliveries are numbered in order of person inside their job, as expansion
plans them, and fall due in that order, as spreading puts them (`policy.spread`). Ten jobs of one campaign hold every tenth person
each, all due for a while already (`jobs` = many: each claim takes a few rows of lanes whose persons lie far apart, the worst that
a backlog can be). Each person was written to three days ago by another campaign, so caps have something to count.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from daemon.content.version import CampaignVersion
from daemon.model.campaign import Campaign, CampaignStatus, Purpose, Step
from daemon.model.delivery import DAY, MINUTE, SECOND, Instant
from daemon.store.recover import begin
from daemon.store.writer import Lane, Store

JOBS = 10
RING = (1 << 63) - 1
FIRST_DELIVERY = 1 << 40
TEMPLATE = "---\nsubject: {{ recipient.id }}, we miss you\n---\n<p>Hello {{ recipient.id }}</p><p>{{ vars.last_product }}</p>\n"

_SERIES = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
_PERSON = "(:ring / :rows) * i + 1"
_DELIVERY = ":first + (i % :jobs) * :each + i / :jobs"
_FILL = {
    "recipient": f"""INSERT INTO recipient (id, key, email, phone, zone, locale, country, traits, email_hash, phone_hash, created_at, updated_at)
        {_SERIES} SELECT {_PERSON}, 'customer-' || i, 'customer-' || i || '@example-' || (i % 500) || '.com', NULL, 'Asia/Jakarta', 'id', NULL,
        '{{"first_name":"Name' || (i % 1000) || '","tier":"high"}}', randomblob(32), NULL, :now, :now FROM n""",
    "delivery": f"""INSERT INTO delivery (id, wave, person, job, version, state, lane, not_before, expires_at, attempts, vars)
        {_SERIES} SELECT {_DELIVERY}, 1, {_PERSON}, 1 + i % :jobs, 1, 'due', 1 + i % :jobs, :due + i * :spread / :rows, :ends, 0,
        '{{"last_product":"shoes"}}' FROM n ORDER BY i % :jobs, i""",
    "due": f"INSERT INTO due {_SERIES} SELECT 1 + i % :jobs, :due + i * :spread / :rows, {_DELIVERY} FROM n ORDER BY i % :jobs, i",
    "touch": f"""INSERT INTO touch (person, at, delivery, channel, campaign, topic, zone)
        {_SERIES} SELECT {_PERSON}, :touched, 1 + i, 'email', 2, 'news', 'Asia/Jakarta' FROM n""",
}  # fmt: skip


def version() -> CampaignVersion:
    campaign = Campaign(
        name="winback", status=CampaignStatus.ACTIVE, purpose=Purpose.MARKETING, topic="winback",
        steps=(Step(name="reminder", channels=("email",)),),
    )  # fmt: skip
    return CampaignVersion.of(campaign, {"reminder.email.liquid": TEMPLATE})


async def _empty(path: Path, now: Instant) -> None:
    store = Store.open(path)
    await store.write(Lane.BULK, begin, now, "bench", "nonce")
    await store.close()


def make_backlog(path: Path, rows: int, now: Instant, jobs: int = JOBS) -> None:
    """The file at `path` with so many deliveries, due since an hour ago in half an hour's spread."""
    asyncio.run(_empty(path, now))
    values = {
        "last": rows - 1, "rows": rows, "ring": RING, "jobs": jobs, "each": -(-rows // jobs), "first": FIRST_DELIVERY, "now": now,
        "due": now - 60 * MINUTE, "spread": 30 * MINUTE, "ends": now + 3 * DAY, "touched": now - 3 * DAY,
    }  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000"):
            conn.execute(f"PRAGMA {pragma}").fetchall()
        conn.execute("BEGIN")
        _few(conn, now, rows, jobs)
        for statement in _FILL.values():
            conn.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
        conn.execute("UPDATE lane SET head = (SELECT min(not_before) FROM due WHERE due.lane = lane.id)")
        conn.execute("COMMIT")
        conn.execute("PRAGMA journal_mode = WAL").fetchall()


def _few(conn: sqlite3.Connection, now: Instant, rows: int, jobs: int) -> None:
    """Campaigns, their version, the wave, jobs with their lanes and counts."""
    body = version()
    conn.execute("INSERT INTO campaign VALUES (1, 'winback', 'active', 0, 1), (2, 'news', 'active', 0, 1)")
    conn.execute("INSERT INTO campaign_version VALUES (1, 1, ?, ?, ?)", (body.digest, body.to_json(), now))
    conn.execute("INSERT INTO wave VALUES (1, 1, 'reminder', 1, 'email')")
    for job in range(1, jobs + 1):
        each = (rows - job) // jobs + 1
        conn.execute(
            "INSERT INTO job (id, key, queue, campaign, version, digest, state, source, received_at, head, format, body, expanded, rows, accepted,"
            " priority) VALUES (?, ?, 'lapsed', 1, 1, 'd', 'accepted', 'spool', ?, '{}', 'json', 'b', 1, ?, ?, 50)",
            (job, f"job-{job}", now - 2 * 60 * 60 * SECOND, each, each),
        )
        conn.execute("INSERT INTO lane VALUES (?, 'lapsed', ?, 50, 'email', 1, NULL, NULL)", (job, job))
        conn.execute("INSERT INTO tally VALUES (?, 'due', '', ?)", (job, each))
