"""What a provider's report proves of a delivery: the provider had it, or it surely reached nobody.

It settles a doubt, takes a delivery that would be sent again out of the queue, and takes a rejection back that an earlier
report had made. States only ever go one way: in doubt, rejected, accepted; so the order of reports does not matter. A
delivery that is just being handed over is left alone until its outcome is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, State
from daemon.store import schema as s
from daemon.store.doubts import Evidence, close_doubt, give_evidence
from daemon.store.due import take_due
from daemon.store.follow import follow_settled
from daemon.store.sql import ids, in_list
from daemon.store.tallies import Tallies

TAKEN = frozenset({"accepted", "delivered"})
FAILED = frozenset({"failed", "bounced"})
FEEDBACK_ACCEPTED, FEEDBACK_REJECTED = "feedback_accepted", "feedback_rejected"
"""Outcomes of the attempts that tell of a report."""


class About(NamedTuple):
    """A delivery as a report finds it, with its flight (None: in nobody's hands) and its person."""

    id: int
    person: int
    job: int
    version: int
    state: str
    reason: str | None
    key: str | None
    lane: int
    not_before: Instant
    provider: str | None
    handed_over_at: Instant | None
    channel: str
    campaign: int
    flying: int | None
    """`handed_over` of its flight."""
    flight_provider: str | None
    flight_doubted: int | None
    erased: int | None
    email_hash: bytes | None
    phone_hash: bytes | None

    @property
    def doubted(self) -> bool:
        """A first copy is in doubt while a second one goes."""
        return self.key == "doubt" or bool(self.flight_doubted)


_ABOUT = (
    select(
        s.delivery.c.id, s.delivery.c.person, s.delivery.c.job, s.delivery.c.version, s.delivery.c.state, s.delivery.c.reason,
        s.delivery.c.key, s.delivery.c.lane, s.delivery.c.not_before, s.delivery.c.provider, s.delivery.c.handed_over_at,
        s.wave.c.channel, s.wave.c.campaign, s.flight.c.handed_over.label("flying"), s.flight.c.provider.label("flight_provider"),
        s.flight.c.doubted.label("flight_doubted"), s.recipient.c.erased, s.recipient.c.email_hash, s.recipient.c.phone_hash,
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .outerjoin(s.flight, s.flight.c.delivery == s.delivery.c.id)
    .outerjoin(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .where(in_list(s.delivery.c.id, "ids"))
)  # fmt: skip
_TRIED = select(s.attempt.c.provider, s.attempt.c.outcome, s.attempt.c.handed_over_at).where(in_list(s.attempt.c.delivery, "ids"))
_TOUCHES = (
    select(func.count()).select_from(s.touch).where(in_list(s.touch.c.person, "persons"), in_list(s.touch.c.delivery, "ids"))
)  # fmt: skip
_TOUCH = upsert(s.touch).on_conflict_do_nothing()
_V = s.campaign_version.c
_TOPIC = select(func.json_extract(_V.body, literal_column("'$.campaign.topic'")))


def find_deliveries(conn: Connection, numbers: Sequence[int]) -> list[About]:
    """Those of them that there are."""
    return [About._make(row) for row in conn.execute(_ABOUT, {"ids": ids(numbers)})] if numbers else []


def was_given_to(conn: Connection, about: About, provider: str) -> bool:
    """Whether this provider ever had the delivery in its hands: a report of another one says nothing."""
    if about.flying is not None and about.flight_provider == provider:
        return True
    if about.provider is not None:
        return about.provider == provider or provider in {row.provider for row in _tries(conn, about)}
    tried = {row.provider for row in _tries(conn, about)}
    return provider in tried or (about.handed_over_at is not None and tried <= {""})


def _tries(conn: Connection, about: About) -> list[Any]:
    return list(conn.execute(_TRIED, {"ids": ids([about.id])}))


def may_move(about: About) -> bool:
    """Its outcome is still to come: what it proves is settled after that."""
    return bool(about.flying) or (about.state == State.DUE.value and about.doubted)


def settle(
    conn: Connection, about: About, kind: str, provider: str, provider_id: str | None, code: str | None, now: Instant
) -> tuple[State | None, bool]:  # fmt: skip
    """Settle what this kind of report proves. Returns (the delivery's new state or None, it came too early: try it again later)."""
    if kind not in TAKEN and kind not in FAILED:
        return None, False
    if about.flying:
        return None, True
    words = f"{provider} reported: {kind}"
    if kind in FAILED:
        return _failed(conn, about, Evidence(FEEDBACK_REJECTED, words, code), now)
    evidence = Evidence(FEEDBACK_ACCEPTED, words, code)
    if about.state == State.IN_DOUBT.value:
        return close_doubt(conn, about.id, now, State.ACCEPTED, evidence, provider_id=provider_id), False
    at = about.handed_over_at or max((row.handed_over_at for row in _tries(conn, about) if row.handed_over_at), default=None)
    if at is None:
        return None, False
    if about.state == State.REJECTED.value:
        if not any(row.outcome == FEEDBACK_REJECTED for row in _tries(conn, about)):
            return None, False
    elif about.state not in (State.DUE.value, State.HELD.value):
        return None, False
    return _accept(conn, about, evidence, provider, provider_id, at, now), False


def _failed(conn: Connection, about: About, evidence: Evidence, now: Instant) -> tuple[State | None, bool]:
    """With two copies in doubt, nobody knows which of them it was."""
    if about.state == State.IN_DOUBT.value:
        if conn.execute(_TOUCHES, {"persons": ids([about.person]), "ids": ids([about.id])}).scalar_one() > 1:
            return None, False
        return close_doubt(conn, about.id, now, State.REJECTED, evidence), False
    return None, may_move(about)


def _accept(
    conn: Connection, about: About, evidence: Evidence, provider: str, provider_id: str | None, at: Instant, now: Instant
) -> State:  # fmt: skip
    """It would be sent (again), or counted as not sent: the provider has it, so it ends as accepted, and counts."""
    tallies = Tallies()
    old = State.CLAIMED if about.flying is not None else State(about.state)
    tallied = about.reason or "" if old in (State.HELD, State.REJECTED) else ""
    tallies.move(about.job, old, tallied, State.ACCEPTED, "")
    tallies.write(conn)
    if about.flying is not None:  # claimed and not handed over: it will not be granted
        conn.execute(delete(s.flight).where(s.flight.c.delivery == about.id))
    elif old is State.DUE:
        take_due(conn, [(about.lane, about.not_before, about.id)])
    give_evidence(conn, about.id, now, evidence, provider=provider, handed_over_at=at)
    known = {} if provider_id is None else {"provider_id": provider_id}
    values = {"state": State.ACCEPTED.value, "reason": None, "key": None, "ended_at": now, "provider": provider, "handed_over_at": at}
    conn.execute(update(s.delivery).where(s.delivery.c.id == about.id).values(**values, **known))
    topic = conn.execute(_TOPIC.where(_V.campaign == about.campaign, _V.version == about.version)).scalar()
    if not conn.execute(_TOUCHES, {"persons": ids([about.person]), "ids": ids([about.id])}).scalar_one():
        touch = {"person": about.person, "at": at, "delivery": about.id, "channel": about.channel, "campaign": about.campaign}
        conn.execute(_TOUCH, {**touch, "topic": topic, "zone": None})
    follow_settled(conn, about.id, now)
    return State.ACCEPTED
