"""Walking: the rows of walks whose time has come, with what their next move rests on, and the moves written (ADR 0010).

A move is decided outside, on what was read; it is written only if its walk still stands where it stood then, so an exit that was
committed meanwhile always wins. A step's delivery is planned straight into the due queue, and never twice: unique on (wave, person).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, literal_column, select, update

from daemon.journey.sequence import Standing
from daemon.model.delivery import REASONS, Instant, Reason, State
from daemon.model.job import JobState
from daemon.model.journey import WalkState, way_of
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.enrolling import WALKS
from daemon.store.exits import put_triggers
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.waves import lane_of, take_ids, wave_of

ENDED = (WalkState.FINISHED.value, WalkState.EXITED.value, WalkState.CONVERTED.value, WalkState.MERGED.value)
_ALL_STATES = ids((WalkState.OPEN.value, *ENDED))
_W, _D, _R, _P = s.walk.c, s.delivery.c, s.recipient.c, s.profile.c


class Line(NamedTuple):
    """A campaign with walks, by its standing job (0 = that has ended). `runs`: neither it nor its job or queue is stopped."""

    job: int
    campaign: int
    name: str
    version: int
    queue: str
    priority: int
    status: str
    runs: bool


_LINES = (
    select(
        s.job.c.id, s.campaign.c.id, s.campaign.c.name, s.campaign.c.version, s.job.c.queue, s.job.c.priority, s.campaign.c.status,
        case(
            (s.campaign.c.status != "active", 0), (s.job.c.state != JobState.ACCEPTED.value, 0),
            (func.coalesce(s.queue.c.paused, 0) != 0, 0), else_=1,
        ),
    )
    .join(s.campaign, s.campaign.c.id == s.job.c.campaign)
    .outerjoin(s.queue, s.queue.c.name == s.job.c.queue)
    .where(s.job.c.finished_at.is_(None), s.job.c.state.in_(("accepted", "paused")), s.job.c.source == WALKS)
    .order_by(s.job.c.id)
)  # fmt: skip


_STATES = func.json_each(bindparam("states")).table_valued("value", name="states")
_CAMPAIGNS = func.json_each(bindparam("campaigns")).table_valued("value", name="campaigns")


def _first_after(state: ColumnElement[Any], campaign: ColumnElement[Any]) -> ColumnElement[Any]:
    """The next campaign that has walks of a state with something to come: one step in the index."""
    found = select(_W.campaign).where(_W.state == state, _W.campaign > campaign, _W.next_at.is_not(None))
    return found.order_by(_W.campaign).limit(literal_column("1")).scalar_subquery()  # half of what min() takes


_first_left = select(_STATES.c.value.label("state"), _first_after(_STATES.c.value, literal_column("-1")).label("campaign"))
_left = _first_left.cte("lefts", recursive=True)
_left = _left.union_all(
    select(_left.c.state, _first_after(_left.c.state, _left.c.campaign)).where(_left.c.campaign.is_not(None))
)
_first = select(_W.next_at).where(_W.state == _left.c.state, _W.campaign == _left.c.campaign, _W.next_at.is_not(None))
_FIRST = _first.order_by(_W.next_at).limit(literal_column("1")).scalar_subquery()
_NEXTS = select(_left.c.campaign, _left.c.state, _FIRST).where(_left.c.campaign.is_not(None))
_LEFT = select(s.campaign.c.id, s.campaign.c.name, s.campaign.c.version, s.campaign.c.status).where(in_list(s.campaign.c.id, "campaigns"))


def lines(conn: Connection) -> list[Line]:
    """All campaigns with walks that are not archived and done: those whose standing job is open, and those whose walks outlive it."""
    return _lines(conn, _nexts(conn))


def _nexts(conn: Connection) -> dict[tuple[int, str], Instant]:
    """(campaign, state) -> when the first of its walks in that state is to be looked at, where there is one."""
    return {(campaign, state): at for campaign, state, at in fetch(conn, _NEXTS, ("states",), (_ALL_STATES,))}


def _lines(conn: Connection, nexts: Iterable[tuple[int, str]]) -> list[Line]:
    found = [Line._make((*row[:-1], bool(row[-1]))) for row in fetch(conn, _LINES)]
    standing = {line.campaign for line in found}
    if left := {campaign for campaign, _ in nexts} - standing:
        rest = sorted(fetch(conn, _LEFT, ("campaigns",), (ids(sorted(left)),)))
        found += [Line(0, number, name, version, "", 0, status, runs=False) for number, name, version, status in rest]
    return found


class Awaited(NamedTuple):
    """When something is to be done next for a line; None = nothing is. `going`: for its open walks, `over`: for ended ones, `fresh`: for
    what may begin one."""

    line: Line
    going: Instant | None
    over: Instant | None
    fresh: Instant | None


_FRESH = select(func.min(s.trigger_event.c.due_at)).where(s.trigger_event.c.campaign == _CAMPAIGNS.c.value).scalar_subquery()
_EACH_FRESH = select(_CAMPAIGNS.c.value, _FRESH)


def awaited(conn: Connection) -> list[Awaited]:
    """What waits, and until when: an index look-up a line and state that there are, since it is asked all the time."""
    nexts = _nexts(conn)
    there = _lines(conn, nexts)
    fresh = dict(fetch(conn, _EACH_FRESH, ("campaigns",), (ids([line.campaign for line in there]),)))
    overs: dict[int, Instant] = {}
    for (campaign, state), at in nexts.items():
        if state in ENDED:
            overs[campaign] = min(at, overs.get(campaign, at))
    found = []
    for line in there:
        moves = line.runs or line.status == "archived"
        going, over = nexts.get((line.campaign, WalkState.OPEN.value)), overs.get(line.campaign)
        found.append(Awaited(line, going if moves else None, over, fresh[line.campaign] if moves else None))
    return found


class Walking(NamedTuple):
    """A walk whose time has come, with its person. `last`: what became of the deliveries of its step."""

    id: int
    campaign: int
    person: int
    occurrence: int
    version: int
    state: str
    entered_at: Instant
    since_at: Instant
    anchor_at: Instant
    shift: int
    event: str | None
    vars: str | None
    held_out: int
    arms: str | None
    step: str | None
    step_at: Instant | None
    next_at: Instant | None
    first_touch_at: Instant | None
    touched_at: Instant | None
    goal_at: Instant | None
    ended_at: Instant | None
    end_reason: str | None
    asked: str | None
    settled: int
    key: str
    email: str | None
    zone: str | None
    phone: str | None
    country: str | None
    traits: str | None
    erased: int
    orders: int | None
    value: int | None
    last: Standing = Standing()


_FIELDS = tuple(name for name in Walking._fields if name != "last")
_OF_PERSON = frozenset({"key", "email", "zone", "phone", "country", "traits", "erased"})
_OF_PROFILE = frozenset({"orders", "value"})
_COLUMNS = [_R[name] if name in _OF_PERSON else _P[name] if name in _OF_PROFILE else _W[name] for name in _FIELDS]
_DUE = (
    select(*_COLUMNS)
    .join(s.recipient, _R.id == _W.person)
    .outerjoin(s.profile, _P.person == _W.person)
    .where(_W.state == bindparam("state"), _W.campaign == bindparam("campaign"), _W.next_at.is_not(None), _W.next_at <= bindparam("now"))
    .order_by(_W.next_at, _W.id)
    .limit(bindparam("n"))
)
_WAVES = select(s.wave.c.id, s.wave.c.step, s.wave.c.occurrence).where(s.wave.c.campaign == bindparam("campaign"))
_OF_STEP = (
    select(_D.person, _D.wave, _D.state, _D.handed_over_at, _D.ended_at, _D.expires_at, s.flight.c.delivery)
    .outerjoin(s.flight, s.flight.c.delivery == _D.id)
    .where(in_list(_D.wave, "waves"), in_list(_D.person, "persons"))
)
_GOING = (State.PLANNED.value, State.DUE.value, State.HELD.value)
_REACHED = (State.ACCEPTED.value, State.IN_DOUBT.value, State.HELD_OUT.value)


def due_walks(conn: Connection, campaign: int, states: Iterable[str], now: Instant, limit: int) -> list[Walking]:
    """The walks of a campaign in these states that are to be looked at, those that wait longest first."""
    found: list[Walking] = []
    for state in states:
        rest = limit - len(found)
        if rest:
            found += [Walking(*row) for row in fetch(conn, _DUE, ("state", "campaign", "now", "n"), (state, campaign, now, rest))]
    standing = _standing(conn, campaign, found, now)
    return [walk._replace(last=standing.get((walk.step or "", walk.occurrence, walk.person), walk.last)) for walk in found]


def _standing(conn: Connection, campaign: int, walks: Sequence[Walking], now: Instant) -> dict[tuple[str, int, int], Standing]:
    """(step, occurrence, person) -> what became of its deliveries."""
    wanted = {(walk.step, walk.occurrence) for walk in walks if walk.step is not None}
    if not wanted:
        return {}
    waves = {wave: (step, turn) for wave, step, turn in fetch(conn, _WAVES, ("campaign",), (campaign,)) if (step, turn) in wanted}
    together: dict[tuple[str, int, int], list[Standing]] = defaultdict(list)
    persons = ids(sorted({walk.person for walk in walks}))
    for person, wave, *row, flies in fetch(conn, _OF_STEP, ("waves", "persons"), (ids(waves), persons)):
        together[(*waves[wave], person)].append(_standing_of(*row, now=now, flies=flies is not None))
    return {key: _joined(found) for key, found in together.items()}


def _standing_of(
    state: str, handed_over_at: Instant | None, ended_at: Instant | None, expires_at: Instant, *, now: Instant, flies: bool
) -> Standing:  # fmt: skip
    """One delivery. What is past its end and in nobody's hands can no longer go, though no claim has said so yet."""
    if flies:
        return Standing(open_until=max(expires_at, now + 1))
    if state in _REACHED:
        return Standing(accepted_at=handed_over_at if handed_over_at is not None else ended_at)
    if state in _GOING:
        return Standing(open_until=expires_at) if expires_at > now else Standing(ended_at=expires_at)
    return Standing(ended_at=ended_at if ended_at is not None else now)


