"""How likely people still are customers: what a model is learned from, the model that was adopted, and everybody's `p_alive` by it.

The model itself is pure (`journey.alive`). Scores are brought up to date in stretches behind a cursor; lane BULK.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, literal_column, select, update

from daemon.journey.alive import History, Model, p_alive
from daemon.journey.events import ORDER, VISITS
from daemon.journey.logistic import Logistic, probability
from daemon.journey.profile import ordered_at
from daemon.journey.signs import MONTH, signs_of
from daemon.journey.signs import NAMES as SIGNS
from daemon.model.delivery import DAY, Instant
from daemon.store import schema as s
from daemon.store.meta import get_meta, set_meta
from daemon.store.profiles import reactions_of, weighty_events
from daemon.store.sql import fetch, ids, in_list, many
from daemon.store.writer import redone

KEY, FORECAST = "churn_model", "churn_forecast"
Signs = tuple[float, ...]
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
    found = [ordered_at(known.get(person, ())) for person in persons]
    return [times for times in found if times], persons[-1] if len(persons) == limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The model of signs: how likely there is no order within the horizon."""

    logistic: Logistic
    horizon_days: int


_VISITS = (
    select(s.event.c.person, s.event.c.at)
    .join(s.event_name, s.event_name.c.id == s.event.c.name)
    .where(in_list(s.event.c.person, "persons"), in_list(s.event.c.name, "names"), s.event.c.at > bindparam("since"))
)
_NAMES = select(s.event_name.c.id).where(in_list(s.event_name.c.name, "names"))
_BEFORE = select(_P.person, _P.churn).where(in_list(_P.person, "persons"), _P.churn.is_not(None))
_FORETELL = update(s.profile).where(_P.person == bindparam("b_person")).values(churn=bindparam("b_churn"))


def signs_after(conn: Connection, after: int, limit: int, model: Model, then: Instant) -> tuple[list[tuple[int, Signs, bool]], int | None]:
    """((person, the signs as of `then`, an order came later) of the next buyers behind the person `after`, go on behind this one). Reads
    all that they did; those without orders by `then` are passed over."""
    persons = [person for (person,) in fetch(conn, _BUYERS, ("after", "limit"), (after, limit))]
    known, reacted = weighty_events(conn, persons), reactions_of(conn, persons)
    names = [number for (number,) in fetch(conn, _NAMES, ("names",), (ids(sorted(VISITS)),))]
    visits: dict[int, list[Instant]] = {}
    for person, at in fetch(conn, _VISITS, ("persons", "names", "since"), (ids(persons), ids(names), then - 2 * MONTH)):
        visits.setdefault(person, []).append(at)
    found = []
    for person in persons:
        happened = known.get(person, ())
        signs = signs_of(happened, (at for _, at in reacted.get(person, ())), visits.get(person, ()), model, then)
        if signs is not None:
            found.append((person, signs, any(row.name == ORDER and row.at > then for row in happened)))
    return found, persons[-1] if len(persons) == limit else None


def foretell(
    conn: Connection, after: int, limit: int, model: Model, forecast: Forecast, now: Instant
) -> tuple[list[tuple[int, float]], int | None]:
    """((person, how likely there is no order) where it moved, go on behind this one). Reads only."""
    known, following = signs_after(conn, after, limit, model, now)
    before = dict(fetch(conn, _BEFORE, ("persons",), (ids([person for person, _, _ in known]),)))
    told = [(person, round(probability(forecast.logistic, signs), 4)) for person, signs, _ in known]
    return [(person, churn) for person, churn in told if person not in before or abs(before[person] - churn) >= SHIFT], following


@redone
def put_forecasts(conn: Connection, told: Sequence[tuple[int, float]]) -> None:
    """Keep them."""
    many(conn, _FORETELL, ("b_person", "b_churn"), told)


def adopt_forecast(conn: Connection, forecast: Forecast) -> None:
    """Keep it: forecasts are by it from now on."""
    set_meta(conn, FORECAST, json.dumps([forecast.horizon_days, *map(list, forecast.logistic)]))


def adopted_forecast(conn: Connection) -> Forecast | None:
    """The one that was adopted last; None also if it knows other signs than this Homing."""
    written = get_meta(conn, FORECAST)
    if written is None:
        return None
    horizon, means, spreads, weights = json.loads(written)
    fits = len(means) == len(spreads) == len(SIGNS) == len(weights) - 1
    return Forecast(logistic=Logistic(tuple(means), tuple(spreads), tuple(weights)), horizon_days=horizon) if fits else None


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
