"""Jobs as rows: taken in once under their id, looked at, paused, resumed, cancelled, finished.

Control is one row with a raised guard, never an UPDATE over deliveries: what was claimed under the old guard is refused at
its handover. A job's planned rows are made by `plan`, released and swept by `release`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, func, insert, literal_column, or_, select, update

from daemon.errors import GuardRefusedError, IntakeError, NotFoundError
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Instant, State
from daemon.model.job import JobState, Receipt, RowError
from daemon.store import schema as s
from daemon.store.campaigns import Loaded, register
from daemon.store.enrolling import STANDING, WALKS, refuse_standing
from daemon.store.pauses import note_pause
from daemon.store.sql import fetch, ids, in_list, many, rows, value
from daemon.store.walk_jobs import count_again

KEPT_ERRORS = 100
"""Row errors that stand in the job itself; all of them are in its errors file."""
OPEN_STATES = (State.PLANNED, State.DUE, State.CLAIMED, State.HANDED_OVER, State.HELD)
"""Deliveries that may still be sent by themselves, or by an operator's release. A doubt is not: it is never sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job whose body is safely on disk. `inline`: the version of its own message, instead of a stored campaign.

    `body` = file name under STATE/jobs; rows begin at `offset`, behind line `line`. `head`, `window` = JSON text.
    """

    key: str
    queue: str
    campaign: str
    inline: Loaded | None = None
    digest: str
    source: str
    received_at: Instant
    head: str
    format: str
    body: str
    offset: int
    line: int
    expected: int | None
    priority: int
    not_before: Instant | None = None
    expires_at: Instant | None = None
    window: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """`fresh`: this call made the job; else it is the receipt of the same job that came before."""

    receipt: Receipt
    fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job as it stands. `deliveries` by state, `reasons` by reason (ended and held ones); `next_due`: the first instant at
    which one falls due; `expanded`: all rows are planned, so the counts are final."""

    receipt: Receipt
    deliveries: Mapping[str, int]
    reasons: Mapping[str, int]
    next_due: Instant | None
    finished_at: Instant | None
    expanded: bool


_JOBS: Select[Any] = select(
    s.job.c.id, s.job.c.key, s.job.c.queue, s.campaign.c.name.label("campaign"), s.job.c.version, s.job.c.digest, s.job.c.state,
    s.job.c.reason, s.job.c.source, s.job.c.received_at, s.job.c.head, s.job.c.rows, s.job.c.expected, s.job.c.accepted, s.job.c.duplicate,
    s.job.c.rejected, s.job.c.errors, s.job.c.errors_omitted, s.job.c.expanded, s.job.c.finished_at, s.job.c.enrols, s.job.c.first_id,
    s.job.c.last_id,
).join(s.campaign, s.campaign.c.id == s.job.c.campaign)  # fmt: skip
_BY_KEY: Select[Any] = _JOBS.where(s.job.c.key == bindparam("key"))


def errors_from_json(text: str | None) -> tuple[RowError, ...]:
    return tuple(RowError(**item) for item in json.loads(text)) if text else ()


def errors_to_json(errors: Sequence[RowError]) -> str | None:
    return json.dumps([asdict(error) for error in errors], ensure_ascii=False, separators=(",", ":")) if errors else None


def _receipt(row: Any) -> Receipt:
    return Receipt(
        job=row.key, queue=row.queue, campaign=row.campaign, version=row.version, source=row.source, received_at=row.received_at,
        digest=row.digest, state=JobState(row.state), reason=row.reason, rows=row.rows, expected=row.expected, accepted=row.accepted,
        duplicate=row.duplicate, rejected=row.rejected, errors=errors_from_json(row.errors), errors_omitted=row.errors_omitted,
    )  # fmt: skip


def _find(conn: Connection, key: str) -> Any:
    """The job of this id, None if there is none."""
    found = rows(conn, _BY_KEY, ("key",), (key,))
    return found[0] if found else None


