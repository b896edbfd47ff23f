"""Expressions as SQL: a checked tree becomes a condition on `recipient` and its `profile`, in SQLAlchemy Core.

All that an expression brings (texts, numbers, names of events, traits and segments) goes in as bound parameters. `VALUES` of one
moment are named parameters, so that a statement is compiled once and used for every page. Reads only.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    type_coerce,
)  # fmt: skip
from sqlalchemy import literal as bound
from sqlalchemy.types import Float, NullType, Text

from daemon.clock import to_datetime
from daemon.journey.profile import MICROS, Shop
from daemon.journey.tiers import LOW, MEDIUM, bands_in_order, upper_tiers
from daemon.model import expression as m
from daemon.model.delivery import DAY, Instant
from daemon.model.expression import Expression, Kind, nodes
from daemon.store import schema as s
from daemon.store.profiles import rescore
from daemon.store.sql import Query, fetch, ids, in_list

Sql = ColumnElement[Any]
PACKED = 10
"""More fixed values than these in one list are one parameter: each of its own costs the planner, and SQLite has a most of 32,766."""
WIDE = 50
"""So many conditions are joined side by side: SQLite reads them as a tree that goes one down with each, and 1,000 down is its end."""
_R, _P, _E = s.recipient.c, s.profile.c, s.event.c
_NOW: Sql = bindparam("now", type_=BigInteger)
_DAY: Sql = literal_column(str(DAY), BigInteger)
_ZERO: Sql = literal_column("0", BigInteger)
VALUES = ("now", "today", "month_day", "year")
"""Names of the parameters that every statement made here may have; `moment` gives their values."""


def moment(now: Instant, shop: Shop) -> tuple[Any, ...]:
    """The values of VALUES at `now`: the day is the shop's."""
    today = to_datetime(now).astimezone(zoneinfo.ZoneInfo(shop.zone)).date()
    return now, today.isoformat(), today.isoformat()[5:], today.year


def _words(*words: str) -> list[Sql]:
    """Of our own, written out: an expanding parameter would be one more thing to bind for each page."""
    return [literal_column(f"'{word}'", Text) for word in words]


def _days(at: Sql) -> Sql:
    return (_NOW - at) // _DAY


def _json(document: Sql, path: tuple[str, ...]) -> tuple[Sql, Sql]:
    """(the value at a path, its JSON type)."""
    where = bound("$" + "".join(f'."{name}"' for name in path), Text)
    return func.json_extract(document, where, type_=NullType), func.json_type(document, where, type_=Text)


def _may_have(document: Sql, name: str) -> Sql:
    """A name of JSON stands there as it is, or escaped: to look for its letters costs a tenth of reading the whole."""
    return or_(func.instr(document, bound(f'"{name}"', Text)) > _ZERO, func.instr(document, literal_column("'\\'")) > _ZERO)


def read_as(document: Sql, path: tuple[str, ...], kind: Kind) -> Sql:
    """As `journey.matching.read_as`."""
    return case((_may_have(document, path[0]), _read(*_json(document, path), kind)))


def _read(value: Sql, type_: Sql, kind: Kind) -> Sql:
    match kind:
        case Kind.NUMBER:
            digits = func.ltrim(value, literal_column("'-'"))  # of one sign; each mention of `value` is a parameter
            numeric = and_(
                digits.op("GLOB")(literal_column("'[0-9]*'")), digits.op("GLOB")(literal_column("'*[0-9]'")),
                not_(digits.op("GLOB")(literal_column("'*[^0-9.]*'"))), not_(value.op("GLOB")(literal_column("'--*'"))),
                not_(digits.op("GLOB")(literal_column("'*.*.*'"))), func.length(digits) <= literal_column("30"),
            )  # fmt: skip
            text = case((numeric, cast(value, Float)))
            integer, real, words = _words("integer", "real", "text")
            return case((integer, value), (real, value), (words, text), value=type_)
        case Kind.TEXT:
            return case((type_.in_(_words("text", "integer")), cast(value, Text)))
        case Kind.FLAG:
            text = case((value == "true", 1), (value == "false", 0))
            return case((type_ == "true", 1), (type_ == "false", 0), (type_ == "text", text))
        case _:
            return value


