"""Enrolment: people enter campaigns whose way has more than one message; each gets a row of its own (ADR 0010).

One act for all who bring people (jobs, triggers, segments, another campaign): who walks already, or lately did, does not enter; how a
walk begins is said by a pure function from outside. Also the standing job of such a campaign, to which its deliveries belong.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, literal_column, null, select, update

from daemon.errors import IntakeError
from daemon.journey.profile import moment
from daemon.journey.sequence import Start, may_enter
from daemon.model.delivery import DAY, FINAL, Instant, Reason, State
from daemon.model.job import JobState
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many, pour, pouring, value

WALKS = "walks"
"""`source` and `format` of a standing job; its id is `walks:CAMPAIGN`."""
STANDING = f"{WALKS}:"
ENTERED, EVENT = "entered", "event"
"""Anchors that are no columns and no traits."""
LIST_AGE = DAY
"""Of whom no anchor is known, he came by a list: it may be so old, and an order since then that is told only now ends the walk."""
TRAITS = "traits."
COLUMNS = (
    "first_order_at", "last_order_at", "last_open_at", "last_click_at", "last_visit_at", "last_seen_at", "subscription_ends_at",
    "last_survey_at",
)  # fmt: skip
"""Of a profile, from which days may count."""


_NEXT_CAMPAIGN = select(func.min(s.walk.c.campaign)).where(s.walk.c.campaign > bindparam("after"))


def walked_campaigns(conn: Connection) -> list[int]:
    """Campaigns in which somebody walks or walked: one step in the index for each."""
    found: list[int] = []
    while (number := value(conn, _NEXT_CAMPAIGN, ("after",), (found[-1] if found else -1,))) is not None:
        found.append(int(number))
    return found


class Begun(NamedTuple):
    """How a walk begins."""

    start: Start
    arms: Mapping[str, str]
    held_out: bool


class Entrant(NamedTuple):
    """Who is about to enter. `at`: of what brought him, if that was an event (then what happens after it counts as after the entry);
    `event`, `vars`: JSON text."""

    person: int
    at: Instant | None = None
    event: str | None = None
    vars: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The way into one campaign version. `begin(person, anchor, now)`: how a walk begins, None = it is too late for it."""

    campaign: int
    version: int
    again: int | None
    anchor: str
    begin: Callable[[int, Instant | None, Instant], Begun | None]


class Entered(NamedTuple):
    """`how` became of each: entered | already_enrolled | late. `first`, `last`: the numbers of the new walks, None = there is none."""

    how: Sequence[str]
    first: int | None
    last: int | None


_W = s.walk.c
_WALKED = select(_W.person, _W.occurrence, _W.state, _W.ended_at, _W.end_reason, _W.first_touch_at).where(
    _W.campaign == bindparam("campaign"), in_list(_W.person, "persons")
)
_LAST = select(func.max(_W.id))
_INSERT = pouring(s.walk, (
    "id", "campaign", "person", "occurrence", "version", "state", "entered_at", "since_at", "anchor_at", "shift", "event", "vars",
    "held_out", "arms", "step", "next_at", "job",
))  # fmt: skip


