"""What became of the batches that a platform had taken, once it says so: they are proved, or undone and tried again (ADR 0008).

Platforms that answer later are asked (`dispatch.exchange`). Members keep their batch's number until its result is known; to let go of
them is done a slice a transaction, and can be done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, case, null, select, update

from daemon.model.audience import MemberState
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.audience_batches import DONE, FAILED, GIVEN_UP, PROVED, Batch
from daemon.store.audience_marks import note_failures
from daemon.store.audiences import IN, OUT, REMOVE
from daemon.store.sql import fetch, many
from daemon.store.writer import redone

MOST_FAILURES = 3
"""Results in a row that say that nothing was done, after which the members are not offered again."""
_M, _A, _B = s.audience_member.c, s.audience.c, s.audience_batch.c


def finish(conn: Connection, batch: Batch, *, received: int | None, failed: Mapping[str, int], detail: str | None, now: Instant) -> None:
    """The result of a batch is known, and it was taken; what it names as failed is counted. Its members are let go by `let_go_some`."""
    conn.execute(update(s.audience_batch).where(_B.id == batch.id).values(state=PROVED, received=received, detail=detail))
    note_failures(conn, batch.audience, failed, now)
    values: dict[str, Any] = {"received": _A.received + (received or 0)} | ({"failures": 0} if batch.adds else {})
    conn.execute(update(s.audience).where(_A.id == batch.audience).values(values))


def end_batch(conn: Connection, batch: int) -> None:
    """None of its members remembers it any more."""
    conn.execute(update(s.audience_batch).where(_B.id == batch).values(state=DONE))


_HELD = select(_M.audience, _M.person).where(_M.batch == bindparam("batch")).order_by(_M.person).limit(bindparam("limit"))
_LET_GO = update(s.audience_member).where(
    _M.audience == bindparam("b_audience"), _M.person == bindparam("b_person")
).values(batch=null(), handle=case((_M.state == OUT, null()), else_=_M.handle))  # fmt: skip
_UNDO = (
    update(s.audience_member)
    .where(_M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"))
    .values(
        batch=null(), changed_at=bindparam("b_now"),
        reason=case((_M.state == IN, bindparam("b_reason")), else_=_M.reason),
        state=case(
            (_M.state == IN, bindparam("b_added")),
            (_M.state == OUT, REMOVE),
            else_=_M.state,
        ),
    )
)  # fmt: skip


@redone
def let_go_some(conn: Connection, batch: int, limit: int, now: Instant, *, undone: bool = False, refused: str | None = None) -> int:
    """Some members of a batch whose result is known need not remember it. `undone`: the platform did nothing of it after all, so they wait
    again (`refused`: those added are not offered again, for this reason). 0 = none is left."""
    found = fetch(conn, _HELD, ("batch", "limit"), (batch, limit))
    if undone:
        state = MemberState.ADD if refused is None else MemberState.REFUSED
        many(conn, _UNDO, ("b_audience", "b_person", "b_now", "b_reason", "b_added"), [(*row, now, refused, state.value) for row in found])
    else:
        many(conn, _LET_GO, ("b_audience", "b_person"), found)
    return len(found)


def fail_batch(conn: Connection, batch: Batch, *, detail: str | None, next_at: Instant) -> None:
    """The platform did nothing of a batch that it had taken: its members are undone by `let_go_some`. Additions too often in a row are
    given up; removals never. The pause until `next_at` is for what failed: additions hold up no removal."""
    failures = int(conn.execute(select(_A.failures).where(_A.id == batch.audience)).scalar_one()) + batch.adds
    state = FAILED if failures < MOST_FAILURES or not batch.adds else GIVEN_UP
    conn.execute(update(s.audience_batch).where(_B.id == batch.id).values(state=state, detail=detail))
    conn.execute(update(s.audience).where(_A.id == batch.audience).values({
        "failures": failures, "next_at" if batch.adds else "removals_at": next_at,
        "trouble": detail or "the platform failed a batch that it had taken",
    }))  # fmt: skip
