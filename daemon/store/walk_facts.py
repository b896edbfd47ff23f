"""What is asked of people when a step of theirs falls due: do they match its `where`, and are they in a segment that ends the walk?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, select

from daemon.journey.profile import Shop
from daemon.model.delivery import Instant
from daemon.model.expression import Expression
from daemon.store import schema as s
from daemon.store.segment_sql import members_matching
from daemon.store.sql import fetch, ids, in_list

_INSIDE = (
    select(s.segment_member.c.person, s.segment.c.name)
    .join(s.segment, s.segment.c.id == s.segment_member.c.segment)
    .where(in_list(s.segment.c.name, "names"), in_list(s.segment_member.c.person, "persons"))
    .order_by(s.segment.c.name)
)


def inside_of(conn: Connection, names: Collection[str], persons: Collection[int]) -> dict[int, list[str]]:
    """Person -> which of these segments he is in, as they were last evaluated."""
    found: dict[int, list[str]] = defaultdict(list)
    if names and persons:
        for person, name in fetch(conn, _INSIDE, ("names", "persons"), (ids(sorted(names)), ids(sorted(persons)))):
            found[person].append(name)
    return found


def matching(
    conn: Connection, wanted: Mapping[str, tuple[Expression, Sequence[int]]], shop: Shop, now: Instant
) -> dict[str, set[int]]:  # fmt: skip
    """Text of an expression -> those of its persons whom it matches. Writes where an expression reads a score that has aged."""
    return {text: members_matching(conn, expression, persons, shop, now) for text, (expression, persons) in wanted.items()}
