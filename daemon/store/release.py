"""Release: planned deliveries of an accepted job fall due, a stretch at a time, behind a durable cursor; and what becomes of
the deliveries of a job that was cancelled or has failed.

The instants come in from outside (`audience.release` asks the rules); here they are only written. A row in flight has no due
row and is left alone: it ends, or comes back to due and is swept then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, delete, exists, func, literal_column, null, or_, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.model.job import JobState
from daemon.store import schema as s
from daemon.store.due import put_due, take_due
from daemon.store.jobs import any_ended
from daemon.store.plan import WORK, Work, jobs_to_expand, read_work
from daemon.store.sql import fetch, ids, in_list, many, pour
from daemon.store.tallies import Tallies
from daemon.store.walk_jobs import sweep_walks
from daemon.store.waves import lane_of, wave_of
from daemon.store.writer import redone


class Planned(NamedTuple):
    """A planned delivery with what its first instant and its channel rest on. `traits` = JSON text, only if it names quiet hours or
    preferred channels."""

    delivery: int
    lane: int
    person: int
    key: str
    zone: str | None
    phone: str | None
    country: str | None
    traits: str | None
    email: str | None
    channel: str


class Timed(NamedTuple):
    """`not_before` None: no instant before `expires_at` is allowed; it expires now, with `reason`. `channel`: it goes over this one
    instead of that for which it was planned."""

    delivery: int
    lane: int
    not_before: Instant | None
    expires_at: Instant
    reason: str = ""
    channel: str | None = None


_TELLING = or_(*(func.instr(s.recipient.c.traits, name) > 0 for name in ("quiet_hours", "preferred_channels")))
_PLANNED = (
    select(
        s.delivery.c.id, s.delivery.c.lane, s.recipient.c.id, s.recipient.c.key, s.recipient.c.zone, s.recipient.c.phone,
        s.recipient.c.country, case((_TELLING, s.recipient.c.traits)), s.recipient.c.email, s.wave.c.channel,
    )
    .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(
        s.delivery.c.id > bindparam("after"), s.delivery.c.id <= bindparam("last"), s.delivery.c.job == bindparam("job"),
        s.delivery.c.state == State.PLANNED.value,
    )
    .order_by(s.delivery.c.id)
    .limit(bindparam("n"))
)  # fmt: skip
_DUE = (
    f"UPDATE delivery SET state = '{State.DUE.value}', not_before = v.column1, expires_at = v.column2"  # noqa: S608 - words of our own
    f" FROM (VALUES {{rows}}) AS v WHERE delivery.id = v.column3 AND delivery.state = '{State.PLANNED.value}'"
)
_EXPIRED = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column(f"'{State.EXPIRED.value}'"), reason=bindparam("b_reason"), expires_at=bindparam("b_expires"),
            ended_at=bindparam("b_now"))
)  # fmt: skip


_TO_RELEASE = WORK.where(
    s.job.c.finished_at.is_(None),
    s.job.c.state == JobState.ACCEPTED.value,
    s.job.c.expanded == 1,
    s.job.c.last_id.is_not(None),
    or_(s.job.c.release_cursor.is_(None), s.job.c.release_cursor < s.job.c.last_id),
).order_by(s.job.c.id)


def jobs_to_release(conn: Connection) -> list[Work]:
    """Accepted jobs of which some planned delivery is not out yet."""
    return read_work(conn, _TO_RELEASE)


def read_planned(conn: Connection, job: int, after: int, last: int, limit: int) -> list[Planned]:
    """The next planned deliveries of a job, in order of id."""
    return [Planned._make(row) for row in fetch(conn, _PLANNED, ("after", "last", "job", "n"), (after, last, job, limit))]


_STANDS = select(s.job.c.state, s.job.c.accepted).where(s.job.c.id == bindparam("b_id"))
_MOVE_ON = update(s.job).where(s.job.c.id == bindparam("b_id")).values(release_cursor=bindparam("b_cursor"))


@redone
def release_chunk(conn: Connection, job: int, timed: Sequence[Timed], cursor: int, now: Instant) -> bool:
    """These fall due, and the cursor moves on to `cursor`. False = the job is not accepted any more; nothing was done."""
    state, people = fetch(conn, _STANDS, ("b_id",), (job,))[0]
    if state != JobState.ACCEPTED.value:
        return False
    timed = _move(conn, job, timed)
    due = [(item, item.not_before) for item in timed if item.not_before is not None]
    expired = [item for item in timed if item.not_before is None]
    changed = pour(conn, _DUE, [(at, item.expires_at, item.delivery) for item, at in due])
    if changed != len(due):
        raise LookupError(f"job {job}: {len(due) - changed} of {len(due)} deliveries were not planned any more when they were released")
    put_due(conn, [(item.lane, at, item.delivery) for item, at in due])
    if people == 1 and due:
        person = select(s.delivery.c.person).where(s.delivery.c.id == due[0][0].delivery).scalar_subquery()
        conn.execute(update(s.lane).where(s.lane.c.job == job).values(person=person))
    many(conn, _EXPIRED, ("b_id", "b_reason", "b_expires", "b_now"), [(i.delivery, i.reason, i.expires_at, now) for i in expired])
    tallies = Tallies()
    tallies.add(job, State.PLANNED, "", -len(timed))
    tallies.add(job, State.DUE, "", len(due))
    for item in expired:
        tallies.add(job, State.EXPIRED, item.reason)
    tallies.write(conn)
    many(conn, _MOVE_ON, ("b_cursor", "b_id"), [(cursor, job)])
    return True


_STEP = select(s.wave.c.id, s.wave.c.campaign, s.wave.c.step, s.wave.c.occurrence).where(in_list(s.wave.c.id, "waves"))
_WAVES_OF = select(s.delivery.c.id, s.delivery.c.wave).where(in_list(s.delivery.c.id, "ids"))
_LINE = select(s.job.c.priority, s.job.c.queue, s.job.c.campaign).where(s.job.c.id == bindparam("b_id"))
_MOVED = (
    update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(wave=bindparam("b_wave"), lane=bindparam("b_lane"))
)  # fmt: skip


def _move(conn: Connection, job: int, timed: Sequence[Timed]) -> Sequence[Timed]:
    """Those that go over another channel than was planned get its wave and its lane."""
    moving = {item.delivery: item.channel for item in timed if item.channel is not None}
    if not moving:
        return timed
    [(priority, queue, campaign)] = fetch(conn, _LINE, ("b_id",), (job,))
    planned = dict(fetch(conn, _WAVES_OF, ("ids",), (ids(sorted(moving)),)))
    steps = {row[0]: row[1:] for row in fetch(conn, _STEP, ("waves",), (ids(sorted(set(planned.values()))),))}
    targets = {(planned[delivery], channel) for delivery, channel in moving.items()}
    waves = {(wave, channel): wave_of(conn, (*steps[wave], channel)) for wave, channel in sorted(targets)}
    lanes = {channel: lane_of(conn, (job, priority, channel), queue, campaign) for channel in sorted(set(moving.values()))}
    rows = [(delivery, waves[planned[delivery], channel], lanes[channel]) for delivery, channel in moving.items()]
    many(conn, _MOVED, ("b_id", "b_wave", "b_lane"), rows)
    return [item if item.channel is None else item._replace(lane=lanes[item.channel]) for item in timed]


_ENDING = (JobState.CANCELLED.value, JobState.FAILED.value)
_SWEPT = (State.PLANNED.value, State.DUE.value, State.HELD.value)
_TO_SWEEP = exists().where(s.tally.c.job == s.job.c.id, s.tally.c.state.in_(_SWEPT), s.tally.c.n > 0)
_DUE_OF_JOB = (
    select(s.due.c.lane, s.due.c.not_before, s.due.c.delivery)
    .where(s.due.c.lane == bindparam("lane"))
    .order_by(s.due.c.not_before, s.due.c.delivery)
    .limit(bindparam("n"))
)
_UNDUE = (
    select(s.delivery.c.id, s.delivery.c.state, s.delivery.c.reason)
    .where(
        s.delivery.c.id > bindparam("after"), s.delivery.c.id <= bindparam("last"), s.delivery.c.job == bindparam("job"),
        s.delivery.c.state.in_((State.PLANNED.value, State.HELD.value)),
    )
    .order_by(s.delivery.c.id)
    .limit(bindparam("n"))
)  # fmt: skip
_SOME_HELD = exists().where(s.tally.c.job == bindparam("job"), s.tally.c.state == State.HELD.value, s.tally.c.n > 0)
_HELD_LATER = (
    select(s.delivery.c.id, s.delivery.c.state, s.delivery.c.reason)
    .where(s.delivery.c.state == literal_column(f"'{State.HELD.value}'"), s.delivery.c.job == bindparam("job"), _SOME_HELD)
    .order_by(s.delivery.c.reason, s.delivery.c.id)
    .limit(bindparam("n"))
)
"""What follows another delivery has a number beyond those of its job; the held ones are found among all that is held."""
_CANCEL = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column(f"'{State.CANCELLED.value}'"), reason=bindparam("b_reason"), ended_at=bindparam("b_now"))
)
_DOUBTED = select(s.delivery.c.id).where(in_list(s.delivery.c.id, "ids"), s.delivery.c.key == literal_column("'doubt'"))
_DOUBT = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column(f"'{State.IN_DOUBT.value}'"), reason=null())
)
_FORGET = delete(s.delivery).where(s.delivery.c.id == bindparam("b_id"))


class ToSweep(NamedTuple):
    id: int
    state: str
    first_id: int | None
    last_id: int | None
    enrols: int = 0


_SWEEP = (
    select(s.job.c.id, s.job.c.state, s.job.c.first_id, s.job.c.last_id, s.job.c.enrols)
    .where(s.job.c.state.in_(_ENDING), s.job.c.finished_at.is_(None), _TO_SWEEP)
    .order_by(s.job.c.id)
)


def jobs_to_sweep(conn: Connection) -> list[ToSweep]:
    """Cancelled and failed jobs with deliveries that have not ended."""
    return [ToSweep._make(row) for row in fetch(conn, _SWEEP)]


class Swept(NamedTuple):
    """`ended` 0 = only what is in flight is left. `cursor`: where the next call goes on."""

    ended: int
    cursor: int


def sweep_some(conn: Connection, job: ToSweep, after: int, now: Instant, limit: int) -> Swept:
    """End at most `limit` deliveries of a cancelled job; forget those of a failed one, which nobody was promised, so that the
    mended body can enrol the same people. `after`: 0, then the cursor of the last call."""
    if job.enrols and job.first_id is not None and job.last_id is not None:
        return Swept(*sweep_walks(conn, job.id, job.state, max(after, job.first_id - 1), job.last_id, now, limit))
    taken: list[Any] = []
    if job.state == JobState.CANCELLED.value:
        for lane in conn.execute(select(s.lane.c.id).where(s.lane.c.job == job.id)).scalars().all():
            if len(taken) < limit:
                taken += conn.execute(_DUE_OF_JOB, {"lane": lane, "n": limit - len(taken)}).all()
        take_due(conn, [(row.lane, row.not_before, row.delivery) for row in taken])
    ended: list[tuple[int, str, str | None]] = [(row.delivery, State.DUE.value, None) for row in taken]
    if len(ended) < limit:
        first, last = (job.first_id, job.last_id) if job.first_id is not None and job.last_id is not None else (1, 0)
        where = {"job": job.id, "after": max(after, first - 1), "last": last, "n": limit - len(ended)}
        rest = conn.execute(_UNDUE, where).all() or conn.execute(_HELD_LATER, {"job": job.id, "n": where["n"]}).all()
        ended += [(row.id, row.state, row.reason) for row in rest]
        after = rest[-1].id if rest else after
    if job.state == JobState.FAILED.value:
        many(conn, _FORGET, ("b_id",), [(delivery,) for delivery, _, _ in ended])
        _count(conn, job.id, ended)
    else:
        _cancel(conn, job.id, ended, now)
    return Swept(len(ended), after)


def _cancel(conn: Connection, job: int, rows: Sequence[tuple[int, str, str | None]], now: Instant) -> None:
    """They end as cancelled; a second copy that does not go leaves the first one's doubt."""
    doubted = set(conn.execute(_DOUBTED, {"ids": ids(row[0] for row in rows)}).scalars())
    many(conn, _CANCEL, ("b_id", "b_reason", "b_now"), [(row[0], Reason.OPERATOR.value, now) for row in rows if row[0] not in doubted])
    many(conn, _DOUBT, ("b_id",), [(delivery,) for delivery in sorted(doubted)])
    _count(conn, job, rows, cancelled=len(rows) - len(doubted), doubted=len(doubted))


