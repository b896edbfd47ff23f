"""Recipients as rows: written from job rows (only the traits they name), read for the API; their consents.

`person_id` is the store's own number of a recipient, from its key alone, so that no second index is needed. A change that may
forbid a send raises the person's guard in the same transaction. Nothing here lifts a suppression.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, literal_column, null, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant, Reason, State
from daemon.model.recipient import Recipient
from daemon.store import schema as s
from daemon.store.due import put_due
from daemon.store.held import open_lanes
from daemon.store.merged import owner_of, survivors_of
from daemon.store.sql import fetch, ids, in_list, many, pour, pouring
from daemon.store.tallies import Tallies
from daemon.store.wake import open_waves, wake

EMAIL, PHONE, ZONE, LOCALE, COUNTRY = 1, 2, 4, 8, 16
NAMED = {"email": EMAIL, "phone": PHONE, "zone": ZONE, "locale": LOCALE, "country": COUNTRY}


def person_id(key: str) -> int:
    """1 .. 2**63 - 1, the same for a key always and everywhere. Two keys that share one are told apart by `key` in the row."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()) >> 1 or 1


class PlanRow(NamedTuple):
    """One good row of a job, made ready for the store by `intake.body`; rows sort by person, then line.

    `named`: which of email, phone, zone, locale, country it sets (or clears, when None), as bits of NAMED; `traits`: those that it
    sets (or, by null, clears), `vars`: JSON text, None = none; `consents`: channel -> {at, source, text, topic}.
    """

    person: int
    line: int
    key: str
    email: str | None
    phone: str | None
    zone: str | None
    locale: str | None
    country: str | None
    named: int
    traits: str | None
    email_hash: bytes | None
    phone_hash: bytes | None
    vars: str | None
    consents: Mapping[str, Mapping[str, Any]] | None


class KnownRow(NamedTuple):
    """What a recipient is like, as its row has it."""

    id: int
    key: str
    email: str | None
    phone: str | None
    zone: str | None
    locale: str | None
    country: str | None
    traits: str | None
    email_hash: bytes | None
    phone_hash: bytes | None
    erased: int


KNOWN = select(*(s.recipient.c[name] for name in KnownRow._fields)).where(in_list(s.recipient.c.id, "ids"))
_INSERT = pouring(s.recipient, (
    "id", "key", "email", "phone", "zone", "locale", "country", "traits", "email_hash", "phone_hash", "created_at", "updated_at",
))  # fmt: skip
_UPDATE = (
    update(s.recipient)
    .where(s.recipient.c.id == bindparam("b_id"))
    .values(
        email=bindparam("b_email"), phone=bindparam("b_phone"), zone=bindparam("b_zone"), locale=bindparam("b_locale"),
        country=bindparam("b_country"), traits=bindparam("b_traits"), email_hash=bindparam("b_email_hash"),
        phone_hash=bindparam("b_phone_hash"), guard=s.recipient.c.guard + bindparam("b_raise"), updated_at=bindparam("b_now"),
    )
)  # fmt: skip
_UPDATE_NAMES = (
    "b_id", "b_email", "b_phone", "b_zone", "b_locale", "b_country", "b_traits", "b_email_hash", "b_phone_hash", "b_raise", "b_now",
)  # fmt: skip
_consent = upsert(s.consent)
_GRANT = _consent.on_conflict_do_update(
    index_elements=[s.consent.c.person, s.consent.c.channel, s.consent.c.topic],
    set_={"state": _consent.excluded.state, "at": _consent.excluded.at, "source": _consent.excluded.source, "text": _consent.excluded.text},
    where=s.consent.c.at < _consent.excluded.at,
)
_GRANT_NAMES = ("person", "channel", "topic", "state", "at", "source", "text")


def of_survivors(conn: Connection, rows: Sequence[PlanRow]) -> tuple[Sequence[PlanRow], Sequence[PlanRow]]:
    """(the rows in order of person, those of merged ids as their survivors'; further rows of those persons). Each id is among the rows at
    most once."""
    now = survivors_of(conn, (row.person for row in rows))
    if not now:
        return rows, ()
    found = [row._replace(person=now[row.person][0], key=now[row.person][1]) if row.person in now else row for row in rows]
    first: dict[int, PlanRow] = {}
    found.sort(key=lambda row: (row.person, row.line))
    doubled = [row for row in found if first.setdefault(row.person, row) is not row]
    return list(first.values()), doubled


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserted:
    """`collisions`: lines whose recipient has the number of another one (never yet seen: 63 bits). `known`: persons that were there."""

    collisions: frozenset[int]
    known: frozenset[int]


def upsert_recipients(conn: Connection, rows: Sequence[PlanRow], now: Instant) -> Upserted:
    """Write what the rows name (each person at most once). What changes a send raises the guard and wakes what waits."""
    known = {row[0]: KnownRow._make(row) for row in fetch(conn, KNOWN, ("ids",), (ids([row[0] for row in rows]),))}
    fresh: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    moved: list[int] = []
    collisions: set[int] = set()
    for row in rows:
        old = known.get(row[0])
        if old is None:
            person, _, key, email, phone, zone, locale, country, _, traits, email_hash, phone_hash, _, _ = row
            if traits is not None and "null" in traits:
                traits = _merge_traits(None, traits)
            fresh.append((person, key, email, phone, zone, locale, country, traits, email_hash, phone_hash, now, now))
        elif old.key != row.key:
            collisions.add(row.line)
        elif not old.erased and (row.named or row.traits):
            new = _merged(old, row)
            if new is not old:
                forbids = _may_forbid(old, new)
                changed.append((*new[:1], *new[2:10], int(forbids), now))
                if forbids:
                    moved.append(row.person)
    pour(conn, _INSERT, sorted(fresh))
    many(conn, _UPDATE, _UPDATE_NAMES, sorted(changed))
    many(conn, _GRANT, _GRANT_NAMES, _grants(rows, known, collisions))
    if moved:
        wake(conn, moved, now)
        free_zone_holds(conn, moved, now)
    return Upserted(collisions=frozenset(collisions), known=frozenset(known))


