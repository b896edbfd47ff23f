"""What recipients ask for on their page of preferences: topics, a pause, fewer messages, the channel and the language, or none at all.

A wish is in force at its commit: the person's guard is raised, and what waits is decided anew. A topic that is switched on again is a
consent for the channel of the message that the link stood in, whose reader this is; elsewhere it only takes its own withdrawal back.
Lane EXIT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select, update

from daemon.model.delivery import Instant
from daemon.policy.subject import ANY
from daemon.store import schema as s
from daemon.store.facts import PUSHED
from daemon.store.merged import owner_of
from daemon.store.sql import fetch, many, rows, value
from daemon.store.unsubscribe import ADDRESS_KINDS, WITHDRAW, address_on, withdraw
from daemon.store.wake import raise_guards, wake

SOURCE = "preferences"
CHANNELS = (*ADDRESS_KINDS, *sorted(PUSHED))
"""Those that a person's wish about a topic, or to be left alone, goes for."""
PREFERRED = "preferred_channels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """As they are. `channel`: of the message with the link; `reachable`: channels with an address; `off`: topics that are switched off
    there, `stopped`: channels without any marketing; `preferred`: the first of the trait."""

    channel: str
    locale: str | None
    reachable: Sequence[str]
    off: frozenset[str]
    stopped: frozenset[str]
    paused_until: Instant | None
    weekly: bool
    preferred: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """`topics`: name -> on, of those that were asked about; `paused_until`: None = no pause; `preferred`: None = no matter; `locale`: None
    = as it is. `stop`: nothing of all this, but no marketing any more."""

    topics: Mapping[str, bool]
    paused_until: Instant | None = None
    weekly: bool = False
    preferred: str | None = None
    locale: str | None = None
    stop: bool = False


_R, _C = s.recipient.c, s.consent.c
_OF = (
    select(s.delivery.c.person, s.wave.c.channel)
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(s.delivery.c.id == bindparam("delivery"))
)  # fmt: skip
_WHO = select(
    _R.id, _R.key, _R.email, _R.phone, _R.locale, _R.traits, _R.email_hash, _R.phone_hash, _R.paused_until, _R.weekly,
).where(_R.id == bindparam("person"), _R.erased == literal_column("0"))  # fmt: skip
_CONSENTS = select(_C.channel, _C.topic).where(_C.person == bindparam("person"), _C.state == literal_column("'withdrawn'"))
_BROWSERS = select(func.count()).select_from(s.push_subscription).where(s.push_subscription.c.person == bindparam("person"))
_SET = (
    update(s.recipient)
    .where(_R.id == bindparam("b_id"))
    .values(
        paused_until=bindparam("b_paused"), weekly=bindparam("b_weekly"), locale=bindparam("b_locale"), traits=bindparam("b_traits"),
        updated_at=bindparam("b_now"),
    )
)  # fmt: skip
_BACK = delete(s.consent).where(
    _C.person == bindparam("b_person"), _C.channel == bindparam("b_channel"), _C.topic == bindparam("b_topic"), _C.source == SOURCE,
)  # fmt: skip
_CONSENT_NAMES = ("person", "channel", "topic", "state", "at", "source", "text")


def _who(conn: Connection, delivery: int) -> tuple[Any, str] | None:
    """(the recipient's row, the channel) of a delivery; whoever it was sent to may have become another one since."""
    found = fetch(conn, _OF, ("delivery",), (delivery,))
    if not found:
        return None
    person, channel = found[0]
    who = rows(conn, _WHO, ("person",), (owner_of(conn, person, "")[0],))
    return (who[0], channel) if who else None


def read_preferences(conn: Connection, delivery: int) -> Preferences | None:
    """Those of a delivery's recipient; None: there is no such delivery, or the recipient was erased. Changes nothing."""
    found = _who(conn, delivery)
    if found is None:
        return None
    row, channel = found
    withdrawn = fetch(conn, _CONSENTS, ("person",), (row.id,))
    there = {"email": row.email, "sms": row.phone, "push": value(conn, _BROWSERS, ("person",), (row.id,))}
    preferred = (json.loads(row.traits) if row.traits else {}).get(PREFERRED) or [None]
    return Preferences(
        channel=channel, locale=row.locale, reachable=[name for name, address in there.items() if address],
        off=frozenset(topic for of, topic in withdrawn if of == channel and topic != ANY),
        stopped=frozenset(of for of, topic in withdrawn if topic == ANY), paused_until=row.paused_until, weekly=bool(row.weekly),
        preferred=preferred[0],
    )  # fmt: skip


def set_preferences(conn: Connection, delivery: int, wish: Wish, now: Instant) -> int | None:
    """Do as the recipient of a delivery wishes. Returns how many waiting rows are due now; None as for `read_preferences`."""
    found = _who(conn, delivery)
    if found is None:
        return None
    row, channel = found
    if wish.stop:
        return sum(
            withdraw(conn, row.id, each, address_on(row, each), source=f"unsubscribe:{SOURCE}", now=now)[1] for each in CHANNELS
        )  # fmt: skip
    _set_topics(conn, row.id, channel, wish.topics, now)
    traits = json.loads(row.traits) if row.traits else {}
    if wish.preferred is None:
        traits.pop(PREFERRED, None)
    elif (traits.get(PREFERRED) or [None])[0] != wish.preferred:
        traits[PREFERRED] = [wish.preferred]
    text = json.dumps(traits, ensure_ascii=False, separators=(",", ":")) if traits else None
    locale = row.locale if wish.locale is None else wish.locale
    names = ("b_id", "b_paused", "b_weekly", "b_locale", "b_traits", "b_now")
    many(conn, _SET, names, [(row.id, wish.paused_until, int(wish.weekly), locale, text, now)])
    raise_guards(conn, [row.id])
    return wake(conn, [row.id], now)


def _set_topics(conn: Connection, person: int, channel: str, topics: Mapping[str, bool], now: Instant) -> None:
    """Only what differs from what is there: an old consent keeps its time and source."""
    withdrawn = set(fetch(conn, _CONSENTS, ("person",), (person,)))
    channels = [channel, *(each for each in CHANNELS if each != channel)]
    off = [(each, topic) for topic, on in topics.items() if not on for each in channels if (each, topic) not in withdrawn]
    on = [(each, topic) for topic, on in topics.items() if on for each in channels if (each, topic) in withdrawn]
    many(conn, WITHDRAW, _CONSENT_NAMES, [(person, *pair, "withdrawn", now, SOURCE, None) for pair in off])
    many(conn, _BACK, ("b_person", "b_channel", "b_topic"), [(person, *pair) for pair in on if pair[0] != channel])
    many(conn, WITHDRAW, _CONSENT_NAMES, [(person, *pair, "granted", now, SOURCE, None) for pair in on if pair[0] == channel])


_OWN = select(_R.paused_until, _R.weekly).where(_R.id == bindparam("person"))
_KEEP = (
    update(s.recipient).where(_R.id == bindparam("b_id")).values(paused_until=bindparam("b_paused"), weekly=bindparam("b_weekly"))
)  # fmt: skip


def inherit_preferences(conn: Connection, other: int, survivor: int) -> None:
    """Of two wishes the stricter holds: the longer pause, fewer messages."""
    both = [row for person in (other, survivor) for row in fetch(conn, _OWN, ("person",), (person,))]
    paused = max((until for until, _ in both if until is not None), default=None)
    many(conn, _KEEP, ("b_id", "b_paused", "b_weekly"), [(survivor, paused, max((weekly for _, weekly in both), default=0))])
