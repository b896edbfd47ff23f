"""Push subscriptions as rows: browsers that may be pushed to, and whose they are (design: permission, feedback).

They come from the recipients' browsers, go when their push service says so (with the outcome, `flight`), when their person unsubscribes or
is erased, and never raise what a person may get but by the consent that is recorded with them. What an address is, the channel knows; the
key is a hash of its endpoint, so one browser is one row and belongs to whom it was registered for last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.model.delivery import Instant
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.merged import owner_of
from daemon.store.recipients import person_id
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.wake import raise_guards

MOST = 10
"""Subscriptions of one person; a further one takes the place of that which was seen longest ago."""


class PushAddress(NamedTuple):
    """`text` is what the channel sends to; `hash` the row's key."""

    hash: bytes
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribing:
    """A browser that asks to be pushed to, and the words under which its person agreed. `again`: nobody was asked anew, the page only
    tells of a browser that agreed before: such a word makes no consent."""

    endpoint: str
    address: str
    channel: str
    family: str | None
    source: str
    text: str | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """`fresh`: it was not there. `total`: subscriptions of the person now. `withdrawn`: told `again`, after the person has said no."""

    recipient: str
    fresh: bool
    total: int
    withdrawn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """One subscription as the API shows it: never its keys nor its whole endpoint."""

    address: str
    family: str | None
    created_at: Instant
    last_seen_at: Instant


_T = s.push_subscription.c
_OF = select(_T.person, _T.hash, _T.address).where(in_list(_T.person, "persons")).order_by(_T.person, _T.last_seen_at.desc(), _T.hash)
_put = upsert(s.push_subscription)
_PUT = _put.on_conflict_do_update(
    index_elements=[_T.hash], set_={name: _put.excluded[name] for name in ("person", "address", "family", "last_seen_at")}
)
_consent = upsert(s.consent)
_SAY = _consent.on_conflict_do_update(
    index_elements=[s.consent.c.person, s.consent.c.channel, s.consent.c.topic],
    set_={name: _consent.excluded[name] for name in ("state", "at", "source", "text")},
    where=or_(_consent.excluded.state == literal_column("'withdrawn'"), s.consent.c.at <= _consent.excluded.at),
)
"""Who wants no more is believed whatever the clock says: it may have been ahead when the consent was given."""
_C = s.consent.c
_STANDS = select(_C.state).where(_C.person == bindparam("person"), _C.channel == bindparam("channel"), _C.topic == ANY)
REMOVE = delete(s.push_subscription).where(_T.hash == bindparam("b_hash"))
"""For `flight`: one that its push service says is gone."""


def endpoint_hash(endpoint: str) -> bytes:
    """The key of a subscription."""
    return hashlib.sha256(endpoint.encode("utf-8", "surrogatepass")).digest()


def push_addresses(conn: Connection, persons: Iterable[int]) -> dict[int, list[PushAddress]]:
    """What each of these persons can be pushed to, the browser that was seen last first."""
    found: dict[int, list[PushAddress]] = {}
    for person, hash, address in fetch(conn, _OF, ("persons",), (ids(persons),)):
        found.setdefault(person, []).append(PushAddress(hash, address))
    return found


def subscribe(conn: Connection, person: int, asked: Subscribing, *, now: Instant) -> Subscribed | None:
    """Register a browser and record its person's consent. None if there is no such person, or an erased one. What is told `again` is
    registered only while a consent stands: it is no new one, or a page that remembers would undo what the person has withdrawn."""
    person = owner_of(conn, person, "")[0]
    who = conn.execute(select(s.recipient.c.key, s.recipient.c.erased).where(s.recipient.c.id == person)).first()
    if who is None or who.erased:
        return None
    if asked.again and (stands := conn.execute(_STANDS, {"person": person, "channel": asked.channel}).scalar()) != "granted":
        return Subscribed(recipient=who.key, fresh=False, total=_count(conn, person), withdrawn=stands == "withdrawn")
    before = _place(conn, asked, person, now, now)
    _keep_newest(conn, person)
    if not asked.again:
        _say(conn, person, asked.channel, "granted", now, asked.source, asked.text)
    return Subscribed(recipient=who.key, fresh=before != person, total=_count(conn, person))


def subscribe_known(conn: Connection, key: str, asked: Subscribing, *, now: Instant) -> Subscribed | None:
    """The same by the marketer's own id, which becomes a recipient if there is none. None for an erased one."""
    person, key = owner_of(conn, person_id(key), key)
    if conn.execute(select(s.recipient.c.id).where(s.recipient.c.id == person)).first() is None:
        if asked.again:
            return Subscribed(recipient=key, fresh=False, total=0)
        conn.execute(insert(s.recipient).values(id=person, key=key, guard=0, erased=0, created_at=now, updated_at=now))
    done = subscribe(conn, person, asked, now=now)
    return done if done is None or done.recipient == key else None


