"""Triggers: what may enrol somebody becomes a walk, or is let go, in one transaction; so each does once what it does (ADR 0010).

They were written with their events (`store.exits`), or with the look at a step that was accepted and may stay without a reaction
(`store.walking`). Who triggers again before his first message begins anew: only the last of many counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, literal_column, select, update

from daemon.clock import iso
from daemon.model.delivery import Instant
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.enrolling import EVENT, Entrant, Entry, enrol
from daemon.store.exits import undone_at
from daemon.store.merged import survivors_of
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.walking import reactions


class Fired(NamedTuple):
    """One trigger. `properties`: JSON text; of a missing reaction, the walk that it was awaited of."""

    id: int
    person: int
    at: Instant
    event: str
    properties: str | None
    erased: int


class Taken(NamedTuple):
    """How many triggers were taken, and what became of each: entered | anew | already_enrolled | late | reacted | exited | erased ->
    count."""

    total: int
    how: Mapping[str, int]


_T, _W = s.trigger_event.c, s.walk.c
_DUE = (
    select(_T.id, _T.person, _T.at, _T.event, _T.properties, s.recipient.c.erased)
    .join(s.recipient, s.recipient.c.id == _T.person)
    .where(_T.campaign == bindparam("campaign"), _T.due_at <= bindparam("now"))
    .order_by(_T.due_at, _T.id)
    .limit(bindparam("n"))
)
_GONE = delete(s.trigger_event).where(in_list(_T.id, "ids"))
_LOST = delete(s.trigger_event).where(
    _T.campaign == bindparam("campaign"), ~select(s.recipient.c.id).where(s.recipient.c.id == _T.person).exists()
)
_WAITING = select(_W.person, _W.id).where(
    _W.campaign == bindparam("campaign"), in_list(_W.person, "persons"), _W.step.is_(None),
    _W.state == literal_column(f"'{WalkState.OPEN.value}'"),
)  # fmt: skip
_ANEW = (
    update(s.walk)
    .where(_W.id == bindparam("b_id"))
    .values(since_at=bindparam("b_at"), anchor_at=bindparam("b_anchor"), event=bindparam("b_event"), next_at=bindparam("b_now"))
)
_ANCHOR = select(_W.anchor_at, _W.since_at).where(_W.id == bindparam("id"))
_OVER = select(_W.id).where(
    in_list(_W.id, "ids"), _W.state != literal_column(f"'{WalkState.OPEN.value}'"),
    _W.state != literal_column(f"'{WalkState.FINISHED.value}'"),
)  # fmt: skip


def take_triggers(
    conn: Connection, entry: Entry, now: Instant, limit: int, *, life: int, opens_at: Instant, absent: str | None = None
) -> Taken:  # fmt: skip
    """Enrol whom the next triggers bring. `life`: of the first message, from the trigger on; one that would be dead by now, or by
    `opens_at`, is late. `absent`: the triggers are of reactions of this kind that did not come, and are asked for once more."""
    fired: Sequence[Fired] = [Fired._make(row) for row in fetch(conn, _DUE, ("campaign", "now", "n"), (entry.campaign, now, limit))]
    fired = _as_they_are_now(conn, fired)
    if not fired:
        conn.execute(_LOST, {"campaign": entry.campaign})
        return Taken(0, {})
    how: dict[str, int] = {}
    reacted = _reacted(conn, fired, absent) if absent is not None else frozenset()
    undone = undone_at(conn, entry.campaign, (one.person for one in fired), min(one.at for one in fired))
    waiting: dict[int, int] = dict(fetch(conn, _WAITING, ("campaign", "persons"), (entry.campaign, _persons(fired))))
    fresh: dict[int, Entrant] = {}
    for one in fired:
        word = _refused(one, reacted, now, life, opens_at)
        if word is None and undone.get(one.person, one.at) > one.at:
            word = "exited"
        if word is None and one.person in waiting:
            _begin_anew(conn, waiting[one.person], entry, one, now)
            word = "anew"
        elif word is None and one.person in fresh:
            fresh[one.person] = max(fresh[one.person], _entrant(one), key=lambda entrant: entrant.at or 0)
            word = "anew"
        elif word is None:
            fresh[one.person] = _entrant(one)
            continue
        how[word] = how.get(word, 0) + 1
    for word in enrol(conn, entry, list(fresh.values()), now).how:
        how[word] = how.get(word, 0) + 1
    many(conn, _GONE, ("ids",), [(ids(one.id for one in fired),)])
    return Taken(len(fired), how)


_ERASED = select(s.recipient.c.id, s.recipient.c.erased).where(in_list(s.recipient.c.id, "persons"))


def _as_they_are_now(conn: Connection, fired: Sequence[Fired]) -> Sequence[Fired]:
    """The triggers of who was merged since are of whom he became."""
    now = survivors_of(conn, (one.person for one in fired)) if fired else {}
    if not now:
        return fired
    erased = dict(fetch(conn, _ERASED, ("persons",), (ids(sorted({person for person, _ in now.values()})),)))
    return [one._replace(person=now[one.person][0], erased=erased[now[one.person][0]]) if one.person in now else one for one in fired]


def _persons(fired: Iterable[Fired]) -> str:
    return ids(sorted({one.person for one in fired}))


def _refused(one: Fired, reacted: frozenset[int], now: Instant, life: int, opens_at: Instant) -> str | None:
    if one.erased:
        return "erased"
    if one.id in reacted:
        return "reacted"
    return "late" if one.at + life <= max(now, opens_at) else None


def _entrant(one: Fired) -> Entrant:
    return Entrant(one.person, one.at, _told(one))


def _told(one: Fired) -> str:
    """What messages may say of it (`event.*`)."""
    said: dict[str, Any] = {"name": one.event, "at": iso(one.at), "properties": json.loads(one.properties) if one.properties else {}}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _begin_anew(conn: Connection, walk: int, entry: Entry, one: Fired, now: Instant) -> None:
    """The walk waits for its first message: it waits from this trigger on, if that is the later one."""
    anchor, since = fetch(conn, _ANCHOR, ("id",), (walk,))[0]
    if one.at > since:
        many(conn, _ANEW, ("b_id", "b_at", "b_anchor", "b_event", "b_now"), [
            (walk, one.at, one.at if entry.anchor == EVENT else anchor, _told(one), now)
        ])  # fmt: skip


def _reacted(conn: Connection, fired: Iterable[Fired], absent: str) -> frozenset[int]:
    """Those triggers whose reaction came after all, or whose walk was left otherwise than by its last step."""
    walks = {one.id: int(json.loads(one.properties or "{}").get("walk", 0)) for one in fired}
    found = reactions(conn, [one.person for one in fired])
    over = {row[0] for row in fetch(conn, _OVER, ("ids",), (ids(sorted(set(walks.values()))),))}
    said = {id for id, walk in walks.items() if any(kind == absent for kind, _ in found.get(walk, ()))}
    return frozenset(said | {id for id, walk in walks.items() if walk in over})
