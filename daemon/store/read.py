"""Reading acts for operators: the state of everything in a few counts, the deliveries of one recipient, the rows of an explain.

Counts come from `tally`, ages from the heads of lanes: nothing here reads a table whole. A person's deliveries are found by
probing UNIQUE(wave, person) once a wave, since no index leads from a person to them (writing one would cost each insert).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, bindparam, case, func, literal, select

from daemon.errors import NotFoundError
from daemon.model.delivery import Decision, Instant, State
from daemon.store import schema as s
from daemon.store.audit import Progress, read_progress
from daemon.store.campaigns import body_of
from daemon.store.claim import Judged, name_pauses
from daemon.store.doubts import count_doubts
from daemon.store.facts import NO_NEEDS, DueRow, Known, Needs, due_rows, known_of
from daemon.store.feedback import FeedbackRow, feedback_of
from daemon.store.lanes import RUNNING
from daemon.store.merged import owner_of
from daemon.store.operate import OPEN_JOBS, totals
from daemon.store.recipients import person_id
from daemon.store.sql import fetch, ids, in_list, rows, value
from daemon.store.walk_facts import WalkRow, walks_of_person

EVIDENCE = 20
"""Newest attempts of a delivery that explain reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`deliveries` by state, `held` by reason, `jobs` by state. `oldest_due`: since when the first waits that may go now."""

    deliveries: Mapping[str, int]
    held: Mapping[str, int]
    jobs: Mapping[str, int]
    doubts: int
    in_flight: int
    oldest_due: Instant | None
    next_due: Instant | None
    paused_queues: Sequence[str]
    paused_campaigns: Sequence[str]
    heartbeat_at: Instant | None
    audit: Progress


_FIRST = select(func.min(s.due.c.not_before)).where(s.due.c.lane == s.lane.c.id).correlate(s.lane)
_LATER = _FIRST.where(s.due.c.not_before > bindparam("now")).scalar_subquery()
_LANES = select(s.lane.c.head, _LATER.label("later")).select_from(s.lane).where(RUNNING.exists())
"""Heads of the lanes that may run."""


_JOBS = select(s.job.c.state, func.count()).where(s.job.c.finished_at.is_(None), s.job.c.state.in_(OPEN_JOBS)).group_by(s.job.c.state)
_FLYING = select(func.count()).select_from(s.flight)
_PAUSED_QUEUES = select(s.queue.c.name).where(s.queue.c.paused == 1).order_by(s.queue.c.name)
_PAUSED_CAMPAIGNS = select(s.campaign.c.name).where(s.campaign.c.status == "paused").order_by(s.campaign.c.name)
_HEARTBEAT = select(func.max(s.incarnation.c.heartbeat_at))


def read_overview(conn: Connection, now: Instant) -> Overview:
    """What `homing status` and the gauges show."""
    counted = totals(conn)
    heads = rows(conn, _LANES, ("now",), (now,))
    return Overview(
        deliveries={state: sum(reasons.values()) for state, reasons in sorted(counted.items())},
        held=dict(sorted(counted.get(State.HELD.value, {}).items())),
        jobs={str(row[0]): int(row[1]) for row in fetch(conn, _JOBS)},
        doubts=count_doubts(conn),
        in_flight=value(conn, _FLYING),
        oldest_due=min((row.head for row in heads if row.head is not None and row.head <= now), default=None),
        next_due=min((row.later for row in heads if row.later is not None), default=None),
        paused_queues=[row[0] for row in fetch(conn, _PAUSED_QUEUES)],
        paused_campaigns=[row[0] for row in fetch(conn, _PAUSED_CAMPAIGNS)],
        heartbeat_at=value(conn, _HEARTBEAT),
        audit=read_progress(conn),
    )


class Person(NamedTuple):
    """A recipient, as far as its zone and its name need it."""

    id: int
    key: str
    phone: str | None
    zone: str | None
    country: str | None
    erased: int


_PERSON = select(
    s.recipient.c.id, s.recipient.c.key, s.recipient.c.phone, s.recipient.c.zone, s.recipient.c.country, s.recipient.c.erased
).where(s.recipient.c.id == bindparam("id"))  # fmt: skip


def find_person(conn: Connection, key: str) -> Person:
    """The recipient of this key, or whom it was merged into. NotFoundError."""
    person, key = owner_of(conn, person_id(key), key)
    row = conn.execute(_PERSON, {"id": person}).first()
    if row is None or row.key != key:
        raise NotFoundError("no recipient has this id")
    return Person._make(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One delivery of a person. `state` is the present one, in flight too; `decision` = what `claim.decision_json` wrote."""

    id: int
    campaign: str
    campaign_id: int
    status: str
    version: int
    step: str
    occurrence: int
    channel: str
    job: str
    queue: str
    job_state: str
    job_reason: str | None
    queue_paused: bool
    state: State
    reason: str | None
    not_before: Instant
    expires_at: Instant
    attempts: int
    decided_at: Instant | None
    decision: Mapping[str, Any] | None
    key: str | None
    provider: str | None
    provider_id: str | None
    handed_over_at: Instant | None
    ended_at: Instant | None
    follows: int | None
    escalates: int | None