def find_same(conn: Connection, key: str, digest: str, head: str) -> Receipt | None:
    """The receipt of this very job if it came before; None if the id is free. IntakeError `job-conflict` for other content.

    A job that failed accepted nothing, so its id is free for the mended body.
    """
    row = _find(conn, key)
    if row is None or (row.state == JobState.FAILED.value and (row.digest, row.head) != (digest, head)):
        return None
    if row.digest != digest:
        raise IntakeError("job-conflict", f'the job "{key}" came before with other content ({row.digest}); give the new one another id')
    if row.head != head:
        what = f'the job "{key}" came before with the same rows under another head ({row.head}); give the new one another id'
        raise IntakeError("job-conflict", what)
    return _receipt(row)


_PLANNED_ROWS = exists().where(s.tally.c.job == s.job.c.id, s.tally.c.n > 0)


_TAKEN = select(s.job.c.id, _PLANNED_ROWS.label("left")).where(s.job.c.key == bindparam("b_key"))


def _free_key(conn: Connection, key: str) -> None:
    """A failed job of this id goes on as `ID#NUMBER`. Not before what it had planned is forgotten: those people would count as
    enrolled already."""
    found = fetch(conn, _TAKEN, ("b_key",), (key,))
    if not found:
        return
    number, left = found[0]
    if left:
        raise IntakeError("not-ready", f'the job "{key}" failed a moment ago and is being cleared away; try again soon')
    conn.execute(update(s.job).where(s.job.c.id == number).values(key=f"{key}#{number}"))


_CAMPAIGN = select(s.campaign).where(s.campaign.c.name == bindparam("b_name"))
_LAST_JOB = select(func.max(s.job.c.id))
_NEW_JOB = insert(s.job)
_NEW_JOB_NAMES = (
    "id", "key", "queue", "campaign", "version", "digest", "state", "source", "received_at", "head", "format", "body", "offset", "line",
    "expected", "priority", "not_before", "expires_at", "window",
)  # fmt: skip


def accept_job(conn: Connection, new: NewJob, now: Instant) -> Accepted:
    """Make the job, in state `receiving`, or find that it is there. IntakeError: `job-conflict`, `unknown-campaign`, `invalid-job`,
    `not-ready`."""
    refuse_standing(new.key)
    before = find_same(conn, new.key, new.digest, new.head)
    if before is not None:
        return Accepted(receipt=before, fresh=False)
    _free_key(conn, new.key)
    if new.inline is not None:
        register(conn, [new.inline], {}, now)
    known = rows(conn, _CAMPAIGN, ("b_name",), (new.campaign,))
    if not known:
        raise IntakeError("unknown-campaign", f'no campaign is named "{new.campaign}"; `homing campaigns list` shows them')
    found = known[0]
    if found.status == "archived":
        raise IntakeError("invalid-job", f'the campaign "{new.campaign}" is archived: it takes no more jobs')
    number = (value(conn, _LAST_JOB) or 0) + 1
    many(conn, _NEW_JOB, _NEW_JOB_NAMES, [(
        number, new.key, new.queue, found.id, found.version, new.digest, JobState.RECEIVING.value, new.source, new.received_at, new.head,
        new.format, new.body, new.offset, new.line, new.expected, new.priority, new.not_before, new.expires_at, new.window,
    )])  # fmt: skip
    return Accepted(receipt=_receipt(_find(conn, new.key)), fresh=True)


_NEWEST = (
    select(s.campaign.c.status, s.campaign_version.c.body)
    .join(
        s.campaign_version,
        and_(s.campaign_version.c.campaign == s.campaign.c.id, s.campaign_version.c.version == s.campaign.c.version),
    )
    .where(s.campaign.c.name == bindparam("b_name"))
)


def read_campaign(conn: Connection, name: str) -> tuple[str, str] | None:
    """(status, JSON body of the newest version) of a campaign; None if there is none."""
    found = fetch(conn, _NEWEST, ("b_name",), (name,))
    return (found[0][0], found[0][1]) if found else None


_NEXT_DUE = select(func.min(s.lane.c.head)).where(s.lane.c.job == bindparam("job"))
_TALLIES = select(s.tally.c.job, s.tally.c.state, s.tally.c.reason, s.tally.c.n).where(in_list(s.tally.c.job, "jobs"), s.tally.c.n != 0)