def _birthday() -> Sql:
    return read_as(_R.traits, ("birthday",), Kind.TEXT)


def _days_to_birthday() -> Sql:
    born = func.json_extract(_R.traits, literal_column("'$.birthday'"), type_=NullType)  # what is no text does not look like this one
    month_day = func.substr(born, literal_column("-5"))
    year: Sql = bindparam("year", type_=BigInteger)
    next_one = case((month_day >= bindparam("month_day", type_=Text), year), else_=year + literal_column("1", BigInteger))
    days = func.julianday(cast(next_one, Text) + "-" + month_day) - func.julianday(bindparam("today", type_=Text))
    return case((born.op("GLOB")("*[0-1][0-9]-[0-3][0-9]"), cast(days, BigInteger)))


def _tier(shop: Shop) -> Sql:
    orders, value = _count("orders"), _count("value")
    steps: list[tuple[Sql, Any]] = [
        (and_(orders >= tier.orders, value >= round(tier.value * MICROS)), bound(name, Text)) for name, tier in upper_tiers(shop)
    ]
    if (low := shop.tiers.get(LOW)) is not None:
        steps.append((and_(orders <= low.orders, value < round(low.value * MICROS)), bound(LOW, Text)))
    return case(*steps, else_=bound(MEDIUM, Text)) if steps else bound(MEDIUM, Text)


def _band(shop: Shop) -> Sql:
    bands = bands_in_order(shop)
    days = _days(_P.last_order_at)
    return case(*[(days >= start, bound(name, Text)) for name, start in reversed(bands)]) if bands else cast(_P.lapse_reason, Text)


def _cycle() -> Sql:
    own = (_P.last_order_at - _P.first_order_at) / (type_coerce(_P.orders, Float) - 1) / float(DAY)
    category = func.json_extract(_P.last_product, "$.category", type_=Text)
    of_others = select(s.category_cycle.c.days).where(s.category_cycle.c.category == category).correlate(s.profile).scalar_subquery()
    return case((_P.orders >= 3, own), else_=of_others)


def _pushes() -> Sql:
    table = s.push_subscription
    return select(func.count()).select_from(table).where(table.c.person == _R.id).correlate(s.recipient).scalar_subquery()


def _push_clicks() -> Sql:
    c = s.feedback.c
    wanted = and_(c.person == _R.id, c.channel == "push", c.human == 1, c.kind.in_(_words("opened", "clicked")))
    return select(func.count()).select_from(s.feedback).where(wanted).correlate(s.recipient).scalar_subquery()


def _suppressed() -> Sql:
    c = s.suppression.c
    return or_(*(
        exists(select(literal_column("1")).where(c.hash == address).correlate(s.recipient)) for address in (_R.email_hash, _R.phone_hash)
    ))  # fmt: skip


def _count(name: str) -> Sql:
    return func.coalesce(_P[name], _ZERO, type_=BigInteger)


_SQL: Mapping[str, Callable[[Shop], Sql]] = {
    "orders": lambda _: _count("orders"),
    "value": lambda _: _count("value") / float(MICROS),
    "first_order_at": lambda _: _P.first_order_at,
    "last_order_at": lambda _: _P.last_order_at,
    "days_since_first_order": lambda _: _days(_P.first_order_at),
    "days_since_order": lambda _: _days(_P.last_order_at),
    "cycle_days": lambda _: _cycle(),
    "band": _band,
    "tier": _tier,
    "score_30d": lambda _: _count("score"),
    "days_since_open": lambda _: _days(_P.last_open_at),
    "days_since_click": lambda _: _days(_P.last_click_at),
    "days_since_visit": lambda _: _days(_P.last_visit_at),
    "days_since_seen": lambda _: _days(_P.last_seen_at),
    "tickets_open": lambda _: _count("tickets_open"),
    "returns": lambda _: _count("returns"),
    "discount_share": lambda _: type_coerce(_P.discount_orders, Float) * 1.0 / func.nullif(_P.orders, _ZERO, type_=Float),
    "p_alive": lambda _: _P.p_alive,
    "churn_probability": lambda _: _P.churn,
    "subscription_active": lambda _: case(
        (and_(_count("subscription_active") == 1, or_(_P.subscription_ends_at.is_(None), _P.subscription_ends_at > _NOW)), 1), else_=0
    ),
    "subscription_ends_at": lambda _: _P.subscription_ends_at,
    "days_to_subscription_end": lambda _: (_P.subscription_ends_at - _NOW) // _DAY,
    "country": lambda _: _R.country,
    "zone": lambda _: _R.zone,
    "locale": lambda _: _R.locale,
    "birthday": lambda _: _birthday(),
    "days_to_birthday": lambda _: _days_to_birthday(),
    "tags": lambda _: func.json_extract(_R.traits, "$.tags", type_=NullType),
    "lapse_reason": lambda _: _P.lapse_reason,
    "nps": lambda _: _P.nps,
    "last_survey_at": lambda _: _P.last_survey_at,
    "push_subscriptions": lambda _: _pushes(),
    "push_clicks": lambda _: _push_clicks(),
    "unsubscribed": lambda _: case((_suppressed(), 1), else_=0),
    "days_known": lambda _: _days(_R.created_at),
}
"""Each of `model.expression.COLUMNS`; a test compares them."""
_COMPARE: Mapping[str, Callable[[Sql, Sql], Sql]] = {
    "=": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}  # fmt: skip