_STATE = case(
    (s.flight.c.delivery.is_(None), s.delivery.c.state),
    (s.flight.c.handed_over == 1, literal(State.HANDED_OVER.value)),
    else_=literal(State.CLAIMED.value),
)
_OF_PERSON = (
    select(
        s.delivery.c.id, s.campaign.c.name.label("campaign"), s.campaign.c.id.label("campaign_id"), s.campaign.c.status,
        s.delivery.c.version, s.wave.c.step, s.wave.c.occurrence, s.wave.c.channel, s.job.c.key.label("job"), s.job.c.queue,
        s.job.c.state.label("job_state"), s.job.c.reason.label("job_reason"), func.coalesce(s.queue.c.paused, 0).label("queue_paused"),
        _STATE.label("state"), s.delivery.c.reason, s.delivery.c.not_before, s.delivery.c.expires_at, s.delivery.c.attempts,
        s.delivery.c.decided_at, s.delivery.c.decision, s.delivery.c.key,
        func.coalesce(s.flight.c.provider, s.delivery.c.provider).label("provider"), s.delivery.c.provider_id,
        func.coalesce(s.flight.c.handed_over_at, s.delivery.c.handed_over_at).label("handed_over_at"), s.delivery.c.ended_at,
        s.delivery.c.follows, s.delivery.c.escalates,
    )
    .select_from(s.delivery)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
    .join(s.job, s.job.c.id == s.delivery.c.job)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
    .outerjoin(s.flight, s.flight.c.delivery == s.delivery.c.id)
    .where(in_list(s.delivery.c.wave, "waves"), s.delivery.c.person == bindparam("person"))
)  # fmt: skip


def _delivery(row: Any) -> DeliveryRow:
    values = row._asdict()
    values["state"] = State(row.state)
    values["queue_paused"] = bool(row.queue_paused)
    values["decision"] = json.loads(row.decision) if row.decision else None
    return DeliveryRow(**values)


def _deliveries_of(conn: Connection, person: int) -> list[DeliveryRow]:
    """All of them, newest first. (Ordered here: asked to order, SQLite walks the whole table by id.)"""
    waves = ids(conn.execute(select(s.wave.c.id)).scalars())
    rows = conn.execute(_OF_PERSON, {"waves": waves, "person": person})
    return sorted(map(_delivery, rows), key=lambda row: row.id, reverse=True)


def read_deliveries(conn: Connection, key: str, *, before: int | None, limit: int) -> tuple[list[DeliveryRow], int | None]:
    """A recipient's deliveries, newest first, and the position to go on from. NotFoundError."""
    rows = [row for row in _deliveries_of(conn, find_person(conn, key).id) if before is None or row.id < before]
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


class Verdicts(Protocol):
    """The rules, bound to one instant, exactly as a claim asks them (`dispatch.judge`)."""

    horizon: Instant
    pushed: AbstractSet[str]

    def prepare(self, versions: frozenset[tuple[int, int]], fetch: Callable[[int, int], str], /) -> Needs | None: ...
    def __call__(self, rows: Sequence[DueRow], known: Mapping[int, Known], rivals: frozenset[int], /) -> Sequence[Judged]: ...


