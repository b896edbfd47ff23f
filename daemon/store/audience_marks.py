"""What is noted of audiences beside their members: the platform's id, what failed and why, what an operator must see or wants anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, true, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.audience import MemberState
from daemon.model.delivery import DAY, Instant
from daemon.store import schema as s
from daemon.store.sql import fetch, many

KEPT = 7 * DAY
"""Finished batches are kept so long, to be looked at."""
_M, _A, _B = s.audience_member.c, s.audience.c, s.audience_batch.c


def set_remote_id(conn: Connection, audience: int, remote_id: str) -> None:
    conn.execute(update(s.audience).where(_A.id == audience).values(remote_id=remote_id, trouble=None))


_failure = upsert(s.audience_failure)
_FAIL = _failure.on_conflict_do_update(
    index_elements=[s.audience_failure.c.audience, s.audience_failure.c.reason],
    set_={"n": s.audience_failure.c.n + _failure.excluded.n, "last_at": _failure.excluded.last_at},
)


def note_failures(conn: Connection, audience: int, failed: Mapping[str, int], now: Instant) -> None:
    """Count rows that the platform did not take and does not name."""
    many(conn, _FAIL, ("audience", "reason", "n", "last_at"), [(audience, reason, n, now) for reason, n in sorted(failed.items()) if n])


def trouble(conn: Connection, audience: int, what: str | None, *, next_at: Instant | None = None, blocked: bool = False) -> None:
    """What is wrong with an audience: shown; with `blocked` nobody is added to it until an operator says so."""
    values: dict[str, Any] = {"trouble": what} | ({"blocked": what} if blocked else {})
    if next_at is not None:
        values["next_at"] = next_at
    conn.execute(update(s.audience).where(_A.id == audience).values(values))


def prune_batches(conn: Connection, now: Instant) -> None:
    """Forget batches that were done long ago, but the last of each audience: a series may go on from it."""
    newest = select(func.max(_B.id)).group_by(_B.audience, _B.adds)
    conn.execute(delete(s.audience_batch).where(_B.state == "done", _B.made_at < now - KEPT, _B.id.not_in(newest)))


_STALE = select(_M.audience, _M.person).where(
    _M.state == literal_column(str(MemberState.OUT.value)), _M.want == literal_column("0"), _M.left_at < bindparam("before"),
    _M.batch.is_(None),
).limit(bindparam("limit"))  # fmt: skip
_FORGET = delete(s.audience_member).where(
    _M.audience == bindparam("b_audience"), _M.person == bindparam("b_person"), _M.state == literal_column(str(MemberState.OUT.value))
)


def stale_members(conn: Connection, before: Instant, limit: int) -> list[tuple[int, int]]:
    """Some of those who left before then and are out. Reads all members: for once an hour."""
    return [(row[0], row[1]) for row in fetch(conn, _STALE, ("before", "limit"), (before, limit))]


def forget_members(conn: Connection, stale: Sequence[tuple[int, int]]) -> int:
    """Nothing is left of them. Returns how many."""
    return many(conn, _FORGET, ("b_audience", "b_person"), stale)


def unblock(conn: Connection, provider: str | None) -> None:
    """An operator wants everything tried again, now: blocks, pauses and refusals end."""
    mine = true() if provider is None else _A.provider == provider
    conn.execute(update(s.audience).where(mine).values(blocked=None, next_at=0, removals_at=0, failures=0))
    audiences = select(_A.id).where(mine)
    conn.execute(update(s.audience_batch).where(_B.state.in_(["filling", "ready"]), _B.audience.in_(audiences)).values(next_at=0))
    refused = _M.state == MemberState.REFUSED.value, _M.audience.in_(audiences)
    conn.execute(update(s.audience_member).where(*refused).values(state=MemberState.ADD.value, reason=None))
