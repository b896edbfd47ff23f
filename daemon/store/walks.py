"""The desired set of a campaign's `[[audience]]`, read from its deliveries: who walks, or has lately ended a walk (ADR 0008). One that is
named after the offer has those who hold this very offer: from the acceptance of its message to its end.

Where a campaign has walks (ADR 0010), somebody is in while his is open and has come to one of the steps, and for `stay` after its last
one; not if he exited, came home, or is held out. Else a walk is a recipient with deliveries: open while one of them is not at its end,
then for `stay` longer; over with an order. Reads only: the differences it finds are written by `store.audiences`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, literal_column, or_, select

from daemon.journey.profile import Shop
from daemon.journey.tiers import band_of, tier_of
from daemon.model.audience import AUDIENCE
from daemon.model.delivery import Instant, State
from daemon.model.journey import WalkState
from daemon.model.offer import IssueState
from daemon.store import schema as s
from daemon.store.audiences import WALK, Leaving, Standing, audiences_of, standings_of, wanted_in
from daemon.store.sql import fetch, ids, in_list

OPEN = -1
"""`until` of a walk that has not ended."""
ENDED = frozenset({State.ACCEPTED.value, State.REJECTED.value, State.EXPIRED.value})
"""Ends after which ads may go on for a while; whoever was dropped, cancelled or held out is not followed about."""
GOING = frozenset({
    State.PLANNED.value, State.DUE.value, State.HELD.value, State.IN_DOUBT.value, State.CLAIMED.value, State.HANDED_OVER.value
})  # fmt: skip
NOT_HERE = "exited"

_D, _W, _R = s.delivery.c, s.wave.c, s.recipient.c
_WAVES = select(_W.id, _W.step).where(_W.campaign == bindparam("campaign"), _W.channel != AUDIENCE).order_by(_W.id)
_PAGE = (
    select(_D.person).where(_D.wave == bindparam("wave"), _D.person > bindparam("after")).order_by(_D.person).limit(bindparam("limit"))
)  # fmt: skip
_BOUGHT = func.coalesce(s.profile.c.last_order_at, literal_column("-1")) >= func.coalesce(s.job.c.received_at, literal_column(str(1 << 62)))
_CAME_HOME = s.walk.c.goal_at.is_not(None) | (func.coalesce(s.profile.c.last_order_at, literal_column("-1")) > s.walk.c.entered_at)
_ENDS = (
    select(
        _D.person, _D.wave, _D.state, _D.ended_at, _D.handed_over_at, s.walk.c.state, s.walk.c.held_out, s.walk.c.ended_at, _CAME_HOME
    )
    .outerjoin(s.job, s.job.c.id == _D.job)
    .outerjoin(s.walk, s.walk.c.id == _D.walk)
    .outerjoin(s.profile, s.profile.c.person == _D.person)
    .where(in_list(_D.wave, "waves"), in_list(_D.person, "persons"), or_(~_BOUGHT, _D.walk.is_not(None)))
)  # fmt: skip
"""An order since the job came ends a walk, whatever its messages do: who has bought is not followed about. A walk of its own ends by its
exits; after its last step an order, or what it was for, ends its time in audiences."""
_P = s.profile.c
_PEOPLE = (
    select(_R.id, _R.traits, _R.country, _R.locale, _P.orders, _P.value, _P.last_order_at)
    .outerjoin(s.profile, _P.person == _R.id)
    .where(in_list(_R.id, "persons"))
)  # fmt: skip
_I = s.issue.c
_CARRIED = (
    select(_I.person, _I.offer, _I.ends_at)
    .where(_I.campaign == bindparam("campaign"), in_list(_I.person, "persons"), _I.state == literal_column(f"'{IssueState.OPEN.value}'"))
    .order_by(_I.accepted_at, _I.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One `[[audience]]` as the comparison needs it. `providers`: those that are loaded · `names`: its variables, `fill`: their values ->
    the name · `steps`: members from one of these on · `about`: what the platform shows, by offer where it is named after one (`offered`),
    else that of ""."""

    providers: tuple[str, ...]
    names: tuple[str, ...]
    fill: Callable[[tuple[str, ...]], str]
    steps: frozenset[str]
    stay: int
    about: Mapping[str, str] = field(default_factory=dict)
    offered: bool = False


class Wish(NamedTuple):
    """Somebody who should be in an audience that may not be there yet, and what the platform is to show of it."""

    provider: str
    name: str
    person: int
    until: Instant | None
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One page's differences. `cursor`: (wave, person) to go on from, None at the end."""

    wishes: Sequence[Wish]
    leaving: Sequence[Leaving]
    cursor: tuple[int, int] | None
    looked_at: int


def waves_of(conn: Connection, campaign: int) -> dict[int, str]:
    """Wave -> step, of the campaign's messages."""
    return {row.id: row.step for row in conn.execute(_WAVES, {"campaign": campaign})}


