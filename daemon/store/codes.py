"""Pools of codes: imported ones are taken in the order of their import, those that are made here are unique among all.

A code is in one pool only and belongs to one issue at a time; what comes back is free again. Counts of a pool are kept with each act, so
that a claim asks for them and not for a million rows. Lane INTAKE for imports; the rest runs in others' transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.held import open_lanes
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.tallies import Tallies

MADE = ""
"""The pool of codes that were made here."""
NOBODY = 0
"""As the issue of a code: an order used it before anybody was given it."""
TRIES = 20
"""Times that another code is made because there is one like it already."""

Mint = Callable[[str, int, str, int], str]
"""(pattern, walk, what for, try) -> a code; the same always."""


class NewCode(NamedTuple):
    """A line of an import: `code` as it is compared, `said` as it was written."""

    line: int
    code: str
    said: str


class Added(NamedTuple):
    """`known`: (line, what is wrong) of those that were there, in this pool or another, or that an order has named already."""

    added: int
    known: Sequence[tuple[int, str]]


class Pool(NamedTuple):
    name: str
    total: int
    free: int


_pool = upsert(s.code_pool)
_COUNT = _pool.on_conflict_do_update(
    index_elements=[s.code_pool.c.name],
    set_={"total": s.code_pool.c.total + _pool.excluded.total, "free": s.code_pool.c.free + _pool.excluded.free},
)
_POOLS = select(s.code_pool.c.name, s.code_pool.c.total, s.code_pool.c.free).order_by(s.code_pool.c.name)
_FREE = select(s.code_pool.c.name, s.code_pool.c.free).where(in_list(s.code_pool.c.name, "names"))
_THERE = select(s.code.c.code, s.code.c.pool).where(in_list(s.code.c.code, "codes"))
_USED = select(s.redemption.c.code, s.redemption.c.order_key).where(in_list(s.redemption.c.code, "codes"))
_ADD = insert(s.code)
_ADD_NAMES = ("pool", "code", "said", "added_at")
_NEXT = (
    select(s.code.c.id, s.code.c.code, s.code.c.said)
    .where(s.code.c.pool == bindparam("pool"), s.code.c.issue.is_(null()))
    .order_by(s.code.c.id)
    .limit(bindparam("n"))
)
_TAKE = update(s.code).where(s.code.c.id == bindparam("b_id")).values(issue=bindparam("b_issue"))
_MAKE = upsert(s.code).on_conflict_do_nothing()
_MAKE_NAMES = ("pool", "code", "said", "issue", "added_at")
_OF_ISSUES = select(s.code.c.id, s.code.c.pool, s.code.c.code).where(in_list(s.code.c.issue, "issues"))
_PUT_BACK = update(s.code).where(s.code.c.id == bindparam("b_id")).values(issue=null())
_UNMAKE = delete(s.code).where(s.code.c.id == bindparam("b_id"))


def add_codes(conn: Connection, pool: str, codes: Sequence[NewCode], now: Instant) -> Added:
    """Take these into a pool. No code is in the list twice."""
    listed = ids([each.code for each in codes])
    there = dict(fetch(conn, _THERE, ("codes",), (listed,)))
    used = {code for code, _ in fetch(conn, _USED, ("codes",), (listed,))}
    known: list[tuple[int, str]] = []
    new: list[tuple[str, str, str, Instant]] = []
    for each in codes:
        if (home := there.get(each.code)) is not None:
            where = "this pool" if home == pool else f"the pool {home}" if home else "the codes that were made here"
            known.append((each.line, f"is in {where} already"))
        elif each.code in used:
            known.append((each.line, "was used in an order already"))
        else:
            new.append((pool, each.code, each.said, now))
    many(conn, _ADD, _ADD_NAMES, new)
    many(conn, _COUNT, ("name", "total", "free"), [(pool, len(new), len(new))])
    return Added(len(new), known)


def list_pools(conn: Connection) -> list[Pool]:
    return [Pool._make(row) for row in fetch(conn, _POOLS)]


def free_codes(conn: Connection, pools: Iterable[str]) -> dict[str, int]:
    """How many codes each of these pools has left; those that nobody filled are not named."""
    return dict(fetch(conn, _FREE, ("names",), (ids(sorted(pools)),)))


def take_codes(conn: Connection, pool: str, issues: Sequence[int]) -> list[tuple[str, str]]:
    """The next codes of a pool for these issues, in order: (code, said). LookupError if there are too few: the caller counted them."""
    rows = fetch(conn, _NEXT, ("pool", "n"), (pool, len(issues)))
    if len(rows) < len(issues):
        raise LookupError(f"the pool {pool} has {len(rows)} codes, and {len(issues)} were promised")
    many(conn, _TAKE, ("b_id", "b_issue"), [(row[0], issue) for row, issue in zip(rows, issues, strict=True)])
    many(conn, _COUNT, ("name", "total", "free"), [(pool, 0, -len(issues))])
    return [(code, said) for _, code, said in rows]


def make_code(conn: Connection, pattern: str, walk: int, step: str, issue: int, mint: Mint, now: Instant) -> str:
    """A code of a pattern that there is not yet, here or in an import or in an order. The instant is part of what it is made from: a store
    that was put back from a backup counts its walks again, and must not make the codes that the lost ones were given."""
    for turn in range(TRIES):
        code = mint(pattern, walk, f"{step}@{now}", turn)
        if fetch(conn, _USED, ("codes",), (ids([code]),)):
            continue
        if many(conn, _MAKE, _MAKE_NAMES, [(MADE, code, code, issue, now)]):
            many(conn, _COUNT, ("name", "total", "free"), [(MADE, 1, 0)])
            return code
    raise LookupError(f"the pattern {pattern} has no codes left: give it more #")


def put_back(conn: Connection, issues: Sequence[int]) -> None:
    """These issues reached nobody: their codes are free again; one that was made here is as if it had never been."""
    rows = fetch(conn, _OF_ISSUES, ("issues",), (ids(issues),))
    used = {code for code, _ in fetch(conn, _USED, ("codes",), (ids(row[2] for row in rows),))}
    lost = [(number,) for number, _, code in rows if code in used]
    free = [(number, pool) for number, pool, code in rows if pool != MADE and code not in used]
    made = [(number,) for number, pool, code in rows if pool == MADE and code not in used]
    many(conn, _TAKE, ("b_id", "b_issue"), [(number, NOBODY) for (number,) in lost])
    many(conn, _PUT_BACK, ("b_id",), [(number,) for number, _ in free])
    many(conn, _UNMAKE, ("b_id",), made)
    many(conn, _COUNT, ("name", "total", "free"), [(pool, 0, 1) for _, pool in free])
    many(conn, _COUNT, ("name", "total", "free"), [(MADE, -1, 0)] * len(made))


_STRAY = select(s.code.c.id, s.code.c.pool).where(in_list(s.code.c.code, "codes"), s.code.c.issue.is_(null()))


def lose_codes(conn: Connection, codes: Sequence[str]) -> None:
    """Orders named these: those of them that nobody was given are not given to anybody any more."""
    rows = fetch(conn, _STRAY, ("codes",), (ids(codes),))
    many(conn, _TAKE, ("b_id", "b_issue"), [(number, NOBODY) for number, _ in rows])
    many(conn, _COUNT, ("name", "total", "free"), [(pool, 0, -1) for _, pool in rows])


def key_of(pool: str) -> str:
    """What a delivery that waits for a code is held by."""
    return f"codes:{pool}"


_HELD = (
    select(s.delivery.c.id, s.delivery.c.job, s.delivery.c.key, s.delivery.c.lane, s.wave.c.channel)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(s.delivery.c.state == literal_column("'held'"), s.delivery.c.reason == bindparam("reason"), s.delivery.c.id > bindparam("after"))
    .order_by(s.delivery.c.id)
    .limit(bindparam("n"))
)
_FREED = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column("'due'"), reason=null(), key=null(), lane=bindparam("b_lane"), not_before=bindparam("b_now"))
)
STRETCH = 500


def wake_for_codes(conn: Connection, pool: str, after: int, now: Instant) -> tuple[int, int | None]:
    """Of the deliveries that are held for want of a code, a stretch behind `after`: those of this pool are due now, as many as it has
    codes. Returns (how many, the cursor; None at the end)."""
    free = free_codes(conn, [pool]).get(pool, 0)
    rows = fetch(conn, _HELD, ("reason", "after", "n"), (Reason.NO_CODE.value, after, STRETCH)) if free > 0 else []
    mine = [row for row in rows if row[2] == key_of(pool)][:free]
    lanes = open_lanes(conn, {(job, channel, lane) for _, job, _, lane, channel in mine}) if mine else {}
    tallies = Tallies()
    freed = [(delivery, lanes[job, channel, lane]) for delivery, job, _, lane, channel in mine]
    for _, job, _, _, _ in mine:
        tallies.move(job, State.HELD, Reason.NO_CODE.value, State.DUE, "")
    many(conn, _FREED, ("b_id", "b_lane", "b_now"), [(delivery, lane, now) for delivery, lane in freed])
    put_due(conn, [(lane, now, delivery) for delivery, lane in freed])
    tallies.write(conn)
    return len(mine), rows[-1][0] if len(rows) == STRETCH and len(mine) < free else None


_ROWS = select(s.code_pool.c.name, s.code_pool.c.total, s.code_pool.c.free)
_TRUE = (
    select(s.code.c.pool, func.count(), func.count().filter(s.code.c.issue.is_(null())))
    .group_by(s.code.c.pool)
)  # fmt: skip


def pools_that_differ(conn: Connection) -> Mapping[str, tuple[Pool, Pool]]:
    """For the reconciliation: pools whose kept counts are not those of their rows (kept, counted)."""
    kept = {name: Pool(name, total, free) for name, total, free in fetch(conn, _ROWS)}
    counted = {name: Pool(name, total, 0 if name == MADE else free) for name, total, free in fetch(conn, _TRUE)}
    names = kept.keys() | counted.keys()
    pairs = {name: (kept.get(name, Pool(name, 0, 0)), counted.get(name, Pool(name, 0, 0))) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
