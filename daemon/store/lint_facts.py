"""What a store knows that a look at campaigns wants: which traits its recipients have, how many people are in a segment. Reads only."""

from __future__ import annotations

from sqlalchemy import Connection, select, text

from daemon.store import schema as s
from daemon.store.schema_segments import segment

SAMPLE = 20_000
"""Recipients whose traits are looked at, the newest: a name that none of them has is as good as none."""

_TRAITS = text(
    "SELECT DISTINCT each.key FROM (SELECT traits FROM recipient WHERE traits IS NOT NULL ORDER BY id DESC LIMIT :n) AS some,"
    " json_each(some.traits) AS each WHERE each.type <> 'null'"
)


def trait_names(conn: Connection) -> frozenset[str] | None:
    """Names of traits that some recipient has; None = there is no recipient yet."""
    if conn.execute(select(s.recipient.c.id).limit(1)).first() is None:
        return None
    return frozenset(name for (name,) in conn.execute(_TRAITS, {"n": SAMPLE}))


def segment_sizes(conn: Connection) -> dict[str, int]:
    """Members of each segment that was evaluated."""
    return {row.name: row.members for row in conn.execute(select(segment.c.name, segment.c.members))}