def _views(conn: Connection, found: Sequence[Any]) -> list[JobView]:
    deliveries: dict[int, dict[str, int]] = {row.id: {} for row in found}
    reasons: dict[int, dict[str, int]] = {row.id: {} for row in found}
    for job, state, reason, n in fetch(conn, _TALLIES, ("jobs",), (ids(deliveries),)):
        deliveries[job][state] = deliveries[job].get(state, 0) + n
        if reason:
            reasons[job][reason] = reasons[job].get(reason, 0) + n
    return [
        JobView(
            receipt=_receipt(row), deliveries=deliveries[row.id], reasons=reasons[row.id],
            next_due=value(conn, _NEXT_DUE, ("job",), (row.id,)), finished_at=row.finished_at, expanded=bool(row.expanded),
        )
        for row in found
    ]  # fmt: skip


def read_job(conn: Connection, key: str) -> JobView | None:
    """The job as it stands; None if there is none of this id."""
    row = _find(conn, key)
    return _views(conn, [row])[0] if row is not None else None


def list_jobs(conn: Connection, *, queue: str | None = None, state: str | None = None, before: int | None = None, limit: int = 50) -> tuple[
    list[JobView], int | None
]:  # fmt: skip
    """The newest first, and the position to go on from (`before`), None at the end."""
    query: Select[Any] = _JOBS.order_by(s.job.c.id.desc()).limit(limit + 1)
    if queue is not None:
        query = query.where(s.job.c.queue == queue)
    if state is not None:
        query = query.where(s.job.c.state == state)
    if before is not None:
        query = query.where(s.job.c.id < before)
    found = conn.execute(query).all()
    return _views(conn, found[:limit]), found[limit - 1].id if len(found) > limit else None


def _set_state(conn: Connection, row: Any, state: JobState, **more: Any) -> None:
    conn.execute(update(s.job).where(s.job.c.id == row.id).values(state=state.value, guard=s.job.c.guard + literal_column("1"), **more))


def _present(conn: Connection, key: str) -> tuple[Any, JobState]:
    row = _find(conn, key)
    if row is None:
        raise NotFoundError(f'no job has the id "{key}"')
    return row, JobState(row.state)


def pause_job(conn: Connection, key: str, now: Instant) -> Receipt:
    """Nothing of it is sent until it is resumed; what is handed over may still go. A second time changes nothing."""
    row, state = _present(conn, key)
    if state in (JobState.RECEIVING, JobState.ACCEPTED):
        _set_state(conn, row, JobState.PAUSED)
        note_pause(conn, "job", key, now, paused=True)
    elif state is JobState.HELD:
        raise GuardRefusedError(f'the job "{key}" is held ({row.reason}): nothing of it is sent, so there is nothing to pause')
    elif state is not JobState.PAUSED:
        raise GuardRefusedError(f'the job "{key}" is {state.value}: there is nothing left to pause')
    return _receipt(_present(conn, key)[0])


def resume_job(conn: Connection, key: str, now: Instant) -> Receipt:
    """A paused job goes on. A second time changes nothing."""
    row, state = _present(conn, key)
    if state is JobState.PAUSED:
        _set_state(conn, row, JobState.ACCEPTED if row.expanded else JobState.RECEIVING)
        note_pause(conn, "job", key, now, paused=False)
    elif state is JobState.HELD:
        remedy = f"check it, then `homing held release --job {key} --expect N`"
        raise GuardRefusedError(f'the job "{key}" is held ({row.reason}), not paused; {remedy}')
    elif state not in (JobState.RECEIVING, JobState.ACCEPTED):
        raise GuardRefusedError(f'the job "{key}" is {state.value}: it cannot be resumed')
    return _receipt(_present(conn, key)[0])


_STANDING_GUARD = update(s.job).where(s.job.c.key == bindparam("b_key")).values(guard=s.job.c.guard + literal_column("1"))
_STANDING_STILL = select(s.tally.c.n).where(s.tally.c.job == bindparam("job"), s.tally.c.state == State.PLANNED.value)
_PUT_IN = (
    select(s.wave.c.id)
    .join(s.job, s.job.c.campaign == s.wave.c.campaign)
    .where(s.job.c.id == bindparam("job"), s.wave.c.channel == literal_column(f"'{AUDIENCE}'"))
    .limit(1)
)


