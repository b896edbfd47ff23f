"""What experiments rest on, read a stretch of people at a time, and what they came to, kept for good.

A person counts once, in the arm of its walk, from the moment at which the experiment's step was planned for it: whatever became of the
message (intention to treat). Reads only rows that others write; the one act here writes `experiment_result`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, literal_column, null, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from daemon.journey.events import CANCELLED_ORDER, ORDER, REFUND, Happening
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list, many
from plugins.contract import UNSUBSCRIBED

STRETCH = 500
"""People of one reading."""
CLICKED, COMPLAINED = "clicked", "complained"


class Tried(NamedTuple):
    """One walk that reached the step. `reached_at`: the handover of the step's message, or when it was due; `did`: what was learned of
    it: clicked (by a person), unsubscribed, complained. `orders`, `value`: of the profile as it is now."""

    person: int
    walk: int
    version: int
    arm: str | None
    held_out: bool
    entered_at: Instant
    goal_at: Instant | None
    reached_at: Instant
    did: frozenset[str]
    orders: int
    value: int


class Page(NamedTuple):
    """`after`: the cursor, None at the end."""

    tried: Sequence[Tried]
    after: int | None


_W = s.walk.c
_WALKS = (
    select(
        _W.person, _W.occurrence, _W.id, _W.version, _W.arms, _W.held_out, _W.entered_at, _W.goal_at,
        func.coalesce(s.profile.c.orders, 0), func.coalesce(s.profile.c.value, 0),
    )
    .outerjoin(s.profile, s.profile.c.person == _W.person)
    .where(_W.campaign == bindparam("campaign"), _W.person > bindparam("after"), _W.state != literal_column("'planned'"))
    .order_by(_W.person, _W.occurrence)
    .limit(bindparam("n"))
)  # fmt: skip
_WAVES = select(s.wave.c.id).where(s.wave.c.campaign == bindparam("campaign"), s.wave.c.step == bindparam("step"))
_REACHED = (
    select(
        s.delivery.c.person, s.wave.c.occurrence, s.delivery.c.id, func.coalesce(s.delivery.c.handed_over_at, s.delivery.c.not_before),
    )
    .join(s.wave, s.wave.c.id == s.delivery.c.wave)
    .where(in_list(s.delivery.c.wave, "waves"), in_list(s.delivery.c.person, "persons"))
)  # fmt: skip
_F, _C = s.feedback.c, s.consent.c
_HEARD = select(_F.person, _F.delivery, _F.kind).where(
    in_list(_F.person, "persons"), in_list(_F.delivery, "deliveries"),
    or_(_F.kind == UNSUBSCRIBED, _F.kind == COMPLAINED, (_F.kind == CLICKED) & (_F.human == literal_column("1"))),
)  # fmt: skip
_WITHDRAWN = (
    select(_C.person, func.max(_C.at)).where(in_list(_C.person, "persons"), _C.state == literal_column("'withdrawn'")).group_by(_C.person)
)


def tried(conn: Connection, campaign: int, step: str, after: int, *, everyone: bool = False) -> Page:
    """The walks that reached a step, of a stretch of people behind `after`, by person and occurrence. `everyone`: those too that have not
    reached it, from their entry on: where arms differ in the day, reaching it is not alike in them."""
    walks = fetch(conn, _WALKS, ("campaign", "after", "n"), (campaign, after, STRETCH))
    full = len(walks) == STRETCH
    if full:  # the last person's walks may go on
        walks = [row for row in walks if row[0] != walks[-1][0]] or walks
    persons = ids(sorted({row[0] for row in walks}))
    waves = ids(row[0] for row in fetch(conn, _WAVES, ("campaign", "step"), (campaign, step)))
    reached: dict[tuple[int, int], Instant] = {}
    owners: dict[int, tuple[int, int]] = {}
    for person, occurrence, delivery, at in fetch(conn, _REACHED, ("waves", "persons"), (waves, persons)):
        owners[delivery] = person, occurrence
        reached[person, occurrence] = min(at, reached.get((person, occurrence), at))
    did: dict[tuple[int, int], set[str]] = {}
    for _, delivery, kind in fetch(conn, _HEARD, ("persons", "deliveries"), (persons, ids(sorted(owners)))):
        did.setdefault(owners[delivery], set()).add(kind)
    left = dict(fetch(conn, _WITHDRAWN, ("persons",), (persons,)))
    for key, since in reached.items():
        if since <= left.get(key[0], since - 1):
            did.setdefault(key, set()).add(UNSUBSCRIBED)
    found = []
    for person, occurrence, walk, version, arms, held_out, entered, goal, orders, value in walks:
        key = person, occurrence
        if everyone or key in reached:
            arm = json.loads(arms).get(step) if arms else None
            since, here = entered if everyone else reached[key], frozenset(did.get(key, ()))
            found.append(Tried(person, walk, version, arm, bool(held_out), entered, goal, since, here, orders, value))
    return Page(found, walks[-1][0] if full else None)


_ORDER_NAMES = select(s.event_name.c.id).where(
    or_(s.event_name.c.name == ORDER, s.event_name.c.name == REFUND, s.event_name.c.name == CANCELLED_ORDER)
)
_ORDERS = (
    select(s.event.c.person, s.event_name.c.name, s.event.c.at, s.event.c.id, s.event.c.properties)
    .join(s.event_name, s.event_name.c.id == s.event.c.name)
    .where(in_list(s.event.c.person, "persons"), s.event.c.name.in_(_ORDER_NAMES))
    .order_by(s.event.c.person)
)


def told_of_orders(conn: Connection, persons: Sequence[int]) -> dict[int, list[Happening]]:
    """What these persons' orders, refunds and cancellations were, for `journey.profile.orders_of`."""
    found: dict[int, list[Happening]] = {}
    for person, name, at, number, properties in fetch(conn, _ORDERS, ("persons",), (ids(sorted(persons)),)):
        found.setdefault(person, []).append(Happening(name, at, number, json.loads(properties or "{}")))
    return found