def _joined(found: Sequence[Standing]) -> Standing:
    """All deliveries of a step together."""
    return Standing(
        open_until=max((one.open_until for one in found if one.open_until is not None), default=None),
        accepted_at=max((one.accepted_at for one in found if one.accepted_at is not None), default=None),
        ended_at=max((one.ended_at for one in found if one.ended_at is not None), default=None),
    )


_REACTED = (
    select(_D.walk, s.feedback.c.kind, _D.id, s.wave.c.step)
    .select_from(s.feedback)
    .join(s.delivery, _D.id == s.feedback.c.delivery)
    .join(s.wave, s.wave.c.id == _D.wave)
    .where(in_list(s.feedback.c.person, "persons"), s.feedback.c.human == 1, _D.walk.is_not(None))
)


def reactions(conn: Connection, persons: Iterable[int]) -> dict[int, set[tuple[str, str]]]:
    """Walk -> (kind of feedback, step), of what people did (not machines)."""
    found: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for walk, kind, _, step in fetch(conn, _REACTED, ("persons",), (ids(sorted(set(persons))),)):
        found[walk].add((kind, step))
    return found


class Due(NamedTuple):
    """A delivery to be planned. `not_before` None: no instant before `expires_at` is allowed; it ends now, with `reason` and what
    was decided (JSON). `provider`: by this one alone."""

    channel: str
    not_before: Instant | None
    expires_at: Instant
    reason: str = ""
    provider: str | None = None
    decision: str | None = None


