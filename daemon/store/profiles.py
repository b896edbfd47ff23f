"""Profiles as rows: made anew from a person's weighty events and own reactions, in the transaction that brought a new one.

So they depend on the set of what is known of a person, never on the order in which it came. What only moves forward (last visit, last
open) is kept without looking back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, literal_column, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.events import CLICKED, OPENED, REACTIONS, WEIGHTY, Happening
from daemon.journey.profile import SCORE_PERIOD, Shop, Standing, add_up, ordered_at, score
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.sql import fetch, ids, in_list, many

_P, _E, _F = s.profile.c, s.event.c, s.feedback.c
SEEN = ("last_open_at", "last_click_at", "last_visit_at", "last_seen_at")
MADE = (*Standing._fields, "score", "score_until")
"""The columns that are made anew."""


class Sight(NamedTuple):
    """What an event says of when its person was last about; None = nothing."""

    open: Instant | None = None
    click: Instant | None = None
    visit: Instant | None = None
    seen: Instant | None = None


_put = upsert(s.profile)
_MOVE = _put.on_conflict_do_update(
    index_elements=[_P.person],
    set_={name: func.max(func.coalesce(_P[name], _put.excluded[name]), func.coalesce(_put.excluded[name], _P[name])) for name in SEEN},
)
_MAKE = _put.on_conflict_do_update(index_elements=[_P.person], set_={name: _put.excluded[name] for name in MADE})
_WEIGHTY = (
    select(_E.person, s.event_name.c.name, _E.at, _E.id, _E.properties)
    .join(s.event_name, s.event_name.c.id == _E.name)
    .where(in_list(_E.person, "persons"), in_list(_E.name, "names"), _E.at > bindparam("since"))
)
_NAMES = select(s.event_name.c.id).where(in_list(s.event_name.c.name, "names"))
_KINDS: tuple[ColumnElement[str], ...] = (literal_column("'opened'"), literal_column("'clicked'"))
_REACTIONS = (
    select(_F.person, _F.kind, func.max(_F.at))
    .where(in_list(_F.person, "persons"), _F.human == literal_column("1"), _F.kind.in_(_KINDS))
    .group_by(_F.person, _F.delivery, _F.kind)
)


def note_sights(conn: Connection, sights: Mapping[int, Sight]) -> None:
    """When these persons were last about: each column only moves forward."""
    many(conn, _MOVE, ("person", *SEEN), [(person, *sight) for person, sight in sorted(sights.items())])


def remake(conn: Connection, persons: Iterable[int], shop: Shop, now: Instant) -> dict[int, Standing]:
    """Make the profiles of these persons anew from all that is known of them."""
    wanted = sorted(set(persons))
    known = _weighty_now(conn, wanted, now)
    reactions = reactions_of(conn, wanted)
    made: dict[int, Standing] = {}
    rows: list[tuple[Any, ...]] = []
    for person in wanted:
        events = known.get(person, [])
        made[person] = add_up(events, shop)
        rows.append((person, *made[person], *_score(events, reactions.get(person, ()), now)))
    many(conn, _MAKE, ("person", *MADE), rows)
    return made


_BUYERS = (
    select(_P.person).where(_P.person > bindparam("after"), _P.orders > literal_column("0")).order_by(_P.person).limit(bindparam("limit"))
)  # fmt: skip
_RATES = "rates"


def _spelled(shop: Shop) -> str:
    return json.dumps([shop.currency, sorted(shop.rates.items())])


def valued_for(conn: Connection, shop: Shop) -> bool:
    """All profiles were made with this currency and these rates."""
    return get_meta(conn, _RATES) == _spelled(shop)


def revalue(conn: Connection, after: int, limit: int, shop: Shop, now: Instant) -> tuple[int | None, int]:
    """Make the profiles of the next buyers behind `after` anew. (Go on behind this one, how many); None = these were the last, and that
    is remembered."""
    persons = [person for (person,) in fetch(conn, _BUYERS, ("after", "limit"), (after, limit))]
    remake(conn, persons, shop, now)
    if len(persons) == limit:
        return persons[-1], len(persons)
    set_meta(conn, _RATES, _spelled(shop))
    return None, len(persons)


_RESCORE = _put.on_conflict_do_update(index_elements=[_P.person], set_={name: _put.excluded[name] for name in ("score", "score_until")})


def note_reaction(conn: Connection, person: int, kind: str, at: Instant, now: Instant) -> None:
    """A person reacted to a message of ours (a human, not a machine): its row in `feedback` is there already."""
    clicked = at if kind == "clicked" else None
    note_sights(conn, {person: Sight(open=at if kind == "opened" else None, click=clicked, visit=clicked, seen=at)})
    rescore(conn, [person], now)


def rescore(conn: Connection, persons: Sequence[int], now: Instant) -> None:
    """Count the engagement of these persons anew."""
    events, reactions = _weighty_now(conn, persons, now), reactions_of(conn, persons)
    rows = [(person, *_score(events.get(person, ()), reactions.get(person, ()), now)) for person in persons]
    many(conn, _RESCORE, ("person", "score", "score_until"), rows)


_AGED = (
    select(_P.person)
    .where(_P.score_until.is_not(None), _P.score_until <= bindparam("now"))
    .order_by(_P.score_until)
    .limit(bindparam("limit"))
)


def age_scores(conn: Connection, now: Instant, limit: int) -> int:
    """Bring up to `limit` scores, from which something has aged out, up to date. Returns how many; 0 = all are exact as of `now`."""
    persons = [person for (person,) in fetch(conn, _AGED, ("now", "limit"), (now, limit))]
    rescore(conn, persons, now)
    return len(persons)


def weighty_events(conn: Connection, persons: Sequence[int]) -> dict[int, list[Happening]]:
    """All events of these persons from which their profiles are made."""
    found: dict[int, list[Happening]] = {}
    _find(conn, persons, WEIGHTY, found)
    return found


def _weighty_now(conn: Connection, persons: Sequence[int], now: Instant) -> dict[int, list[Happening]]:
    """Those of them that count as of `now`: of opens and clicks the score's period, since there may be tens of thousands."""
    found: dict[int, list[Happening]] = {}
    _find(conn, persons, WEIGHTY - REACTIONS, found)
    _find(conn, persons, REACTIONS, found, now - SCORE_PERIOD)
    return found


