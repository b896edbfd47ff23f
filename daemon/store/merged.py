"""Who has become whom: read wherever an id from outside becomes a person (design: person).

Rows of `merged` point at who is left in the end, never at one that was merged itself: one look is enough. Where nobody ever was
merged, nothing more is asked than that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal_column, select

from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list

AWAY = 2
"""`recipient.erased` of one that was merged into another: nobody, to whoever does not ask further. 1 = erased."""

_G = s.merged.c
_ANY: Select[Any] = select(literal_column("1")).select_from(s.merged).limit(1)
_OF = (
    select(_G.person, _G.survivor, s.recipient.c.key)
    .join(s.recipient, s.recipient.c.id == _G.survivor)
    .where(in_list(_G.person, "persons"))
)  # fmt: skip
_INTO = select(_G.person).where(in_list(_G.survivor, "persons")).order_by(_G.person)


def survivors_of(conn: Connection, persons: Iterable[int]) -> dict[int, tuple[int, str]]:
    """Person -> (who it is now, the key of that one), of those that were merged."""
    if not fetch(conn, _ANY):
        return {}
    return {person: (survivor, key) for person, survivor, key in fetch(conn, _OF, ("persons",), (ids(sorted(set(persons))),))}


def owner_of(conn: Connection, person: int, key: str) -> tuple[int, str]:
    """Who is meant by this id: (person, key), of the survivor if it was merged."""
    return survivors_of(conn, [person]).get(person, (person, key))


def merged_into(conn: Connection, person: int) -> list[int]:
    """All that became this person."""
    return [row[0] for row in fetch(conn, _INTO, ("persons",), (ids([person]),))]


_FORMER = (
    select(s.recipient.c.email_hash, s.recipient.c.phone_hash)
    .join(s.merged, _G.person == s.recipient.c.id)
    .where(_G.survivor == bindparam("person"))
)  # fmt: skip


def former_addresses(conn: Connection, person: int) -> list[tuple[bytes | None, bytes | None]]:
    """(e-mail, phone), as hashes, of all that became this person: mail went there too."""
    return [(email, phone) for email, phone in fetch(conn, _FORMER, ("person",), (person,))]


_SINCE = select(_G.person).where(_G.survivor == bindparam("person"), _G.at >= bindparam("since"))


def joined_since(conn: Connection, person: int, since: Instant) -> bool:
    """Has somebody become this person since? Then nobody knows under whose address something was sent before."""
    return bool(fetch(conn, _SINCE, ("person", "since"), (person, since)))
