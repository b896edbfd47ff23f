"""What operators see and say of queues and campaigns, and how much waits behind the kill switch.

Pausing is one row with a raised guard, never an UPDATE over deliveries: what is claimed under the old guard is refused at
its handover and goes back to due. Counts come from `tally`. Held things are in `held`, doubts in `doubts`, jobs in `jobs`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.errors import GuardRefusedError, NotFoundError
from daemon.model.campaign import CampaignStatus
from daemon.model.delivery import Instant, State
from daemon.model.job import JobState
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.enrolling import WALKS
from daemon.store.held import WAITING
from daemon.store.jobs import cancel_job
from daemon.store.pauses import note_pause
from daemon.store.sql import fetch, value

OPEN_JOBS = (JobState.RECEIVING.value, JobState.ACCEPTED.value, JobState.HELD.value, JobState.PAUSED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """A queue that the store knows. `jobs`: open ones; `deliveries`: by state, all its jobs and walks. `oldest_due`: since
    when the first waits that is due now; `next_due`: when the first falls due that is not yet."""

    name: str
    paused: bool
    jobs: int
    deliveries: Mapping[str, int]
    oldest_due: Instant | None
    next_due: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """A campaign with its newest version's body (JSON of `content.CampaignVersion`); `deliveries` by state."""

    name: str
    status: str
    version: int
    digest: str
    body: str
    jobs: int
    deliveries: Mapping[str, int]


def queue_facts(conn: Connection, now: Instant) -> dict[str, QueueFacts]:
    """All queues that were paused once or ever had a job, by name."""
    paused = {name: bool(flag) for name, flag in conn.execute(select(s.queue.c.name, s.queue.c.paused))}
    jobs: dict[str, int] = defaultdict(int)
    dropped = func.count().filter(s.job.c.source != WALKS)  # what a campaign's walks belong to is no job that somebody dropped
    for name, state, n in conn.execute(select(s.job.c.queue, s.job.c.state, dropped).group_by(s.job.c.queue, s.job.c.state)):
        jobs[name] += n if state in OPEN_JOBS else 0
    states: dict[str, dict[str, int]] = defaultdict(dict)
    counted = select(s.job.c.queue, s.tally.c.state, func.sum(s.tally.c.n)).join(s.job, s.job.c.id == s.tally.c.job)
    for name, state, n in conn.execute(counted.group_by(s.job.c.queue, s.tally.c.state)):
        if n:
            states[name][state] = n
    heads = _heads(conn, now)
    return {
        name: QueueFacts(
            name=name, paused=paused.get(name, False), jobs=jobs.get(name, 0), deliveries=states.get(name, {}),
            oldest_due=heads.get(name, (None, None))[0], next_due=heads.get(name, (None, None))[1],
        )
        for name in sorted({*paused, *jobs, *states})
    }  # fmt: skip


def _heads(conn: Connection, now: Instant) -> dict[str, tuple[Instant | None, Instant | None]]:
    """Queue -> (first due instant up to now, first one after it), over its lanes: an index look-up a lane."""
    later = (
        select(func.min(s.due.c.not_before))
        .where(s.due.c.lane == s.lane.c.id, s.due.c.not_before > now)
        .correlate(s.lane)
        .scalar_subquery()
    )
    heads: dict[str, tuple[Instant | None, Instant | None]] = {}
    lanes = select(s.lane.c.queue, s.lane.c.head, later).join(s.job, s.job.c.id == s.lane.c.job).where(s.job.c.state.in_(OPEN_JOBS))
    for queue, head, coming in conn.execute(lanes):
        oldest, soon = heads.get(queue, (None, None))
        heads[queue] = (_earlier(oldest, head if head is not None and head <= now else None), _earlier(soon, coming))
    return heads


def _earlier(a: Instant | None, b: Instant | None) -> Instant | None:
    return min((x for x in (a, b) if x is not None), default=None)