def enrol(
    conn: Connection, entry: Entry, entrants: Sequence[Entrant], now: Instant, *, job: int | None = None,
    state: WalkState = WalkState.OPEN, undone: Callable[[Sequence[int]], Container[int]] = lambda _: (),
) -> Entered:  # fmt: skip
    """Begin a walk for each who may enter, in order of the entrants. Each person at most once. `state` PLANNED: it stands still.
    `undone(persons)`: those of these, who may, whose reason to enter is over."""
    persons = sorted({one.person for one in entrants})
    walked = _walked(conn, entry, persons, now)
    free = [person for person in persons if walked.get(person, 1) is not None]  # most of a segment walk, or walked, already
    over = undone(free)
    anchors = _anchors(conn, entry.anchor, ids(free)) if free else {}
    number = first = (value(conn, _LAST) or 0) + 1
    how: list[str] = []
    rows: list[tuple[object, ...]] = []
    for person, at, event, vars in entrants:
        occurrence = walked.get(person, 1)
        if occurrence is None:
            how.append(Reason.ALREADY_ENROLLED.value)
            continue
        if person in over:
            how.append(Reason.EXITED.value)
            continue
        anchor = at if entry.anchor == EVENT else now if entry.anchor == ENTERED else anchors.get(person)
        begun = entry.begin(person, anchor, now)
        if begun is None:
            how.append(Reason.LATE.value)
            continue
        since = at if at is not None else min(now, anchor) if anchor is not None else now - LIST_AGE
        arms = json.dumps(begun.arms, separators=(",", ":")) if begun.arms else None
        rows.append((
            number, entry.campaign, person, occurrence, entry.version, state.value, now, since, begun.start.anchor_at, begun.start.shift,
            event, vars, int(begun.held_out), arms, begun.start.passed, None if state is WalkState.PLANNED else now, job,
        ))  # fmt: skip
        number += 1
        how.append("entered")
    pour(conn, _INSERT, rows)
    return Entered(how, first if rows else None, number - 1 if rows else None)


class Before(NamedTuple):
    """An earlier delivery of a campaign. `walk` None: its campaign had no walks then."""

    occurrence: int
    state: str
    ended_at: Instant | None
    walk: int | None


_OCCURRENCES = select(s.wave.c.id, s.wave.c.occurrence).where(s.wave.c.campaign == bindparam("b_campaign"))
_BEFORE = select(s.delivery.c.person, s.delivery.c.wave, s.delivery.c.state, s.delivery.c.ended_at, s.delivery.c.walk).where(
    in_list(s.delivery.c.wave, "waves"), in_list(s.delivery.c.person, "persons")
)


_BEFORE_WALKS = _BEFORE.where(s.delivery.c.walk.is_(None))


def deliveries_before(conn: Connection, campaign: int, persons: Collection[int], *, walks: bool = True) -> dict[int, list[Before]]:
    """The persons' earlier deliveries in this campaign; `walks` False: those that were of no walk."""
    occurrences: dict[int, int] = dict(fetch(conn, _OCCURRENCES, ("b_campaign",), (campaign,)))
    found: dict[int, list[Before]] = defaultdict(list)
    if occurrences and persons:
        for person, wave, *rest in fetch(conn, _BEFORE if walks else _BEFORE_WALKS, ("waves", "persons"), (ids(occurrences), ids(persons))):
            found[person].append(Before(occurrences[wave], *rest))
    return found


def _walked(conn: Connection, entry: Entry, persons: Sequence[int], now: Instant) -> dict[int, int | None]:
    """Person -> the number of the walk that may begin, None = not now; who is not there has never walked. What an operator or a merge
    took back before anything was sent is no walk; a message of before the campaign had walks is one."""
    latest: dict[int, tuple[int, bool]] = {}
    for person, occurrence, state, ended, reason, touched in fetch(conn, _WALKED, ("campaign", "persons"), (entry.campaign, ids(persons))):
        number, free = latest.get(person, (0, True))
        taken_back = reason in (Reason.OPERATOR.value, Reason.MERGED.value) and touched is None
        is_open = state in (WalkState.OPEN.value, WalkState.PLANNED.value)
        may = taken_back or may_enter(None if is_open else ended, entry.again, now)
        latest[person] = (max(number, occurrence), free and may)
    unwalked = [person for person in persons if person not in latest or latest[person][1]]
    for person, messages in deliveries_before(conn, entry.campaign, unwalked, walks=False).items():
        for one in messages:
            number, free = latest.get(person, (0, True))
            may = one.state == State.CANCELLED.value or (one.state in FINAL and may_enter(one.ended_at, entry.again, now))
            latest[person] = (max(number, one.occurrence), free and may)
    return {person: number + 1 if free else None for person, (number, free) in latest.items()}


