"""What is held, and the operator's two answers to it: release, cancel (design: Hold = until an operator or new data frees it).

A job is held as a whole (count mismatch, ceiling), a delivery alone (no variable, no zone). Counts come from `tally`, so a
million held rows are counted at once; they are freed or cancelled a stretch at a time, so that no transaction is long.
Whoever frees a delivery lets the rules decide it anew: nothing here sends.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, func, insert, literal_column, null, or_, select, update

from daemon.model.delivery import REASONS, Instant, Reason, State
from daemon.model.job import JobState
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.sql import fetch, ids, in_list, many, value
from daemon.store.tallies import Tallies

CHUNK = 500
"""Deliveries freed or cancelled in one transaction: a few milliseconds."""

WAITING = (State.PLANNED.value, State.DUE.value, State.CLAIMED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWhere:
    """Which held things are meant; None = any. `job` is the job's key, `delivery` the store's number."""

    reason: str | None = None
    campaign: str | None = None
    queue: str | None = None
    job: str | None = None
    delivery: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGroup:
    """A held job (`whole`; `count` = its deliveries that wait), or the held deliveries of one job with one reason."""

    whole: bool
    reason: str
    job: int
    job_key: str
    queue: str
    campaign: str
    count: int
    since: Instant | None
    key: str | None
    delivery: int | None
    recipient: str | None
    decision: Mapping[str, Any] | None

    @property
    def position(self) -> tuple[int, str]:
        """Where it stands in the list: jobs in order of arrival, a job before its deliveries."""
        return (self.job, "" if self.whole else self.reason)

    @property
    def remedy(self) -> str:
        """What an operator can do about it."""
        return REASONS[Reason(self.reason)].remedy


def _jobs_where(where: HeldWhere) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if where.job is not None:
        conditions.append(s.job.c.key == where.job)
    if where.queue is not None:
        conditions.append(s.job.c.queue == where.queue)
    if where.campaign is not None:
        conditions.append(s.campaign.c.name == where.campaign)
    return conditions


_WAITS = (
    select(func.coalesce(func.sum(s.tally.c.n), 0))
    .where(s.tally.c.job == s.job.c.id, s.tally.c.state.in_(WAITING))
    .correlate(s.job)
    .scalar_subquery()
)


def _held_jobs(where: HeldWhere) -> Select[Any]:
    query = (
        select(s.job.c.id, s.job.c.key, s.job.c.queue, s.campaign.c.name, s.job.c.reason, s.job.c.received_at, _WAITS.label("n"))
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .where(s.job.c.finished_at.is_(None), s.job.c.state == JobState.HELD.value, *_jobs_where(where))
    )
    return query if where.reason is None else query.where(s.job.c.reason == where.reason)


def _held_tallies(where: HeldWhere) -> Select[Any]:
    query = (
        select(s.job.c.id, s.job.c.key, s.job.c.queue, s.campaign.c.name, s.tally.c.reason, s.tally.c.n)
        .join(s.job, s.job.c.id == s.tally.c.job)
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .where(s.tally.c.state == State.HELD.value, s.tally.c.n > 0, *_jobs_where(where))
    )
    return query if where.reason is None else query.where(s.tally.c.reason == where.reason)


def list_held(conn: Connection, where: HeldWhere, after: tuple[int, str] | None, limit: int) -> list[HeldGroup]:
    """At most `limit` groups after the position `after`, in order of position."""
    if where.delivery is not None:
        return _one_held(conn, where.delivery)
    job, reason = after or (0, "")
    whole = _held_jobs(where).where(s.job.c.id > (job if after else -1)).order_by(s.job.c.id).limit(limit)
    groups = [
        HeldGroup(
            whole=True, reason=why or Reason.OPERATOR.value, job=number, job_key=key, queue=queue, campaign=campaign, count=n, since=at,
            key=None, delivery=None, recipient=None, decision=None,
        )
        for number, key, queue, campaign, why, at, n in conn.execute(whole)
    ]  # fmt: skip
    later = or_(s.job.c.id > job, and_(s.job.c.id == job, s.tally.c.reason > reason))
    rows = conn.execute(_held_tallies(where).where(later).order_by(s.job.c.id, s.tally.c.reason).limit(limit)).all()
    groups += [_with_example(conn, row) for row in rows]
    return sorted(groups, key=lambda group: group.position)[:limit]


_SINCE = func.max(func.coalesce(s.delivery.c.decided_at, 0), s.delivery.c.not_before)
"""A claim writes `decided_at`; what is held later (no variable) is held at its `not_before`."""
_EXAMPLE = (
    select(s.delivery.c.id, s.recipient.c.key, _SINCE, s.delivery.c.key, s.delivery.c.decision)
    .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .where(s.delivery.c.state == State.HELD.value)
    .order_by(s.delivery.c.reason, s.delivery.c.id)
    .limit(1)
)


def _with_example(conn: Connection, row: Sequence[Any]) -> HeldGroup:
    number, key, queue, campaign, reason, n = row
    found = conn.execute(_EXAMPLE.where(s.delivery.c.job == number, s.delivery.c.reason == reason)).first()
    delivery, recipient, since, frees, decision = found if found is not None else (None, None, None, None, None)
    return HeldGroup(
        whole=False, reason=reason, job=number, job_key=key, queue=queue, campaign=campaign, count=n, since=since, key=frees,
        delivery=delivery, recipient=recipient, decision=json.loads(decision) if decision else None,
    )  # fmt: skip


def _one_held(conn: Connection, delivery: int) -> list[HeldGroup]:
    row = conn.execute(
        select(s.job.c.id, s.job.c.key, s.job.c.queue, s.campaign.c.name, s.delivery.c.reason)
        .join(s.job, s.job.c.id == s.delivery.c.job)
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .where(s.delivery.c.id == delivery, s.delivery.c.state == State.HELD.value)
    ).first()
    if row is None:
        return []
    found = conn.execute(_EXAMPLE.where(s.delivery.c.id == delivery)).one()
    number, recipient, since, frees, decision = found
    return [
        HeldGroup(
            whole=False, reason=row[4], job=row[0], job_key=row[1], queue=row[2], campaign=row[3], count=1, since=since, key=frees,
            delivery=number, recipient=recipient, decision=json.loads(decision) if decision else None,
        )
    ]  # fmt: skip


def count_held(conn: Connection, where: HeldWhere) -> int:
    """How many deliveries are meant: those of held jobs that wait, and those held alone."""
    if where.delivery is not None:
        return len(_one_held(conn, where.delivery))
    whole = conn.execute(_held_jobs(where)).all()
    return int(sum(row.n for row in whole) + sum(row.n for row in conn.execute(_held_tallies(where))))


def release_held_jobs(conn: Connection, where: HeldWhere) -> int:
    """Held jobs go on. Returns the number of their deliveries that wait."""
    if where.delivery is not None:
        return 0
    rows = conn.execute(_held_jobs(where)).all()
    goes_on = case((s.job.c.expanded == 1, JobState.ACCEPTED.value), else_=JobState.RECEIVING.value)
    released = update(s.job).where(in_list(s.job.c.id, "ids")).values(state=goes_on, reason=None, guard=s.job.c.guard + 1)
    conn.execute(released, {"ids": ids(row.id for row in rows)})
    return int(sum(row.n for row in rows))


def held_job_keys(conn: Connection, where: HeldWhere) -> list[str]:
    """The keys of the held jobs that are meant, to be cancelled one by one."""
    return [] if where.delivery is not None else [row.key for row in conn.execute(_held_jobs(where))]


def _some_held(conn: Connection, where: HeldWhere, limit: int) -> Sequence[Any]:
    query = (
        select(s.delivery.c.id, s.delivery.c.job, s.delivery.c.reason, s.delivery.c.key, s.delivery.c.lane, s.wave.c.channel)
        .join(s.wave, s.wave.c.id == s.delivery.c.wave)
        .join(s.job, s.job.c.id == s.delivery.c.job)
        .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
        .where(s.delivery.c.state == State.HELD.value, *_jobs_where(where))
        .order_by(s.delivery.c.reason, s.delivery.c.id)
        .limit(limit)
    )
    if where.reason is not None:
        query = query.where(s.delivery.c.reason == where.reason)
    if where.delivery is not None:
        query = query.where(s.delivery.c.id == where.delivery)
    return conn.execute(query).all()


_FREE = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=null(), key=bindparam("b_key"), lane=bindparam("b_lane"), not_before=bindparam("b_now"))
)
_END = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), ended_at=bindparam("b_now"))
)


_ANY_HELD = (
    select(s.tally.c.job)
    .where(s.tally.c.state == State.HELD.value, s.tally.c.reason == bindparam("reason"), s.tally.c.n > literal_column("0"))
    .limit(literal_column("1"))
)


def release_some_held(conn: Connection, where: HeldWhere, now: Instant, limit: int = CHUNK) -> int:
    """At most `limit` held deliveries become due now. Returns how many; 0 = none is left."""
    none = where.reason is not None and not fetch(conn, _ANY_HELD, ("reason",), (where.reason,))  # asked at each start
    rows = [] if none else _some_held(conn, where, limit)
    if not rows:
        return 0
    lanes = open_lanes(conn, {(row.job, row.channel, row.lane) for row in rows})
    tallies = Tallies()
    for row in rows:
        tallies.move(row.job, State.HELD, row.reason, State.DUE, "")
    freed = [(row.id, "doubt" if row.key == "doubt" else None, lanes[row.job, row.channel, row.lane]) for row in rows]
    many(conn, _FREE, ("b_id", "b_state", "b_key", "b_lane", "b_now"), [(i, State.DUE.value, key, lane, now) for i, key, lane in freed])
    put_due(conn, [(lane, now, i) for i, _, lane in freed])
    tallies.write(conn)
    return len(rows)


def cancel_some_held(conn: Connection, where: HeldWhere, now: Instant, limit: int = CHUNK) -> int:
    """At most `limit` held deliveries end as cancelled. Returns how many; 0 = none is left."""
    rows = _some_held(conn, where, limit)
    tallies = Tallies()
    ended: list[tuple[int, str, str | None, Instant | None]] = []
    for row in rows:
        if row.key == "doubt":  # a second copy that does not go leaves the first one's doubt
            tallies.move(row.job, State.HELD, row.reason, State.IN_DOUBT, "")
            ended.append((row.id, State.IN_DOUBT.value, None, None))
        else:
            tallies.move(row.job, State.HELD, row.reason, State.CANCELLED, Reason.OPERATOR.value)
            ended.append((row.id, State.CANCELLED.value, Reason.OPERATOR.value, now))
    many(conn, _END, ("b_id", "b_state", "b_reason", "b_now"), ended)
    tallies.write(conn)
    return len(rows)


Line = tuple[int, str, int]
_HAS_ENDED = or_(s.job.c.state == JobState.FINISHED.value, s.job.c.finished_at.is_not(None))
_GOES_ON = case(
    (s.job.c.state == literal_column(f"'{JobState.FINISHED.value}'"), literal_column(f"'{JobState.ACCEPTED.value}'")), else_=s.job.c.state
)
_REOPEN = update(s.job).where(in_list(s.job.c.id, "ids"), _HAS_ENDED).values(state=_GOES_ON, finished_at=null())
_LANES_OF = select(s.lane.c.job, s.lane.c.channel, s.lane.c.priority, s.lane.c.id).where(in_list(s.lane.c.job, "ids"))
_JOBS_OF = select(s.job.c.id, s.job.c.queue, s.job.c.priority, s.job.c.campaign).where(in_list(s.job.c.id, "ids"))
_LAST_LANE, _NEW_LANE = select(func.max(s.lane.c.id)), insert(s.lane)
_NEW_LANE_NAMES = ("id", "queue", "job", "priority", "channel", "campaign")


def open_lanes(conn: Connection, wanted: Collection[Line]) -> dict[Line, int]:
    """(job, channel, former lane; 0 = none) -> the lane for rows that come back to due: the former one, if it is still there. A finished
    job is opened again, a removed lane made anew. One that was cancelled stays so: its rows are swept, and it ends once more."""
    jobs = ids(sorted({job for job, _, _ in wanted}))
    many(conn, _REOPEN, ("ids",), [(jobs,)])
    have = {(job, channel, priority): lane for job, channel, priority, lane in fetch(conn, _LANES_OF, ("ids",), (jobs,))}
    about = {job: rest for job, *rest in fetch(conn, _JOBS_OF, ("ids",), (jobs,))}
    there = set(have.values())
    lanes: dict[Line, int] = {}
    for job, channel, former in sorted(wanted):
        queue, priority, campaign = about[job]
        number = former if former in there else have.get((job, channel, priority))
        if number is None:
            number = (value(conn, _LAST_LANE) or 0) + 1
            many(conn, _NEW_LANE, _NEW_LANE_NAMES, [(number, queue, job, priority, channel, campaign)])
            have[job, channel, priority] = number
        lanes[job, channel, former] = number
    return lanes
