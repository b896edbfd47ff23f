"""Looking at segments: who matches a definition now, whatever was last evaluated, and some of them. Reads only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, func, literal_column, or_, select

from daemon.journey.profile import Shop
from daemon.journey.tiers import band_of, days_since, tier_of
from daemon.model.delivery import Instant
from daemon.model.expression import nodes
from daemon.model.segment import Segments
from daemon.store import schema as s
from daemon.store.segment_sql import VALUES, condition, moment
from daemon.store.sql import Query, fetch, rows

MOST_NODES = 2000
"""A definition that spells out to more reads what it refers to as last evaluated."""
_R, _P = s.recipient.c, s.profile.c
_THERE = or_(_P.person.is_not(None), _R.erased == literal_column("0"))


def spelled_out(segments: Segments, name: str, shop: Shop) -> ColumnElement[bool]:
    """The whole condition of a segment, those that it refers to in place of their members."""
    inside: dict[str, ColumnElement[Any]] = {}
    sizes: dict[str, int] = {}
    for each in segments.with_references([name]):
        segment = segments.by_name[each]
        sizes[each] = sum(1 for _ in nodes(segment.tree)) + sum(sizes.get(other, 0) for other in segment.refers_to)
        if segment.expression is not None and (sizes[each] <= MOST_NODES or each == name):
            inside[each] = condition(segment.tree, shop, inside)
    return inside[name] if name in inside else condition(segments.by_name[name].tree, shop)


def count_matching(conn: Connection, segments: Segments, name: str, shop: Shop, now: Instant) -> int:
    """How many recipients match a segment's definition now."""
    base = select(func.count(type_=BigInteger)).select_from(s.recipient).outerjoin(s.profile, _P.person == _R.id)
    [(count,)] = fetch(conn, base.where(_THERE, spelled_out(segments, name, shop)), VALUES, moment(now, shop))
    return int(count)


def some_matching(conn: Connection, segments: Segments, name: str, shop: Shop, now: Instant, limit: int) -> list[dict[str, Any]]:
    """Some of those, in no particular order, with what most segments are about."""
    statement: Query = (
        select(_R.key, _R.country, _P.orders, _P.value, _P.last_order_at, _P.score)
        .select_from(s.recipient)
        .outerjoin(s.profile, _P.person == _R.id)
        .where(_THERE, spelled_out(segments, name, shop))
        .order_by(_R.id)
        .limit(bindparam("limit"))
    )
    return [
        {
            "recipient": row.key, "country": row.country, "orders": row.orders or 0, "value": round((row.value or 0) / 1_000_000, 2),
            "days_since_order": days_since(row.last_order_at, now), "tier": tier_of(row._asdict(), shop),
            "band": band_of(row._asdict(), shop, now), "score_30d": row.score or 0,
        }
        for row in rows(conn, statement, ("limit", *VALUES), (limit, *moment(now, shop)))
    ]  # fmt: skip
