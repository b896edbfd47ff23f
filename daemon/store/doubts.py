"""Deliveries in doubt: a provider may have accepted them, nobody knows. Listed with their evidence, closed by an operator, by
a provider's feedback, or by a look-up at the provider.

Never sent again by the machine. Who says that it was sent keeps the touch; who says that it was not gives it back, makes the
delivery due and wakes what waited for that slot: the rules decide it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from daemon.errors import NotFoundError
from daemon.model.delivery import Instant, Reason, State
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.follow import follow_settled
from daemon.store.held import open_lanes
from daemon.store.sql import ids, in_list, many, rows, value
from daemon.store.tallies import Tallies
from daemon.store.wake import WAITS_FOR_SLOT, wake


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try and what came of it."""

    n: int
    at: Instant
    outcome: str
    code: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A delivery whose fate is unknown, with the tries as evidence."""

    delivery: int
    recipient: str
    campaign: str
    step: str
    channel: str
    provider: str | None
    job: str
    handed_over_at: Instant | None
    attempts: Sequence[Attempt]


def list_doubts(conn: Connection, after: int, limit: int) -> list[Doubt]:
    """At most `limit` doubts with a delivery number above `after`, in that order."""
    found = conn.execute(
        select(
            s.delivery.c.id, s.recipient.c.key, s.campaign.c.name, s.wave.c.step, s.wave.c.channel, s.delivery.c.provider,
            s.job.c.key.label("job"), s.delivery.c.handed_over_at,
        )
        .join(s.wave, s.wave.c.id == s.delivery.c.wave)
        .join(s.campaign, s.campaign.c.id == s.wave.c.campaign)
        .join(s.job, s.job.c.id == s.delivery.c.job)
        .join(s.recipient, s.recipient.c.id == s.delivery.c.person)
        .where(s.delivery.c.state == State.IN_DOUBT.value, s.delivery.c.id > after)
        .order_by(s.delivery.c.id)
        .limit(limit)
    ).all()  # fmt: skip
    tried: dict[int, list[Attempt]] = {row.id: [] for row in found}
    evidence = select(s.attempt).where(in_list(s.attempt.c.delivery, "ids")).order_by(s.attempt.c.delivery, s.attempt.c.n)
    for row in conn.execute(evidence, {"ids": ids(tried)}):
        tried[row.delivery].append(Attempt(n=row.n, at=row.at, outcome=row.outcome, code=row.code, detail=row.detail))
    return [
        Doubt(
            delivery=row.id, recipient=row.key, campaign=row.name, step=row.step, channel=row.channel, provider=row.provider, job=row.job,
            handed_over_at=row.handed_over_at, attempts=tried[row.id],
        )
        for row in found
    ]  # fmt: skip


_COUNT = select(func.count()).select_from(s.delivery).where(s.delivery.c.state == State.IN_DOUBT.value)
_ONE = (
    select(s.delivery.c.job, s.delivery.c.lane, s.delivery.c.person, s.delivery.c.provider, s.delivery.c.handed_over_at, s.wave.c.channel)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(s.delivery.c.id == bindparam("b_id"), s.delivery.c.state == State.IN_DOUBT.value)
)
_LAST_TRY, _NEW_TRY = select(func.max(s.attempt.c.n)).where(s.attempt.c.delivery == bindparam("b_id")), insert(s.attempt)
_TRY_NAMES = ("delivery", "n", "at", "provider", "outcome", "scope", "code", "detail", "handed_over_at")
_NO_TOUCH = delete(s.touch).where(s.touch.c.person == bindparam("b_person"), s.touch.c.delivery == bindparam("b_id"))
"""A second copy's too."""


def count_doubts(conn: Connection) -> int:
    return int(value(conn, _COUNT))


class Evidence(NamedTuple):
    """What closes a doubt, kept as one more attempt: who says so, and how."""

    outcome: str
    detail: str
    code: str | None = None
    scope: str | None = None


def resolve_doubt(conn: Connection, delivery: int, now: Instant, *, sent: bool) -> State:
    """Close one doubt by an operator's word. Returns the delivery's new state. NotFoundError if it is not in doubt."""
    evidence = Evidence(f"resolved_{'sent' if sent else 'unsent'}", "an operator resolved the doubt")
    return close_doubt(conn, delivery, now, State.ACCEPTED if sent else State.DUE, evidence)


def close_doubt(
    conn: Connection, delivery: int, now: Instant, to: State, evidence: Evidence, *, provider_id: str | None = None
) -> State:  # fmt: skip
    """Close one doubt: accepted; rejected, for good; or due, to be decided anew. The last two give its touches back.

    Returns `to`. NotFoundError if it is not in doubt (any more).
    """
    found = rows(conn, _ONE, ("b_id",), (delivery,))
    if not found:
        raise NotFoundError("no delivery in doubt has this id; `homing doubt list` shows those that are")
    row, tallies = found[0], Tallies()
    reason = Reason.REJECTED_BY_PROVIDER.value if to is State.REJECTED else None
    tallies.move(row.job, State.IN_DOUBT, "", to, reason or "")
    tallies.write(conn)
    give_evidence(conn, delivery, now, evidence, provider=row.provider, handed_over_at=row.handed_over_at)
    change = update(s.delivery).where(s.delivery.c.id == delivery)
    if to is State.ACCEPTED:
        known = {} if provider_id is None else {"provider_id": provider_id}
        conn.execute(change.values(state=to.value, ended_at=now, key=None, **known))
        follow_settled(conn, delivery, now)
        return to
    if to is State.REJECTED:
        conn.execute(change.values(state=to.value, reason=reason, ended_at=now, key=None, handed_over_at=None))
    else:
        lane = open_lanes(conn, [line := (row.job, row.channel, row.lane)])[line]
        conn.execute(change.values(state=to.value, reason=None, key=None, lane=lane, not_before=now, handed_over_at=None, provider=None))
        put_due(conn, [(lane, now, delivery)])
    if many(conn, _NO_TOUCH, ("b_person", "b_id"), [(row.person, delivery)]):
        wake(conn, [row.person], now, WAITS_FOR_SLOT)
    return to


def give_evidence(
    conn: Connection, delivery: int, now: Instant, evidence: Evidence, *, provider: str | None, handed_over_at: Instant | None
) -> None:  # fmt: skip
    """One more attempt of the delivery, behind those that there are."""
    n = (value(conn, _LAST_TRY, ("b_id",), (delivery,)) or 0) + 1
    said = (evidence.outcome, evidence.scope, evidence.code, evidence.detail)
    many(conn, _NEW_TRY, _TRY_NAMES, [(delivery, n, now, provider or "", *said, handed_over_at)])
