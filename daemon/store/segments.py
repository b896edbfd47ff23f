"""Segments and their members: evaluated page by page with a durable cursor, imported, read by who enrols. Lane BULK; bounded by the caller.

A page is looked at by a reader and only its differences are written. Who enters or leaves has an event of it in the same transaction,
but for the first evaluation of a segment: those whom it finds were in it before anybody looked.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.events import event_id
from daemon.journey.profile import Shop
from daemon.model.delivery import DAY, Instant
from daemon.model.segment import ENTERED, LEFT
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.merged import survivors_of
from daemon.store.sql import fetch, ids, in_list, many, pour, pouring, rows, value
from daemon.store.writer import redone

Pair = tuple[int, int]
"""(segment, person)"""

_S, _M, _RUN, _R = s.segment.c, s.segment_member.c, s.segment_run.c, s.recipient.c
_KNOWN = select(_S.id, _S.name, _S.digest, _S.members, _S.evaluated_at).order_by(_S.name)
_OPEN = select(_RUN.id, _RUN.segments, _RUN.at, _RUN.reached, _RUN.quiet)
_ENTER = "INSERT OR REPLACE INTO segment_member (segment, person, since) VALUES {rows}"
_NEW = pouring(s.segment, ("id", "name", "digest"))
_EVALUATE = update(s.segment).where(_S.name == bindparam("b_name")).values(evaluated_at=bindparam("b_at"), digest=bindparam("b_digest"))
_LEAVE = delete(s.segment_member).where(_M.segment == bindparam("b_segment"), _M.person == bindparam("b_person"))
_COUNT = update(s.segment).where(_S.id == bindparam("b_segment")).values(members=_S.members + bindparam("b_more"))
_REACH = update(s.segment_run).where(_RUN.id == bindparam("b_run")).values(reached=bindparam("b_reached"))
_KEYS = select(_R.id, _R.key).where(in_list(_R.id, "persons"), _R.erased == literal_column("0"))
_MEMBERS = (
    select(_M.person, _R.key)
    .join(s.recipient, _R.id == _M.person)
    .where(_M.segment == bindparam("segment"), _M.person > bindparam("after"), _R.erased == literal_column("0"))
    .order_by(_M.person)
    .limit(bindparam("limit"))
)
_INSIDE = select(_M.person).where(_M.segment == bindparam("segment"), in_list(_M.person, "persons"))
_OLDER = (
    select(_M.person)
    .where(_M.segment == bindparam("segment"), _M.person > bindparam("after"), _M.since < bindparam("since"))
    .order_by(_M.person)
    .limit(bindparam("limit"))
)
_LAST = select(func.coalesce(func.max(_S.id), literal_column("0")))
_EVALUATED = select(_S.evaluated_at).where(_S.id == bindparam("id"))
_NUMBER = select(_S.id).where(_S.name == bindparam("name"))


class Known(NamedTuple):
    """A row of `segment`. `digest` None: an imported list."""

    id: int
    name: str
    digest: str | None
    members: int
    evaluated_at: Instant | None


class Moves(NamedTuple):
    """Pairs in order. `quiet`: in, without a word."""

    quiet: Sequence[Pair] = ()
    entering: Sequence[Pair] = ()
    leaving: Sequence[Pair] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An evaluation that is under way. `numbers`: segment -> its row, `digests`: of the definitions it began with; `reached`: all persons
    up to this one are done; `quiet`: the rows of those that were never evaluated before."""

    id: int
    at: Instant
    reached: int
    numbers: Mapping[str, int]
    digests: Mapping[str, str]
    quiet: frozenset[int]


def known_segments(conn: Connection) -> dict[str, Known]:
    return {row[1]: Known._make(row) for row in fetch(conn, _KNOWN)}


def open_run(conn: Connection) -> Run | None:
    """The evaluation that a stop or a crash broke off."""
    found = rows(conn, _OPEN)
    if not found:
        return None
    row, known = found[0], known_segments(conn)
    digests = json.loads(row.segments)
    return Run(
        id=row.id, at=row.at, reached=row.reached, numbers={name: known[name].id for name in digests if name in known}, digests=digests,
        quiet=frozenset(json.loads(row.quiet)) if row.quiet else frozenset(),
    )  # fmt: skip


def begin_run(conn: Connection, digests: Mapping[str, str], now: Instant) -> Run:
    """Begin to evaluate these segments as of `now`; one that was under way ends where it is."""
    conn.execute(delete(s.segment_run))
    known = known_segments(conn)
    first = value(conn, _LAST) + 1
    fresh = [name for name in digests if name not in known]
    pour(conn, _NEW, [(number, name, digests[name]) for number, name in enumerate(fresh, first)])
    known = known_segments(conn)
    quiet = sorted(known[name].id for name in digests if known[name].evaluated_at is None)
    said = {"id": 1, "segments": json.dumps(digests), "at": now, "reached": 0, "quiet": json.dumps(quiet)}
    conn.execute(insert(s.segment_run), said)
    numbers = {name: known[name].id for name in digests}
    return Run(id=1, at=now, reached=0, numbers=numbers, digests=digests, quiet=frozenset(quiet))


