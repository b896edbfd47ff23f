"""Merge, of what was sent and what is on its way: the survivor's history is that of both, and nothing more goes to the other (ADR 0010).

What waits or is held of the other ends here, as `merged`; what is claimed or not released yet stays with the other's row, which lets
nothing go (the claim drops it); what is handed over or in doubt belongs to the survivor, and is not tried again. Deliveries and walks
keep their numbers; where the survivor went through the same campaign, the other's times through it are counted behind his.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, literal_column, select, update

from daemon.model.delivery import Instant, Reason, State
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.due import take_due
from daemon.store.enrolling import walked_campaigns
from daemon.store.settling import end_walks_of
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies
from daemon.store.waves import wave_of


class Sends(NamedTuple):
    """`dropped`: deliveries that ended; `ended`: walks."""

    dropped: int
    ended: int


class _Row(NamedTuple):
    id: int
    job: int
    state: str
    reason: str | None
    key: str | None
    lane: int
    not_before: Instant
    wave: int
    campaign: int
    step: str
    occurrence: int
    channel: str
    flying: int | None
    """`handed_over` of its flight."""
    left_at: Instant | None
    """When it was handed over, by its flight."""
    walk: int | None
    reached_at: Instant | None
    """When it was sent, or would have been."""


_D, _V, _W = s.delivery.c, s.wave.c, s.walk.c
_WAVES = select(_V.id)
_OF = (
    select(
        _D.id, _D.job, _D.state, _D.reason, _D.key, _D.lane, _D.not_before, _D.wave, _V.campaign, _V.step, _V.occurrence, _V.channel,
        s.flight.c.handed_over, s.flight.c.handed_over_at, _D.walk,
        case((_D.state == literal_column(f"'{State.HELD_OUT.value}'"), _D.ended_at), else_=_D.handed_over_at),
    )
    .join(s.wave, _V.id == _D.wave)
    .outerjoin(s.flight, s.flight.c.delivery == _D.id)
    .where(in_list(_D.wave, "waves"), _D.person == bindparam("person"))
)  # fmt: skip
_MOVE = update(s.delivery).where(_D.id == bindparam("b_id")).values(person=bindparam("b_person"), wave=bindparam("b_wave"))
_LAST_TRY = (
    update(s.delivery)
    .where(_D.id == bindparam("b_id"))
    .values(expires_at=func.min(_D.expires_at, bindparam("b_end")))
)  # fmt: skip
_MOVE_FLIGHT = (
    update(s.flight)
    .where(s.flight.c.delivery == bindparam("b_id"))
    .values(person=bindparam("b_person"), wave=bindparam("b_wave"))
)  # fmt: skip
_END = (
    update(s.delivery)
    .where(_D.id == bindparam("b_id"))
    .values(state=bindparam("b_state"), reason=bindparam("b_reason"), ended_at=bindparam("b_now"))
)
_TOUCHES = update(s.touch).where(s.touch.c.person == bindparam("b_other")).values(person=bindparam("b_person"))
_LANES = update(s.lane).where(s.lane.c.person == bindparam("b_other")).values(person=bindparam("b_person"))
_WALKS = select(_W.id, _W.campaign, _W.occurrence).where(in_list(_W.campaign, "campaigns"), _W.person == bindparam("person"))
_TOUCHED = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(first_touch_at=func.min(func.coalesce(_W.first_touch_at, bindparam("b_at")), bindparam("b_at")))
)
_MOVE_WALK = update(s.walk).where(_W.id == bindparam("b_id")).values(person=bindparam("b_person"), occurrence=bindparam("b_occurrence"))


def inherit_sends(conn: Connection, other: int, person: int, now: Instant) -> Sends:
    """End what is on its way to the other, and make the rest the person's: contacts, doubts, history."""
    ended = end_walks_of(conn, other, WalkState.MERGED, Reason.MERGED.value, now)
    waves = ids(row[0] for row in fetch(conn, _WAVES))
    theirs = [_Row._make(row) for row in fetch(conn, _OF, ("waves", "person"), (waves, other))]
    dropped = _drop(conn, theirs, now)
    theirs = [row for row in theirs if row.id in dropped or not _stays(row)]
    campaigns = ids(walked_campaigns(conn))
    behind: dict[int, int] = defaultdict(int)
    for row in map(_Row._make, fetch(conn, _OF, ("waves", "person"), (waves, person))):
        behind[row.campaign] = max(behind[row.campaign], row.occurrence)
    for _, campaign, occurrence in fetch(conn, _WALKS, ("campaigns", "person"), (campaigns, person)):
        behind[campaign] = max(behind[campaign], occurrence)
    _move(conn, theirs, person, behind, now)
    many(conn, _MOVE_WALK, ("b_id", "b_person", "b_occurrence"), [
        (walk, person, occurrence + behind[campaign])
        for walk, campaign, occurrence in fetch(conn, _WALKS, ("campaigns", "person"), (campaigns, other))
    ])  # fmt: skip
    # the walking stage may not have looked since: whoever was sent something has walked
    reached = [(row.walk, at) for row in theirs if row.walk is not None and (at := row.reached_at or row.left_at) is not None]
    many(conn, _TOUCHED, ("b_id", "b_at"), reached)
    many(conn, _TOUCHES, ("b_other", "b_person"), [(other, person)])
    many(conn, _LANES, ("b_other", "b_person"), [(other, person)])
    return Sends(len(dropped), ended)


