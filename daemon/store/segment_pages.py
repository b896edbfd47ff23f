"""A page of recipients held against segments: one statement for each level of references, and what differs from who was in. Reads only.

A level's answers come as bits of one number, so that a million people cost a row each and not a row for each segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, case, literal_column, or_, select

from daemon.journey.profile import Shop
from daemon.model.delivery import Instant
from daemon.model.segment import Segments
from daemon.store import schema as s
from daemon.store.segment_sql import VALUES, Kept, condition, moment, size_of
from daemon.store.segments import Moves, Pair, Run
from daemon.store.sql import Query, fetch, ids, in_list

BITS = 60
MOST_NODES = 1500
"""Of the trees of one statement together: what the shipped file has on one level is a fifth of it."""
KEPT = 16
"""So many selections of segments have their statements kept; to make and compile those of the shipped file takes 18 ms."""
_R, _P, _M = s.recipient.c, s.profile.c, s.segment_member.c
_BOUNDS = select(_R.id).where(_R.id > bindparam("after")).order_by(_R.id).limit(literal_column("1")).offset(bindparam("limit"))
_OLD = (
    select(_M.segment, _M.person)
    .where(in_list(_M.segment, "segments"), _M.person > bindparam("after"), _M.person <= bindparam("upto"))
)  # fmt: skip
END = (1 << 63) - 1


class Level(NamedTuple):
    """`names` in the order of their bits; `inside`: segment -> the parameter that says who is in it."""

    names: Sequence[str]
    statement: Query
    inside: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a page changes. `upto`: its last person; `last`: nobody comes behind it."""

    upto: int
    last: bool
    moves: Moves


class _Asked:
    """Some segments of a file to be evaluated together, as a key: equal when they and the shop say the same."""

    def __init__(self, segments: Segments, names: Sequence[str], shop: Shop) -> None:
        self.segments, self.names, self.shop = segments, names, shop
        self._spelled = tuple((name, segments.by_name[name].digest) for name in names), Kept(shop)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._spelled == other._spelled

    def __hash__(self) -> int:
        return hash(self._spelled)


def make_levels(segments: Segments, names: Sequence[str], shop: Shop) -> Sequence[Level]:
    """The statements by which these segments are evaluated together; the same ones each time, so that they are compiled once."""
    return _levels(_Asked(segments, tuple(names), shop))


@lru_cache(maxsize=KEPT)
def _levels(asked: _Asked) -> Sequence[Level]:
    segments, names = asked.segments, asked.names
    return tuple(_level(segments, some, names, asked.shop) for level in segments.levels(names) for some in _statements(segments, level))


def _statements(segments: Segments, level: Sequence[str]) -> Iterator[Sequence[str]]:
    """A level in pieces of which each fits into one statement."""
    some: list[str] = []
    size = 0
    for name in level:
        more = size_of(segments.by_name[name].tree)
        if some and (len(some) == BITS or size + more > MOST_NODES):
            yield some
            some, size = [], 0
        some.append(name)
        size += more
    yield some


def _level(segments: Segments, some: Sequence[str], together: Iterable[str], shop: Shop) -> Level:
    wanted = set(together)
    referred = sorted({each for name in some for each in segments.by_name[name].refers_to if each in wanted})
    params = {name: f"inside_{number}" for number, name in enumerate(referred)}
    inside = {name: in_list(_R.id, param) for name, param in params.items()}
    bits = [
        case((condition(segments.by_name[name].tree, shop, inside), literal_column(str(1 << place), BigInteger)), else_=literal_column("0"))
        for place, name in enumerate(some)
    ]
    mask: ColumnElement[Any] = bits[0]
    for bit in bits[1:]:
        mask = mask + bit
    there = or_(_P.person.is_not(None), _R.erased == literal_column("0"))  # who was erased has no profile: its row need not be read
    statement = (
        select(_R.id, case((there, mask), else_=literal_column("0")))
        .outerjoin(s.profile, _P.person == _R.id)
        .where(_R.id > bindparam("after"), _R.id <= bindparam("upto"))
        .order_by(_R.id)
    )
    return Level(tuple(some), statement, params)


def compare_page(conn: Connection, levels: Sequence[Level], run: Run, after: int, limit: int, shop: Shop) -> Difference:
    """The next `limit` recipients behind the person `after`."""
    bound = fetch(conn, _BOUNDS, ("after", "limit"), (after, limit - 1))
    upto = bound[0][0] if bound else END
    members = members_of(conn, levels, after, upto, shop, run.at)
    old: dict[int, set[int]] = {}
    for segment, person in fetch(conn, _OLD, ("segments", "after", "upto"), (ids(sorted(run.numbers.values())), after, upto)):
        old.setdefault(segment, set()).add(person)
    quiet: list[Pair] = []
    entering: list[Pair] = []
    leaving: list[Pair] = []
    for name, number in sorted(run.numbers.items(), key=lambda item: item[1]):
        now_in, was_in = members.get(name, []), old.get(number, set())
        fresh = [(number, person) for person in now_in if person not in was_in] if was_in else [(number, person) for person in now_in]
        (quiet if number in run.quiet else entering).extend(fresh)
        if was_in:
            leaving += [(number, person) for person in sorted(was_in.difference(now_in))]
    return Difference(upto=upto, last=not bound, moves=Moves(quiet, entering, leaving))


def members_of(conn: Connection, levels: Sequence[Level], after: int, upto: int, shop: Shop, now: Instant) -> dict[str, list[int]]:
    """Who is in each segment, of the persons in (after, upto], in their order."""
    members: dict[str, list[int]] = {}
    for names, statement, inside in levels:
        params = ("after", "upto", *VALUES, *inside.values())
        values = (after, upto, *moment(now, shop), *(ids(members.get(name, ())) for name in inside))
        by_mask: dict[int, list[int]] = {}
        for person, mask in fetch(conn, statement, params, values):
            if mask:
                by_mask.setdefault(mask, []).append(person)
        for place, name in enumerate(names):
            found = [persons for mask, persons in by_mask.items() if mask >> place & 1]
            members[name] = found[0] if len(found) == 1 else sorted(person for persons in found for person in persons)
    return members
