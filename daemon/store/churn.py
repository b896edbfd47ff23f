"""How likely people still are customers: what a model is learned from, the model that was adopted, and everybody's `p_alive` by it.

The model itself is pure (`journey.alive`). Scores are brought up to date in stretches behind a cursor; lane BULK.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, literal_column, select, update

from daemon.journey.alive import History, Model, p_alive
from daemon.journey.events import ORDERS
from daemon.journey.profile import in_order, orders_of
from daemon.model.delivery import DAY, Instant
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.profiles import weighty_events
from daemon.store.sql import fetch, many
from daemon.store.writer import redone

KEY = "churn_model"
SHIFT = 0.005
"""A score that moved by less stays as it is: a million rows need not be written anew each day."""
_P = s.profile.c
_BUYERS = (
    select(_P.person).where(_P.person > bindparam("after"), _P.orders > literal_column("0")).order_by(_P.person).limit(bindparam("limit"))
)  # fmt: skip
_KNOWN = (
    select(_P.person, _P.orders, _P.first_order_at, _P.last_order_at, _P.p_alive)
    .where(_P.person > bindparam("after"), _P.orders > literal_column("0"), _P.first_order_at.is_not(None))
    .order_by(_P.person)
    .limit(bindparam("limit"))
)
_SCORE = update(s.profile).where(_P.person == bindparam("b_person")).values(p_alive=bindparam("b_score"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """`people`: it was fitted to; `fitted_at`: as of when."""

    model: Model
    people: int
    fitted_at: Instant


def order_times(conn: Connection, after: int, limit: int) -> tuple[list[list[Instant]], int | None]:
    """(The instants of the orders of the next buyers behind the person `after`, go on behind this one); None = these were the last. Numbers
    of persons are hashes, so that any stretch of them is a fair sample."""
    persons = [person for (person,) in fetch(conn, _BUYERS, ("after", "limit"), (after, limit))]
    known = weighty_events(conn, persons)
    found = [[order.at for order in orders_of(in_order(row for row in known.get(person, ()) if row.name in ORDERS))] for person in persons]
    return [times for times in found if times], persons[-1] if len(persons) == limit else None


def adopt_model(conn: Connection, adopted: Adopted) -> None:
    """Keep it: scores are by it from now on."""
    set_meta(conn, KEY, json.dumps({**asdict(adopted), "model": list(adopted.model)}))


def adopted_model(conn: Connection) -> Adopted | None:
    """The one that was adopted last."""
    written = get_meta(conn, KEY)
    if written is None:
        return None
    said = json.loads(written)
    return Adopted(model=Model(*said["model"]), people=said["people"], fitted_at=said["fitted_at"])


@redone
def score_people(conn: Connection, after: int, limit: int, model: Model, now: Instant) -> tuple[int | None, int]:
    """Bring `p_alive` of the next buyers behind the person `after` up to date. (Go on behind this one, how many were looked at)."""
    known = fetch(conn, _KNOWN, ("after", "limit"), (after, limit))
    many(conn, _SCORE, ("b_person", "b_score"), _moved(known, model, now))
    return (known[-1][0] if len(known) == limit else None), len(known)


def _moved(known: Sequence[tuple[int, int, Instant, Instant, float | None]], model: Model, now: Instant) -> list[tuple[int, float]]:
    moved = []
    for person, orders, first, last, before in known:
        score = p_alive(model, History(orders - 1, (last - first) / DAY, max(now - first, last - first) / DAY))
        if before is None or abs(score - before) >= SHIFT:
            moved.append((person, round(score, 4)))
    return moved