@redone
def note_members(conn: Connection, moves: Moves, run: Run, reached: int | None, shop: Shop, now: Instant) -> None:
    """People enter and leave, each with its event but for the quiet ones. `reached`: with these, all up to this person are done."""
    if moves.quiet:
        pour(conn, _ENTER, [(segment, person, run.at) for segment, person in moves.quiet])
        _counted(conn, moves.quiet, ())
    if moves.entering or moves.leaving:
        _move(conn, moves, {number: name for name, number in run.numbers.items()}, run.at, shop, now)
    if reached is not None:
        many(conn, _REACH, ("b_run", "b_reached"), [(run.id, reached)])


def _move(conn: Connection, moves: Moves, names: Mapping[int, str], at: Instant, shop: Shop, now: Instant) -> None:
    _, entering, leaving = moves
    keys = dict(fetch(conn, _KEYS, ("persons",), (ids(sorted({person for _, person in (*entering, *leaving)})),)))
    entering = [pair for pair in entering if pair[1] in keys]  # who was erased or merged meanwhile is nowhere
    leaving = [pair for pair in leaving if pair[1] in keys]
    pour(conn, _ENTER, [(segment, person, at) for segment, person in entering])
    many(conn, _LEAVE, ("b_segment", "b_person"), leaving)
    _counted(conn, entering, leaving)
    events = [
        EventRow(person, keys[person], word, event_id(f"segment:{segment}:{person}:{at}:{word}"), at, said, seen=False)
        for word, pairs in ((ENTERED, entering), (LEFT, leaving))
        for segment, person in pairs if person in keys
        for said in (json.dumps({"segment": names[segment]}, ensure_ascii=False),)
    ]  # fmt: skip
    if events:
        take_events(conn, events, shop, now)


def _counted(conn: Connection, entering: Sequence[Pair], leaving: Sequence[Pair]) -> None:
    more: dict[int, int] = {}
    for pairs, sign in ((entering, 1), (leaving, -1)):
        for segment, _ in pairs:
            more[segment] = more.get(segment, 0) + sign
    many(conn, _COUNT, ("b_segment", "b_more"), sorted(more.items()))


def end_run(conn: Connection, run: Run) -> dict[str, int]:
    """All pages are done: the segments are as of `run.at`. Returns how many are in each."""
    many(conn, _EVALUATE, ("b_name", "b_at", "b_digest"), [(name, run.at, digest) for name, digest in run.digests.items()])
    conn.execute(delete(s.segment_run))
    known = known_segments(conn)
    return {name: known[name].members for name in run.digests if name in known}


def members_after(conn: Connection, segment: str, after: int, limit: int) -> list[tuple[int, str]]:
    """(person, recipient's id) of the next members behind the person `after`, as last evaluated; nobody who was erased."""
    number = value(conn, _NUMBER, ("name",), (segment,))
    if number is None:
        return []
    return [(person, key) for person, key in fetch(conn, _MEMBERS, ("segment", "after", "limit"), (number, after, limit))]


def forget_segment(conn: Connection, name: str, limit: int) -> bool:
    """A segment that is no more defined: some of its members go, at last it itself. True: it is gone."""
    number = value(conn, _NUMBER, ("name",), (name,))
    if number is None:
        return True
    persons = [person for (person,) in fetch(conn, _OLDER, ("segment", "after", "since", "limit"), (number, -1, 1 << 62, limit))]
    many(conn, _LEAVE, ("b_segment", "b_person"), [(number, person) for person in persons])
    if len(persons) < limit:
        conn.execute(delete(s.segment).where(_S.id == number))
        return True
    return False


class Imported(NamedTuple):
    """`fresh`: are in the list now and were not; `inside`: were; `unknown`: persons that are no recipients."""

    fresh: int
    inside: int
    unknown: Sequence[int]