_ANCHORS = {
    name: select(s.profile.c.person, s.profile.c[name]).where(in_list(s.profile.c.person, "persons"), s.profile.c[name].is_not(None))
    for name in COLUMNS
}
_TRAIT = select(s.recipient.c.id, func.json_extract(s.recipient.c.traits, bindparam("path"))).where(
    in_list(s.recipient.c.id, "persons"), s.recipient.c.traits.is_not(None)
)


def _anchors(conn: Connection, anchor: str, persons: str) -> dict[int, Instant]:
    """Person -> the instant from which its days count, of those of whom it is known."""
    if anchor in _ANCHORS:
        return dict(fetch(conn, _ANCHORS[anchor], ("persons",), (persons,)))
    if not anchor.startswith(TRAITS):
        return {}
    path = "$." + ".".join(json.dumps(part, ensure_ascii=False) for part in anchor.removeprefix(TRAITS).split("."))
    found = ((person, moment(text)) for person, text in fetch(conn, _TRAIT, ("path", "persons"), (path, persons)))
    return {person: at for person, at in found if at is not None}


_STANDS = select(s.job.c.id, s.job.c.queue, s.job.c.state).where(s.job.c.key == bindparam("b_key"))
_CAMPAIGN = select(s.campaign.c.id, s.campaign.c.version, s.campaign.c.status).where(s.campaign.c.name == bindparam("b_name"))
_LAST_JOB, _NEW_JOB = select(func.max(s.job.c.id)), insert(s.job)
_NEW_JOB_NAMES = (
    "id", "key", "queue", "campaign", "version", "digest", "state", "source", "received_at", "head", "format", "body", "offset", "line",
    "expanded", "priority",
)  # fmt: skip
_MOVES = (
    update(s.job)
    .where(s.job.c.id == bindparam("b_id"))
    .values(queue=bindparam("b_queue"), guard=s.job.c.guard + literal_column("1"))
)  # fmt: skip
_LANES_MOVE = update(s.lane).where(s.lane.c.job == bindparam("b_id")).values(queue=bindparam("b_queue"))
_OPENS = (
    update(s.job)
    .where(s.job.c.id == bindparam("b_id"))
    .values(
        state=literal_column(f"'{JobState.ACCEPTED.value}'"), reason=null(), finished_at=null(), guard=s.job.c.guard + literal_column("1")
    )
)


def open_standing(conn: Connection, wanted: Iterable[tuple[str, str, int]], now: Instant) -> None:
    """The standing jobs of these campaigns (name, queue, priority) are there and open, unless their campaign is archived."""
    for name, queue, priority in wanted:
        found = fetch(conn, _CAMPAIGN, ("b_name",), (name,))
        if not found or found[0][2] == "archived":
            continue
        key, (campaign, version, _) = STANDING + name, found[0]
        stands = fetch(conn, _STANDS, ("b_key",), (key,))
        if not stands:
            number = (value(conn, _LAST_JOB) or 0) + 1
            many(conn, _NEW_JOB, _NEW_JOB_NAMES, [(
                number, key, queue, campaign, version, "", JobState.ACCEPTED.value, WALKS, now, "{}", WALKS, "", 0, 0, 1, priority,
            )])  # fmt: skip
            continue
        number, old_queue, state = stands[0]
        if state not in (JobState.ACCEPTED.value, JobState.PAUSED.value):  # its campaign was archived once
            many(conn, _OPENS, ("b_id",), [(number,)])
        if old_queue != queue:
            many(conn, _MOVES, ("b_queue", "b_id"), [(queue, number)])
            many(conn, _LANES_MOVE, ("b_queue", "b_id"), [(queue, number)])


def refuse_standing(key: str) -> None:
    """IntakeError for a job that calls itself as a standing one."""
    if key.startswith(STANDING):
        raise IntakeError("invalid-job", f'ids that begin with "{STANDING}" are of Homing\'s own jobs; give this one another')