def walks_of(conn: Connection, waves: Mapping[int, str], persons: Collection[int], wanted: Wanted, now: Instant) -> dict[int, Instant]:
    """Person -> until (or OPEN), of those who walk or whose walk ended less than `stay` ago."""
    mine = ids(sorted(wave for wave, step in waves.items() if step in wanted.steps))
    walks: dict[int, Instant] = {}
    rows = fetch(conn, _ENDS, ("waves", "persons"), (mine, ids(sorted(persons))))
    for person, _, state, ended_at, handed_over_at, walk, held_out, over_at, came_home in rows:
        if walk is not None:
            stays = walk == WalkState.FINISHED and not came_home
            until = OPEN if walk == WalkState.OPEN else (over_at or 0) + wanted.stay if stays else 0
            if not held_out and (until == OPEN or until > now) and walks.get(person) != OPEN:
                walks[person] = until
        elif state in GOING:
            walks[person] = OPEN
        elif state in ENDED and walks.get(person) != OPEN:
            until = (ended_at or handed_over_at or 0) + wanted.stay
            if until > now:
                walks[person] = max(until, walks.get(person, 0))
    return walks


Values = Callable[[tuple[str, ...], Mapping[str, Any], Mapping[str, Any]], tuple[str, ...]]


def compare_walks(
    conn: Connection, campaign: int, name: str, rules: Sequence[Wanted], values: Values, *, cursor: tuple[int, int], limit: int,
    topic: str | None, consent: str, shop: Shop, now: Instant,
) -> Compared:  # fmt: skip
    """The next `limit` people of a campaign, held against the members of its audiences. `values`: see `content.audience_name`; tier and
    band are of the profile, by `shop`, and only for who never bought of the traits."""
    waves = waves_of(conn, campaign)
    wave = next((number for number in waves if number >= cursor[0]), None)
    if wave is None:
        return Compared(wishes=(), leaving=(), cursor=None, looked_at=0)
    after = cursor[1] if wave == cursor[0] else -1
    persons = [row[0] for row in fetch(conn, _PAGE, ("wave", "after", "limit"), (wave, after, limit))]
    following = (wave, persons[-1]) if len(persons) == limit else (wave + 1, -1)
    if not persons:
        return Compared(wishes=(), leaving=(), cursor=following, looked_at=0)
    audiences = audiences_of(conn, campaign, WALK)
    inside = wanted_in(conn, audiences.values(), persons)
    standings = standings_of(conn, persons, topic=topic, rule=consent)
    people = {row[0]: row[1:] for row in fetch(conn, _PEOPLE, ("persons",), (ids(persons),))}
    carried = _open_offers(conn, campaign, persons, now) if any(rule.offered for rule in rules) else {}
    wishes: list[Wish] = []
    right: set[tuple[int, int]] = set()
    for rule in rules:
        for person, end in walks_of(conn, waves, persons, rule, now).items():
            standing = standings.get(person)
            if standing is None or standing.refused is not None:
                continue
            traits, country, locale, orders, value, last = people[person]
            known = {"country": country, "locale": locale, "campaign": name}
            if orders:
                bought = {"orders": orders, "value": value, "last_order_at": last}
                known |= {"tier": tier_of(bought, shop), "band": band_of(bought, shop, now)}
            until = None if end == OPEN else end
            offer = ""
            if rule.offered:
                if person not in carried:
                    continue  # no message has brought it yet, or what it brought is over: ads promise nothing else
                offer, over = carried[person]
                known["offer.name"] = offer
                until = min((at for at in (until, over) if at is not None), default=None)
            filled = rule.fill(values(rule.names, known, json.loads(traits) if traits else {}))
            for provider in rule.providers:
                number = audiences.get((provider, filled))
                if number is not None:
                    right.add((number, person))
                    if (number, person) in inside and inside[number, person] == until:
                        continue
                wishes.append(Wish(provider, filled, person, until, rule.about.get(offer, "")))
    leaving = [Leaving(audience, person, _why(standings.get(person))) for audience, person in inside if (audience, person) not in right]
    return Compared(wishes=wishes, leaving=leaving, cursor=following, looked_at=len(persons))


def _open_offers(conn: Connection, campaign: int, persons: Sequence[int], now: Instant) -> dict[int, tuple[str, Instant | None]]:
    """Person -> (offer, its end) of what its last accepted message of the campaign brought, as long as that holds."""
    rows = fetch(conn, _CARRIED, ("campaign", "persons"), (campaign, ids(persons)))
    return {person: (offer, ends) for person, offer, ends in rows if ends is None or ends > now}


def _why(standing: Standing | None) -> str:
    return NOT_HERE if standing is None or standing.refused is None else standing.refused.value