def _stays(row: _Row) -> bool:
    """Somebody has it in hand just now, or is about to release it: it ends at its next claim."""
    return row.flying == 0 or (row.flying is None and row.state in (State.PLANNED.value, State.DUE.value))


def _drop(conn: Connection, rows: list[_Row], now: Instant) -> set[int]:
    """What waits or is held ends. Of a second copy the first one's doubt is left. Returns which."""
    waiting = [row for row in rows if row.state in (State.DUE.value, State.HELD.value) and row.flying is None]
    taken = {due[2] for due in take_due(conn, [(row.lane, row.not_before, row.id) for row in waiting if row.state == State.DUE.value])}
    waiting = [row for row in waiting if row.state == State.HELD.value or row.id in taken]
    tallies = Tallies()
    ends: list[tuple[Any, ...]] = []
    for row in waiting:
        old = (State.DUE, "") if row.state == State.DUE.value else (State.HELD, row.reason or "")
        if row.key == "doubt":
            tallies.move(row.job, *old, State.IN_DOUBT, "")
            ends.append((row.id, State.IN_DOUBT.value, None, None))
        else:
            tallies.move(row.job, *old, State.DROPPED, Reason.MERGED.value)
            ends.append((row.id, State.DROPPED.value, Reason.MERGED.value, now))
    many(conn, _END, ("b_id", "b_state", "b_reason", "b_now"), ends)
    tallies.write(conn)
    return {row.id for row in waiting}


def _move(conn: Connection, rows: list[_Row], person: int, behind: dict[int, int], now: Instant) -> None:
    wave = {row.id: wave_of(conn, (row.campaign, row.step, row.occurrence + behind[row.campaign], row.channel)) for row in rows}
    many(conn, _MOVE, ("b_id", "b_person", "b_wave"), [(row.id, person, wave[row.id]) for row in rows])
    flying = [row.id for row in rows if row.flying]
    many(conn, _MOVE_FLIGHT, ("b_id", "b_person", "b_wave"), [(number, person, wave[number]) for number in flying])
    doubtful = [row for row in rows if row.flying or row.state == State.IN_DOUBT.value or row.key == "doubt"]
    sent = [(row.id, row.left_at or row.reached_at or 0) for row in doubtful]
    # commits may be ahead of the clock: it must not look as if it had been handed over after its end
    many(conn, _LAST_TRY, ("b_id", "b_end"), [(number, max(now, at + 1)) for number, at in sent])
