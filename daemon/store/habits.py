"""When people reacted to earlier messages: what their own best hour is found from. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, literal_column, or_, select

from daemon.journey.timing import CLICK, OPEN
from daemon.model.delivery import Instant
from daemon.store import schema as s
from daemon.store.sql import fetch, ids, in_list

Habit = Sequence[tuple[Instant, float]]
"""(when, what it weighs) of each reaction, for `journey.timing`."""

_F = s.feedback.c
_REACTIONS = select(_F.person, _F.kind, _F.at).where(
    in_list(_F.person, "persons"), _F.human == literal_column("1"), _F.at > bindparam("since"),
    or_(_F.kind == "opened", _F.kind == "clicked"),
)  # fmt: skip


def habits_of(conn: Connection, persons: Iterable[int], since: Instant) -> dict[int, Habit]:
    """Opens and clicks of people, not of machines, after an instant."""
    found: dict[int, list[tuple[Instant, float]]] = {}
    for person, kind, at in fetch(conn, _REACTIONS, ("persons", "since"), (ids(sorted(set(persons))), since)):
        found.setdefault(person, []).append((at, CLICK if kind == "clicked" else OPEN))
    return dict(found)
