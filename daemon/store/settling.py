"""What follows from the end of a walk, and who ends one without an event: operators, erasure, merging, the end of the campaign (ADR 0010).

An end is one row with `settled` 0; what follows is done by the walking stage in transactions of its own, once, and the row then waits for
the end of its horizon. So the event that ended a walk is answered as soon as its end is on the disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, literal_column, null, or_, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.model.job import JobState
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.enrolling import Entrant, Entry, enrol, walked_campaigns
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.sunset import let_go
from daemon.store.tallies import Tallies
from daemon.store.walking import Walking, touches_of

REASONS = {WalkState.EXITED.value: Reason.EXITED, WalkState.CONVERTED.value: Reason.CONVERTED, WalkState.MERGED.value: Reason.MERGED}
"""Why nothing more is sent of a walk that ended so; one that is finished has nothing left to send."""
_W, _D = s.walk.c, s.delivery.c


class Settled(NamedTuple):
    """`next_at`: when its horizon is over, None = it is. `sunset`: no marketing goes to this person any more. `into`: the campaign that it
    goes on in."""

    walk: Walking
    next_at: Instant | None
    sunset: bool = False
    into: Entry | None = None


_STANDS = select(_W.id, _W.state, _W.ended_at, _W.next_at, _W.person).where(in_list(_W.id, "ids"))
_SETTLE = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(
        settled=literal_column("1"), next_at=bindparam("b_next"), watched=bindparam("b_watched"), first_touch_at=bindparam("b_first"),
        touched_at=bindparam("b_touched"),
    )
)  # fmt: skip


def settle_walks(conn: Connection, settled: Sequence[Settled], now: Instant) -> Sequence[Settled]:
    """Do what follows from these ends; of those that ended otherwise meanwhile, or are another person's now, nothing. Returns those that
    were settled for the first time."""
    stands = {row[0]: row[1:] for row in fetch(conn, _STANDS, ("ids",), (ids(sorted(one.walk.id for one in settled)),))}
    settled = [one for one in settled if stands.get(one.walk.id) == (one.walk.state, one.walk.ended_at, one.walk.next_at, one.walk.person)]
    fresh = [one for one in settled if not one.walk.settled]
    many(conn, _SETTLE, ("b_id", "b_next", "b_watched", "b_first", "b_touched"), [
        (one.walk.id, one.next_at, int(one.next_at is not None), *touches_of(one.walk)) for one in settled
    ])  # fmt: skip
    _drop_held(conn, [one.walk for one in fresh if one.walk.state in REASONS], now)
    into: dict[tuple[int, int], tuple[Entry, set[int]]] = {}
    for one in fresh:
        if one.into is not None:
            into.setdefault((one.into.campaign, one.into.version), (one.into, set()))[1].add(one.walk.person)
    for entry, persons in into.values():
        enrol(conn, entry, [Entrant(person) for person in sorted(persons)], now)
    let_go(conn, {one.walk.person: one.walk.since_at for one in fresh if one.sunset}, now)
    return fresh


_WAVES = select(s.wave.c.id).where(s.wave.c.campaign == bindparam("campaign"), s.wave.c.occurrence == bindparam("occurrence"))
_HELD = (
    select(_D.id, _D.job, _D.reason, _D.key, _D.walk)
    .where(in_list(_D.wave, "waves"), in_list(_D.person, "persons"), _D.state == literal_column(f"'{State.HELD.value}'"))
)  # fmt: skip
_END = (
    update(s.delivery)
    .where(_D.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), ended_at=bindparam("b_now"))
)


def _drop_held(conn: Connection, walks: Sequence[Walking], now: Instant) -> None:
    """What was held of them ends too: nobody needs to release it."""
    if not walks:
        return
    state_of = {walk.id: walk.state for walk in walks}
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for walk in walks:
        alike[walk.campaign, walk.occurrence].append(walk.person)
    tallies = Tallies()
    ends: list[tuple[Any, ...]] = []
    for key, persons in alike.items():
        waves = ids(row[0] for row in fetch(conn, _WAVES, ("campaign", "occurrence"), key))
        for delivery, job, reason, doubt, walk in fetch(conn, _HELD, ("waves", "persons"), (waves, ids(sorted(persons)))):
            if walk not in state_of:
                continue
            why = REASONS[state_of[walk]]
            if doubt == "doubt":  # a second copy that does not go leaves the first one's doubt
                tallies.move(job, State.HELD, reason, State.IN_DOUBT, "")
                ends.append((delivery, State.IN_DOUBT.value, None, None))
            else:
                tallies.move(job, State.HELD, reason, State.DROPPED, why.value)
                ends.append((delivery, State.DROPPED.value, why.value, now))
    many(conn, _END, ("b_id", "b_state", "b_reason", "b_now"), ends)
    tallies.write(conn)


_CLOSE = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(
        state=bindparam("b_state"), ended_at=bindparam("b_now"), end_reason=bindparam("b_reason"), next_at=bindparam("b_now"),
        settled=literal_column("0"),
    )
)  # fmt: skip
_CLOSE_NAMES = ("b_id", "b_state", "b_now", "b_reason")
_OPEN_OF = select(_W.id).where(
    _W.watched == literal_column("1"), _W.person == bindparam("person"),
    or_(_W.state == literal_column("'open'"), _W.state == literal_column("'planned'")),
)  # fmt: skip
_ALL_OF = select(_W.id).where(_W.campaign == bindparam("campaign"), _W.person == bindparam("person"))


def end_walks_of(conn: Connection, person: int, state: WalkState, reason: str, now: Instant) -> int:
    """All open walks of a person end. Returns how many."""
    found = [row[0] for row in fetch(conn, _OPEN_OF, ("person",), (person,))]
    many(conn, _CLOSE, _CLOSE_NAMES, [(walk, state.value, now, reason) for walk in found])
    return len(found)


_UNTRIGGER = delete(s.trigger_event).where(s.trigger_event.c.person == bindparam("b_person"))
_WORDS = update(s.walk).where(_W.id == bindparam("b_id")).values(event=null(), vars=null())


def forget_walks(conn: Connection, person: int, now: Instant) -> None:
    """The person was erased: what is open ends, and no words are kept."""
    end_walks_of(conn, person, WalkState.EXITED, Reason.ERASED.value, now)
    mine = [row[0] for campaign in walked_campaigns(conn) for row in fetch(conn, _ALL_OF, ("campaign", "person"), (campaign, person))]
    many(conn, _WORDS, ("b_id",), [(walk,) for walk in mine])
    many(conn, _UNTRIGGER, ("b_person",), [(person,)])  # few wait, and seldom is anybody erased: no index is kept for it


def close_walks(conn: Connection, walks: Sequence[Walking], state: WalkState, reason: str, now: Instant) -> None:
    """These end, whatever they wait for."""
    many(conn, _CLOSE, _CLOSE_NAMES, [(walk.id, state.value, now, reason) for walk in walks])


_OPEN_IN = select(func.count()).where(_W.campaign == bindparam("campaign"), _W.state == literal_column("'open'"), _W.next_at.is_not(None))
_DROP_TRIGGERS = delete(s.trigger_event).where(s.trigger_event.c.campaign == bindparam("campaign"))
_CLOSE_JOB = (
    update(s.job)
    .where(s.job.c.id == bindparam("b_id"))
    .values(
        state=literal_column(f"'{JobState.CANCELLED.value}'"), reason=literal_column("'operator'"),
        guard=s.job.c.guard + literal_column("1"),
    )
)  # fmt: skip


def close_line(conn: Connection, job: int, campaign: int) -> bool:
    """The campaign is archived and has no open walk left: its standing job ends, with what waits of it. False: it has one."""
    if fetch(conn, _OPEN_IN, ("campaign",), (campaign,))[0][0]:
        return False
    conn.execute(_DROP_TRIGGERS, {"campaign": campaign})
    many(conn, _CLOSE_JOB, ("b_id",), [(job,)])
    return True