class _Place(NamedTuple):
    """What a tree is about. `document`: see `condition`; `inside`: segment -> being in it, where that is known otherwise."""

    shop: Shop
    document: Sql | None = None
    inside: Mapping[str, Sql] = {}


def condition(tree: m.Condition, shop: Shop, inside: Mapping[str, Sql] | None = None) -> Sql:
    """`tree` as a condition on `recipient` with its `profile` beside it. `inside`: segment -> the condition to be in it, for those whose
    members are not read from the store."""
    return _condition(tree, _Place(shop, None, inside or {}))


def _condition(tree: m.Condition, place: _Place) -> Sql:
    match tree:
        case m.All(parts=parts) | m.Some(parts=parts):
            return _together(and_ if isinstance(tree, m.All) else or_, [_condition(part, place) for part in parts])
        case m.Opposite(part=part):
            return not_(_condition(part, place).self_group())
        case m.Compare(op=op, left=left, right=right):
            return _COMPARE[op](_value(left, place), _value(right, place))
        case m.Among():
            return _among(tree, place)
        case m.Like(value=value, pattern=pattern):
            return _value(value, place).like(bound(pattern, Text))
        case m.Missing(value=value):
            return _value(value, place).is_(None)
        case m.Truth(value=value):
            return _value(value, place) == literal_column("1", BigInteger)
        case m.InSegment(name=name):
            return place.inside[name] if name in place.inside else _in_segment(name)
        case m.InCampaign(name=name):
            return _in_campaign(name)
        case m.HasTag(tag=tag):
            return _has_tag(tag)


def _together(join: Callable[..., Sql], parts: Sequence[Sql]) -> Sql:
    while len(parts) > WIDE:  # coerced, since Core takes the parentheses off what is joined in the same way
        parts = [type_coerce(join(*parts[start : start + WIDE]).self_group(), NullType()) for start in range(0, len(parts), WIDE)]
    return join(*parts).self_group()


def _among(tree: m.Among, place: _Place) -> Sql:
    value, packed = _value(tree.value, place), _packed(tree)
    if packed is None:
        return value.in_([_value(option, place) for option in tree.options])
    return value.in_(select(func.json_each(bound(ids(packed), Text)).table_valued("value").c.value))


def _packed(tree: m.Among) -> list[int | str] | None:
    """The values of a long list; None for a short one, and for broken numbers, which JSON would not bring to the last digit."""
    found = [int(value) if isinstance(value, bool) else value for each in tree.options if not isinstance(value := each.value, float)]
    return found if PACKED < len(found) == len(tree.options) else None


def size_of(tree: m.Condition) -> int:
    """How large the tree is as SQL, in nodes: of one come at most 9 parameters."""
    return sum(1 - (len(node.options) if isinstance(node, m.Among) and _packed(node) is not None else 0) for node in nodes(tree))


def _in_segment(name: str) -> Sql:
    c = s.segment_member.c
    number = select(s.segment.c.id).where(s.segment.c.name == bound(name, Text)).scalar_subquery()
    return exists(select(literal_column("1")).where(c.segment == number, c.person == _R.id).correlate(s.recipient))


