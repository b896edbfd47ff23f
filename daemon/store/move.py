"""Open walks moved to the newest version of their campaign, with what of theirs is not sent yet. A stretch a transaction."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, bindparam, case, func, literal, select, tuple_, update

from daemon.errors import NotFoundError
from daemon.model.delivery import Instant, State
from daemon.model.journey import WalkState
from daemon.store import schema as s
from daemon.store.schema_walks import walk
from daemon.store.sql import ids, in_list

CHUNK = 500
Cursor = tuple[int, int]
"""(person, occurrence)"""
FIRST: Cursor = (-1, 0)
UNSENT = (State.PLANNED.value, State.DUE.value, State.HELD.value)
_W = walk.c


def open_versions(conn: Connection, name: str) -> tuple[int, int, dict[int, tuple[int, str]]]:
    """(campaign's id, newest version, older version -> (open walks, its body)). NotFoundError."""
    found = conn.execute(select(s.campaign.c.id, s.campaign.c.version).where(s.campaign.c.name == name)).first()
    if found is None:
        raise NotFoundError(f'no campaign is named "{name}"; `homing campaigns list` shows them')
    counted = conn.execute(
        select(_W.version, func.count())
        .where(_W.campaign == found.id, _W.state == WalkState.OPEN.value, _W.version != found.version)
        .group_by(_W.version)
    ).all()
    return found.id, found.version, {version: (n, body_of_version(conn, found.id, version)) for version, n in counted}


def body_of_version(conn: Connection, campaign: int, version: int) -> str:
    """The JSON text of a stored version."""
    v = s.campaign_version.c
    return str(conn.execute(select(v.body).where(v.campaign == campaign, v.version == version)).scalar_one())


def move_some(
    conn: Connection, campaign: int, old: int, new: int, places: Mapping[str, str | None], now: Instant, after: Cursor = FIRST,
    limit: int = CHUNK,
) -> tuple[int, Cursor | None]:  # fmt: skip
    """Of the campaign's next `limit` walks behind `after`, the open ones of the version `old` go on by `new`, and are looked at again at
    once. `places`: where who stands at a step of the old version stands in the new. Deliveries that are not handed over go along, if
    their step is still there. Returns how many, and the cursor; None = all were looked at."""
    chosen = (
        select(_W.id, _W.person, _W.occurrence, _W.state, _W.version)
        .where(_W.campaign == campaign, tuple_(_W.person, _W.occurrence) > tuple_(*map(literal, after)))
        .order_by(_W.person, _W.occurrence)
        .limit(limit)
    )
    found = conn.execute(chosen).all()
    rows = [row for row in found if row.state == WalkState.OPEN.value and row.version == old]
    following = (int(found[-1].person), int(found[-1].occurrence)) if len(found) == limit else None
    if not rows:
        return 0, following
    moved = {name: place for name, place in places.items() if name != place}
    step = case(moved, value=_W.step, else_=_W.step) if moved else _W.step
    walks = update(walk).where(in_list(_W.id, "walks")).values(version=bindparam("b_new"), step=step, next_at=bindparam("b_now"))
    conn.execute(walks, {"walks": ids(sorted(row.id for row in rows)), "b_new": new, "b_now": now})
    kept = [name for name, place in places.items() if name == place]
    waves = [number for (number,) in conn.execute(select(s.wave.c.id).where(s.wave.c.campaign == campaign, s.wave.c.step.in_(kept)))]
    d = s.delivery.c
    unsent = (
        update(s.delivery)
        .where(in_list(d.wave, "waves"), in_list(d.person, "persons"), d.version == bindparam("b_old"), d.state.in_(UNSENT))
        .values(version=bindparam("b_new"))
    )
    conn.execute(unsent, {"waves": ids(sorted(waves)), "persons": ids(sorted(row.person for row in rows)), "b_old": old, "b_new": new})
    return len(rows), following