def set_queue_paused(conn: Connection, name: str, now: Instant, *, paused: bool) -> None:
    """One row; pausing raises the queue's guard, so that nothing claimed before is handed over after."""
    statement = upsert(s.queue).values(name=name, paused=int(paused), guard=1)
    raised = {"paused": int(paused), "guard": s.queue.c.guard + 1}
    conn.execute(statement.on_conflict_do_update(index_elements=[s.queue.c.name], set_=raised))
    note_pause(conn, "queue", name, now, paused=paused)


def waiting_in_queue(conn: Connection, name: str) -> tuple[list[str], int]:
    """(keys of the open jobs, deliveries of theirs that have not ended): what `queue cancel` would end."""
    open_jobs = (s.job.c.queue == name, s.job.c.finished_at.is_(None), s.job.c.state.in_(OPEN_JOBS), s.job.c.source != WALKS)
    keys = list(conn.execute(select(s.job.c.key).where(*open_jobs).order_by(s.job.c.id)).scalars())
    n = conn.execute(
        select(func.coalesce(func.sum(s.tally.c.n), 0))
        .join(s.job, s.job.c.id == s.tally.c.job)
        .where(*open_jobs, s.tally.c.state.in_((*WAITING, State.HELD.value)))
    ).scalar_one()
    return keys, int(n)


def cancel_waiting(conn: Connection, key: str) -> int | None:
    """Cancel a job that is still open. Returns how many deliveries of it that ends; None: it has ended since, and nothing was done."""
    row = conn.execute(select(s.job.c.id, s.job.c.state, s.job.c.finished_at).where(s.job.c.key == key)).one()
    if row.finished_at is not None or row.state not in OPEN_JOBS:
        return None
    tallied = select(func.coalesce(func.sum(s.tally.c.n), 0)).where(s.tally.c.job == row.id)
    n = conn.execute(tallied.where(s.tally.c.state.in_((*WAITING, State.HELD.value)))).scalar_one()
    cancel_job(conn, key)
    return int(n)


def walks_left(conn: Connection, queue: str) -> dict[str, int]:
    """Campaign -> its open walks, of those whose messages go through this queue; those of cancelled jobs are over."""
    standing, enroller = s.job.alias("standing"), s.job.alias("enroller")
    query = (
        select(s.campaign.c.name, func.count().label("walks"))
        .select_from(standing)
        .join(s.campaign, s.campaign.c.id == standing.c.campaign)
        .join(s.walk, (s.walk.c.campaign == s.campaign.c.id) & (s.walk.c.state == WalkState.OPEN.value) & s.walk.c.next_at.is_not(None))
        .outerjoin(enroller, enroller.c.id == s.walk.c.job)
        .where(standing.c.queue == queue, standing.c.source == WALKS, standing.c.finished_at.is_(None))
        .where(func.coalesce(enroller.c.state, "") != JobState.CANCELLED.value)
        .group_by(s.campaign.c.name)
        .order_by(s.campaign.c.name)
    )
    return {row.name: row.walks for row in conn.execute(query)}


def campaign_facts(conn: Connection, name: str | None = None) -> list[CampaignFacts]:
    """Campaigns by name, those of inline jobs (`job:ID`) left out unless named."""
    c, v = s.campaign.c, s.campaign_version.c
    query = (
        select(c.id, c.name, c.status, c.version, v.digest, v.body)
        .join(s.campaign_version, (v.campaign == c.id) & (v.version == c.version))
        .where(c.name == name if name is not None else ~c.name.startswith("job:", autoescape=True))
        .order_by(c.name)
    )
    rows = conn.execute(query).all()
    opened = (
        select(s.job.c.campaign, func.count()).where(s.job.c.finished_at.is_(None), s.job.c.state.in_(OPEN_JOBS)).group_by(s.job.c.campaign)
    )
    jobs = {row[0]: row[1] for row in conn.execute(opened)}
    states: dict[int, dict[str, int]] = defaultdict(dict)
    counted = select(s.job.c.campaign, s.tally.c.state, func.sum(s.tally.c.n)).join(s.job, s.job.c.id == s.tally.c.job)
    for campaign, state, n in conn.execute(counted.group_by(s.job.c.campaign, s.tally.c.state)):
        if n:
            states[campaign][state] = n
    return [
        CampaignFacts(
            name=row.name, status=row.status, version=row.version, digest=row.digest, body=row.body, jobs=jobs.get(row.id, 0),
            deliveries=states.get(row.id, {}),
        )
        for row in rows
    ]  # fmt: skip