def import_members(conn: Connection, name: str, persons: Sequence[int], since: Instant, shop: Shop, now: Instant) -> Imported:
    """Put people into an imported list. `since`: of the whole import, for `end_import`. The first import of a list is no event."""
    number = value(conn, _NUMBER, ("name",), (name,))
    if number is None:
        number = value(conn, _LAST) + 1
        conn.execute(insert(s.segment), {"id": number, "name": name})
    merged = survivors_of(conn, persons)
    now_of = {person: merged[person][0] if person in merged else person for person in persons}
    wanted = ids(sorted(set(now_of.values())))
    known = sorted(person for person, _ in fetch(conn, _KEYS, ("persons",), (wanted,)))
    inside = {person for (person,) in fetch(conn, _INSIDE, ("segment", "persons"), (number, wanted))}
    fresh = [(number, person) for person in known if person not in inside]
    pour(conn, _ENTER, [(number, person, since) for person in known if person in inside])
    if value(conn, _EVALUATED, ("id",), (number,)) is None:
        pour(conn, _ENTER, [(segment, person, since) for segment, person in fresh])
        _counted(conn, fresh, ())
    else:
        _move(conn, Moves(entering=fresh), {number: name}, since, shop, now)
    there = set(known)
    return Imported(len(fresh), len(inside & there), [person for person in persons if now_of[person] not in there])


def end_import(
    conn: Connection, name: str, since: Instant, after: int | None, limit: int, shop: Shop, now: Instant
) -> tuple[int | None, int]:  # fmt: skip
    """The import is whole. `after` None: it added to the list; else whoever was not in it (behind the person `after`) leaves. (Go on behind
    this person, how many left); None = done."""
    number = value(conn, _NUMBER, ("name",), (name,))
    if number is None:
        return None, 0
    gone: list[Pair] = []
    if after is not None:
        found = fetch(conn, _OLDER, ("segment", "after", "since", "limit"), (number, after, since, limit))
        gone = [(number, person) for (person,) in found]
        _move(conn, Moves(leaving=gone), {number: name}, since, shop, now)
    if len(gone) == limit:
        return gone[-1][1], len(gone)
    conn.execute(update(s.segment).where(_S.id == number).values(evaluated_at=since))
    return None, len(gone)


_INSIDE_WHICH = select(_M.segment, _M.since).where(in_list(_M.segment, "segments"), _M.person == bindparam("person"))


def inherit_memberships(conn: Connection, other: int, person: int) -> None:
    """One is in what either was in, since the earlier; no event is made of it. Of an imported list it is the later one, by which an import
    that is under way knows whom it has named."""
    known = known_segments(conn).values()
    numbers, lists = ids([row.id for row in known]), {row.id for row in known if row.digest is None}
    theirs = dict(fetch(conn, _INSIDE_WHICH, ("segments", "person"), (numbers, other)))
    mine = dict(fetch(conn, _INSIDE_WHICH, ("segments", "person"), (numbers, person)))
    pour(conn, _ENTER, [
        (segment, person, (max if segment in lists else min)(since, mine.get(segment, since))) for segment, since in sorted(theirs.items())
    ])  # fmt: skip
    many(conn, _LEAVE, ("b_segment", "b_person"), [(segment, other) for segment in theirs])
    _counted(conn, (), [(segment, other) for segment in theirs if segment in mine])


def forget_memberships(conn: Connection, persons: Collection[int]) -> None:
    """The persons were erased: they are in no segment."""
    numbers = ids([row.id for row in known_segments(conn).values()])
    found = select(_M.segment, _M.person).where(in_list(_M.segment, "segments"), in_list(_M.person, "persons"))
    pairs = [(segment, person) for segment, person in fetch(conn, found, ("segments", "persons"), (numbers, ids(sorted(persons))))]
    many(conn, _LEAVE, ("b_segment", "b_person"), pairs)
    _counted(conn, (), pairs)


_CYCLES = (
    select(
        func.json_extract(s.profile.c.last_product, "$.category"),
        func.avg((s.profile.c.last_order_at - s.profile.c.first_order_at) / (s.profile.c.orders - literal_column("1.0"))),
        func.count(),
    )
    .where(s.profile.c.orders >= literal_column("3"), s.profile.c.last_product.is_not(None))
    .group_by(func.json_extract(s.profile.c.last_product, "$.category"))
    .order_by(func.count().desc())
    .limit(literal_column("10000"))
)
_cycle = upsert(s.category_cycle)
_PUT_CYCLE = _cycle.on_conflict_do_update(
    index_elements=[s.category_cycle.c.category], set_={"days": _cycle.excluded.days, "people": _cycle.excluded.people}
)


def read_cycles(conn: Connection) -> list[tuple[str, float, int]]:
    """(category, days between two orders on average, of how many people): by whom three orders or more are known. Reads all profiles."""
    return [(str(category), micros / DAY, people) for category, micros, people in fetch(conn, _CYCLES) if category is not None and micros]


def put_cycles(conn: Connection, cycles: Sequence[tuple[str, float, int]]) -> None:
    """Keep them."""
    many(conn, _PUT_CYCLE, ("category", "days", "people"), cycles)