def replace_subscription(conn: Connection, old: str, asked: Subscribing, *, now: Instant) -> Subscribed | None:
    """A browser has a new endpoint in place of `old`: same person, no new consent is made of it. None if nobody knows the old one."""
    hash = endpoint_hash(old)
    found = conn.execute(select(_T.person, _T.created_at, s.recipient.c.key).join(s.recipient, s.recipient.c.id == _T.person).where(
        _T.hash == hash, s.recipient.c.erased == 0,
    )).first()  # fmt: skip
    if found is None:
        return None
    conn.execute(REMOVE, {"b_hash": hash})
    _place(conn, asked, found.person, found.created_at, now)
    return Subscribed(recipient=found.key, fresh=False, total=_count(conn, found.person))


def leave(conn: Connection, endpoint: str, *, channel: str, now: Instant, source: str) -> bool:
    """A browser asks not to be pushed to any more; with its person's last one, the consent is withdrawn. False: nobody knows it."""
    hash = endpoint_hash(endpoint)
    person = conn.execute(select(_T.person).where(_T.hash == hash)).scalar()
    if person is None:
        return False
    conn.execute(REMOVE, {"b_hash": hash})
    raise_guards(conn, [person])
    if not _count(conn, person):
        _say(conn, person, channel, "withdrawn", now, source, None)
    return True


def forget(conn: Connection, persons: Sequence[int]) -> int:
    """Remove all subscriptions of these persons (unsubscribed, erased). Returns how many. The caller raises their guards."""
    return conn.execute(delete(s.push_subscription).where(in_list(_T.person, "persons")), {"persons": ids(persons)}).rowcount


_HIS = update(s.push_subscription).where(_T.person == bindparam("b_other")).values(person=bindparam("b_person"))


def inherit_subscriptions(conn: Connection, other: int, person: int) -> None:
    """The browsers of one are another's now, those that were seen last."""
    many(conn, _HIS, ("b_other", "b_person"), [(other, person)])
    _keep_newest(conn, person)


def _keep_newest(conn: Connection, person: int) -> None:
    over = select(_T.hash).where(_T.person == person).order_by(_T.last_seen_at.desc(), _T.hash).limit(-1).offset(MOST)
    conn.execute(delete(s.push_subscription).where(_T.hash.in_(over)))


def leave_all(conn: Connection, key: str, *, channel: str, now: Instant, source: str) -> int | None:
    """The shop says that a recipient wants no pushes. Returns how many subscriptions were removed; None: no such recipient."""
    person, key = owner_of(conn, person_id(key), key)
    if conn.execute(select(s.recipient.c.id).where(s.recipient.c.id == person, s.recipient.c.key == key)).first() is None:
        return None
    removed = forget(conn, [person])
    raise_guards(conn, [person])
    _say(conn, person, channel, "withdrawn", now, source, None)
    return removed


def read_subscriptions(conn: Connection, key: str) -> list[SubscriptionRow] | None:
    """A recipient's, the one seen last first; None if there is no such recipient, or an erased one."""
    person, key = owner_of(conn, person_id(key), key)
    where = (s.recipient.c.id == person, s.recipient.c.key == key, s.recipient.c.erased == 0)
    if conn.execute(select(s.recipient.c.id).where(*where)).first() is None:
        return None
    rows = conn.execute(select(s.push_subscription).where(_T.person == person).order_by(_T.last_seen_at.desc(), _T.hash))
    return [SubscriptionRow(address=r.address, family=r.family, created_at=r.created_at, last_seen_at=r.last_seen_at) for r in rows]


def _place(conn: Connection, asked: Subscribing, person: int, created_at: Instant, now: Instant) -> int | None:
    """Write the browser's row. Returns whose it was; what is claimed for a former owner must not go to this browser any more."""
    hash = endpoint_hash(asked.endpoint)
    before = conn.execute(select(_T.person).where(_T.hash == hash)).scalar()
    conn.execute(_PUT, {
        "hash": hash, "person": person, "address": asked.address, "family": asked.family, "created_at": created_at, "last_seen_at": now,
    })  # fmt: skip
    if before is not None and before != person:
        raise_guards(conn, [before])
    return before


def _count(conn: Connection, person: int) -> int:
    return int(conn.execute(select(func.count()).select_from(s.push_subscription).where(_T.person == person)).scalar_one())


def _say(conn: Connection, person: int, channel: str, state: str, at: Instant, source: str, text: str | None) -> None:
    consent = {"person": person, "channel": channel, "topic": ANY, "state": state, "at": at, "source": source, "text": text}
    conn.execute(_SAY, consent)