def _in_campaign(name: str) -> Sql:
    c = s.walk.c
    number = select(s.campaign.c.id).where(s.campaign.c.name == bound(name, Text)).scalar_subquery()
    wanted = and_(c.person == _R.id, c.watched == literal_column("1"), c.state == literal_column("'open'", Text), c.campaign == number)
    return exists(select(literal_column("1")).where(wanted).correlate(s.recipient))


def _has_tag(tag: str) -> Sql:
    """One of a list, or between the commas of a text."""
    listed = func.json_each(_R.traits, "$.tags").table_valued("value", name="tag")
    between = func.replace(func.replace(listed.c.value, ", ", ","), " ,", ",")
    wanted = func.instr(bound(",", Text) + between + ",", bound(f",{tag},", Text)) > 0
    return and_(_may_have(_R.traits, "tags"), exists(select(literal_column("1")).select_from(listed).where(wanted).correlate(s.recipient)))


def _value(value: m.Value, place: _Place) -> Sql:
    match value:
        case m.Literal(value=literal):
            return bound(int(literal) if isinstance(literal, bool) else literal)
        case m.Column(name=name):
            return _SQL[name](place.shop)
        case m.Property(path=path, kind=kind):
            return read_as(_R.traits if place.document is None else place.document, path, kind)
        case m.Did(event=event, period=period, where=where):
            found = [*_happened(event), *([_E.at > _NOW - period] if period is not None else [])]
            if where is not None:
                found.append(_condition(where, place._replace(document=_E.properties)))
            return select(func.count()).select_from(s.event).where(*found).correlate(s.recipient).scalar_subquery()
        case m.DaysSince(event=event):
            last = select(func.max(_E.at)).where(*_happened(event)).correlate(s.recipient).scalar_subquery()
            return _days(type_coerce(last, BigInteger))
        case m.Arithmetic(op=op, left=left, right=right):
            return _counted(op, _value(left, place), _value(right, place))


def _happened(event: str) -> list[Sql]:
    number = select(s.event_name.c.id).where(s.event_name.c.name == bound(event, Text)).scalar_subquery()
    return [_E.person == _R.id, _E.name == number, _E.at <= _NOW]


def _counted(op: str, one: Sql, other: Sql) -> Sql:
    one = type_coerce(one, Float)
    match op:
        case "+":
            return (one + other).self_group()
        case "-":
            return (one - other).self_group()
        case "*":
            return (one * other).self_group()
        case _:
            return (one * 1.0 / func.nullif(other, _ZERO, type_=Float)).self_group()


_AGED = select(_P.person).where(in_list(_P.person, "persons"), _P.score_until.is_not(None), _P.score_until <= _NOW)


@lru_cache(maxsize=256)
def _matching(tree: m.Condition, shop: Kept) -> Query:
    known = select(_R.id).outerjoin(s.profile, _P.person == _R.id)
    return known.where(in_list(_R.id, "persons"), _R.erased == _ZERO, condition(tree, shop.shop))


class Kept:
    """A shop as a key: equal when it says the same of what conditions read (the day of its zone comes in with `moment`)."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._spelled = repr(([*shop.tiers.items()], [*shop.bands.items()]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and self._spelled == other._spelled

    def __hash__(self) -> int:
        return hash(self._spelled)


def members_matching(
    conn: Connection, expression: Expression, persons: Collection[int], shop: Shop, now: Instant, *, writes: bool = True
) -> set[int]:
    """Those of these persons whom the expression (of the scope recipient) holds for at `now`; nobody who was erased. A few at a time: it
    runs inside the transaction of whoever asks. Where the expression reads `score_30d`, scores of which something has aged out are brought
    up to date first, so that then it writes (`writes` False: they are taken as they stand).
    """
    if not persons:
        return set()
    wanted = ids(sorted(persons))
    if writes and "score_30d" in expression.columns and (aged := fetch(conn, _AGED, ("persons", "now"), (wanted, now))):
        rescore(conn, [person for (person,) in aged], now)
    statement = _matching(expression.tree, Kept(shop))
    return {person for (person,) in fetch(conn, statement, ("persons", *VALUES), (wanted, *moment(now, shop)))}
