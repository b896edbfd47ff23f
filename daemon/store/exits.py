"""Exits: what events do to walks, in the transaction that takes the events in (ADR 0010).

An exit, goal or exception event ends the walks that it concerns at its own instant: the earliest that happened since a walk began counts,
in whatever order they come, so late and repeated events lead to the same end. Goals that come after the end are noted while the
horizon runs. The walk's `next_at` brings the walking stage to what follows from the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, or_, select, update

from daemon.model.delivery import DAY, Instant
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.filters import passes
from daemon.store.sql import fetch, ids, in_list, many, value


class Kind(StrEnum):
    """What a campaign makes of an event."""

    EXIT = "exit"
    GOAL = "goal"
    TRIGGER = "trigger"


_TRIGGER, _GOALS = Kind.TRIGGER.value, Kind.GOAL.value


class Use(NamedTuple):
    """One row of `campaign_event`, without its campaign."""

    event: str
    kind: Kind
    filter: str | None = None


class Ending(NamedTuple):
    """How a walk ended: the least of two is the one that counts. `rank`: of those of one instant a conversion goes before an exit, an event
    before the last step."""

    at: Instant
    rank: int
    reason: str


STATES = (WalkState.CONVERTED, WalkState.EXITED, WalkState.FINISHED)
"""By rank; a merge goes behind all."""


class _Walk(NamedTuple):
    id: int
    campaign: int
    person: int
    state: str
    entered_at: Instant
    since_at: Instant
    goal_at: Instant | None
    ended_at: Instant | None
    end_reason: str | None


_U, _W = s.campaign_event.c, s.walk.c
_USES = select(_U.event, _U.kind, _U.campaign, _U.filter).where(in_list(_U.event, "names"))
_WATCHED = select(*(_W[name] for name in _Walk._fields)).where(_W.watched == literal_column("1"), in_list(_W.person, "persons"))
_END = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"), ended_at=bindparam("b_ended"), end_reason=bindparam("b_reason"), goal_at=bindparam("b_goal"),
        next_at=bindparam("b_now"), settled=literal_column("0"),
    )
)  # fmt: skip
_END_NAMES = ("b_id", "b_state", "b_ended", "b_reason", "b_goal", "b_now")
_GOAL = update(s.walk).where(_W.id == bindparam("b_id")).values(goal_at=bindparam("b_goal"))
_TRIGGERED = insert(s.trigger_event)
_TRIGGER_NAMES = ("id", "campaign", "person", "at", "due_at", "event", "properties")
_LAST_TRIGGER = select(func.coalesce(func.max(s.trigger_event.c.id), 0))
_LIVE = select(s.campaign.c.id).where(
    in_list(s.campaign.c.id, "campaigns"),
    or_(s.campaign.c.status == literal_column("'active'"), s.campaign.c.status == literal_column("'paused'")),
)


Trigger = tuple[int, int, Instant, Instant, str, str | None]
"""(campaign, person, at, not before, event, JSON of its properties)"""


class Concerned(NamedTuple):
    """`ended`: persons of whom a walk ended; `moved`: the walking stage has something to do."""

    ended: frozenset[int]
    moved: bool


def note_happened(conn: Connection, kept: Sequence[EventRow], now: Instant) -> Concerned:
    """End the walks that these events end, and keep what may begin one."""
    uses = _uses_of(conn, kept)
    if not uses:
        return Concerned(frozenset(), moved=False)
    used = [row for row in kept if row.name in uses]
    triggered = _keep_triggers(conn, used, uses, now)
    ended = _end_walks(conn, used, uses, now)
    return Concerned(ended, bool(ended) or triggered)


Uses = Mapping[str, Sequence[tuple[str, int, str | None]]]
"""Event -> (kind, campaign, filter) of each campaign that makes something of it."""


def _uses_of(conn: Connection, rows: Sequence[EventRow]) -> Uses:
    uses: dict[str, list[tuple[str, int, str | None]]] = defaultdict(list)
    for event, kind, campaign, filter in fetch(conn, _USES, ("names",), (ids(sorted({row.name for row in rows})),)) if rows else ():
        uses[event].append((kind, campaign, filter))
    return uses


_MADE = select(_U.event).distinct()


def ending_events(conn: Connection) -> list[str]:
    """Names of the events of which some campaign makes something."""
    return [event for (event,) in fetch(conn, _MADE)]


_FIRST = select(func.min(_W.since_at)).where(_W.watched == literal_column("1"), _W.person == bindparam("person"))


def watched_since(conn: Connection, person: int, now: Instant) -> Instant | None:
    """What happened until then ends none of the person's walks; None: he has none that an event may end."""
    since: Instant | None = value(conn, _FIRST, ("person",), (person,))
    return None if since is None else min(since, now - DAY)  # of a clock that was ahead: `_not_ahead`


def note_inherited(conn: Connection, rows: Sequence[EventRow], now: Instant) -> None:
    """What somebody did who is one with another now: it ends the walks of the persons that the rows name, as if they had done it. Nothing
    begins by it."""
    if uses := _uses_of(conn, rows):
        _end_walks(conn, rows, uses, now)


def _keep_triggers(conn: Connection, kept: Iterable[EventRow], uses: Uses, now: Instant) -> bool:
    found = [
        (campaign, row.person, row.at, now, row.name, row.properties)
        for row in kept
        for kind, campaign, filter in uses[row.name]
        if kind == _TRIGGER and passes(filter, row.properties)
    ]
    if not found:
        return False
    live = {campaign for (campaign,) in fetch(conn, _LIVE, ("campaigns",), (ids(sorted({row[0] for row in found})),))}
    return put_triggers(conn, [row for row in found if row[0] in live]) > 0


