"""Unsubscribe: in force when its transaction has committed (design: permission; promise P6). Lane EXIT.

Writes the person's withdrawn consent for the channel and suppresses the address that the person has there, for marketing.
Raising the guard refuses the handover of what is claimed already; what waits becomes due now, so that the next claim drops it
with its reason. Applied twice it changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.facts import PUSHED
from daemon.store.push import forget
from daemon.store.sql import ids, in_list
from daemon.store.wake import wake

ADDRESS_KINDS: Mapping[str, str] = {"email": "email", "sms": "phone", "call": "phone", "whatsapp": "phone"}
"""Channel -> the column of the person's address there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Whom a link is about, as its page shows it: no address, no name. `active` False = unsubscribed already, or erased."""

    delivery: int
    channel: str
    locale: str | None
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """`changed`: it was the first time. `woken`: waiting deliveries that are now due, to be dropped."""

    channel: str
    locale: str | None
    changed: bool
    woken: int


_C = s.consent.c
_WHO = (
    select(
        s.delivery.c.id, s.delivery.c.person, s.wave.c.channel, s.recipient.c.locale, s.recipient.c.erased, s.recipient.c.email_hash,
        s.recipient.c.phone_hash, s.consent.c.state,
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .outerjoin(s.recipient, s.recipient.c.id == s.delivery.c.person)
    .outerjoin(s.consent, and_(_C.person == s.delivery.c.person, _C.channel == s.wave.c.channel, _C.topic == ANY))
    .where(s.delivery.c.id == bindparam("delivery"))
)  # fmt: skip
_consent = upsert(s.consent)
_WITHDRAW = _consent.on_conflict_do_update(
    index_elements=[s.consent.c.person, s.consent.c.channel, s.consent.c.topic],
    set_={"state": _consent.excluded.state, "at": _consent.excluded.at, "source": _consent.excluded.source, "text": _consent.excluded.text},
)
_SUPPRESS = upsert(s.suppression).on_conflict_do_nothing()
_CLAIMED = select(s.flight.c.person).where(s.flight.c.address_hash == bindparam("hash"))
_RAISE_GUARD = (
    update(s.recipient)
    .where(or_(s.recipient.c.id == bindparam("b_person"), in_list(s.recipient.c.id, "sharers")))
    .values(guard=s.recipient.c.guard + literal_column("1"))
)


def find_subscription(conn: Connection, delivery: int) -> Subscription | None:
    """What the link's page shows; None if there is no such delivery. Changes nothing."""
    row = conn.execute(_WHO, {"delivery": delivery}).first()
    if row is None:
        return None
    active = row.erased == 0 and row.state != "withdrawn"
    return Subscription(delivery=row.id, channel=row.channel, locale=row.locale, active=active)


def unsubscribe(conn: Connection, delivery: int, *, now: Instant, how: str) -> Unsubscribed | None:
    """No more marketing over the delivery's channel for its person, nor to the person's address there.

    `how`: one_click (RFC 8058) or page; kept as the consent's source. Who shares the address and is claimed just now is
    decided anew too. None if there is no such delivery; an erased person has nothing left to be changed.
    """
    row = conn.execute(_WHO, {"delivery": delivery}).first()
    if row is None:
        return None
    if row.erased is None or row.erased:
        return Unsubscribed(channel=row.channel, locale=None, changed=False, woken=0)
    changed = row.state != "withdrawn"
    source = f"unsubscribe:{how}"
    if changed:
        consent = {"person": row.person, "channel": row.channel, "topic": ANY, "state": "withdrawn", "at": now}
        conn.execute(_WITHDRAW, {**consent, "source": source, "text": None})
    address = {"email": row.email_hash, "phone": row.phone_hash}.get(ADDRESS_KINDS.get(row.channel, ""))
    sharers: list[int] = []
    if address is not None:
        suppression = {"hash": address, "channel": row.channel, "scope": "marketing", "reason": Reason.SUPPRESSED.value, "at": now}
        if conn.execute(_SUPPRESS, {**suppression, "source": source}).rowcount:
            changed = True
            sharers = list(conn.execute(_CLAIMED, {"hash": address}).scalars())
    if not changed:
        return Unsubscribed(channel=row.channel, locale=row.locale, changed=False, woken=0)
    if row.channel in PUSHED:
        forget(conn, [row.person])
    conn.execute(_RAISE_GUARD, {"b_person": row.person, "sharers": ids(sharers)})
    return Unsubscribed(channel=row.channel, locale=row.locale, changed=True, woken=wake(conn, [row.person], now))