def _find(conn: Connection, persons: Sequence[int], names: frozenset[str], found: dict[int, list[Happening]], since: Instant = -1) -> None:
    """Add those of these names after `since`; of opens and clicks nothing is read of what they say."""
    numbers = [number for (number,) in fetch(conn, _NAMES, ("names",), (ids(sorted(names)),))]
    if not numbers:
        return
    for person, name, at, number, said in fetch(conn, _WEIGHTY, ("persons", "names", "since"), (ids(persons), ids(sorted(numbers)), since)):
        found.setdefault(person, []).append(Happening(name, at, number, json.loads(said) if said and name not in REACTIONS else {}))


def reactions_of(conn: Connection, persons: Sequence[int]) -> dict[int, list[tuple[str, Instant]]]:
    """person -> (opened | clicked, when last) for each delivery."""
    found: dict[int, list[tuple[str, Instant]]] = {}
    for person, kind, at in fetch(conn, _REACTIONS, ("persons",), (ids(persons),)):
        found.setdefault(person, []).append((kind, at))
    return found


def _score(events: Sequence[Happening], reactions: Iterable[tuple[str, Instant]], now: Instant) -> tuple[int, Instant | None]:
    reactions = list(reactions)
    orders = ordered_at(events)
    clicks = [row.at for row in events if row.name == CLICKED] + [at for kind, at in reactions if kind == "clicked"]
    opens = [row.at for row in events if row.name == OPENED] + [at for kind, at in reactions if kind == "opened"]
    return score(orders, clicks, opens, now)


def inherit_profile(conn: Connection, other: int, person: int, shop: Shop, now: Instant) -> None:
    """One profile of what is known of both: after the events and reactions were moved."""
    theirs = read_profiles(conn, [other]).get(other)
    if theirs is not None:
        sight = Sight(theirs["last_open_at"], theirs["last_click_at"], theirs["last_visit_at"], theirs["last_seen_at"])
        note_sights(conn, {person: sight})
        remake(conn, [person], shop, now)
        forget_profiles(conn, [other])


def forget_profiles(conn: Connection, persons: Sequence[int]) -> None:
    """The persons were erased."""
    conn.execute(delete(s.profile).where(in_list(_P.person, "persons")), {"persons": ids(persons)})


_SEVERAL = select(s.profile).where(in_list(_P.person, "persons"))


def read_profiles(conn: Connection, persons: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The rows of those of these persons of whom something is known; scores as they were last written."""
    names = [column.name for column in s.profile.columns]
    return {row[0]: dict(zip(names, row, strict=True)) for row in fetch(conn, _SEVERAL, ("persons",), (ids(persons),))}


_PROFILE = select(s.profile).where(_P.person == bindparam("person"))


def read_profile(conn: Connection, person: int, now: Instant) -> dict[str, Any] | None:
    """A person's row, its score as of `now`; None = nothing is known."""
    row = conn.execute(_PROFILE, {"person": person}).mappings().first()
    if row is None:
        return None
    found = dict(row)
    if found["score_until"] is not None and found["score_until"] <= now:
        events = _weighty_now(conn, [person], now).get(person, [])
        found["score"], found["score_until"] = _score(events, reactions_of(conn, [person]).get(person, ()), now)
    return found
