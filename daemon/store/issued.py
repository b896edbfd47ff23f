"""Codes that were given out, as a shop asks for them: which it must accept, whose they are and until when.

Read only, in the order in which they were given out, a page at a time: a shop may have millions of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, select

from daemon.model.delivery import Instant
from daemon.model.offer import IssueState
from daemon.store import schema as s

ACCEPTABLE = (IssueState.RESERVED.value, IssueState.OPEN.value)
"""States in which a reader may come with the code: its message is being sent, or was, and it is neither used nor over."""


class IssuedCode(NamedTuple):
    """`code` as the message shows it; `pool` "" = made here; `recipient` None: it was erased. `ends_at` of one that is reserved: what was
    printed; None: no end."""

    id: int
    code: str
    pool: str
    campaign: str
    offer: str
    recipient: str | None
    state: str
    issued_at: Instant
    ends_at: Instant | None


_I = s.issue.c
_CODES = (
    select(
        _I.id, func.coalesce(s.code.c.said, _I.code), func.coalesce(_I.pool, ""), s.campaign.c.name, _I.offer, s.recipient.c.key, _I.state,
        _I.reserved_at, _I.ends_at,
    )
    .join(s.campaign, s.campaign.c.id == _I.campaign)
    .outerjoin(s.code, and_(s.code.c.issue == _I.id, s.code.c.code == _I.code))
    .outerjoin(s.recipient, s.recipient.c.id == _I.person)
    .where(_I.code.is_not(None), _I.id > bindparam("after"))
    .order_by(_I.id)
    .limit(bindparam("n"))
)  # fmt: skip


def issued_codes(
    conn: Connection, after: int, limit: int, *, campaign: str | None = None, offer: str | None = None, state: str | None = None
) -> list[IssuedCode]:
    """The next codes behind the issue `after`. `state` None: those that a shop must accept; "all": each that was ever given out."""
    query = _CODES
    values: dict[str, Any] = {"after": after, "n": limit}
    if state != "all":
        query = query.where(_I.state.in_(ACCEPTABLE if state is None else (state,)))
    if campaign is not None:
        query = query.where(s.campaign.c.name == campaign)
    if offer is not None:
        query = query.where(_I.offer == offer)
    return [IssuedCode._make(row) for row in conn.execute(query, values)]
