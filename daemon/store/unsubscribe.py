"""Unsubscribe: in force when its transaction has committed (design: permission; promise P6). Lane EXIT.

Writes the person's withdrawn consent for the channel and suppresses the address that the person has there, for marketing.
Raising the guard refuses the handover of what is claimed already; what waits becomes due now, so that the next claim drops it
with its reason. Applied twice it changes nothing the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.facts import PUSHED
from daemon.store.merged import former_addresses
from daemon.store.push import forget
from daemon.store.sql import fetch, ids, in_list, many, rows
from daemon.store.wake import wake
from plugins.contract import UNSUBSCRIBED

ADDRESS_KINDS: Mapping[str, str] = {"email": "email", "sms": "phone", "call": "phone", "whatsapp": "phone"}
"""Channel -> the column of the person's address there."""
STOP = "stop:"
"""Begins the source of what a STOP over a channel made."""


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
WITHDRAW = _consent.on_conflict_do_update(
    index_elements=[s.consent.c.person, s.consent.c.channel, s.consent.c.topic],
    set_={"state": _consent.excluded.state, "at": _consent.excluded.at, "source": _consent.excluded.source, "text": _consent.excluded.text},
)
_STANDS = select(_C.state, _C.source).where(_C.person == bindparam("person"), _C.channel == bindparam("channel"), _C.topic == ANY)
_suppression = upsert(s.suppression)
_SUPPRESS = _suppression.on_conflict_do_nothing()
_SUPPRESS_FOR_GOOD = _suppression.on_conflict_do_update(
    index_elements=[s.suppression.c.hash, s.suppression.c.channel],
    set_={"at": _suppression.excluded.at, "source": _suppression.excluded.source},
    where=s.suppression.c.source.startswith(STOP) & (s.suppression.c.reason == Reason.SUPPRESSED.value),
)
"""What a START could lift stays for good when somebody else says it too."""
_CLAIMED = select(s.flight.c.person).where(s.flight.c.address_hash == bindparam("hash"))
_RAISE_GUARD = (
    update(s.recipient)
    .where(or_(s.recipient.c.id == bindparam("b_person"), in_list(s.recipient.c.id, "sharers")))
    .values(guard=s.recipient.c.guard + literal_column("1"))
)


_CONSENT_NAMES = ("person", "channel", "topic", "state", "at", "source", "text")
_SUPPRESSION_NAMES = ("hash", "channel", "scope", "reason", "at", "source")


def _subscriber(conn: Connection, delivery: int) -> Any:
    found = rows(conn, _WHO, ("delivery",), (delivery,))
    return found[0] if found else None


def find_subscription(conn: Connection, delivery: int) -> Subscription | None:
    """What the link's page shows; None if there is no such delivery. Changes nothing."""
    row = _subscriber(conn, delivery)
    if row is None:
        return None
    active = row.erased == 0 and row.state != "withdrawn"
    return Subscription(delivery=row.id, channel=row.channel, locale=row.locale, active=active)


def unsubscribe(conn: Connection, delivery: int, *, now: Instant, how: str) -> Unsubscribed | None:
    """No more marketing over the delivery's channel for its person, nor to the person's address there.

    `how`: one_click (RFC 8058) or page; kept as the consent's source. Who shares the address and is claimed just now is
    decided anew too. None if there is no such delivery; an erased person has nothing left to be changed.
    """
    row = _subscriber(conn, delivery)
    if row is None:
        return None
    if row.erased is None or row.erased:
        return Unsubscribed(channel=row.channel, locale=None, changed=False, woken=0)
    changed, woken = withdraw(conn, row.person, row.channel, address_on(row, row.channel), source=f"unsubscribe:{how}", now=now)
    return Unsubscribed(channel=row.channel, locale=row.locale, changed=changed, woken=woken)


def address_on(row: Any, channel: str) -> bytes | None:
    """The hash of the address that a row of a recipient (`email_hash`, `phone_hash`) has for a channel."""
    return _on(channel, row.email_hash, row.phone_hash)


def _on(channel: str, email: bytes | None, phone: bytes | None) -> bytes | None:
    return {"email": email, "phone": phone}.get(ADDRESS_KINDS.get(channel, ""))


def withdraw(
    conn: Connection, person: int, channel: str, address: bytes | None, *, source: str, now: Instant
) -> tuple[bool, int]:  # fmt: skip
    """No marketing to this person over a channel, nor to the address there, whoever has it. Returns (it is news, rows woken).

    A later START lifts what a STOP made (`source` begins with `stop:`); so whoever else says it takes it over. It is said of the addresses
    of all that became this person as well, but for a STOP, which comes from the one that it is about.
    """
    state, said = next(iter(fetch(conn, _STANDS, ("person", "channel"), (person, channel))), (None, None))
    changed = state != "withdrawn" or (is_stop(said) and not is_stop(source))
    if changed:
        many(conn, WITHDRAW, _CONSENT_NAMES, [(person, channel, ANY, "withdrawn", now, source, None)])
    sharers: list[int] = []
    former = [] if is_stop(source) else [_on(channel, *hashes) for hashes in former_addresses(conn, person)]
    for one in sorted(hash for hash in {address, *former} if hash is not None):
        if suppress_marketing(conn, one, channel, source=source, now=now):
            changed = True
            sharers += [person for (person,) in fetch(conn, _CLAIMED, ("hash",), (one,))]
    if not changed:
        return False, 0
    if channel in PUSHED:
        forget(conn, [person])
    many(conn, _RAISE_GUARD, ("b_person", "sharers"), [(person, ids(sharers))])
    return True, wake(conn, [person], now)


def suppress_marketing(conn: Connection, address: bytes, channel: str, *, source: str, now: Instant) -> bool:
    """The address gets no marketing over the channel, at commit. True: that is news. Guards are the caller's to raise."""
    suppression = (address, channel, "marketing", Reason.SUPPRESSED.value, now, source)
    statement = _SUPPRESS if is_stop(source) else _SUPPRESS_FOR_GOOD
    return bool(many(conn, statement, _SUPPRESSION_NAMES, [suppression]))


def closing_of(provider: str | None, code: str | None) -> tuple[str, Reason, str]:
    """(scope, reason, source) of the suppression of an address that a provider refuses: told to stop there, or dead."""
    if code == UNSUBSCRIBED:
        return "marketing", Reason.SUPPRESSED, f"{STOP}{provider}"
    return "all", Reason.BOUNCED, f"provider:{provider}"


def is_stop(source: str | None) -> bool:
    """A consent or suppression that a STOP over its channel made: a START there lifts it."""
    return (source or "").startswith(STOP)