_MAY: Mapping[CampaignStatus, Sequence[CampaignStatus]] = {
    CampaignStatus.ACTIVE: (CampaignStatus.DRAFT, CampaignStatus.PAUSED, CampaignStatus.ACTIVE),
    CampaignStatus.PAUSED: (CampaignStatus.ACTIVE, CampaignStatus.PAUSED),
    CampaignStatus.ARCHIVED: (CampaignStatus.DRAFT, CampaignStatus.PAUSED, CampaignStatus.ARCHIVED),
}
"""New status -> the statuses it may follow."""


def set_campaign_status(conn: Connection, name: str, status: CampaignStatus, now: Instant) -> None:
    """The operator's word; raises the campaign's guard. NotFoundError; GuardRefusedError if it may not follow the present one."""
    old = conn.execute(select(s.campaign.c.status).where(s.campaign.c.name == name)).scalar()
    if old is None:
        raise NotFoundError(f'no campaign is named "{name}"; `homing campaigns list` shows them')
    if old not in _MAY[status]:
        raise GuardRefusedError(_refusal(name, CampaignStatus(old), status))
    if old != status:
        conn.execute(update(s.campaign).where(s.campaign.c.name == name).values(status=status.value, guard=s.campaign.c.guard + 1))
        note_pause(conn, "campaign", name, now, paused=status is CampaignStatus.PAUSED)


def _refusal(name: str, old: CampaignStatus, new: CampaignStatus) -> str:
    if old is CampaignStatus.ARCHIVED:
        return f'campaign "{name}" is archived; set status = "draft" in its campaign.toml, reload, then `homing campaigns start {name}`'
    if new is CampaignStatus.PAUSED:
        return f'campaign "{name}" is {old.value}, not active: nothing of it is sent, so there is nothing to pause'
    return f'campaign "{name}" is {old.value}; `homing campaigns pause {name}` first'


_BACKLOG = (
    select(func.sum(s.tally.c.n))
    .join(s.job, s.job.c.id == s.tally.c.job)
    .where(s.job.c.state.in_([state for state in OPEN_JOBS if state != JobState.HELD]), s.tally.c.state.in_(WAITING))
)
_TOTALS = select(s.tally.c.state, s.tally.c.reason, func.sum(s.tally.c.n).label("n")).group_by(s.tally.c.state, s.tally.c.reason)


def count_backlog(conn: Connection) -> int:
    """Deliveries that have not ended and are not held, nor their job: what the end of the kill switch lets go on."""
    return int(value(conn, _BACKLOG) or 0)


def totals(conn: Connection) -> dict[str, dict[str, int]]:
    """State -> reason ("" = none) -> deliveries, over all jobs."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for state, reason, n in fetch(conn, _TOTALS):
        if n:
            found[state][reason] = n
    return dict(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One delivery in short. `state` is that of its row: one in flight still says `due`."""

    recipient: str
    campaign: str
    state: str
    reason: str | None
    not_before: Instant
    attempts: int


def delivery_lines(conn: Connection) -> list[DeliveryLine]:
    """Every delivery of the store: for the demo's tables only."""
    rows = conn.execute(
        select(
            s.recipient.c.key, s.campaign.c.name, s.delivery.c.state, s.delivery.c.reason, s.delivery.c.not_before, s.delivery.c.attempts
        )
        .join(s.wave, s.wave.c.id == s.delivery.c.wave)
        .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
        .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
        .order_by(s.delivery.c.id)
    )
    return [DeliveryLine(recipient=r, campaign=c, state=t, reason=w, not_before=n, attempts=a) for r, c, t, w, n, a in rows]
