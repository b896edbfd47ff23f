"""Planning: the rows of a job become recipients and `planned` deliveries, a batch at a time, with the place in the body.

Each batch is one transaction: after a crash expansion goes on where the job row and its progress say. Batches come in order of
person, so that what is written, released and claimed together lies together (in the order of the body every row would cost
two random pages). The guard rails are settled at the end: `store.expansion_end`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Text, Update, bindparam, cast, literal_column, select, update

from daemon.model.delivery import FINAL, Instant, Reason, State
from daemon.model.job import JobState, RowError
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.enrolling import Before, Entrant, Entry, deliveries_before, enrol
from daemon.store.jobs import KEPT_ERRORS, errors_from_json, errors_to_json
from daemon.store.meta import set_meta
from daemon.store.recipients import PlanRow, of_survivors, upsert_recipients
from daemon.store.sql import fetch, many, pour, pouring
from daemon.store.tallies import Tallies
from daemon.store.waves import lane_of, take_ids, wave_of
from daemon.store.writer import redone


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An open job, as expansion and release need it. `window`, `head` = JSON text."""

    id: int
    key: str
    queue: str
    campaign: int
    version: int
    state: str
    received_at: Instant
    head: str
    format: str
    body: str
    offset: int
    line: int
    rows: int
    expanded: bool
    expected: int | None
    noted: int
    """Row errors that are committed: how many lines of the errors file count."""
    first_id: int | None
    last_id: int | None
    release_cursor: int | None
    priority: int
    not_before: Instant | None
    expires_at: Instant | None
    window: str | None
    progress: str | None
    """Expansion's own note of where it is."""
    enrols: bool = False
    """Its rows become walks, and the numbers are theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the rows of a job are planned for: each gets a delivery on each of `channels`. `again`: microseconds after the last
    walk's end, None = never; `expires_at`: at the latest, until release gives each delivery its own. `entry`: each gets a walk instead,
    which stands still until the job is released."""

    step: str
    channels: tuple[str, ...]
    again: int | None
    expires_at: Instant
    entry: Entry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows of a body, read and checked. `rejected` counts rows, `errors` may be more. `broken`: the body cannot be read on
    (code, detail, line)."""

    rows: Sequence[PlanRow] = ()
    errors: Sequence[RowError] = ()
    rejected: int = 0
    offset: int
    line: int
    ended: bool
    broken: tuple[str, str, int | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of a body since the last commit. `progress` = expansion's own note of where it is, JSON text."""

    rows: int
    rejected: int
    errors: Sequence[RowError]
    offset: int
    line: int
    progress: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows to be planned: each person once, in order of person. `doubles`: rows that another row of the body stands for."""

    rows: Sequence[PlanRow]
    doubles: Sequence[RowError]
    progress: str
    last: bool


_PROGRESS = select(s.meta.c.value).where(s.meta.c.key == literal_column("'expansion:'", Text) + cast(s.job.c.id, Text)).scalar_subquery()
WORK = select(
    s.job.c.id, s.job.c.key, s.job.c.queue, s.job.c.campaign, s.job.c.version, s.job.c.state, s.job.c.received_at, s.job.c.head,
    s.job.c.format, s.job.c.body, s.job.c.offset, s.job.c.line, s.job.c.rows, s.job.c.expanded, s.job.c.expected, s.job.c.errors,
    s.job.c.errors_omitted, s.job.c.first_id, s.job.c.last_id, s.job.c.release_cursor, s.job.c.priority, s.job.c.not_before,
    s.job.c.expires_at, s.job.c.window, s.job.c.enrols, _PROGRESS.label("progress"),
)  # fmt: skip
_FIELDS = tuple(WORK.selected_columns.keys())
EXPANDING = (JobState.RECEIVING.value, JobState.PAUSED.value)


def read_work(conn: Connection, query: Select[Any]) -> list[Work]:
    """`query` = `WORK` with conditions, a constant of its module."""
    found: list[Work] = []
    for row in fetch(conn, query):
        fields = dict(zip(_FIELDS, row, strict=True))
        errors, omitted = fields.pop("errors"), fields.pop("errors_omitted")
        noted = (len(json.loads(errors)) if errors else 0) + omitted
        found.append(Work(**{**fields, "expanded": bool(fields["expanded"]), "enrols": bool(fields["enrols"]), "noted": noted}))
    return found


_TO_EXPAND = WORK.where(s.job.c.finished_at.is_(None), s.job.c.state.in_(EXPANDING), s.job.c.expanded == 0).order_by(s.job.c.id)


def jobs_to_expand(conn: Connection) -> list[Work]:
    """Jobs whose rows are not all planned."""
    return read_work(conn, _TO_EXPAND)


class _Counts(NamedTuple):
    """What an act that plans must know of its job as it stands."""

    state: str
    expanded: int
    rows: int
    rejected: int
    accepted: int
    duplicate: int
    first_id: int | None
    last_id: int | None
    errors: str | None
    errors_omitted: int


_COUNTS = select(*(s.job.c[name] for name in _Counts._fields)).where(s.job.c.id == bindparam("b_id"))
_ERRORS = ("errors", "errors_omitted")


def _writing(*columns: str) -> tuple[Update, tuple[str, ...]]:
    """An update of a job, and the names of what it takes: these columns, those of its errors, its id."""
    names = tuple(f"b_{name}" for name in (*columns, *_ERRORS))
    values: dict[str, Any] = {name.removeprefix("b_"): bindparam(name) for name in names}
    return update(s.job).where(s.job.c.id == bindparam("b_id")).values(**values), (*names, "b_id")


_READ, _READ_NAMES = _writing("rows", "rejected", "offset", "line")
_PLANNED, _PLANNED_NAMES = _writing("accepted", "duplicate", "rejected", "first_id", "last_id")
Note = Callable[[Sequence[RowError]], None]
"""Writes row errors to the job's errors file; called before the commit."""