def _take_back_walks(conn: Connection, row: Any) -> None:
    """They are swept, those that were let go already too; nothing of them that is claimed is handed over from now on."""
    many(conn, _STANDING_GUARD, ("b_key",), [(STANDING + row.campaign,)])
    waiting = fetch(conn, _STANDING_STILL, ("job",), (row.id,))
    count_again(conn, row.id, row.first_id, row.last_id, [n for (n,) in waiting])


def cancel_job(conn: Connection, key: str) -> Receipt:
    """What has not been handed over will not be; its deliveries end as `cancelled`, a stretch at a time. Whom it put into audiences leaves
    them, so such a job may be cancelled when it is finished, too. Nor do
    the walks that it began go on. A second time changes nothing."""
    row, state = _present(conn, key)
    if row.source == WALKS:
        raise GuardRefusedError(f'the job "{key}" is as old as its campaign; `homing campaigns archive {row.campaign}` ends both')
    if row.enrols and state is not JobState.CANCELLED:
        _take_back_walks(conn, row)
    if state in (JobState.RECEIVING, JobState.ACCEPTED, JobState.PAUSED, JobState.HELD):
        _set_state(conn, row, JobState.CANCELLED, reason="operator")
        conn.execute(delete(s.meta).where(s.meta.c.key == f"expansion:{row.id}"))  # where its body is: nobody reads on
    elif state is JobState.FINISHED and row.enrols:
        _set_state(conn, row, JobState.CANCELLED, reason="operator", finished_at=None)
    elif state is JobState.FINISHED and fetch(conn, _PUT_IN, ("job",), (row.id,)):
        _set_state(conn, row, JobState.CANCELLED, reason="operator")
    elif state is not JobState.CANCELLED:
        raise GuardRefusedError(f'the job "{key}" is {state.value}: there is nothing left to cancel')
    return _receipt(_present(conn, key)[0])


_LEFT = exists().where(
    s.tally.c.job == s.job.c.id, s.tally.c.state.in_([state.value for state in OPEN_STATES]), s.tally.c.n > 0
)  # fmt: skip
_ALL_OUT = or_(s.job.c.last_id.is_(None), and_(s.job.c.release_cursor.is_not(None), s.job.c.release_cursor == s.job.c.last_id))
_ENDED = select(s.job.c.id, s.job.c.key, s.job.c.state).where(
    s.job.c.finished_at.is_(None),
    or_(
        and_(s.job.c.state == "accepted", s.job.c.expanded == 1, _ALL_OUT, s.job.c.source != WALKS),
        s.job.c.state.in_(("cancelled", "failed")),
    ),
    ~_LEFT,
)
_DOUBTS = exists().where(s.tally.c.job == s.lane.c.job, s.tally.c.state == State.IN_DOUBT.value, s.tally.c.n > 0)


_ANY_ENDED = _ENDED.limit(1)
_ENDS = update(s.job).where(in_list(s.job.c.id, "ids")).values(finished_at=bindparam("b_now"))
_FINISHES = update(s.job).where(in_list(s.job.c.id, "ids")).values(state=bindparam("b_state"))
_DROP_LANES = delete(s.lane).where(in_list(s.lane.c.job, "ids"), ~_DOUBTS)


def any_ended(conn: Connection) -> bool:
    """Is there a job for `finish_jobs`?"""
    return bool(fetch(conn, _ANY_ENDED))


def finish_jobs(conn: Connection, now: Instant) -> list[str]:
    """Jobs that have nothing left to send end: accepted ones are `finished`, cancelled and failed ones keep their state.

    Their lanes go, unless a delivery is in doubt (an operator may still make it due again). Returns the ids of those that
    are now finished.
    """
    ended = rows(conn, _ENDED)
    if not ended:
        return []
    numbers = ids(row.id for row in ended)
    finished = [row for row in ended if row.state == JobState.ACCEPTED.value]
    many(conn, _ENDS, ("ids", "b_now"), [(numbers, now)])
    many(conn, _FINISHES, ("ids", "b_state"), [(ids(row.id for row in finished), JobState.FINISHED.value)])
    many(conn, _DROP_LANES, ("ids",), [(numbers,)])
    return [row.key for row in finished]
