"""Rows that wait for a turn at a slow destination, found in the due queue after a start.

The line that put them off knows them and lets them go when the destination is well again (`pacing.destinations`). What it knows ends
with the process: after a kill they would wait their turns out, up to an hour, though the destination may be well long since. No index
names them: they stand among what falls due within that time, which is read a stretch at a time and beside everything else.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, literal_column, select, tuple_

from daemon.model.delivery import Instant, Reason
from daemon.store import schema as s
from daemon.store.due import DueKey
from daemon.store.sql import fetch, ids, in_list

SLOW = "slow."
"""So begins the name of the rule that puts a row off for a slow destination."""
STRETCH = 1000
"""Due rows looked at in one reading: a few milliseconds."""

_LANES = select(s.lane.c.id).where(
    s.lane.c.head.is_not(None), in_list(s.lane.c.channel, "channels"), s.lane.c.head <= bindparam("until")
).order_by(s.lane.c.id)  # fmt: skip
_STRETCH = (
    select(
        s.due.c.lane, s.due.c.not_before, s.due.c.delivery,
        (s.delivery.c.reason == literal_column(f"'{Reason.RATE_LIMITED.value}'"))
        & func.json_extract(s.delivery.c.decision, literal_column("'$.rule[0]'")).startswith(literal_column(f"'{SLOW}'")),
    )
    .join(s.delivery, s.delivery.c.id == s.due.c.delivery)
    .where(
        s.due.c.lane == bindparam("lane"),
        tuple_(s.due.c.not_before, s.due.c.delivery) > tuple_(bindparam("at"), bindparam("after")),
        s.due.c.not_before <= bindparam("until"),
    )
    .order_by(s.due.c.not_before, s.due.c.delivery)
    .limit(bindparam("n"))
)  # fmt: skip


def lanes_until(conn: Connection, channels: Collection[str], until: Instant) -> list[int]:
    """The lanes of these channels in which something falls due by then."""
    return [lane for (lane,) in fetch(conn, _LANES, ("channels", "until"), (ids(sorted(channels)), until))]


def find_turns(conn: Connection, lane: int, after: tuple[Instant, int], until: Instant) -> tuple[list[DueKey], tuple[Instant, int] | None]:
    """One stretch of a lane behind `after` (not_before, delivery): what waits for a turn at a slow destination, and where the next
    stretch begins; None: there is none."""
    rows = fetch(conn, _STRETCH, ("lane", "at", "after", "until", "n"), (lane, *after, until, STRETCH))
    found = [(number, at, delivery) for number, at, delivery, waits in rows if waits]
    return found, (rows[-1][1], rows[-1][2]) if len(rows) == STRETCH else None
