"""What is asked of people and their walks: do they match a step's `where`, are they in a segment that ends the walk; what explain shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from daemon.journey.profile import Shop
from daemon.model.delivery import Instant
from daemon.model.expression import Expression
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.enrolling import walked_campaigns
from daemon.store.segment_sql import members_matching
from daemon.store.sql import fetch, ids, in_list
from daemon.store.walking import Walking, due_walks

_INSIDE = (
    select(s.segment_member.c.person, s.segment.c.name)
    .join(s.segment, s.segment.c.id == s.segment_member.c.segment)
    .where(in_list(s.segment.c.name, "names"), in_list(s.segment_member.c.person, "persons"))
    .order_by(s.segment.c.name)
)


def due_inside(
    conn: Connection, campaign: int, now: Instant, limit: int, names: Collection[str]
) -> tuple[Sequence[Walking], Mapping[int, Sequence[str]]]:  # fmt: skip
    """The open walks of a campaign that are to be looked at, and person -> which of these segments he is in, as last evaluated."""
    walks = due_walks(conn, campaign, [WalkState.OPEN.value], now, limit)
    return walks, _inside_of(conn, names, {walk.person for walk in walks})


def _inside_of(conn: Connection, names: Collection[str], persons: Collection[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    if names and persons:
        for person, name in fetch(conn, _INSIDE, ("names", "persons"), (ids(sorted(names)), ids(sorted(persons)))):
            found[person].append(name)
    return found


class WalkRow(NamedTuple):
    """A walk as explain shows it; `campaign` by its name."""

    campaign: str
    version: int
    occurrence: int
    state: str
    arms: str | None
    held_out: int
    step: str | None
    entered_at: Instant
    next_at: Instant | None
    ended_at: Instant | None
    end_reason: str | None
    goal_at: Instant | None


_W = s.walk.c
_OF_PERSON = (
    select(s.campaign.c.name, *(_W[name] for name in WalkRow._fields if name != "campaign"))
    .join(s.campaign, s.campaign.c.id == _W.campaign)
    .where(in_list(_W.campaign, "campaigns"), _W.person == bindparam("person"))
)


def walks_of_person(conn: Connection, person: int) -> list[WalkRow]:
    """All of them, the newest first."""
    campaigns = ids(walked_campaigns(conn))
    found = [WalkRow._make(row) for row in conn.execute(_OF_PERSON, {"campaigns": campaigns, "person": person})]
    return sorted(found, key=lambda walk: (walk.entered_at, walk.campaign), reverse=True)


def matching(
    conn: Connection, wanted: Mapping[str, tuple[Expression, Sequence[int]]], shop: Shop, now: Instant
) -> dict[str, set[int]]:  # fmt: skip
    """Text of an expression -> those of its persons whom it matches. Writes where an expression reads a score that has aged."""
    return {text: members_matching(conn, expression, persons, shop, now) for text, (expression, persons) in wanted.items()}