@redone
def note_reading(conn: Connection, work: Work, reading: Reading, note: Note) -> bool:
    """Commit how far the body was read. False if the job is no longer being expanded (cancelled meanwhile)."""
    job = _Counts._make(fetch(conn, _COUNTS, ("b_id",), (work.id,))[0])
    if job.state not in EXPANDING or job.expanded:
        return False
    noted = _noted(job, reading.errors, note)
    read = (job.rows + reading.rows, job.rejected + reading.rejected, reading.offset, reading.line)
    many(conn, _READ, _READ_NAMES, [(*read, *noted, work.id)])
    _set_progress(conn, work.id, reading.progress)
    return True


@redone
def plan_chunk(conn: Connection, work: Work, batch: Batch, target: Target, now: Instant, bits: int, note: Note) -> bool:
    """Commit the batch's recipients and deliveries. `bits`: random, for the ids. False if the job is no longer being expanded."""
    job = _Counts._make(fetch(conn, _COUNTS, ("b_id",), (work.id,))[0])
    if job.state not in EXPANDING or job.expanded:
        return False
    found = _sort(conn, work, batch, target, now)
    numbers = _enrol(conn, work, found.enrol, target, now, bits) if target.entry is None else found.walks
    first = job.first_id if job.first_id is not None or not numbers else numbers[0]
    last = numbers[-1] if numbers else job.last_id
    counted = (job.accepted + len(found.enrol), job.duplicate + found.duplicates, job.rejected + found.rejected, first, last)
    many(conn, _PLANNED, _PLANNED_NAMES, [(*counted, *_noted(job, found.errors, note), work.id)])
    _set_progress(conn, work.id, batch.progress)
    return True


def start_over(conn: Connection, work: Work, offset: int, line: int, progress: str) -> None:
    """What was read is lost (its scratch files cannot be read): read the body again. What was counted and planned stays."""
    conn.execute(update(s.job).where(s.job.c.id == work.id).values(offset=offset, line=line))
    _set_progress(conn, work.id, progress)


def _set_progress(conn: Connection, job: int, progress: str) -> None:
    set_meta(conn, f"expansion:{job}", progress)


def _noted(job: _Counts, errors: Sequence[RowError], note: Note) -> tuple[str | None, int]:
    """The job's error columns with these added; they are in the errors file when this returns."""
    if not errors:
        return job.errors, job.errors_omitted
    kept = [*errors_from_json(job.errors)]
    total = len(kept) + int(job.errors_omitted) + len(errors)
    kept += errors[: max(KEPT_ERRORS - len(kept), 0)]
    note(errors)
    return errors_to_json(kept), total - len(kept)


@dataclass(slots=True)
class _Sorted:
    """The rows of a batch by what becomes of them. `enrol`: (occurrence, row)."""

    enrol: list[tuple[int, PlanRow]] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    duplicates: int = 0
    rejected: int = 0
    walks: list[int] = field(default_factory=list)
    """First and last number of those that begin, or nothing."""

    def collides(self, row: PlanRow) -> None:
        self.rejected += 1
        detail = "another recipient has the same number in the store (one chance in 2^63 a pair); give it another id"
        self.errors.append(RowError(line=row.line, recipient=row.key, field="id", code="recipient_id_collision", detail=detail))