class Asking(NamedTuple):
    """A campaign that is triggered if there is no reaction (`event`) to `step`, `after` its acceptance."""

    step: str
    after: int
    campaign: int
    event: str


class Moved(NamedTuple):
    """A walk as it was read, and what becomes of it. `step`: where it stands now, with what is planned of it (`due`); `state` and `reason`:
    it ends so; `asks`: its step was accepted, and somebody awaits a missing reaction to it; `sets`: tags and traits for its person."""

    walk: Walking
    next_at: Instant | None
    step: str | None = None
    variant: str | None = None
    due: Sequence[Due] = ()
    state: WalkState = WalkState.OPEN
    reason: str | None = None
    asks: bool = False
    sets: tuple[Sequence[str], Mapping[str, Any]] | None = None


_STANDS = select(_W.id, _W.state, _W.next_at).where(in_list(_W.id, "ids"))
_MOVE = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"), step=bindparam("b_step"), step_at=bindparam("b_step_at"), next_at=bindparam("b_next"),
        first_touch_at=bindparam("b_first"), touched_at=bindparam("b_touched"), ended_at=bindparam("b_ended"),
        end_reason=bindparam("b_reason"), asked=bindparam("b_asked"),
    )
)  # fmt: skip
_MOVE_NAMES = ("b_id", "b_state", "b_step", "b_step_at", "b_next", "b_first", "b_touched", "b_ended", "b_reason", "b_asked")
_INSERT = insert(s.delivery)
_NAMES = (
    "id", "wave", "person", "job", "version", "variant", "state", "reason", "lane", "not_before", "expires_at", "vars", "ended_at", "walk",
    "decision",
)  # fmt: skip
_THERE = select(_D.person).where(_D.wave == bindparam("wave"), in_list(_D.person, "persons"))


