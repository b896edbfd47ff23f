"""The due queue's rows: how they are put in and taken out, used by every act that moves one.

Keeps `lane.head`, the `not_before` of a lane's first due row, in the same transaction: claiming finds the lanes by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, or_, select, tuple_, update

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import POURED, many, pour, pouring

DueKey = tuple[int, Instant, int]
"""(lane, not_before, delivery)."""

_NAMES = ("lane", "not_before", "delivery")
_INSERT = insert(s.due)
_POURED = pouring(s.due, _NAMES)
_SOONER = (
    update(s.lane)
    .where(s.lane.c.id == bindparam("b_lane"), or_(s.lane.c.head.is_(None), s.lane.c.head > bindparam("b_head")))
    .values(head=bindparam("b_head"))
)
_KEY_NAMES = ("b_lane", "b_not_before", "b_id")
_DELETE = delete(s.due).where(
    and_(s.due.c.lane == bindparam("b_lane"), s.due.c.not_before == bindparam("b_not_before"), s.due.c.delivery == bindparam("b_id"))
)
_DELETE_HEADS = delete(s.due).where(
    s.due.c.lane == bindparam("b_lane"),
    tuple_(s.due.c.not_before, s.due.c.delivery) <= tuple_(bindparam("b_not_before"), bindparam("b_id")),
)
_NEW_HEAD = (
    update(s.lane)
    .where(s.lane.c.id == bindparam("b_lane"))
    .values(head=select(func.min(s.due.c.not_before)).where(s.due.c.lane == bindparam("b_lane")).scalar_subquery())
)


def put_due(conn: Connection, rows: Sequence[DueKey]) -> None:
    """These wait in their lanes from now on."""
    if not rows:
        return
    if len(rows) < POURED:
        many(conn, _INSERT, _NAMES, rows)
    else:
        pour(conn, _POURED, rows)
    soonest: dict[int, Instant] = {}
    for lane, not_before, _ in rows:
        if not_before < soonest.get(lane, not_before + 1):
            soonest[lane] = not_before
    many(conn, _SOONER, ("b_lane", "b_head"), [*soonest.items()])


def take_due(conn: Connection, rows: Sequence[DueKey]) -> list[DueKey]:
    """Take these out; the ones that were there."""
    taken = [row for row in rows if many(conn, _DELETE, _KEY_NAMES, [row])]
    _move_heads(conn, {row[0] for row in taken})
    return taken


_NOT_BEFORE = update(s.delivery).where(s.delivery.c.id == bindparam("b_id")).values(not_before=bindparam("b_now"))


def bring_forward(conn: Connection, rows: Sequence[DueKey], now: Instant) -> int:
    """Rows that wait for an instant that they need not wait for any longer are due now. What has been moved since is left alone.
    Returns how many."""
    gone = take_due(conn, rows)
    put_due(conn, [(lane, now, delivery) for lane, _, delivery in gone])
    many(conn, _NOT_BEFORE, ("b_id", "b_now"), [(delivery, now) for _, _, delivery in gone])
    return len(gone)


def take_heads(conn: Connection, lasts: Sequence[DueKey]) -> None:
    """Take out the first rows of lanes: up to and with each of these, one a lane."""
    many(conn, _DELETE_HEADS, _KEY_NAMES, lasts)
    _move_heads(conn, (row[0] for row in lasts))


def _move_heads(conn: Connection, lanes: Iterable[int]) -> None:
    many(conn, _NEW_HEAD, ("b_lane",), [(lane,) for lane in sorted(lanes)])
