"""What a recipient's own word, or a dead address, forbids from its commit on: STOP, START, complaint, bounce.

Monotone but for START, which lifts what an earlier STOP over the same channel made and nothing else. STOP and START are compared
by when they were said, not by when they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, literal_column, or_, select, update

from daemon.model.delivery import Instant, Reason
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.flight import raise_guards
from daemon.store.merged import former_addresses
from daemon.store.suppressions import ALL, SuppressionEntry, add_suppressions
from daemon.store.unsubscribe import STOP, WITHDRAW, address_on, suppress_marketing, withdraw
from daemon.store.wake import wake

STOPS = ("unsubscribed", "resubscribed")
WISHES = frozenset({*STOPS, "complained", "bounced"})
"""Kinds that concern the address, and are kept with its hash."""

_F = s.feedback.c
_WORDS = select(_F.person, _F.kind, _F.at).where(
    or_(_F.person == bindparam("person"), (_F.hash == bindparam("hash")) & (_F.hash != literal_column("x''"))),
    _F.channel == bindparam("channel"), _F.kind.in_(STOPS),
)  # fmt: skip
_LIFT = delete(s.suppression).where(
    s.suppression.c.hash == bindparam("hash"),
    s.suppression.c.channel == bindparam("channel"),
    s.suppression.c.reason == literal_column(f"'{Reason.SUPPRESSED.value}'"),
    s.suppression.c.source.like(literal_column(f"'{STOP}%'")),
)
_C = s.consent.c
_STANDS = select(_C.state, _C.source).where(_C.person == bindparam("person"), _C.channel == bindparam("channel"), _C.topic == ANY)


def address_of(row: Any) -> bytes | None:
    """The hash of the address that the delivery's person has on its channel now."""
    return address_on(row, row.channel)


def follow(
    conn: Connection, kind: str, provider: str, person: int, channel: str, address: bytes | None, channels: Sequence[str], now: Instant
) -> int:  # fmt: skip
    """Do what the report's kind asks for; nothing for most. `person` 0: the address alone. Its row is there already. Returns how
    many waiting rows are due now."""
    if kind in STOPS:
        return _stop_or_start(conn, provider, person, channel, address, now)
    if kind == "bounced" and address is not None:
        return _suppress(conn, person, [SuppressionEntry(address, channel, ALL, Reason.BOUNCED.value, now, f"feedback:{provider}")], now)
    if kind == "complained":
        return _complained(conn, provider, person, address, channels, now)
    return 0


def _suppress(conn: Connection, person: int, entries: Sequence[SuppressionEntry], now: Instant) -> int:
    if not add_suppressions(conn, entries) or not person:
        return 0
    conn.execute(update(s.recipient).where(s.recipient.c.id == person).values(guard=s.recipient.c.guard + 1))
    return wake(conn, [person], now)


def _complained(conn: Connection, provider: str, person: int, address: bytes | None, channels: Sequence[str], now: Instant) -> int:
    """All channels, for everything: the address that complained, and what else the person has."""
    hashes = {address} - {None}
    woken = 0
    if person:
        row = conn.execute(select(s.recipient.c.email_hash, s.recipient.c.phone_hash).where(s.recipient.c.id == person)).one()
        hashes |= {row.email_hash, row.phone_hash, *(one for both in former_addresses(conn, person) for one in both)} - {None}
        for channel in channels:
            woken += withdraw(conn, person, channel, None, source=f"complaint:{provider}", now=now)[1]
    source = f"feedback:{provider}"
    entries = [SuppressionEntry(one, ANY, ALL, Reason.COMPLAINED.value, now, source) for one in sorted(filter(None, hashes))]
    return woken + _suppress(conn, person, entries, now)


def _stop_or_start(conn: Connection, provider: str, person: int, channel: str, address: bytes | None, now: Instant) -> int:
    rows = conn.execute(_WORDS, {"person": person or -1, "hash": address or b"", "channel": channel}).all()
    stops = [row.at for row in rows if row.kind == "unsubscribed"]
    starts = [row.at for row in rows if row.kind == "resubscribed"]
    if not stops:
        if starts and address is not None:  # a provider that refused may have closed it, without a STOP that came here
            conn.execute(_LIFT.where(s.suppression.c.at <= bindparam("said")), {"hash": address, "channel": channel, "said": max(starts)})
        return 0
    persons = sorted({row.person for row in rows if row.kind == "unsubscribed" and row.person})
    if starts and max(starts) > max(stops):
        return _start(conn, provider, persons, channel, address, now)
    source = f"{STOP}{provider}"
    if not persons:
        if address is not None and suppress_marketing(conn, address, channel, source=source, now=now):
            raise_guards(conn, [address])
        return 0
    return sum(withdraw(conn, one, channel, address, source=source, now=now)[1] for one in persons)


def _start(conn: Connection, provider: str, persons: Sequence[int], channel: str, address: bytes | None, now: Instant) -> int:
    """The consent of those who had said STOP by name, unless somebody else withdrew it; the suppression if a STOP made it."""
    for person in persons:
        state, source = conn.execute(_STANDS, {"person": person, "channel": channel}).first() or (None, None)
        if state != "withdrawn" or (source or "").startswith(STOP):
            consent = {"person": person, "channel": channel, "topic": ANY, "state": "granted", "at": now}
            conn.execute(WITHDRAW, {**consent, "source": f"start:{provider}", "text": None})
    if address is not None:
        conn.execute(_LIFT, {"hash": address, "channel": channel})
    return 0
