"""Events come in: kept once, with all that follows from them for their persons, in one transaction.

Late, repeated and out-of-order events end in the same rows. What may forbid a message that is on its way (a purchase, an open ticket)
raises its person's guard and wakes what waits, as an unsubscribe does. Lane EVENTS; bounded by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.events import CLICKED, FORBIDDING, OPENED, ORDER, UNSEEN, VISITS, WEIGHTY
from daemon.journey.profile import Shop
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.event_row import EventRow
from daemon.store.exits import note_happened
from daemon.store.merged import survivors_of
from daemon.store.products import forget_products, note_bought, note_wanted
from daemon.store.profiles import Sight, note_sights, remake
from daemon.store.redemptions import note_orders
from daemon.store.referrals import referrals_of
from daemon.store.sql import fetch, ids, in_list, many, pour, pouring
from daemon.store.sunset import bring_back
from daemon.store.wake import raise_guards, wake

MOST_NAMES = 10_000
"""Names of events. A sender that makes names of its data (one for each product) would fill the store with them."""


class Taken(NamedTuple):
    """`how` became of each: kept | known (came before) | erased | collision | names (too many names). `woken`: waiting rows that are due
    now. `new`: persons that were not known. `walks`: walks have ended, or may begin: the walking stage has something to do."""

    how: Sequence[str]
    woken: int = 0
    new: int = 0
    walks: bool = False


_PERSONS = select(s.recipient.c.id, s.recipient.c.key, s.recipient.c.erased).where(in_list(s.recipient.c.id, "persons"))
_NEW = pouring(s.recipient, ("id", "key", "created_at", "updated_at"))
_KEEP = upsert(s.event).on_conflict_do_nothing()
_COLUMNS = ("person", "name", "id", "at", "received_at", "properties")
_KNOWN_NAMES = select(s.event_name.c.name, s.event_name.c.id).where(in_list(s.event_name.c.name, "names"))
_INSERT_NAME = insert(s.event_name)
_LAST_NAME = select(func.coalesce(func.max(s.event_name.c.id), 0))


def take_events(conn: Connection, rows: Sequence[EventRow], shop: Shop, now: Instant) -> Taken:
    """Keep these events, and what follows from them. One word on each, in their order."""
    rows = _of_survivors(conn, [row if row.at <= now else row._replace(at=now) for row in rows])
    strange = _strange(conn, rows)
    names = _name_numbers(conn, {row.name for row in rows})
    how: list[str] = []
    kept: list[EventRow] = []
    fresh: dict[int, str] = {}
    for row in rows:
        refusal = strange.get((row.person, row.key))
        if refusal is None or refusal == "new":
            how.append(_keep(conn, row, names.get(row.name), now))
            if how[-1] == "kept":
                kept.append(row)
                if refusal == "new":
                    fresh.setdefault(row.person, row.key)
        else:
            how.append(refusal)
    pour(conn, _NEW, sorted((person, key, now, now) for person, key in fresh.items()))
    note_sights(conn, _sights(kept))
    remake(conn, {row.person for row in kept if row.name in WEIGHTY}, shop, now)
    codes = note_orders(conn, kept)
    note_bought(conn, kept)
    note_wanted(conn, kept)
    bring_back(conn, _bought(kept))
    concerned = note_happened(conn, kept, now)
    moved = sorted({row.person for row in kept if row.name in FORBIDDING} | concerned.ended)
    raise_guards(conn, moved)
    woken = wake(conn, moved, now) if moved else 0
    if not codes or not (told := referrals_of(conn, codes, kept, now)):
        return Taken(how, woken, len(fresh), concerned.moved)
    more = take_events(conn, told, shop, now)
    return Taken(how, woken + more.woken, len(fresh), concerned.moved or more.walks)


def _bought(kept: Iterable[EventRow]) -> dict[int, Instant]:
    return {row.person: row.at for row in sorted(kept, key=lambda row: row.at) if row.name == ORDER}


def _of_survivors(conn: Connection, rows: Sequence[EventRow]) -> Sequence[EventRow]:
    now = survivors_of(conn, (row.person for row in rows))
    return [row._replace(person=now[row.person][0], key=now[row.person][1]) if row.person in now else row for row in rows] if now else rows


def _keep(conn: Connection, row: EventRow, name: int | None, now: Instant) -> str:
    if name is None:
        return "names"
    new = many(conn, _KEEP, _COLUMNS, [(row.person, name, row.id, row.at, now, row.properties)])
    return "kept" if new else "known"


def _strange(conn: Connection, rows: Sequence[EventRow]) -> Mapping[tuple[int, str], str]:
    """Who is not simply there: new | erased | collision (another one has the number)."""
    found = {person: (key, erased) for person, key, erased in fetch(conn, _PERSONS, ("persons",), (ids({row.person for row in rows}),))}
    strange: dict[tuple[int, str], str] = {}
    for row in rows:
        key, erased = found.setdefault(row.person, (row.key, None))
        if key != row.key:
            strange[row.person, row.key] = "collision"
        elif erased is None:
            strange[row.person, row.key] = "new"
        elif erased:
            strange[row.person, row.key] = "erased"
    return strange


def _name_numbers(conn: Connection, names: Iterable[str]) -> dict[str, int]:
    """The numbers of these names; new ones get one, up to MOST_NAMES."""
    wanted = sorted(names)
    known = dict(fetch(conn, _KNOWN_NAMES, ("names",), (ids(wanted),)))
    if missing := [name for name in wanted if name not in known]:
        [(last,)] = fetch(conn, _LAST_NAME)
        fresh = list(zip(missing, range(last + 1, MOST_NAMES + 1), strict=False))
        many(conn, _INSERT_NAME, ("name", "id"), fresh)
        known.update(fresh)
    return known


def _sights(kept: Iterable[EventRow]) -> dict[int, Sight]:
    """The latest of each kind for each person."""
    found: dict[int, Sight] = {}
    for row in kept:
        visit = row.at if row.name in VISITS or row.name == CLICKED else None
        seen = row.at if row.seen and row.name not in UNSEEN else None
        sight = Sight(row.at if row.name == OPENED else None, row.at if row.name == CLICKED else None, visit, seen)
        old = found.get(row.person, _NOTHING)
        found[row.person] = Sight(*(_later(a, b) for a, b in zip(old, sight, strict=True)))
    return found


_NOTHING = Sight()


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    return other if one is None else one if other is None else max(one, other)


def forget_events(conn: Connection, persons: Sequence[int]) -> None:
    """The persons were erased: what they did and bought, and their other ids."""
    who: dict[str, Any] = {"persons": ids(persons)}
    conn.execute(delete(s.event).where(in_list(s.event.c.person, "persons")), who)
    conn.execute(delete(s.alias).where(in_list(s.alias.c.person, "persons")), who)
    forget_products(conn, persons)