class Result(NamedTuple):
    """A row of the record. `body`: JSON."""

    campaign: int
    step: str
    trial: str
    slice: str
    finding: str
    winner: str | None
    looked_at: Instant
    decided_at: Instant | None
    body: str


_R = s.experiment_result.c
_put = upsert(s.experiment_result)
_KEEP = _put.on_conflict_do_update(
    index_elements=[_R.campaign, _R.step, _R.trial, _R.slice],
    set_={name: _put.excluded[name] for name in ("finding", "winner", "looked_at", "decided_at", "body")},
    where=_R.decided_at.is_(null()),
)


def keep_results(conn: Connection, results: Sequence[Result]) -> int:
    """Write what was found. What is decided stays as it was decided. Returns how many rows were written."""
    return many(conn, _KEEP, Result._fields, results)


_LISTED = select(s.campaign.c.name, *(_R[name] for name in Result._fields)).join(s.campaign, s.campaign.c.id == _R.campaign)


def results(conn: Connection, campaign: str | None = None) -> list[tuple[str, Result]]:
    """(campaign's name, row) of the whole record, in the order of campaigns, steps and slices."""
    query = _LISTED.order_by(s.campaign.c.name, _R.step, _R.trial, _R.slice)
    if campaign is not None:
        query = query.where(s.campaign.c.name == campaign)
    return [(row[0], Result._make(row[1:])) for row in conn.execute(query)]


class Look(NamedTuple):
    """What is known of one experiment over all people, without the figures."""

    campaign: int
    step: str
    trial: str
    finding: str
    looked_at: Instant
    decided_at: Instant | None


_LOOKS = select(*(_R[name] for name in Look._fields)).where(_R.slice == literal_column("''"))


def looks(conn: Connection) -> list[Look]:
    """Of all experiments that were ever looked at."""
    return [Look(*row) for row in fetch(conn, _LOOKS)]


_DECIDED = select(_R.step, _R.trial, _R.winner).where(
    _R.campaign == bindparam("campaign"), _R.slice == literal_column("''"), _R.winner.is_not(null())
)


def decided(conn: Connection, campaign: int) -> dict[tuple[str, str], str]:
    """(step, trial) -> the arm that won among all people."""
    return {(step, trial): winner for step, trial, winner in fetch(conn, _DECIDED, ("campaign",), (campaign,))}


_VERSIONS = select(s.campaign_version.c.version, s.campaign_version.c.body).where(s.campaign_version.c.campaign == bindparam("campaign"))
_V = s.campaign_version.c
_CAMPAIGNS = (
    select(s.campaign.c.id, s.campaign.c.version)
    .where(
        s.campaign.c.status != literal_column("'draft'"), s.campaign.c.status != literal_column("'archived'"),
        s.campaign.c.name.not_like(literal_column("'job:%'")),
    )
    .order_by(s.campaign.c.id)
)  # fmt: skip


def running(conn: Connection) -> list[tuple[int, int]]:
    """(id, newest version) of the campaigns that have begun and are not archived. The thousands that inline jobs make are not looked at."""
    return [(number, version) for number, version in fetch(conn, _CAMPAIGNS)]


_TRYING = (
    select(s.campaign.c.name, s.campaign.c.status, _V.body)
    .join(s.campaign_version, and_(_V.campaign == s.campaign.c.id, _V.version == s.campaign.c.version))
    .where(
        s.campaign.c.name.not_like(literal_column("'job:%'")),
        func.instr(_V.body, literal_column("'\"experiment\":{'")) > literal_column("0"),
    )
    .order_by(s.campaign.c.name)
)


def trying(conn: Connection) -> list[tuple[str, str, str]]:
    """(name, status, body of the newest version) of all campaigns that try something, drafts and archived ones too."""
    return [(name, status, body) for name, status, body in fetch(conn, _TRYING)]


def versions_of(conn: Connection, campaign: int) -> Mapping[int, str]:
    """Version -> body of a campaign."""
    rows: list[tuple[Any, ...]] = fetch(conn, _VERSIONS, ("campaign",), (campaign,))
    return {row[0]: row[1] for row in rows}