def move_walks(
    conn: Connection, line: Line, moves: Sequence[Moved], asking: Sequence[Asking], now: Instant, bits: int
) -> int:  # fmt: skip
    """Write these moves; whoever has moved or ended meanwhile is looked at again. `asking`: who awaits missing reactions to steps of this
    campaign; `bits`: random, for the numbers of deliveries. Returns how many deliveries are due."""
    stands = {row[0]: row[1:] for row in fetch(conn, _STANDS, ("ids",), (ids(sorted(move.walk.id for move in moves)),))}
    moves = [move for move in moves if stands.get(move.walk.id) == (move.walk.state, move.walk.next_at)]
    many(conn, _MOVE, _MOVE_NAMES, [_moved(move, now) for move in moves])
    asks = [
        (one.campaign, walk.person, at + one.after, at + one.after, one.event, json.dumps({"walk": walk.id, "step": one.step}))
        for walk in (move.walk for move in moves if move.asks)
        for one in asking
        if one.step == walk.step and (at := walk.last.accepted_at) is not None
    ]
    put_triggers(conn, asks)
    _set_traits(conn, [(move.walk.person, *move.sets) for move in moves if move.sets is not None], now)
    return _plan(conn, line, moves, now, bits)


def _moved(move: Moved, now: Instant) -> tuple[Any, ...]:
    walk = move.walk
    step, step_at = (walk.step, walk.step_at) if move.step is None else (move.step, now)
    first, touched = touches_of(walk)
    ended = None if move.state is WalkState.OPEN else now
    asked = walk.step if move.asks else walk.asked
    return walk.id, move.state.value, step, step_at, move.next_at if ended is None else now, first, touched, ended, move.reason, asked


_TRAITS = select(_R.id, _R.traits).where(in_list(_R.id, "persons"), _R.erased == literal_column("0"))
_SET = update(s.recipient).where(_R.id == bindparam("b_id")).values(traits=bindparam("b_traits"), updated_at=bindparam("b_now"))


def _set_traits(conn: Connection, rows: Sequence[tuple[int, Sequence[str], Mapping[str, Any]]], now: Instant) -> None:
    """Tags are added to those that there are, traits take the place of what stood there."""
    if not rows:
        return
    persons = ids(sorted({person for person, _, _ in rows}))
    known = {person: json.loads(traits) if traits else {} for person, traits in fetch(conn, _TRAITS, ("persons",), (persons,))}
    for person, tags, traits in rows:
        if (mine := known.get(person)) is None:
            continue
        mine.update(traits)
        if tags:
            had = mine.get("tags")
            had = [tag.strip() for tag in had.split(",")] if isinstance(had, str) else had if isinstance(had, list) else []
            mine["tags"] = list(dict.fromkeys((*(tag for tag in had if tag), *tags)))
    spelled = [(person, json.dumps(mine, ensure_ascii=False, separators=(",", ":")), now) for person, mine in known.items()]
    many(conn, _SET, ("b_id", "b_traits", "b_now"), spelled)


def touches_of(walk: Walking) -> tuple[Instant | None, Instant | None]:
    """(first, last) time that something of the walk was accepted or would have been."""
    at = walk.last.accepted_at
    first = min((one for one in (walk.first_touch_at, at) if one is not None), default=None)
    return first, max((one for one in (walk.touched_at, at) if one is not None), default=None)


def _plan(conn: Connection, line: Line, moves: Sequence[Moved], now: Instant, bits: int) -> int:
    """The deliveries of the moves, by wave; who has one already keeps it."""
    by_wave: dict[tuple[str, int, str, str], list[tuple[Moved, Due]]] = defaultdict(list)
    for move in moves:
        for due in move.due:
            by_wave[move.step or "", move.walk.occurrence, due.channel, way_of(due.channel, due.provider)].append((move, due))
    rows: list[tuple[Any, ...]] = []
    tallies = Tallies()
    number = take_ids(conn, sum(map(len, by_wave.values())), now, bits) if by_wave else 0
    for (step, occurrence, channel, way), found in sorted(by_wave.items(), key=lambda item: item[0]):
        wave = wave_of(conn, (line.campaign, step, occurrence, channel))
        lane = lane_of(conn, (line.job, line.priority, way), line.queue, line.campaign)
        persons = ids(sorted({move.walk.person for move, _ in found}))
        there = {person for (person,) in fetch(conn, _THERE, ("wave", "persons"), (wave, persons))}
        for move, due in found:
            walk = move.walk
            if walk.person in there:
                continue
            late = due.not_before is None
            state = REASONS[Reason(due.reason)].state if late else State.DUE
            rows.append((
                number, wave, walk.person, line.job, walk.version, move.variant, state.value, due.reason or None, lane,
                due.expires_at if due.not_before is None else due.not_before, due.expires_at, walk.vars, now if late else None, walk.id,
                due.decision,
            ))  # fmt: skip
            tallies.add(line.job, state, due.reason if late else "")
            number += 1
    many(conn, _INSERT, _NAMES, rows)
    going = [(row[8], row[9], row[0]) for row in rows if row[6] == State.DUE.value]
    put_due(conn, going)
    tallies.write(conn)
    return len(going)