def _count(conn: Connection, job: int, rows: Sequence[tuple[int, str, str | None]], *, cancelled: int = 0, doubted: int = 0) -> None:
    tallies = Tallies()
    for _, state, reason in rows:
        tallies.add(job, State(state), (reason or "") if state == State.HELD.value else "", -1)
    tallies.add(job, State.CANCELLED, Reason.OPERATOR.value, cancelled)
    tallies.add(job, State.IN_DOUBT, "", doubted)
    tallies.write(conn)


class OpenWork(NamedTuple):
    """What is left to be done for jobs. `ended`: there is something for `finish_jobs`."""

    expand: list[Work]
    release: list[Work]
    sweep: list[ToSweep]
    ended: bool


def find_work(conn: Connection) -> OpenWork:
    """All of it, on one snapshot."""
    return OpenWork(jobs_to_expand(conn), jobs_to_release(conn), jobs_to_sweep(conn), any_ended(conn))


_IN_USE = select(s.job.c.body).where(
    s.job.c.finished_at.is_(None), s.job.c.state.in_((JobState.RECEIVING.value, JobState.PAUSED.value)), s.job.c.expanded == 0
)


def bodies_in_use(conn: Connection) -> set[str]:
    """File names of bodies that are still to be read."""
    return {body for (body,) in fetch(conn, _IN_USE)}