def _once(conn: Connection, batch: Batch) -> tuple[_Sorted, Sequence[PlanRow]]:
    """(the doubles so far, the rows): each person once, also where two ids became one."""
    rows, doubled = of_survivors(conn, batch.rows)
    detail = "the same recipient as in another line: they were merged"
    said = [RowError(line=r.line, recipient=r.key, field="id", code="duplicate_in_file", detail=detail) for r in doubled]
    doubles = [*batch.doubles, *said]
    return _Sorted(errors=doubles, duplicates=len(doubles)), rows


_ENROLS = update(s.job).where(s.job.c.id == bindparam("b_id")).values(enrols=literal_column("1"))


def _begin_walks(conn: Connection, work: Work, batch: Batch, entry: Entry, now: Instant) -> _Sorted:
    """Each row's walk, as it stands still."""
    found, rows = _once(conn, batch)
    written = upsert_recipients(conn, rows, now)
    good = []
    for row in rows:
        if row.line in written.collisions:
            found.collides(row)
        else:
            good.append(row)
    entered = enrol(conn, entry, [Entrant(row.person, vars=row.vars) for row in good], now, job=work.id, state=WalkState.PLANNED)
    for row, how in zip(good, entered.how, strict=True):
        if how == "entered":
            found.enrol.append((0, row))
        elif how == Reason.LATE.value:
            found.rejected += 1
            detail = 'the day of the first step has passed, and the campaign says late = "skip"'
            found.errors.append(RowError(line=row.line, recipient=row.key, code="late", detail=detail))
        else:
            found.duplicates += 1
    if entered.first is not None and entered.last is not None:
        found.walks = [entered.first, entered.last]
        many(conn, _ENROLS, ("b_id",), [(work.id,)])
        tallies = Tallies()
        tallies.add(work.id, State.PLANNED, "", len(found.enrol))
        tallies.write(conn)
    return found


def _sort(conn: Connection, work: Work, batch: Batch, target: Target, now: Instant) -> _Sorted:
    """Which rows enrol, and which are enrolled already, or bad after all. Recipients are written on the way."""
    if target.entry is not None:
        return _begin_walks(conn, work, batch, target.entry, now)
    found, rows = _once(conn, batch)
    written = upsert_recipients(conn, rows, now)
    if not written.known:
        found.enrol = [(1, row) for row in rows]
        return found
    walks = deliveries_before(conn, work.campaign, written.known)
    for row in rows:
        if row.line in written.collisions:
            found.collides(row)
        elif (occurrence := _next_occurrence(walks.get(row.person, ()), target.again, now)) is None:
            found.duplicates += 1
        else:
            found.enrol.append((occurrence, row))
    return found


def _next_occurrence(walks: Sequence[Before], again: int | None, now: Instant) -> int | None:
    """Which walk through the campaign begins now; None = already enrolled. What was cancelled unsent is no walk."""
    last = 0
    for occurrence, state, ended, _ in walks:
        last = max(last, occurrence)
        if state == State.CANCELLED.value:
            continue
        if state not in FINAL or again is None or ended is None or ended + again > now:
            return None
    return last + 1


_INSERT_DELIVERY = pouring(
    s.delivery, ("id", "wave", "person", "job", "version", "state", "lane", "not_before", "expires_at", "vars")
)


def _enrol(conn: Connection, work: Work, enrol: list[tuple[int, PlanRow]], target: Target, now: Instant, bits: int) -> list[int]:
    """Write the planned deliveries. Returns their first and last id, or nothing."""
    if not enrol:
        return []
    count = len(enrol) * len(target.channels)
    number = first = take_ids(conn, count, now, bits)
    not_before = max(work.not_before or 0, now)
    planned = State.PLANNED.value
    occurrences = sorted({item[0] for item in enrol})
    for channel in target.channels:
        waves = {occurrence: wave_of(conn, (work.campaign, target.step, occurrence, channel)) for occurrence in occurrences}
        lane = lane_of(conn, (work.id, work.priority, channel), work.queue, work.campaign)
        pour(conn, _INSERT_DELIVERY, [
            (number + i, waves[occurrence], row[0], work.id, work.version, planned, lane, not_before, target.expires_at, row[12])
            for i, (occurrence, row) in enumerate(enrol)
        ])  # fmt: skip
        number += len(enrol)
    tallies = Tallies()
    tallies.add(work.id, State.PLANNED, "", count)
    tallies.write(conn)
    return [first, first + count - 1]