def put_triggers(conn: Connection, rows: Sequence[Trigger]) -> int:
    """Keep these until they are looked at."""
    if not rows:
        return 0
    first = fetch(conn, _LAST_TRIGGER)[0][0] + 1
    return many(conn, _TRIGGERED, _TRIGGER_NAMES, [(number, *row) for number, row in enumerate(rows, first)])


def _end_walks(conn: Connection, kept: Iterable[EventRow], uses: Uses, now: Instant) -> frozenset[int]:
    mine: dict[int, list[tuple[EventRow, dict[int, set[str]]]]] = defaultdict(list)
    for row in kept:
        kinds: dict[int, set[str]] = defaultdict(set)
        for kind, campaign, filter in uses[row.name]:
            if kind != _TRIGGER and passes(filter, row.properties):
                kinds[campaign].add(kind)
        if kinds:
            mine[row.person].append((row, kinds))
    if not mine:
        return frozenset()
    ends: list[tuple[object, ...]] = []
    goals: list[tuple[object, ...]] = []
    ended: set[int] = set()
    for found in fetch(conn, _WATCHED, ("persons",), (ids(sorted(mine)),)):
        walk = _Walk._make(found)
        told = [(row, kinds[walk.campaign]) for row, kinds in mine[walk.person] if walk.campaign in kinds]
        ending, goal_at = end_of(_not_ahead(walk, now), told)
        if ending is not None:
            ends.append((walk.id, STATES[ending.rank].value, ending.at, ending.reason, goal_at, now))
            ended.add(walk.person)
        elif goal_at != walk.goal_at:
            goals.append((walk.id, goal_at))
    many(conn, _END, _END_NAMES, ends)
    many(conn, _GOAL, ("b_id", "b_goal"), goals)
    return frozenset(ended)


def _not_ahead(walk: _Walk, now: Instant) -> _Walk:
    """A walk that began, by a clock that was ahead, at an instant that has not come yet: nobody knows when that was, so whatever happened
    within a day counts as since."""
    if max(walk.since_at, walk.entered_at) <= now:
        return walk
    return walk._replace(since_at=min(walk.since_at, now - DAY), entered_at=min(walk.entered_at, now - DAY))


def end_of(walk: _Walk, told: Iterable[tuple[EventRow, set[str]]]) -> tuple[Ending | None, Instant | None]:
    """(how these events end the walk, None = it stays as it is; when the goal was first reached). What happened before the walk began but
    after what it rests on (its anchor, its trigger) and was told only now ends it too: it should not have begun."""
    goal_at = walk.goal_at
    best: Ending | None = None
    if walk.ended_at is not None:
        rank = next((place for place, state in enumerate(STATES) if state.value == walk.state), len(STATES))
        best = Ending(walk.ended_at, rank, walk.end_reason or "")
    before = best
    for row, kinds in told:
        if row.at <= walk.since_at:
            continue
        converts = _GOALS in kinds and row.at >= walk.entered_at
        if converts:
            goal_at = row.at if goal_at is None else min(goal_at, row.at)
        ending = Ending(row.at, 0 if converts else 1, row.name)
        if best is None or ending < best:
            best = ending
    return (None if best == before else best), goal_at


_ENDS = select(_U.event, _U.filter).where(_U.campaign == bindparam("campaign"), _U.kind != literal_column(f"'{Kind.TRIGGER.value}'"))
_E, _N = s.event.c, s.event_name.c
_SINCE = (
    select(_E.person, _N.name, _E.at, _E.properties)
    .join(s.event_name, _N.id == _E.name)
    .where(
        in_list(_E.person, "persons"), _E.name.in_(select(_N.id).where(in_list(_N.name, "names"))), _E.at > bindparam("after")
    )
)  # fmt: skip


def undone_at(conn: Connection, campaign: int, persons: Iterable[int], after: Instant) -> dict[int, Instant]:
    """Person -> the last event after `after` that would have ended a walk through this campaign: who is about to begin one for a reason
    that is older does not. Such events were taken in before the walk was there, and nothing else looks at them again."""
    filters: dict[str, list[str | None]] = defaultdict(list)
    for name, filter in fetch(conn, _ENDS, ("campaign",), (campaign,)):
        filters[name].append(filter)
    found: dict[int, Instant] = {}
    wanted = sorted(set(persons))
    if not filters or not wanted:
        return found
    given = ids(wanted), ids(sorted(filters)), after
    for person, name, at, properties in fetch(conn, _SINCE, ("persons", "names", "after"), given):
        if any(passes(filter, properties) for filter in filters[name]):
            found[person] = max(at, found.get(person, at))
    return found


_FORGET = delete(s.campaign_event).where(_U.campaign == bindparam("b_campaign"))
_USE = insert(s.campaign_event)


def set_uses(conn: Connection, campaign: int, uses: Sequence[Use]) -> None:
    """What the campaign makes of events from now on."""
    many(conn, _FORGET, ("b_campaign",), [(campaign,)])
    many(conn, _USE, ("event", "kind", "campaign", "filter"), [
        (event, kind.value, campaign, filter)
        for (event, kind), filter in sorted({(use.event, use.kind): use.filter for use in uses}.items())
    ])  # fmt: skip