def _grants(rows: Sequence[PlanRow], known: Mapping[int, KnownRow], collisions: set[int]) -> list[tuple[Any, ...]]:
    """The consents that the rows bring; none for who was erased."""
    grants: list[tuple[Any, ...]] = []
    for row in rows:
        if not row.consents or row.line in collisions or (row.person in known and known[row.person].erased):
            continue
        for channel, grant in row.consents.items():
            grants.append((row.person, channel, grant["topic"], "granted", grant["at"], grant["source"], grant["text"]))
    return grants


def _merged(old: KnownRow, row: PlanRow) -> KnownRow:
    """The row's values over the old ones; `old` itself if nothing differs."""
    named = row.named
    new = KnownRow(
        old.id, old.key,
        row.email if named & EMAIL else old.email,
        row.phone if named & PHONE else old.phone,
        row.zone if named & ZONE else old.zone,
        row.locale if named & LOCALE else old.locale,
        row.country if named & COUNTRY else old.country,
        _merge_traits(old.traits, row.traits) if row.traits else old.traits,
        row.email_hash if named & EMAIL else old.email_hash,
        row.phone_hash if named & PHONE else old.phone_hash,
        old.erased,
    )  # fmt: skip
    return old if new == old else new


def _merge_traits(old: str | None, named: str) -> str | None:
    if old == named:
        return old
    traits = {**(json.loads(old) if old else {}), **json.loads(named)}
    kept = {key: value for key, value in traits.items() if value is not None}
    return _spell(kept) if kept else None


_spell = functools.partial(json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode)


def _may_forbid(old: KnownRow, new: KnownRow) -> bool:
    """Does the change touch an address, or what the window rests on (zone, country, quiet hours)?"""
    if (old.email, old.phone, old.zone, old.country) != (new.email, new.phone, new.zone, new.country):
        return True
    return old.traits != new.traits and ("quiet_hours" in (old.traits or "") or "quiet_hours" in (new.traits or ""))


_ZONE_HOLDS = (
    select(s.delivery.c.id, s.delivery.c.job, s.delivery.c.lane, s.wave.c.channel)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(
        in_list(s.delivery.c.wave, "waves"),
        in_list(s.delivery.c.person, "persons"),
        s.delivery.c.state == State.HELD.value,
        s.delivery.c.reason == Reason.ZONE_UNKNOWN.value,
    )
)
_FREE = (
    update(s.delivery)
    .where(s.delivery.c.id == bindparam("b_id"))
    .values(state=literal_column("'due'"), reason=null(), key=null(), not_before=bindparam("b_now"), lane=bindparam("b_lane"))
)


def free_zone_holds(conn: Connection, persons: Iterable[int], now: Instant) -> int:
    """Deliveries that were held because the person's zone was unknown are due again, to be decided anew. Returns how many."""
    found = conn.execute(_ZONE_HOLDS, {"waves": ids(open_waves(conn)), "persons": ids(sorted(persons))}).all()
    if not found:
        return 0
    lanes = open_lanes(conn, {(row.job, row.channel, row.lane) for row in found})
    tallies = Tallies()
    for row in found:
        tallies.move(row.job, State.HELD, Reason.ZONE_UNKNOWN.value, State.DUE, "")
    many(conn, _FREE, ("b_id", "b_now", "b_lane"), [(row.id, now, lanes[row.job, row.channel, row.lane]) for row in found])
    put_due(conn, [(lanes[row.job, row.channel, row.lane], now, row.id) for row in found])
    tallies.write(conn)
    return len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRow:
    channel: str
    topic: str
    state: str
    at: Instant
    source: str | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientView:
    """A recipient with its consents and with what is suppressed of its addresses: (channel, scope, reason)."""

    recipient: Recipient
    consents: Sequence[ConsentRow]
    suppressions: Sequence[tuple[str, str, str]]


def read_recipient(conn: Connection, key: str) -> RecipientView | None:
    """By the marketer's own id, of whom that became where it was merged; None if there is none."""
    person, key = owner_of(conn, person_id(key), key)
    row = conn.execute(select(s.recipient).where(s.recipient.c.id == person, s.recipient.c.key == key)).first()
    if row is None:
        return None
    consents = conn.execute(select(s.consent).where(s.consent.c.person == row.id).order_by(s.consent.c.channel, s.consent.c.topic))
    hashes = [value for value in (row.email_hash, row.phone_hash) if value is not None]
    suppressed = conn.execute(
        select(s.suppression.c.channel, s.suppression.c.scope, s.suppression.c.reason).where(s.suppression.c.hash.in_(hashes)).distinct()
    )
    return RecipientView(
        recipient=Recipient(
            id=row.id, key=row.key, email=row.email, phone=row.phone, zone=row.zone, locale=row.locale, country=row.country,
            traits=json.loads(row.traits) if row.traits else {}, erased=bool(row.erased),
        ),
        consents=[
            ConsentRow(channel=c.channel, topic=c.topic, state=c.state, at=c.at, source=c.source, text=c.text) for c in consents
        ],
        suppressions=[(r.channel, r.scope, r.reason) for r in suppressed],
    )  # fmt: skip
