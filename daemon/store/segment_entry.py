"""Enrolment by segment: the members of a segment enter a campaign, a page a transaction, after each evaluation (ADR 0010).

The cursor is committed with the walks. Whoever walks already, or lately did, is passed by, and so is whoever has done since the
evaluation what would end a walk; who has become a member since is met after the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.enrolling import Entrant, Entry, enrol
from daemon.store.exits import undone_at
from daemon.store.meta import get_meta, get_metas, set_meta
from daemon.store.sql import fetch, ids, in_list
from daemon.store.walking import Awaited, awaited

_S, _M, _R = s.segment.c, s.segment_member.c, s.recipient.c
_EVALUATED = select(_S.name, _S.id, _S.evaluated_at).where(in_list(_S.name, "names"), _S.evaluated_at.is_not(None))
_PAGE = (
    select(_M.person)
    .join(s.recipient, _R.id == _M.person)
    .where(_M.segment == bindparam("segment"), _M.person > bindparam("after"), _R.erased == 0)
    .order_by(_M.person)
    .limit(bindparam("n"))
)


class _Place(NamedTuple):
    """How far a campaign has taken a segment's members. `at`: as of this evaluation; `after`: all persons up to this one are done, None =
    all are."""

    segment: int
    at: Instant
    after: int | None


def _goes_on(kept: str | None, segment: int, evaluated_at: Instant) -> _Place | None:
    """Where to go on, by what is kept of the campaign's last page; None = nobody is new."""
    place = None
    if kept is not None:
        number, at, after = kept.split()
        place = _Place(int(number), int(at), None if after == "-" else int(after))
    if place is not None and place.segment == segment and place.after is not None:
        return place
    if place is not None and place.segment == segment and place.at >= evaluated_at:
        return None
    return _Place(segment, evaluated_at, 0)


def unentered(conn: Connection, wanted: Sequence[tuple[int, str]]) -> frozenset[int]:
    """Of these (campaign, segment) the campaigns that have not taken all members of their segment as it was last evaluated."""
    if not wanted:
        return frozenset()
    known = {name: rest for name, *rest in fetch(conn, _EVALUATED, ("names",), (ids(sorted({name for _, name in wanted})),))}
    kept = get_metas(conn, [_key(campaign) for campaign, _ in wanted])
    return frozenset(
        campaign for campaign, name in wanted if name in known and _goes_on(kept.get(_key(campaign)), *known[name]) is not None
    )


def _key(campaign: int) -> str:
    return f"entering:{campaign}"


def look(
    conn: Connection, wanted: Callable[[Sequence[Awaited]], Sequence[tuple[int, str]]]
) -> tuple[Sequence[Awaited], frozenset[int]]:  # fmt: skip
    """What waits of all campaigns, and the `unentered` of those that `wanted` names."""
    waits = awaited(conn)
    return waits, unentered(conn, wanted(waits))


def enrol_members(conn: Connection, entry: Entry, segment: str, now: Instant, limit: int) -> tuple[int, int]:
    """The next members enter. Returns (how many were looked at, how many entered)."""
    found = fetch(conn, _EVALUATED, ("names",), (ids([segment]),))
    place = _goes_on(get_meta(conn, _key(entry.campaign)), found[0][1], found[0][2]) if found else None
    if place is None:
        return 0, 0
    persons = [person for (person,) in fetch(conn, _PAGE, ("segment", "after", "n"), (place.segment, place.after, limit))]
    entered = enrol(
        conn, entry, [Entrant(person) for person in persons], now, undone=lambda free: undone_at(conn, entry.campaign, free, place.at)
    )
    after = str(persons[-1]) if len(persons) == limit else "-"
    set_meta(conn, _key(entry.campaign), f"{place.segment} {place.at} {after}")
    return len(persons), entered.how.count("entered")
