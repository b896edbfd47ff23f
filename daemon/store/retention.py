"""What goes by its age: rows that nothing asks for any more, a stretch of a table's key a transaction.

Here is what may go, and of which rows of it; how long each is kept says `[retention]`. Never: what forbids a contact (suppressions,
consents, a STOP and what lifts it), what caps count (`recover.prune_touches` has those), deliveries themselves (the links in sent mail
name them, and who has one gets no second) and jobs (the same id is answered with the first receipt). Nothing of a delivery that has not
ended: in doubt, its rows are the evidence. Nothing that an open walk may still ask for: whether anybody reacted to any of its steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import UpdateBase

from daemon.journey.events import WEIGHTY
from daemon.model.delivery import DAY, Instant
from daemon.store import schema as s
from daemon.store.flight import last_commit
from daemon.store.meta import get_meta, set_meta
from daemon.store.sql import fetch, many

STRETCH = 500
"""Rows that one transaction looks at: some 2 ms where none of them goes, 10 ms where all do."""
PASSING = ("accepted", "delivered", "failed", "opened", "clicked")
"""Kinds of feedback whose effect is kept elsewhere: in the delivery's state, in the profile's last open and click. The others are wishes,
compared by when they were said, or words of a person."""
Cursor = tuple[Any, ...]
_BEFORE: ColumnElement[int] = bindparam("b_before", type_=Integer)
_LAST = "retention"


class _Shelf(NamedTuple):
    """`look`: the keys of the next rows behind a cursor, and whether each may go; `end`: what is done to it then, by its key."""

    look: Select[Any]
    names: tuple[str, ...]
    first: Cursor
    end: UpdateBase


def _shelf(table: Table, goes: ColumnElement[bool], *, source: FromClause | None = None, end: UpdateBase | None = None) -> _Shelf:
    keys = [*table.primary_key.columns]
    names = tuple(f"b_{key.name}" for key in keys)
    own = [bindparam(name, type_=key.type) for name, key in zip(names, keys, strict=True)]
    behind = tuple_(*keys) > tuple_(*own) if len(keys) > 1 else keys[0] > own[0]
    look = (
        select(*keys, case((goes, literal_column("1")), else_=literal_column("0")))
        .select_from(table if source is None else source)
        .where(behind)
        .order_by(*keys)
        .limit(literal_column(str(STRETCH)))
    )
    mine = and_(*(key == bind for key, bind in zip(keys, own, strict=True)))
    return _Shelf(look, names, tuple(map(_least, keys)), (delete(table) if end is None else end).where(mine))  # type: ignore[attr-defined]


def _least(key: Any) -> Any:
    """A value below all that stand in this column, or the least of them: of the first column none is as low."""
    if isinstance(key.type, LargeBinary):
        return b""
    return -1 if isinstance(key.type, Integer) else ""


def _words(names: frozenset[str] | tuple[str, ...]) -> list[ColumnElement[str]]:
    return [literal_column(f"'{name}'") for name in sorted(names)]


_E, _D, _J, _S = s.event.c, s.delivery.c, s.job.c, s.spend.c
_COUNTED = select(s.event_name.c.id).where(s.event_name.c.name.in_(_words(WEIGHTY)))
_ENDED = and_(_D.ended_at.is_not(None), _D.ended_at < _BEFORE)
_WALKED = or_(_D.walk.is_(None), s.walk.c.ended_at < _BEFORE)
"""Its walk, if it is of one, has ended as long ago."""
_DAY: ColumnElement[int] = literal_column(str(DAY))


def _of_delivery(table: Table) -> FromClause:
    return table.outerjoin(s.delivery, _D.id == table.c.delivery)


def _of_walk(source: FromClause) -> FromClause:
    return source.outerjoin(s.walk, s.walk.c.id == _D.walk)


SHELVES: Mapping[str, _Shelf] = {
    "event": _shelf(s.event, and_(_E.at < _BEFORE, _E.received_at < _BEFORE, _E.name.not_in(_COUNTED))),
    "feedback": _shelf(
        s.feedback,
        and_(s.feedback.c.at < _BEFORE, s.feedback.c.kind.in_(_words(PASSING)), or_(_D.id.is_(None), and_(_ENDED, _WALKED))),
        source=_of_walk(_of_delivery(s.feedback)),
    ),
    "provider_ref": _shelf(s.provider_ref, _ENDED, source=_of_delivery(s.provider_ref)),
    "attempt": _shelf(s.attempt, _ENDED, source=_of_delivery(s.attempt)),
    "reason_history": _shelf(s.reason_history, _ENDED, source=_of_delivery(s.reason_history)),
    "delivery": _shelf(
        s.delivery, and_(_ENDED, _WALKED, or_(_D.vars.is_not(None), _D.decision.is_not(None))), source=_of_walk(s.delivery),
        end=update(s.delivery).values(vars=null(), decision=null()),
    ),
    "job": _shelf(s.job, and_(_J.finished_at.is_not(None), _J.finished_at < _BEFORE, _J.errors.is_not(None)),
                  end=update(s.job).values(errors=null(), errors_omitted=_J.rejected)),
    "wanted": _shelf(s.wanted, s.wanted.c.at < _BEFORE),
    "spend": _shelf(s.spend, _S.day * _DAY < _BEFORE - _DAY),
}  # fmt: skip
"""By the names of the keys of `[retention]`."""


def prune(conn: Connection, name: str, now: Instant, kept: int, after: Cursor | None) -> Cursor | None:
    """End what is `kept` microseconds old and may go, of the next stretch behind `after` (None: from the beginning). The cursor to go on
    from; None at the end.

    The age is counted to the last step commit, if that is before `now`: a clock that is ahead must not make the store forget.
    """
    shelf = SHELVES[name]
    before = min(now, last_commit(conn)[1]) - kept
    rows = fetch(conn, shelf.look, (*shelf.names, "b_before"), (*(shelf.first if after is None else after), before))
    many(conn, shelf.end, shelf.names, [row[:-1] for row in rows if row[-1]])
    return rows[-1][:-1] if len(rows) == STRETCH else None


def pruned_at(conn: Connection) -> Instant | None:
    """When all had been gone through last."""
    found = get_meta(conn, _LAST)
    return None if found is None else int(found)


def note_pruned(conn: Connection, now: Instant) -> None:
    set_meta(conn, _LAST, str(now))
