"""The end of an expansion: all rows are in and the guard rails decide, or the body cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from daemon.model.delivery import Reason
from daemon.model.job import JobState, RowError
from daemon.store import schema as s
from daemon.store.jobs import KEPT_ERRORS, errors_from_json, errors_to_json
from daemon.store.plan import EXPANDING
from daemon.store.sql import many, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The guard rails of a job's size; 0 = none. `unexpected`: the most without an `expected_count`."""

    queue: int = 0
    unexpected: int = 0


_DROP_META = delete(s.meta).where(s.meta.c.key == bindparam("b_key"))


def _drop_progress(conn: Connection, job: int) -> None:
    many(conn, _DROP_META, ("b_key",), [(f"expansion:{job}",)])


_JOB = select(s.job).where(s.job.c.id == bindparam("b_id"))
_ONE_MORE = s.job.c.guard + literal_column("1")
_EXPANDED = (
    update(s.job)
    .where(s.job.c.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), expanded=literal_column("1"), guard=_ONE_MORE)
)


def end_expansion(conn: Connection, job: int, limits: Limits) -> JobState | None:
    """All rows are in: the counts are final, the guard rails decide. None if the job was cancelled meanwhile."""
    row = rows(conn, _JOB, ("b_id",), (job,))[0]
    if row.state not in EXPANDING or row.expanded:
        return None
    reason = _stopped_by(row.rows, row.expected, limits)
    state = JobState.HELD if reason else JobState.PAUSED if row.state == JobState.PAUSED.value else JobState.ACCEPTED
    many(conn, _EXPANDED, ("b_id", "b_state", "b_reason"), [(job, state.value, reason.value if reason else None)])
    _drop_progress(conn, job)
    return state


def _stopped_by(rows: int, expected: int | None, limits: Limits) -> Reason | None:
    if expected is not None and rows != expected:
        return Reason.COUNT_MISMATCH
    if limits.queue and rows > limits.queue:
        return Reason.CEILING_EXCEEDED
    if expected is None and rows > limits.unexpected:
        return Reason.CEILING_EXCEEDED
    return None


def fail_job(conn: Connection, job: int, code: str, detail: str, line: int | None) -> bool:
    """The body cannot be read: nothing of the job is ever released. False if it was no longer being expanded."""
    row = rows(conn, _JOB, ("b_id",), (job,))[0]
    if row.state not in EXPANDING or row.expanded:
        return False
    errors = [RowError(line=line, code=code, detail=detail), *errors_from_json(row.errors)]
    kept = errors[:KEPT_ERRORS]
    values = {"state": JobState.FAILED.value, "reason": code, "guard": row.guard + 1, "errors": errors_to_json(kept)}
    conn.execute(update(s.job).where(s.job.c.id == job).values(**values, errors_omitted=row.errors_omitted + len(errors) - len(kept)))
    _drop_progress(conn, job)
    return True
