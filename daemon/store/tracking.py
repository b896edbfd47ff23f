"""One transaction of what tracking brings: other ids of people, what they are like, what they did; in this order. Lane EVENTS.

So an event under an anonymous id finds its person when the same batch identified it. Bounded by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.profile import Shop
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.events import take_events
from daemon.store.merge import Merged, merge
from daemon.store.merged import survivors_of
from daemon.store.recipients import PlanRow, upsert_recipients
from daemon.store.sql import fetch, ids, in_list, many


class Link(NamedTuple):
    """`previous`: another id of the person. `merges`: a recipient of that id becomes this one (`store.merge`); else it is only an id
    under which events come before their person is known."""

    previous: str
    person: int
    merges: bool = False


class Message(NamedTuple):
    """One item, ready for the store. `anonymous`: the id under which an event came that has no recipient."""

    link: Link | None = None
    trait: PlanRow | None = None
    event: EventRow | None = None
    anonymous: str | None = None


class Outcome(NamedTuple):
    """`how` became of each message: kept | known | linked | erased | collision | names | anonymous (nobody is known by that id)."""

    how: Sequence[str]
    woken: int = 0
    walks: bool = False


_put = upsert(s.alias)
_LINK = _put.on_conflict_do_update(
    index_elements=[s.alias.c.previous], set_={"person": _put.excluded.person, "at": _put.excluded.at},
    where=s.alias.c.at <= _put.excluded.at,
)
_ALIASES = (
    select(s.alias.c.previous, s.alias.c.person, s.recipient.c.key)
    .join(s.recipient, s.recipient.c.id == s.alias.c.person)
    .where(in_list(s.alias.c.previous, "previous"))
)
_PEOPLE = select(s.recipient.c.id, s.recipient.c.key, s.recipient.c.erased).where(in_list(s.recipient.c.id, "persons"))


def take_messages(conn: Connection, messages: Sequence[Message], shop: Shop, now: Instant) -> Outcome:
    """Take these in, in their order."""
    how = ["linked"] * len(messages)
    for number, word in _upsert(conn, messages, now):
        how[number] = word
    links = [m.link for number, m in enumerate(messages) if m.link is not None and how[number] in ("kept", "linked")]
    merged = _merge(conn, links, shop, now)
    many(conn, _LINK, ("previous", "person", "at"), [(m.link.previous, m.link.person, now) for m in messages if m.link is not None])
    known = _aliases(conn, {m.anonymous for m in messages if m.anonymous is not None and m.event is not None})
    events: list[tuple[int, EventRow]] = []
    for number, message in enumerate(messages):
        if message.event is None:
            continue
        if message.anonymous is None:
            events.append((number, message.event))
        elif (found := known.get(message.anonymous)) is not None:
            events.append((number, message.event._replace(person=found[0], key=found[1])))
        else:
            how[number] = "anonymous"
    taken = take_events(conn, [row for _, row in events], shop, now)
    for (number, _), word in zip(events, taken.how, strict=True):
        how[number] = word
    return Outcome(how, taken.woken + sum(one.woken for one in merged), taken.walks or any(one.ended for one in merged))


def _merge(conn: Connection, links: Iterable[Link], shop: Shop, now: Instant) -> list[Merged]:
    found = [merge(conn, link.previous, link.person, shop, now) for link in links if link.merges]
    return [one for one in found if one is not None]


def _upsert(conn: Connection, messages: Sequence[Message], now: Instant) -> Iterator[tuple[int, str]]:
    """What each says of its person, a person at most once a round."""
    waiting = [(number, message.trait) for number, message in enumerate(messages) if message.trait is not None]
    now_of = survivors_of(conn, (row.person for _, row in waiting))
    waiting = [
        (number, row._replace(person=now_of[row.person][0], key=now_of[row.person][1]) if row.person in now_of else row)
        for number, row in waiting
    ]
    while waiting:
        round: dict[int, tuple[int, PlanRow]] = {}
        later: list[tuple[int, PlanRow]] = []
        for number, row in waiting:
            if row.person in round:
                later.append((number, row))
            else:
                round[row.person] = (number, row._replace(line=number))
        waiting = later
        rows = [row for _, row in sorted(round.values(), key=lambda item: item[1].person)]
        gone = _erased(conn, round)
        done = upsert_recipients(conn, rows, now)
        for person, (number, row) in round.items():
            yield number, "erased" if person in gone else "collision" if row.line in done.collisions else "kept"


def _erased(conn: Connection, persons: Iterable[int]) -> set[int]:
    return {person for person, _, erased in fetch(conn, _PEOPLE, ("persons",), (ids(sorted(persons)),)) if erased}


def _aliases(conn: Connection, previous: set[str]) -> Mapping[str, tuple[int, str]]:
    if not previous:
        return {}
    return {other: (person, key) for other, person, key in fetch(conn, _ALIASES, ("previous",), (ids(sorted(previous)),))}
