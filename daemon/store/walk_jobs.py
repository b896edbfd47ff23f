"""The walks that a job's rows began: let go when the job is accepted, taken back when it is cancelled or has failed (ADR 0010).

They are found by their numbers, as deliveries are (`job.first_id` .. `last_id`); `tally` counts those that stand still as `planned`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.model.job import JobState
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.wake import wake
from daemon.store.writer import redone

_W = s.walk.c
_SOME = (
    select(_W.id, _W.state, _W.person)
    .where(_W.id > bindparam("after"), _W.id <= bindparam("last"), _W.job == bindparam("job"))
    .order_by(_W.id)
    .limit(bindparam("n"))
)
_STANDS = select(s.job.c.state, s.job.c.last_id, s.job.c.not_before).where(s.job.c.id == bindparam("b_id"))
_GOES = (
    update(s.walk)
    .where(in_list(_W.id, "ids"), _W.state == literal_column(f"'{WalkState.PLANNED.value}'"))
    .values(state=literal_column(f"'{WalkState.OPEN.value}'"), next_at=bindparam("b_at"))
)
_MOVE_ON = update(s.job).where(s.job.c.id == bindparam("b_id")).values(release_cursor=bindparam("b_cursor"))


@redone
def release_walks(conn: Connection, job: int, after: int, now: Instant, limit: int) -> int | None:
    """Some of the walks of an accepted job begin to go. Returns the cursor, None = all do, or the job is not accepted any more."""
    state, last, not_before = fetch(conn, _STANDS, ("b_id",), (job,))[0]
    if state != JobState.ACCEPTED.value:
        return None
    found = fetch(conn, _SOME, ("after", "last", "job", "n"), (after, last, job, limit))
    many(conn, _GOES, ("ids", "b_at"), [(ids(row[0] for row in found), max(now, not_before or 0))])
    cursor = int(found[-1][0]) if len(found) == limit else int(last)
    many(conn, _MOVE_ON, ("b_cursor", "b_id"), [(cursor, job)])
    _count(conn, job, len(found))
    return None if cursor == last else cursor


_FORGET = delete(s.walk).where(in_list(_W.id, "ids"))
_TAKE_BACK = (
    update(s.walk)
    .where(in_list(_W.id, "ids"))
    .values(
        state=literal_column(f"'{WalkState.EXITED.value}'"), ended_at=bindparam("b_now"), next_at=bindparam("b_now"),
        end_reason=literal_column(f"'{Reason.OPERATOR.value}'"), settled=literal_column("0"),
    )
)  # fmt: skip
_RAISE = (
    update(s.recipient).where(in_list(s.recipient.c.id, "persons")).values(guard=s.recipient.c.guard + literal_column("1"))
)  # fmt: skip


def sweep_walks(conn: Connection, job: int, state: str, after: int, last: int, now: Instant, limit: int) -> tuple[int, int]:
    """Take back at most `limit` walks of a job: those of a cancelled one end, so that nothing more of them is sent; those of a failed one
    never were. Returns (how many were looked at, the cursor)."""
    found = fetch(conn, _SOME, ("after", "last", "job", "n"), (after, last, job, limit))
    if not found:
        return 0, after
    if state == JobState.FAILED.value:
        many(conn, _FORGET, ("ids",), [(ids(row[0] for row in found),)])
    else:
        mine = [row for row in found if row[1] in (WalkState.PLANNED.value, WalkState.OPEN.value)]
        persons = sorted({row[2] for row in mine})
        many(conn, _TAKE_BACK, ("ids", "b_now"), [(ids(row[0] for row in mine), now)])
        many(conn, _RAISE, ("persons",), [(ids(persons),)])
        wake(conn, persons, now)
    _count(conn, job, len(found))
    return len(found), int(found[-1][0])


def _count(conn: Connection, job: int, n: int) -> None:
    tallies = Tallies()
    tallies.add(job, State.PLANNED, "", -n)
    tallies.write(conn)


_OF_JOB = select(func.count()).where(_W.id >= bindparam("first"), _W.id <= bindparam("last"), _W.job == bindparam("job"))


def count_again(conn: Connection, job: int, first: int, last: int, waiting: Sequence[int]) -> None:
    """A job whose walks were let go is to be swept: all of them count as planned once more. `waiting`: that many still do."""
    n = fetch(conn, _OF_JOB, ("first", "last", "job"), (first, last, job))[0][0]
    _count(conn, job, sum(waiting) - n)
