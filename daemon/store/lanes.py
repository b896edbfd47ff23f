"""Which lanes a claim may look at: the first ones of each queue, found by `lane.head` whatever the number of open jobs.

Lanes lie in the index by (channel, queue, priority, head). The index is stepped through group by group, and in each group the
lanes whose head is due are read in their order, until enough may run. Named limit: the lanes of what is paused stay where they
are, so those that lie ahead are passed by one by one (3 µs each).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, tuple_

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, walk

MAX_LANES = 32
"""Lanes of one channel, queue and priority that a claim may choose from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLane:
    """A lane whose head is due now."""

    id: int
    queue: str
    priority: int
    channel: str
    head: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """`due`: the first lanes of each channel, queue and priority that have something due and may run; `next_due`: when the first of
    those that have nothing due yet will have."""

    due: Sequence[DueLane]
    next_due: Instant | None
    more: bool
    """Some group may have more of them."""


RUNNING = (
    select(s.job.c.id)
    .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
    .where(s.job.c.id == s.lane.c.job, s.job.c.state == "accepted")
    .where(s.campaign.c.status == "active", func.coalesce(s.queue.c.paused, 0) == 0)
    .correlate(s.lane)
)
"""The job of a lane, if it may run. Looked up for each lane: as a join, SQLite walks all jobs that ever were."""
_GROUP = tuple_(s.lane.c.channel, s.lane.c.queue, s.lane.c.priority)
_NEXT_GROUP = (
    select(s.lane.c.channel, s.lane.c.queue, s.lane.c.priority)
    .where(s.lane.c.head.is_not(None), tuple_(bindparam("channel"), bindparam("queue"), bindparam("priority")) < _GROUP)
    .order_by(s.lane.c.channel, s.lane.c.queue, s.lane.c.priority)
    .limit(1)
)
_GROUP_NAMES = ("channel", "queue", "priority")
_OF_GROUP = (
    s.lane.c.channel == bindparam("channel"),
    s.lane.c.queue == bindparam("queue"),
    s.lane.c.priority == bindparam("priority"),
    RUNNING.exists(),
)
_LANES = (
    select(s.lane.c.id, s.lane.c.head)
    .where(*_OF_GROUP, s.lane.c.head.is_not(None))
    .order_by(s.lane.c.head, s.lane.c.id)
    .limit(MAX_LANES)
)
"""Read one by one, to the first that is not due."""


_HEADS = select(s.lane.c.head).where(in_list(s.lane.c.id, "lanes"), s.lane.c.head.is_not(None))


def first_lanes(conn: Connection, now: Instant) -> Lanes:
    """What claiming may choose from."""
    due: list[DueLane] = []
    later: list[Instant] = []
    more = False
    group: tuple[str, str, int] = ("", "", -1)
    while found := fetch(conn, _NEXT_GROUP, _GROUP_NAMES, group):
        channel, queue, priority = group = (found[0][0], found[0][1], found[0][2])
        before = len(due)
        for lane, head in walk(conn, _LANES, _GROUP_NAMES, group):
            if head > now:
                later.append(head)
                break
            due.append(DueLane(id=lane, queue=queue, priority=priority, channel=channel, head=head))
        more = more or len(due) - before == MAX_LANES
    return Lanes(due=due, next_due=min(later, default=None), more=more)


def heads_of(conn: Connection, lanes: Iterable[int]) -> list[Instant]:
    """When the first rows of these lanes are due; those that are empty have none."""
    return [head for (head,) in fetch(conn, _HEADS, ("lanes",), (ids(lanes),))]