class Attempt(NamedTuple):
    n: int
    at: Instant
    provider: str
    outcome: str
    scope: str | None
    code: str | None
    detail: str | None
    handed_over_at: Instant | None = None
    """None: it was refused, or given back, before anything left."""


class Waited(NamedTuple):
    """A reason that a delivery waited or ended for, and how often."""

    reason: str
    first: Instant
    last: Instant
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that explains one recipient. `decisions`: delivery -> what the rules say of it now, for those that may still go."""

    person: Person
    deliveries: Sequence[DeliveryRow]
    decisions: Mapping[int, Decision]
    attempts: Mapping[int, Sequence[Attempt]]
    waited: Mapping[int, Sequence[Waited]]
    feedback: Mapping[int, Sequence[FeedbackRow]]
    walks: Sequence[WalkRow] = ()


_ATTEMPTS = (
    select(
        s.attempt.c.delivery, s.attempt.c.n, s.attempt.c.at, s.attempt.c.provider, s.attempt.c.outcome, s.attempt.c.scope, s.attempt.c.code,
        s.attempt.c.detail, s.attempt.c.handed_over_at,
    )
    .where(in_list(s.attempt.c.delivery, "ids"))
    .order_by(s.attempt.c.delivery, s.attempt.c.n)
)  # fmt: skip
_H = s.reason_history.c
_WAITED = (
    select(_H.delivery, _H.reason, _H.first, _H.last, _H.count).where(in_list(_H.delivery, "ids")).order_by(_H.delivery, _H.first, _H.last)
)


def read_evidence(conn: Connection, key: str, *, campaign: str | None, now: Instant, verdicts: Verdicts) -> Evidence:
    """The rows of an explain, and the verdicts of now over all the person's open deliveries together. NotFoundError."""
    person = find_person(conn, key)
    everything = _deliveries_of(conn, person.id)
    decisions = _decide_now(conn, everything, now, verdicts)
    wanted = [row for row in everything if campaign is None or row.campaign == campaign]
    if campaign is not None and conn.execute(select(s.campaign.c.id).where(s.campaign.c.name == campaign)).first() is None:
        raise NotFoundError("no campaign has this name; `homing campaigns list` shows them")
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    waited: dict[int, list[Waited]] = defaultdict(list)
    numbers = ids(row.id for row in wanted)
    for delivery, *rest in conn.execute(_ATTEMPTS, {"ids": numbers}):
        attempts[delivery].append(Attempt(*rest))
    for delivery, *rest in conn.execute(_WAITED, {"ids": numbers}):
        waited[delivery].append(Waited(*rest))
    feedback: dict[int, list[FeedbackRow]] = defaultdict(list)
    for report in feedback_of(conn, person.id):
        feedback[report.delivery].append(report)
    return Evidence(
        person=person, deliveries=wanted, decisions=decisions, attempts={d: rows[-EVIDENCE:] for d, rows in attempts.items()},
        waited=dict(waited), feedback=dict(feedback),
        walks=[walk for walk in walks_of_person(conn, person.id) if campaign is None or walk.campaign == campaign],
    )  # fmt: skip


def _decide_now(conn: Connection, deliveries: Sequence[DeliveryRow], now: Instant, verdicts: Verdicts) -> dict[int, Decision]:
    """What a claim at this instant would say. Those that it could take contend with each other; the others are asked alone."""
    takeable = {
        row.id
        for row in deliveries
        if (row.state, row.job_state, row.status, row.queue_paused) == (State.DUE, "accepted", "active", False) and row.not_before <= now
    }
    rows = due_rows(conn, [row.id for row in deliveries if row.state in (State.DUE, State.PLANNED)])
    if not rows:
        return {}
    versions = frozenset((row.campaign, version) for row in rows for version in (row.version, row.newest))
    needs = verdicts.prepare(versions, partial(body_of, conn)) or NO_NEEDS
    known = known_of(conn, rows, verdicts.horizon, verdicts.pushed, needs._replace(reads=True))
    together = [row for row in rows if row.delivery in takeable]
    groups = [together, *([row] for row in rows if row.delivery not in takeable)]
    judged = [item for group in groups if group for item in verdicts(group, known, frozenset())]
    return {item.row.delivery: item.decision for item in name_pauses(conn, judged, now)}
